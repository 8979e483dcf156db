"""`serve`: a Baseten on this machine, in a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import fail, out
from .deployment import ModelName

if TYPE_CHECKING:
    from ..emulator import Connection, Recognizer

NOISE_FLOOR = 300  # of 32767: what a quiet room is below, as 16-bit samples


class RecognizerName(str, enum.Enum):
    sphinx = "sphinx"
    script = "script"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on, 0 for a free one.")] = 8765,
    recognizer: Annotated[
        RecognizerName,
        typer.Option(help="Hear English with pocketsphinx, or say the lines of a script."),
    ] = RecognizerName.sphinx,
    script: Annotated[
        Path | None,
        typer.Option(help="What to say, a line for each utterance.", exists=True, dir_okay=False),
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="The one key to let in; else any.")] = None,
    model: Annotated[ModelName, typer.Option(help="Which model to be.")] = ModelName.whisper,
) -> None:
    """Serve a Baseten on this machine, for trying things out without a key."""
    if recognizer is RecognizerName.script and script is None:
        raise typer.BadParameter("--recognizer script needs a --script FILE")
    try:
        listener = _recognizer(recognizer, script)
        asyncio.run(_serve(listener, host, port, api_key, model))
    except ImportError:
        fail('the emulator is not installed: pip install "livekit-plugins-baseten[emulator]"')
    except OSError as e:
        fail(f"cannot listen on {host}:{port}: {e.strerror or e}")
    except KeyboardInterrupt:  # where signals cannot be taken over
        pass


def _recognizer(name: RecognizerName, script: Path | None) -> Recognizer:
    from ..emulator import ScriptRecognizer, SphinxRecognizer

    if name is RecognizerName.script and script is not None:
        lines = script.read_text(encoding="utf-8").splitlines()
        return ScriptRecognizer(lines, is_cyclic=True, floor=NOISE_FLOOR)
    return SphinxRecognizer()


async def _serve(
    recognizer: Recognizer, host: str, port: int, api_key: str | None, model: ModelName
) -> None:
    from .. import emulator

    stopped = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    with contextlib.ExitStack() as stack:
        if isinstance(recognizer, emulator.SphinxRecognizer):
            stack.enter_context(recognizer)
        async with emulator.serve(
            model=model.value,
            recognizer=recognizer,
            voice_detector=emulator.SileroDetector,
            api_key=api_key,
            host=host,
            port=port,
            record=False,
            observer=_Narrator(),
        ) as server:
            out.print(f"Serving {model.value} on {server.url}. Ctrl-C stops it.\n")
            key = "..." if api_key else "any"
            out.print("    from livekit.plugins import baseten")
            out.print(f'    stt = baseten.STT({_arguments(model, server.url)}, api_key="{key}")\n')
            await stopped.wait()
    out.print("Stopped.")


def _arguments(model: ModelName, url: str) -> str:
    endpoint = f'model_endpoint="{url}"'
    return endpoint if model is ModelName.whisper else f'{endpoint}, model="{model.value}"'


class _Narrator:
    """A line for each stream that opens or closes, and for each final in between."""

    def __init__(self) -> None:
        self._numbers: dict[Connection, int] = {}
        self._opened = 0

    def __call__(self, connection: Connection, event: str) -> None:
        if event == "opened":
            self._opened += 1
            self._numbers[connection] = self._opened
            self._say(connection, "opened")
        elif event == "sent":
            self._sent(connection)
        elif event == "closed":
            self._say(
                connection, f"closed  {connection.close_code} {connection.close_reason or ''}"
            )
            del self._numbers[connection]

    def _sent(self, connection: Connection) -> None:
        message = json.loads(connection.last_sent or "{}")
        if message.get("type") == "transcription" and message.get("is_final"):
            text = " ".join(segment["text"] for segment in message["segments"])
            self._say(connection, f"final   {text or '(nothing)'}")
        elif message.get("type") == "error":
            self._say(connection, f"error   {connection.last_sent}")

    def _say(self, connection: Connection, text: str) -> None:
        out.print(f"stream {self._numbers[connection]}  {text.rstrip()}")
