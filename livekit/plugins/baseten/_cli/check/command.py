"""`check`: whether a deployment is right for live use, found out step by step."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Annotated, Any

import typer
from rich.text import Text

from ..._core.endpoint import Endpoint as ResolvedEndpoint
from ..._core.endpoint import resolve_url
from ..._core.options import Options
from ..console import fail, out
from ..deployment import (
    AllowPlaintext,
    ApiKey,
    ChainId,
    Endpoint,
    Environment,
    Model,
    ModelId,
    ModelName,
    speech_to_text,
)
from . import diagnosis
from .checkup import Checkup, Wrong
from .steps import Steps

_SHOWN = {
    "round_trip_s": "round trip",
    "connect_s": "connecting, until the metadata is accepted",
    "first_interim_s": "first interim, from the start of speech",
    "final_s": "final, from the last word",
    "flush_s": "final, from flush()",
}


def check(
    endpoint: Endpoint = None,
    model_id: ModelId = None,
    chain_id: ChainId = None,
    environment: Environment = "production",
    api_key: ApiKey = None,
    model: Model = ModelName.whisper,
    allow_plaintext: AllowPlaintext = False,
    wait: Annotated[
        float,
        typer.Option(help="Seconds to wait for a model that sleeps or is full.", min=0.1),
    ] = 30.0,
    extra_metadata: Annotated[
        str | None,
        typer.Option(help="As of STT: a JSON object laid over the metadata.", metavar="JSON"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object in place of lines.")
    ] = False,
) -> None:
    """Find out whether a deployment is right for live use.

    Goes the whole way, speaks a short English sentence twice, and measures.

    Ends with what to expect, or with what is wrong and what to do about it.

    Exit status: 0 right for a voice agent, 1 not, 2 wrong arguments.
    """
    logging.getLogger("livekit").addHandler(logging.NullHandler())  # what matters is said here
    arguments: dict[str, Any] = {
        "model_endpoint": endpoint,
        "model_id": model_id,
        "chain_id": chain_id,
        "environment": environment,
        "allow_plaintext": allow_plaintext,
    }
    extra = _extra(extra_metadata)
    made = speech_to_text(**arguments, api_key=api_key, model=model.value, extra_metadata=extra)
    if not (endpoint or model_id or chain_id):
        arguments["model_endpoint"] = os.environ.get("BASETEN_MODEL_ENDPOINT")
    url = resolve_url(**arguments, deployment_id=None)
    key = api_key or os.environ.get("BASETEN_API_KEY", "")
    steps = Steps(None if as_json else out)
    checkup = Checkup(
        made,
        ResolvedEndpoint(url, key),
        Options.create(model.value, extra_metadata=extra),
        steps,
        wait_s=wait,
    )
    if not as_json:
        out.print(f"Checking {url} ({model.value})\n")
    wrong: str | None = None
    try:
        asyncio.run(checkup.run())
    except Wrong as e:
        wrong = str(e)
    if as_json:
        _print_json(checkup, wrong)
    else:
        _print_measured(checkup.measured)
    if wrong is not None:
        fail(wrong)
    if not as_json:
        _print_verdict(checkup.measured)


def _extra(text: str | None) -> dict[str, Any]:
    try:
        extra = json.loads(text or "{}")
    except ValueError as e:
        fail(f"--extra-metadata: not JSON: {e}", status=2)
    if not isinstance(extra, dict):
        fail("--extra-metadata: not a JSON object", status=2)
    return extra


def _print_json(checkup: Checkup, wrong: str | None) -> None:
    report = {"is_right": wrong is None, "wrong": wrong, **checkup.report()}
    report["notes"] = diagnosis.notes(checkup.measured)
    out.print(json.dumps(report, ensure_ascii=False, indent=2))


def _print_measured(measured: diagnosis.Measured) -> None:
    out.print()
    shown = [
        (name, seconds)
        for field, name in _SHOWN.items()
        if (seconds := getattr(measured, field)) is not None
    ]
    if not shown or measured.final_s is None:
        return
    for name, seconds in shown:
        line = Text.assemble(f"  {name:<42}", (f"{seconds * 1000:6.0f} ms", "bold"))
        out.print(line)
    out.print()


def _print_verdict(measured: diagnosis.Measured) -> None:
    out.print(
        Text.assemble(
            ("Right for a voice agent. ", "bold green"),
            f"Expect what was said {measured.final_s:.2f} s after its last word, or "
            f"{measured.flush_s:.2f} s after LiveKit calls flush().",
        ),
        soft_wrap=not out.is_terminal,
    )
    for note in diagnosis.notes(measured):
        out.print(note, soft_wrap=not out.is_terminal)
