"""What a frame and a message cost, in calls of functions: the same on any machine and at any load.

Times are for `benchmarks/`. What would show there as a slower call shows here as more calls, or as
objects that stay: a task, a timer or a log record for every frame, results parsed twice. The bounds
are half as much again as measured; whoever does more for a frame on purpose raises them on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import aiohttp
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from livekit import rtc
from livekit.agents import stt
from livekit.plugins import baseten

# Measured with Python 3.11 and aiohttp 3.14: 66 and, with ten words in the message, 451.
MOST_CALLS_PER_PUSH = 99
MOST_CALLS_PER_MESSAGE = 676

RATE_HZ, FRAME_MS = 24_000, 50  # what LiveKit's rooms deliver
SAMPLES = RATE_HZ * FRAME_MS // 1000
PUSHES_PER_FINAL = 5_000 // FRAME_MS
WORDS = 10

PACKAGE = str(Path(baseten.__file__).parent)
CLIENT = str(Path(aiohttp.__file__).parent)
# Of asyncio, what is asked of it; not the turns of its loop, which depend on the time.
SCHEDULING = {"call_soon", "call_at", "call_later", "create_task", "wait", "set", "wait_for"}


class Server:
    """Counts audio, and answers with what it is told to; in a thread that is not counted."""

    def __init__(self) -> None:
        self.chunks = self.results = 0
        self.partial_every = self.final_every = 0  # chunks
        self._start_s = 0.0
        self._socket = serve(self._serve, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._socket.serve_forever)
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._socket.socket.getsockname()[1]}/websocket"

    def close(self) -> None:
        self._socket.shutdown()
        self._thread.join()

    def _serve(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in connection:
                for answer in self._answers(message):
                    connection.send(json.dumps(answer))

    def _answers(self, message: str | bytes) -> Iterator[dict[str, Any]]:
        if isinstance(message, str):
            control = json.loads(message)
            if control.get("type") == "health_check":
                yield {**control, "timestamp": None, "body": {"healthy": True}}
            return
        self.chunks += 1
        if self.final_every and self.chunks % self.final_every == 0:
            yield self._result(is_final=True)
            self._start_s = self.chunks * 0.032
        elif self.partial_every and self.chunks % self.partial_every == 0:
            yield self._result(is_final=False)

    def _result(self, *, is_final: bool) -> dict[str, Any]:
        self.results += 1
        stop_s = self.chunks * 0.032
        step_s = (stop_s - self._start_s) / (WORDS + 1)
        texts = [f"w{self.chunks}", *(["word"] * (WORDS - 1))]
        words = [
            {
                "word": text,
                "start_time": self._start_s + i * step_s,
                "end_time": self._start_s + (i + 1) * step_s,
                "prob": 0.9,
                "speaker": None,
            }
            for i, text in enumerate(texts)
        ]
        segment = {
            "start_time": self._start_s,
            "end_time": stop_s,
            "text": " ".join(texts),
            "word_timestamps": words,
            "possible_hallucination": False,
            "language_code": "en",
        }
        return {
            "type": "transcription",
            "is_final": is_final,
            "segments": [segment],
            "language_code": "en",
            "audio_length_sec": stop_s - self._start_s,
            "transcription_num": 0,
        }


class Call:
    """A stream at that server, and whoever reads its events."""

    def __init__(self, server: Server, stream: baseten.SpeechStream) -> None:
        self.server = server
        self.transcripts = 0
        self._stream = stream
        self._pushed = 0
        self._noise = np.random.default_rng(1).normal(0, 3000, SAMPLES).astype(np.int16).tobytes()
        self._reading = asyncio.create_task(self._read())

    async def push(self, frames: int) -> None:
        """Audio, at the pace at which the server takes it, and with it all that is said of it."""
        for _ in range(frames):
            self._stream.push_frame(rtc.AudioFrame(self._noise, RATE_HZ, 1, SAMPLES))
            self._pushed += 1
            for _ in range(4):
                await asyncio.sleep(0)  # for whoever writes it
            if self._pushed % 10 == 0:
                await self._until_heard()

    def push_at_once(self, *, seconds: float) -> None:
        """One frame, and no turn for anybody else."""
        samples = round(seconds * RATE_HZ)
        pcm = (self._noise * (samples // SAMPLES + 1))[: 2 * samples]
        self._stream.push_frame(rtc.AudioFrame(pcm, RATE_HZ, 1, samples))

    async def _until_heard(self) -> None:
        # The resampler holds back up to 23 ms, a chunk that is not full 32.
        least = int((self._pushed * FRAME_MS - 60) / 32)
        server = self.server
        await self.until(lambda: server.chunks >= least and self.transcripts >= server.results)

    def has_heard(self, chunks: int) -> bool:
        return self.server.chunks >= chunks

    async def until(self, predicate: Callable[[], bool]) -> None:
        while not predicate():  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # the server is in another thread

    async def _read(self) -> None:
        kinds = (stt.SpeechEventType.INTERIM_TRANSCRIPT, stt.SpeechEventType.FINAL_TRANSCRIPT)
        async for event in self._stream:
            self.transcripts += event.type in kinds

    async def aclose(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._stream.aclose()


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    server = Server()
    async with aiohttp.ClientSession() as http:
        recognizer = baseten.STT(model_endpoint=server.url, api_key="none", http_session=http)
        call = Call(server, recognizer.stream())
        await call.push(2 * PUSHES_PER_FINAL // 10)  # connected, and past everything done once
        yield call
        await call.aclose()
        await recognizer.aclose()
    server.close()


class Counted:
    """Calls of this package's functions, by them, and of the HTTP client's for them."""

    calls = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE):
            self.calls += event in ("call", "c_call")
        elif event == "call":
            is_asked = code.co_name in SCHEDULING and "asyncio" in code.co_filename
            self.calls += is_asked or code.co_filename.startswith(CLIENT)


@contextlib.contextmanager
def profiled(by: Callable[[FrameType, str, Any], object]) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(by)
    try:
        yield
    finally:
        sys.setprofile(before)


@contextlib.contextmanager
def counted() -> Iterator[Counted]:
    counter = Counted()
    with profiled(counter):
        yield counter


async def test_a_push_takes_so_many_calls(call: Call) -> None:
    with counted() as counter:
        await call.push(200)
    assert counter.calls / 200 < MOST_CALLS_PER_PUSH


async def test_a_message_takes_so_many_calls(call: Call) -> None:
    with counted() as quiet:
        await call.push(200)
    call.server.partial_every = 5
    before = call.transcripts
    with counted() as counter:
        await call.push(200)
    messages = call.transcripts - before
    assert messages > 50
    assert (counter.calls - quiet.calls) / messages < MOST_CALLS_PER_MESSAGE


class Writes:
    """What this thread hands to sockets."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and isinstance(getattr(argument, "__self__", None), socket.socket):
            self.count += argument.__name__ in ("send", "sendmsg")


async def test_frames_that_are_ready_together_are_written_together(call: Call) -> None:
    """A system call for each would cost more than all else that is done for a frame."""
    writes, before = Writes(), call.server.chunks
    for _ in range(5):
        most_of_it = call.server.chunks + 18
        with profiled(writes):
            call.push_at_once(seconds=0.64)  # twenty chunks, from one frame
        await call.until(functools.partial(call.has_heard, most_of_it))
    assert call.server.chunks > before + 90
    assert writes.count == 5


async def test_audio_is_written_where_it_is_pushed(call: Call) -> None:
    """Without a task, a timer or a turn of the event loop in between."""
    tasks = asyncio.all_tasks()
    writes = Writes()
    with profiled(writes):
        for _ in range(20):  # a second
            call.push_at_once(seconds=FRAME_MS / 1000)
    assert writes.count == pytest.approx(20, abs=1)
    assert asyncio.all_tasks() == tasks


async def test_nothing_grows_with_the_length_of_a_call(call: Call) -> None:
    """Two minutes here, an hour in `benchmarks/`."""
    call.server.partial_every, call.server.final_every = 16, 160
    calls, blocks = [], []
    for _ in range(6):
        with counted() as counter:
            await call.push(4 * PUSHES_PER_FINAL)
        gc.collect()
        calls.append(counter.calls)
        blocks.append(sys.getallocatedblocks())
    assert max(calls[-2:]) < min(calls[:2]) * 1.1
    # Between finals more is kept, and where in that cycle the counting stops may differ a bit.
    assert min(blocks[-2:]) - max(blocks[1:3]) < 500
