"""A checkup as it is printed: its steps, what was measured, and what to make of it."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from ..._core.endpoint import Endpoint
from ..._core.options import Model, Options
from ..console import fail, out
from ..deployment import speech_to_text
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


def checked(
    endpoint: Endpoint, model: Model, extra: Mapping[str, Any], *, wait_s: float, as_json: bool
) -> None:
    """Check a deployment, and print what comes of it; ends with status 1 if that is no good.

    Args:
        extra: Laid over the metadata.
        wait_s: Seconds that a model may take to answer the handshake.
        as_json: One object in place of lines.
    """
    logging.getLogger("livekit").addHandler(logging.NullHandler())  # what matters is said here
    checkup = Checkup(
        functools.partial(speech_to_text, endpoint, model=model, extra_metadata=extra),
        endpoint,
        Options.create(model, extra_metadata=extra),
        Steps(None if as_json else out),
        wait_s=wait_s,
    )
    if not as_json:
        out.print(f"Checking {endpoint.url} ({model})\n")
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
