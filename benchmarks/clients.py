"""The clients that are compared, each behind the same few calls. Runs in two environments.

| kind     | what                                                                                |
| -------- | ----------------------------------------------------------------------------------- |
| ours     | this package                                                                        |
| baseten  | `livekit-plugins-baseten` 1.8.9 from PyPI, in the environment of the peers          |
| deepgram | `livekit-plugins-deepgram` 1.8.9 from PyPI, likewise                                |
| bare     | an aiohttp socket: resamples with soxr, sends the same frames, parses the same JSON |
| feeder   | nobody: what the pacing and the audio frames alone cost                             |
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import aiohttp
import numpy as np
import soxr

from livekit import rtc

PLUGINS = ("ours", "baseten", "deepgram")
KINDS = (*PLUGINS, "bare", "feeder")
SAMPLE_RATE_HZ = 16_000
CHUNK_BYTES = 1024

Said = Callable[[str, bool], None]
"""Told the text of every result, and whether it is final."""


class Call(Protocol):
    async def push(self, frame: rtc.AudioFrame) -> None: ...
    async def aclose(self) -> None: ...


class Plugin:
    """A stream of a LiveKit plugin, and somebody who reads its events."""

    def __init__(self, stream: Any, said: Said) -> None:
        self.stream = stream
        self._said = said
        self._reading = asyncio.create_task(self._read())

    async def push(self, frame: rtc.AudioFrame) -> None:
        self.stream.push_frame(frame)

    async def _read(self) -> None:
        async for event in self.stream:
            kind = event.type.value
            if kind in ("interim_transcript", "final_transcript") and event.alternatives:
                self._said(event.alternatives[0].text, kind == "final_transcript")

    async def aclose(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self.stream.aclose()


class Bare:
    """The least that can be done in Python with aiohttp and soxr: no checks, no events, no state
    beyond the rest of a chunk."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, said: Said, rate_hz: int) -> None:
        self._ws = ws
        self._said = said
        self._resampler = (
            soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16", quality="HQ")
            if rate_hz != SAMPLE_RATE_HZ
            else None
        )
        self._pcm = bytearray()
        self._reading = asyncio.create_task(self._read())

    async def push(self, frame: rtc.AudioFrame) -> None:
        pcm = self._pcm
        if self._resampler is None:
            pcm += frame.data.cast("B")
        else:
            pcm += self._resampler.resample_chunk(np.frombuffer(frame.data, np.int16)).tobytes()
        while len(pcm) >= CHUNK_BYTES:
            await self._ws.send_bytes(bytes(pcm[:CHUNK_BYTES]))
            del pcm[:CHUNK_BYTES]

    async def _read(self) -> None:
        async for message in self._ws:
            result = json.loads(message.data)
            if result["type"] == "transcription":
                self._said(result["segments"][0]["text"], result["is_final"])

    async def aclose(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._ws.close()


class Nobody:
    async def push(self, frame: rtc.AudioFrame) -> None:
        pass

    async def aclose(self) -> None:
        pass


@contextlib.asynccontextmanager
async def opener(
    kind: str, port: int, conduct: str, rate_hz: int, *, tls: bool = False
) -> AsyncIterator[Callable[[Said], Awaitable[Call]]]:
    """Opens calls of one kind, all over one HTTP session and, for plugins, of one `STT`.

    Args:
        conduct: See `peer_server.Conduct`.
        rate_hz: Of the audio that will be pushed.
        tls: The server speaks it, with a certificate that `SSL_CERT_FILE` vouches for.
    """
    s = "s" if tls else ""
    # The default connector would stop at a hundred sockets.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        if kind in PLUGINS:
            stt = plugin(kind, port, conduct, http, tls=tls)

            async def open_call(said: Said) -> Call:
                return Plugin(stt.stream(), said)

        elif kind == "bare":

            async def open_call(said: Said) -> Call:
                url = f"ws{s}://127.0.0.1:{port}/whisper/{conduct}"
                ws = await http.ws_connect(url, heartbeat=10)
                await ws.send_str("{}")
                return Bare(ws, said, rate_hz)

        else:

            async def open_call(said: Said) -> Call:
                return Nobody()

        yield open_call
        if kind in PLUGINS:
            await stt.aclose()


def plugin(
    kind: str, port: int, conduct: str, http: aiohttp.ClientSession, *, tls: bool = False
) -> Any:
    """An `STT` of that kind, with its own defaults."""
    s = "s" if tls else ""
    if kind == "deepgram":
        from livekit.plugins import deepgram  # type: ignore[attr-defined]

        return deepgram.STT(
            api_key="none",
            http_session=http,
            base_url=f"http{s}://127.0.0.1:{port}/deepgram/{conduct}",
        )
    from livekit.plugins import baseten

    url = f"ws{s}://127.0.0.1:{port}/whisper/{conduct}"
    return baseten.STT(model_endpoint=url, api_key="none", http_session=http)
