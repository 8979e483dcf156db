"""A peer that does not read: its socket fills up, and what is sent waits until it reads again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from livekit import rtc
from livekit.plugins import baseten

CHUNK_SAMPLES = 512
CHUNKS = 12_000  # six minutes, more than any socket's buffers on either side take


class Reader:
    """Takes the metadata, answers health checks, and reads audio from when it may."""

    def __init__(self) -> None:
        self.may_read = asyncio.Event()
        self.first_samples: list[int] = []
        self.has_all = asyncio.Event()
        self.url = ""

    async def serve(self, connection: ServerConnection) -> None:
        async for message in connection:
            if isinstance(message, str):
                control = json.loads(message)
                if control.get("type") == "health_check":
                    await connection.send(json.dumps({**control, "body": {"healthy": True}}))
                continue
            await self.may_read.wait()
            assert len(message) == 2 * CHUNK_SAMPLES
            self.first_samples.append(int.from_bytes(message[:2], "little"))
            if len(self.first_samples) == CHUNKS:
                self.has_all.set()


@asynccontextmanager
async def reader() -> AsyncIterator[Reader]:
    it = Reader()
    async with serve_websocket(
        it.serve, "127.0.0.1", 0, compression=None, ping_interval=None, max_queue=4
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        it.url = f"ws://127.0.0.1:{port}/websocket"
        yield it


def numbered(chunks: int) -> bytes:
    """Each chunk's samples are its number."""
    return np.repeat(np.arange(chunks, dtype="<u2"), CHUNK_SAMPLES).tobytes()


async def pushed(stream: baseten.SpeechStream) -> None:
    pcm = numbered(CHUNKS)
    step = 200 * 2 * CHUNK_SAMPLES
    for at in range(0, len(pcm), step):
        part = pcm[at : at + step]
        stream.push_frame(rtc.AudioFrame(part, 16_000, 1, len(part) // 2))
        await asyncio.sleep(0)


async def until_full(stream: baseten.SpeechStream) -> None:
    """Until the client's socket takes no more."""
    while (held := stream._connections.current) is None or not held._socket.is_full:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@asynccontextmanager
async def transcriber(peer: Reader) -> AsyncIterator[baseten.STT]:
    async with baseten.STT(
        model_endpoint=peer.url, api_key="any", health_check_interval_s=0, replay_buffer_s=600
    ) as stt:
        yield stt


async def test_what_a_full_socket_does_not_take_is_sent_when_it_does() -> None:
    async with reader() as peer, transcriber(peer) as stt, stt.stream() as stream:
        await pushed(stream)
        await until_full(stream)
        assert not peer.first_samples
        peer.may_read.set()
        await peer.has_all.wait()
        assert peer.first_samples == list(range(CHUNKS))


async def test_a_stream_closes_promptly_while_its_socket_is_full() -> None:
    async with reader() as peer, transcriber(peer) as stt:
        stream = stt.stream()
        await pushed(stream)
        await until_full(stream)
        await asyncio.wait_for(stream.aclose(), 10)
        peer.may_read.set()
