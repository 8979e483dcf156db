"""The options that name a deployment, the same for every command that talks to one."""

from __future__ import annotations

import enum
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
_NAMED = re.compile(
    "|".join(
        map(re.escape, ("show_word_timestamps=False", "translate=True", "allow_plaintext=True"))
    )
    + r"|(?<![\w-])(?:(?:language|prompt|model|record|environment|keyterms)(?==|: )|"
    r"model_endpoint|model_id|chain_id|api_key|language_options|enable_diarization|"
    r"diarization_granularity|extra_metadata|cold_start_timeout|drop_hallucinations|"
    r"final_transcript_max_duration_s|vad_threshold|vad_min_silence_duration_ms|vad_speech_pad_ms|"
    r"beam_width|length_penalty|repetition_penalty|beam_search_diversity_rate|"
    r"no_repeat_ngram_size|use_dynamic_preprocessing)(?:=(?=\S))?"
)
_ADVICE = {"see cold_start_timeout and prewarm()": "--wait 600 waits for it"}


def in_options(said: str) -> str:
    """An error in the words of the command line: its options in place of arguments."""
    for advice, option in _ADVICE.items():
        said = said.replace(advice, option)
    return _NAMED.sub(_as_option, said)


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
