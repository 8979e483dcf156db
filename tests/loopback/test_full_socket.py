"""A peer that does not read: its socket fills up, and what is sent waits until it reads again.

If it never does, no answer shows that it has gone, and no ping gets through: only the socket does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest
from kit import clock
from kit.client import collected
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions
from livekit.plugins import baseten

CHUNK_SAMPLES = 512
CHUNKS = 12_000  # six minutes, more than any socket's buffers on either side take


class Reader:
    """Takes the metadata, answers health checks, and reads audio from when it may."""

    def __init__(self) -> None:
        self.may_read = asyncio.Event()
        self.connections: list[ServerConnection] = []
        self.first_samples: list[int] = []  # of the chunks of the last connection
        self.has_all = asyncio.Event()
        self.url = ""

    async def serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        async for message in connection:
            if isinstance(message, str):
                control = json.loads(message)
                if control.get("type") == "health_check":
                    await connection.send(json.dumps({**control, "body": {"healthy": True}}))
                continue
            await self.may_read.wait()
            if connection is not self.connections[-1]:
                return
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
        try:
            yield it
        finally:
            it.may_read.set()


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
async def transcriber(peer: Reader, **options: Any) -> AsyncIterator[baseten.STT]:
    async with baseten.STT(
        model_endpoint=peer.url,
        api_key="any",
        health_check_interval_s=0,
        replay_buffer_s=600,
        **options,
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


# Gone while its socket is full. A reset comes by itself; for the rest, one has to look.
NOTICED_S = {"reset": 0.5, "half closed": 1.1, "session closed": 1.1}
AT_ONCE = APIConnectOptions(max_retry=3, retry_interval=0.001, timeout=10.0)


@pytest.mark.parametrize("how", ["reset", "half closed"])
def test_a_peer_that_goes_without_having_read_is_missed_within_a_second(how: str) -> None:
    async def main() -> None:
        async with (
            reader() as peer,
            transcriber(peer, ping_interval_s=0) as stt,
            stt.stream(conn_options=AT_ONCE) as stream,
        ):
            await pushed(stream)
            await until_full(stream)
            gone_s = asyncio.get_running_loop().time()
            transport = peer.connections[0].transport
            if how == "reset":
                transport.abort()
            else:
                transport.write_eof()
            await asyncio.wait_for(until_full_again(stream, peer), 10)
            assert asyncio.get_running_loop().time() - gone_s < NOTICED_S[how]
            peer.may_read.set()
            await peer.has_all.wait()
            assert peer.first_samples == list(range(CHUNKS))

    clock.run(main())


async def until_full_again(stream: baseten.SpeechStream, peer: Reader) -> None:
    while len(peer.connections) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await until_full(stream)


def test_an_http_session_that_is_closed_under_a_full_socket_ends_the_stream() -> None:
    async def main() -> None:
        async with (
            reader() as peer,
            aiohttp.ClientSession() as http,
            transcriber(peer, ping_interval_s=0, http_session=http) as stt,
            stt.stream(conn_options=AT_ONCE) as stream,
        ):
            await pushed(stream)
            await until_full(stream)
            gone_s = asyncio.get_running_loop().time()
            closing = asyncio.create_task(http.close())
            with pytest.raises(APIConnectionError, match="http_session"):
                await collected(stream)
            assert asyncio.get_running_loop().time() - gone_s < NOTICED_S["session closed"]
            await closing

    clock.run(main())
