"""What the client's tests share: an STT, frames to push, events to collect."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import trustme
from numpy.typing import NDArray

from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents import stt as lk
from livekit.plugins import baseten
from livekit.plugins.baseten._core.wire import dialect_for
from livekit.plugins.baseten.emulator import Server, coded_speech

KEY = "k3y.that-nobody-may-ever-read"
ENDPOINT = "wss://model-abc123.api.baseten.co/environments/production/websocket"
PATIENCE_S = 20.0  # for what takes milliseconds; a test that needs it has failed

Kind = lk.SpeechEventType

ONE_TRY = APIConnectOptions(max_retry=0, timeout=10.0)

# Two utterances, with a pause between them that ends the first.
SPEECH = coded_speech([(1600, 4000), (800, 4000), (16_000, 4000)], trailing_samples=8000)


def new_stt(server: Server | str = ENDPOINT, **options: Any) -> baseten.STT:
    url = server if isinstance(server, str) else server.url
    return baseten.STT(**{"model_endpoint": url, "api_key": KEY, **options})


async def metadata_of(stt: baseten.STT, **stream_options: Any) -> dict[str, Any]:
    """What a stream of ``stt`` would open a connection with."""
    stream = stt.stream(**stream_options)
    try:
        opening: dict[str, Any] = json.loads(dialect_for(stream.options).opening())
        return opening
    finally:
        await stream.aclose()


def frame(pcm: bytes, *, rate_hz: int = 16_000, channels: int = 1) -> rtc.AudioFrame:
    return rtc.AudioFrame(pcm, rate_hz, channels, len(pcm) // 2 // channels)


def frames(
    pcm: bytes | NDArray[np.int16],
    *,
    rate_hz: int = 16_000,
    channels: int = 1,
    samples: int | None = None,
) -> Iterator[rtc.AudioFrame]:
    """``pcm`` in frames of ``samples`` (50 ms if not given), the last one shorter."""
    data = pcm if isinstance(pcm, bytes) else pcm.astype("<i2").tobytes()
    step = (samples or rate_hz // 20) * channels * 2
    for at in range(0, len(data), step):
        yield frame(data[at : at + step], rate_hz=rate_hz, channels=channels)


def push(stream: lk.RecognizeStream, pcm: bytes | NDArray[np.int16], **shape: Any) -> None:
    for each in frames(pcm, **shape):
        stream.push_frame(each)


async def collected(stream: lk.RecognizeStream) -> list[lk.SpeechEvent]:
    """Everything until the stream ends by itself."""

    async def to_the_end() -> list[lk.SpeechEvent]:
        return [event async for event in stream]

    return await asyncio.wait_for(to_the_end(), PATIENCE_S)


async def until(stream: lk.RecognizeStream, kind: Kind) -> list[lk.SpeechEvent]:
    """Events up to the first of ``kind``."""

    async def up_to() -> list[lk.SpeechEvent]:
        events = []
        async for event in stream:
            events.append(event)
            if event.type is kind:
                break
        return events

    return await asyncio.wait_for(up_to(), PATIENCE_S)


async def transcribed(stt: baseten.STT, pcm: bytes, **stream_options: Any) -> list[lk.SpeechEvent]:
    """All events of one stream that is given ``pcm`` and nothing else."""
    async with stt.stream(**stream_options) as stream:
        push(stream, pcm)
        stream.end_input()
        return await collected(stream)


def of(kind: Kind, events: Iterable[lk.SpeechEvent]) -> list[lk.SpeechEvent]:
    return [event for event in events if event.type is kind]


def finals(events: Iterable[lk.SpeechEvent]) -> list[str]:
    return [e.alternatives[0].text for e in of(Kind.FINAL_TRANSCRIPT, events)]


def words(events: Iterable[lk.SpeechEvent]) -> list[str]:
    return " ".join(finals(events)).split()


@contextlib.asynccontextmanager
async def an_stt(server: Server | str, **options: Any) -> AsyncIterator[baseten.STT]:
    stt = new_stt(server, **options)
    try:
        yield stt
    finally:
        await stt.aclose()


async def heard(server: Server, pcm: bytes, **options: Any) -> list[lk.SpeechEvent]:
    """What a stream with these options says of ``pcm``."""
    async with an_stt(server, **options) as stt:
        return await transcribed(stt, pcm)


def errors_of(stt: baseten.STT) -> list[lk.STTError]:
    errors: list[lk.STTError] = []
    stt.on("error", errors.append)
    return errors


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "livekit.plugins.baseten" and record.levelno >= logging.WARNING
    ]


def certified(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
