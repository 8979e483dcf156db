"""The options that name a deployment, the same for every command that talks to one."""

from __future__ import annotations

import enum
import functools
import os
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import fail

if TYPE_CHECKING:
    from .._core.endpoint import Endpoint as Resolved
    from ..stt import STT


class ModelName(str, enum.Enum):
    whisper = "whisper"
    qwen3_asr = "qwen3-asr"


_PANEL = "Deployment"

Endpoint = Annotated[
    str | None,
    typer.Option(
        # No `envvar`: it would win over an identifier on the command line. `STT` reads it.
        help="WebSocket URL of the deployment, or the HTTP URL that its page shows; else "
        "BASETEN_MODEL_ENDPOINT.",
        rich_help_panel=_PANEL,
    ),
]
ModelId = Annotated[
    str | None,
    typer.Option(help="The model's identifier, in place of a URL.", rich_help_panel=_PANEL),
]
ChainId = Annotated[
    str | None,
    typer.Option(help="The chain's identifier, in place of a URL.", rich_help_panel=_PANEL),
]
Environment = Annotated[str, typer.Option(help="Of that model or chain.", rich_help_panel=_PANEL)]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="Better left to the environment: other users of this machine see a command line.",
        envvar="BASETEN_API_KEY",
        show_envvar=True,
        rich_help_panel=_PANEL,
    ),
]
Model = Annotated[ModelName, typer.Option(help="What is deployed there.", rich_help_panel=_PANEL)]
AllowPlaintext = Annotated[
    bool,
    typer.Option(
        "--allow-plaintext", help="Permit ws:// to another machine.", rich_help_panel=_PANEL
    ),
]


# Arguments of `STT` as the command line has them, where more is different than the dashes.
_OPTIONS = {
    "model_endpoint": "--endpoint",
    "enable_diarization": "--diarize",
    "keyterms": "--keyterm",
    "record": "--report",
    "cold_start_timeout": "--wait",
    "show_word_timestamps=False": "--no-word-timestamps",
    "translate=True": "--translate",
    "allow_plaintext=True": "--allow-plaintext",
}
# What else `STT` has that the command line has too, besides `Options`.
_ARGUMENTS = frozenset(
    {
        "model_endpoint",
        "model_id",
        "chain_id",
        "environment",
        "api_key",
        "record",
        "cold_start_timeout",
        "drop_hallucinations",
    }
)
# Of `Options`: interims are asked for where somebody sees them, and each file is a connection.
NOT_ON_COMMAND_LINE = frozenset(
    {"enable_partial_transcripts", "partial_transcript_interval_s", "stream_id"}
)
_ADVICE = {"see cold_start_timeout and prewarm()": "--wait 600 waits for it"}


def in_options(said: str) -> str:
    """An error in the words of the command line: its options in place of arguments."""
    for advice, option in _ADVICE.items():
        said = said.replace(advice, option)
    return _named().sub(_as_option, said)


@functools.cache
def _named() -> re.Pattern[str]:
    """An argument of `STT` in an error; in metadata it stands in quotation marks."""
    from .._core.options import Options

    whole = [said for said in _OPTIONS if "=" in said]
    names = {*Options.model_fields, *_ARGUMENTS} - NOT_ON_COMMAND_LINE
    names -= {said.partition("=")[0] for said in whole}
    # What is a word of English too is meant only where a value follows.
    spelled = [name if "_" in name else rf"{name}(?==|: )" for name in names]
    of_name = rf"""(?<![\w".-])(?:{"|".join(spelled)})(?!\w)(?:=(?=\S))?"""
    return re.compile("|".join([*map(re.escape, whole), of_name]))


def _as_option(found: re.Match[str]) -> str:
    if exact := _OPTIONS.get(found[0]):
        return exact
    name = found[0].removesuffix("=")
    option = _OPTIONS.get(name) or "--" + name.replace("_", "-")
    return option + " " * found[0].endswith("=")


def resolved(
    *,
    model_endpoint: str | None,
    model_id: str | None,
    chain_id: str | None,
    environment: str,
    api_key: str | None,
    allow_plaintext: bool,
) -> Resolved:
    """Where these arguments of `STT` lead; ends with exit status 2 if they lead nowhere.

    It comes before LiveKit is imported, which takes seconds.
    """
    from .._core.endpoint import Endpoint, resolve_url

    if not (model_endpoint or model_id or chain_id):
        model_endpoint = os.environ.get("BASETEN_MODEL_ENDPOINT")
    try:
        url = resolve_url(
            model_endpoint=model_endpoint,
            model_id=model_id,
            chain_id=chain_id,
            environment=environment,
            deployment_id=None,
            allow_plaintext=allow_plaintext,
        )
        if not api_key:
            raise ValueError("no Baseten API key: pass --api-key or set BASETEN_API_KEY")
        return Endpoint(url, api_key)
    except ValueError as e:
        fail(in_options(str(e)), status=2)


def check_recognition(model: ModelName, **given: Any) -> None:
    """End with exit status 2 if a model cannot recognize with these arguments of `STT`."""
    from .._core.options import Options
    from .._core.wire import dialect_for

    try:
        dialect_for(Options.create(model.value, **given))
    except ValueError as e:
        fail(in_options(str(e)), status=2)


def speech_to_text(endpoint: Resolved, **arguments: Any) -> STT:
    """An `STT` of these arguments; ends with exit status 2 and what is wrong with them."""
    from ..stt import STT

    try:
        # The URL has been checked: whether it may be in clear, too.
        return STT(
            model_endpoint=endpoint.url,
            api_key=endpoint.api_key,
            allow_plaintext=True,
            **arguments,
        )
    except ValueError as e:
        fail(in_options(str(e)), status=2)
