"""A call through `SpeechStream` and sockets, as an application sees it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

import pytest
from kit.models import Spoken

from livekit import rtc
from livekit.agents import APIConnectOptions
from livekit.agents.metrics import STTMetrics
from livekit.agents.stt import SpeechEvent as Event
from livekit.agents.stt import SpeechEventType as Kind
from livekit.agents.stt import STTError
from livekit.plugins.baseten import STT, SpeechStream, emulator
from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import CodedSpeech, Connection, Server, faults

SAMPLE_RATE_HZ = 16_000
FRAME_S = 512 / SAMPLE_RATE_HZ
PUSHED_SAMPLES = 1600

# Nothing in these tests depends on the machine being fast: this is for one that is stuck.
AT_MOST_S = 15.0

QUICK = APIConnectOptions(max_retry=20, retry_interval=0.01, timeout=10.0)


# What is asked of a model for calls that go alike with each: words have times, and turns end after
# the silence that the speech was made for.
ALIKE: dict[str, Any] = {
    "language": "en",
    "show_word_timestamps": True,
    "vad_min_silence_duration_ms": 300,
}


def only(model: Model, because: str) -> pytest.MarkDecorator:
    """For tests of what the other dialect does not have."""
    assert because
    return pytest.mark.parametrize("model", [model], indirect=True)


def serve(*plan: faults.Entry, **options: Any) -> AbstractAsyncContextManager[Server]:
    return served_to_the_sample(*plan, **{"model": Spoken.model, "aligner": True, **options})


def served_to_the_sample(
    *plan: faults.Entry, **options: Any
) -> AbstractAsyncContextManager[Server]:
    """An emulator that times words exactly, for tests of what the client makes of times."""
    return emulator.serve(*plan, **{"word_step_s": 0, **options})


@contextlib.asynccontextmanager
async def client(server: Server | str, **options: Any) -> AsyncIterator[STT]:
    url = server if isinstance(server, str) else server.url
    if "model" not in options and Spoken.model != "whisper":
        options = {"model": Spoken.model, **ALIKE, **options}
    stt = STT(model_endpoint=url, api_key="any", **options)
    try:
        yield stt
    finally:
        await stt.aclose()


class Listener:
    """Reads a stream to its end, and lets tests wait for what comes of it."""

    def __init__(
        self,
        stt: STT,
        conn_options: APIConnectOptions = QUICK,
        continues: SpeechStream | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.errors: list[STTError] = []
        self.acquired: list[STTMetrics] = []
        self.used_s = 0.0
        stt.on("error", self._failed)
        stt.on("metrics_collected", self._measured)
        self.stt = stt
        self.stream: SpeechStream = stt.stream(conn_options=conn_options, continues=continues)
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def ended(self, within_s: float = AT_MOST_S) -> list[Event]:
        """All events, once the stream has ended by itself.

        Raises:
            APIError: It ended with one.
        """
        await asyncio.wait_for(asyncio.shield(self._reading), within_s)
        return self.events

    async def until(self, predicate: Callable[[], object]) -> None:
        async def wait() -> None:
            while not predicate():
                assert not self._reading.done(), f"the stream is over: {self._reading}"
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), AT_MOST_S)

    async def until_said(self, speech: CodedSpeech) -> None:
        """Wait for the final of the last word."""
        await self.until(lambda: speech.words[-1].text in self.said())

    def said(self) -> list[str]:
        return said(self.events)

    def push(self, pcm: bytes) -> None:
        push(self.stream, pcm)

    async def aclose(self) -> None:
        await self.stream.aclose()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for event in self.stream:
                self.events.append(event)
                self._changed.set()
        finally:
            self._changed.set()

    def _failed(self, error: STTError) -> None:
        self.errors.append(error)
        self._changed.set()

    def _measured(self, metrics: STTMetrics) -> None:
        if metrics.audio_duration:
            self.used_s += metrics.audio_duration
        else:
            self.acquired.append(metrics)
        self._changed.set()


@contextlib.asynccontextmanager
async def listening(
    stt: STT,
    conn_options: APIConnectOptions = QUICK,
    continues: SpeechStream | None = None,
) -> AsyncIterator[Listener]:
    listener = Listener(stt, conn_options, continues)
    try:
        yield listener
    finally:
        await listener.aclose()


@contextlib.asynccontextmanager
async def calling(
    server: Server | str, conn_options: APIConnectOptions = QUICK, **options: Any
) -> AsyncIterator[Listener]:
    """One stream of an STT of its own."""
    async with client(server, **options) as stt, listening(stt, conn_options) as listener:
        yield listener


def push(stream: SpeechStream, pcm: bytes) -> None:
    step = PUSHED_SAMPLES * 2
    for at in range(0, len(pcm), step):
        block = pcm[at : at + step]
        stream.push_frame(rtc.AudioFrame(block, SAMPLE_RATE_HZ, 1, len(block) // 2))


async def working(server: Server, connection: Connection) -> None:
    """Wait until a connection is known to work.

    Whisper says so when it is asked; Qwen3-ASR says nothing, and works when it is asked for
    something.
    """
    await server.until(
        lambda: connection.metadata if Spoken.model == "qwen3-asr" else connection.sent
    )


def said(events: list[Event]) -> list[str]:
    """The words of the finals."""
    finals = [event for event in events if event.type is Kind.FINAL_TRANSCRIPT]
    return [word for final in finals for word in final.alternatives[0].text.split()]


def check(events: list[Event], speech: CodedSpeech, *, offset_s: float = 0.0) -> None:
    """Every word once, in order and in its place; every start of speech with its end."""
    words = []
    for event in events:
        if event.type is Kind.FINAL_TRANSCRIPT:
            data = event.alternatives[0]
            assert data.text == " ".join(data.words or [])
            assert "is_promoted_interim" not in (data.metadata or {})
            words += data.words or []
    assert [str(word) for word in words] == [word.text for word in speech.words]
    for word, spoken in zip(words, speech.words, strict=True):
        assert isinstance(word.start_time, float) and isinstance(word.end_time, float)
        assert abs(word.start_time - offset_s - spoken.start_s) < FRAME_S
        assert abs(word.end_time - offset_s - spoken.end_s) < FRAME_S
    check_order(events)


def check_order(events: list[Event]) -> None:
    """(START INTERIM* FINAL+ END)*, and no interim says again what a final has said."""
    is_open, finals = False, 0
    final: set[str] = set()
    for event in events:
        if event.type is Kind.START_OF_SPEECH:
            assert not is_open
            is_open, finals = True, 0
        elif event.type is Kind.END_OF_SPEECH:
            assert is_open
            assert finals
            is_open = False
        elif event.type is Kind.INTERIM_TRANSCRIPT:
            assert final.isdisjoint(event.alternatives[0].text.split())
        elif event.type is Kind.FINAL_TRANSCRIPT:
            assert is_open or not event.alternatives[0].text
            finals += 1
            final.update(event.alternatives[0].text.split())
    assert not is_open


class Relay:
    """TCP between a client and a server, that can go down and come back.

    Attributes:
        refused: Whether it is down: whoever connects is refused.
    """

    def __init__(self, server: Server) -> None:
        self._target = urlsplit(server.url)
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def up(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self._port}{self._target.path}"

    async def down(self) -> None:
        """Everything that is connected is cut off, and the port is closed."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to, port = self._target.hostname, self._target.port
        far_reader, far_writer = await asyncio.open_connection(to, port)
        self._writers |= {writer, far_writer}
        await asyncio.gather(_copied(reader, far_writer), _copied(far_reader, writer))
        self._writers -= {writer, far_writer}


@contextlib.asynccontextmanager
async def relayed(server: Server) -> AsyncIterator[Relay]:
    relay = Relay(server)
    await relay.up()
    try:
        yield relay
    finally:
        await relay.down()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
