"""The server of `serve` at work, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...emulator import serve as serve_emulator
from ...emulator.faults.plan import Plan
from ..console import fail, out
from ..deployment import ModelName
from .ears import Ears, RecognizerName
from .streams import Streams

if TYPE_CHECKING:
    from ...emulator import Recognizer, Server, VoiceDetector, faults


@dataclass(frozen=True)
class Setting:
    """What the server is to be like."""

    model: ModelName
    ears: Ears
    host: str
    port: int
    api_key: str | None
    plan: tuple[faults.Entry, ...]
    repeat: bool
    latency_s: float
    delay_s: float
    runtime: str
    diarizer: bool
    plain: bool


def serve_until_stopped(setting: Setting) -> None:
    """Say where it is and serve there.

    Raises:
        ImportError: What it was asked to hear with is not installed.
        typer.Exit: It cannot listen, or cannot hear. Why has been said.
    """
    with contextlib.suppress(KeyboardInterrupt):  # where signals cannot be taken over
        asyncio.run(_serve(setting))


async def _serve(setting: Setting) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(signal_number, stopped.set)
    streams = Streams(loop.time, out.print) if setting.plain else Streams(loop.time)
    async with contextlib.AsyncExitStack() as stack:
        recognizer, line = stack.enter_context(setting.ears.recognizer())
        if setting.diarizer:
            from ...emulator._recognizers.turn_taking import TurnTaking

            recognizer = TurnTaking(recognizer)
        announced = contextlib.AsyncExitStack()  # the view ends after the server has: it shows that
        await stack.enter_async_context(announced)
        server = await _listening(setting, stack, recognizer, streams)
        if setting.repeat:
            server.plan = Plan(setting.plan, is_repeated=True)
        _announce(setting, server.url, line)
        await announced.enter_async_context(_view(setting, streams))
        await stopped.wait()
    out.print("Stopped.")


async def _listening(
    setting: Setting, stack: contextlib.AsyncExitStack, recognizer: Recognizer, streams: Streams
) -> Server:
    """
    Raises:
        typer.Exit: It cannot.
    """
    server = serve_emulator(
        *setting.plan,
        model=setting.model.value,
        recognizer=recognizer,
        voice_detector=_voice_detector(setting),
        api_key=setting.api_key,
        host=setting.host,
        port=setting.port,
        latency_s=setting.latency_s,
        delay_s=setting.delay_s,
        runtime=setting.runtime,
        diarizer=setting.diarizer,
        record=False,
        observer=streams.connection,
        handshake_observer=streams.handshake,
    )
    try:
        return await stack.enter_async_context(server)
    except OSError as e:
        # asyncio's own words repeat the address. A name that is not found has no number here.
        number = e.errno or 0
        why = os.strerror(number) if number > 0 else e.strerror or str(e)
        fail(f"cannot listen on {setting.host}:{setting.port}: {why}")


def _voice_detector(setting: Setting) -> type[VoiceDetector]:
    from ...emulator import AmplitudeDetector, SileroDetector

    # Coded speech is no speech to a detector that was trained on voices.
    is_coded = setting.ears.name is RecognizerName.coded
    return AmplitudeDetector if is_coded else SileroDetector


@contextlib.asynccontextmanager
async def _view(setting: Setting, streams: Streams) -> AsyncIterator[None]:
    from .live_view import live_view

    if setting.plain:
        yield
    else:
        async with live_view(out, streams):
            yield


def _announce(setting: Setting, url: str, ears: str) -> None:
    key = "..." if setting.api_key else "any"
    out.print(f"Serving {setting.model.value} on {url}. Ctrl-C stops it.")
    out.print(f"{ears}\n")
    out.print("    from livekit.plugins import baseten")
    arguments = _arguments(setting.model, url, diarizer=setting.diarizer)
    out.print(f'    stt = baseten.STT({arguments}, api_key="{key}")\n')


def _arguments(model: ModelName, url: str, *, diarizer: bool) -> str:
    endpoint = f'model_endpoint="{url}"'
    if diarizer:
        return f"{endpoint}, enable_diarization=True"
    return endpoint if model is ModelName.whisper else f'{endpoint}, model="{model.value}"'
