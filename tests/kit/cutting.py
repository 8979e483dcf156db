"""A wire that is cut at one place in what a client sends: before a frame, within it, behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from livekit.plugins.baseten.emulator import Server

Where = Literal["before", "within", "behind"]
Kind = Literal["metadata", "probe", "audio", "silence", "commit", "end_audio", "ping", "close"]

BINARY, CLOSE, PING = 2, 8, 9


@dataclass(frozen=True)
class Cut:
    """
    Attributes:
        where: The connection is reset.
        kind: Of the frame.
        skipped: How many frames of that kind go through before.
    """

    where: Where
    kind: Kind
    skipped: int = 0


class Wire:
    """TCP between a client and a server, frame by frame on the way there.

    Attributes:
        cuts: One for each connection to come, or None for one that is left alone.
        kinds: Of the frames that the server got, connection by connection.
        is_cut: How many connections were.
    """

    def __init__(self, server: Server) -> None:
        self._target = urlsplit(server.url)
        self._live: _Connection | None = None
        self.cuts: list[Cut | None] = []
        self.kinds: list[list[Kind]] = []
        self.is_cut = 0
        self.url = ""

    def arm(self, cut: Cut) -> None:
        """Cut the connection of the moment there, counted from now."""
        assert self._live is not None
        self._live.cut = cut
        self._live.skipped = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._target.hostname, self._target.port
        far_reader, far_writer = await asyncio.open_connection(host, port)
        self.kinds.append([])
        self._live = live = _Connection(
            self.cuts.pop(0) if self.cuts else None, self.kinds[-1], far_writer
        )
        back = asyncio.create_task(_copied(far_reader, writer))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            far_writer.write(await reader.readuntil(b"\r\n\r\n"))
            while await live.pass_on(reader):
                pass
            self.is_cut += 1
        writer.transport.abort()
        far_writer.transport.abort()
        await asyncio.gather(back, return_exceptions=True)


@dataclass
class _Connection:
    cut: Cut | None
    kinds: list[Kind]
    to: asyncio.StreamWriter
    skipped: int = 0

    async def pass_on(self, reader: asyncio.StreamReader) -> bool:
        """Pass the next frame on; whether the connection goes on."""
        head = await reader.readexactly(2)
        length = head[1] & 127
        extended = await reader.readexactly({126: 2, 127: 8}.get(length, 0))
        length = int.from_bytes(extended, "big") if extended else length
        key = await reader.readexactly(4)
        masked = await reader.readexactly(length)
        kind = self._kind(head[0] & 15, _unmasked(masked, key))
        frame = head + extended + key + masked
        if self.cut is None or self.cut.kind != kind:
            where = None
        elif self.skipped < self.cut.skipped:
            self.skipped += 1
            where = None
        else:
            where = self.cut.where
        if where == "before":
            return False
        self.to.write(frame[: len(frame) // 2] if where == "within" else frame)
        await self.to.drain()
        if where == "within":
            return False
        self.kinds.append(kind)
        return where is None

    def _kind(self, opcode: int, payload: bytes) -> Kind:
        if opcode == BINARY:
            return "audio" if any(payload) else "silence"
        if opcode in (PING, CLOSE):
            return "ping" if opcode == PING else "close"
        if not self.kinds:
            return "metadata"
        told = json.loads(payload)["type"]
        kinds: dict[str, Kind] = {
            "health_check": "probe",
            "end_audio": "end_audio",
            "input_audio_buffer.commit": "commit",
        }
        return kinds.get(told, "audio")


def _unmasked(payload: bytes, key: bytes) -> bytes:
    mask = (key * (len(payload) // 4 + 1))[: len(payload)]
    plain = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return plain.to_bytes(len(payload), "big")


@contextlib.asynccontextmanager
async def wired(server: Server) -> AsyncIterator[Wire]:
    wire = Wire(server)
    async with await asyncio.start_server(wire.accept, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        wire.url = f"ws://127.0.0.1:{port}{urlsplit(server.url).path}"
        yield wire
        if wire._live is not None:
            wire._live.to.transport.abort()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.transport.abort()
