"""The options that name a deployment, the same for every command that talks to one."""

from __future__ import annotations

import enum
import os
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


# What errors call by the names of `STT`'s arguments, as the command line has it.
_ON_THE_COMMAND_LINE = {
    "pass model_endpoint, model_id or chain_id": "pass --endpoint, --model-id or --chain-id",
    "check model_endpoint": "check --endpoint",
    "model_endpoint=": "--endpoint ",
    "allow_plaintext=True": "--allow-plaintext",
    "language=": "--language ",
    "record=": "--report ",
    "pass api_key or": "pass --api-key or",
    "check api_key or": "check --api-key or",
    "see cold_start_timeout and prewarm()": "--wait 600 waits for it",
}


def in_options(said: str) -> str:
    """An error in the words of the command line: its options in place of arguments."""
    for name, option in _ON_THE_COMMAND_LINE.items():
        said = said.replace(name, option)
    return said


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
