"""The socket beside a strict peer, and beside one that does what nobody may."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from livekit.plugins.baseten._connection.socket import Socket
from livekit.plugins.baseten._core.errors import HandshakeRefused, SessionLost

Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Ear:
    """Keeps what a socket tells."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.why = SessionLost(0)
        self.writable_again = asyncio.Event()

    def received(self, message: str) -> None:
        self.messages.put_nowait(message)

    def lost(self, error: SessionLost) -> None:
        assert not self.ended.is_set()
        self.why = error
        self.ended.set()

    def writable(self) -> None:
        self.writable_again.set()


async def opened(http: aiohttp.ClientSession, port: int, ping_s: float = 0) -> tuple[Socket, Ear]:
    url = f"ws://127.0.0.1:{port}/websocket"
    socket = await Socket.open(http, url, {}, timeout_s=10, ping_interval_s=ping_s)
    ear = Ear()
    socket.listen(ear)
    return socket, ear


@contextlib.asynccontextmanager
async def strict(
    serve: Callable[[ServerConnection], Awaitable[None]], ping_s: float | None = None
) -> AsyncIterator[int]:
    async with serve_websocket(
        serve, "127.0.0.1", 0, ping_interval=ping_s, max_size=None
    ) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@contextlib.asynccontextmanager
async def raw(then: Raw, behind_the_answer: bytes = b"") -> AsyncIterator[int]:
    """A server that upgrades, and then does as it likes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()
        answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        answer += f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
        writer.write(answer.encode() + behind_the_answer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await then(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=False)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_pings_are_answered_between_frames_and_never_within_one(
    http: aiohttp.ClientSession,
) -> None:
    """The peer pings all the time while audio comes faster than it reads."""
    frames = [bytes([n % 256]) * (1024 + n % 3) for n in range(4000)]
    got: list[str | bytes] = []
    pongs = 0
    done = asyncio.Event()

    async def serve(connection: ServerConnection) -> None:
        nonlocal pongs
        waiting = []
        async for message in connection:
            got.append(message)
            if len(got) % 20 == 0:
                waiting.append(await connection.ping(b"%d" % len(got)))
            if len(got) == len(frames):
                break
        await asyncio.gather(*waiting)
        pongs = len(waiting)
        done.set()

    async with strict(serve) as port:
        socket, ear = await opened(http, port)
        for at in range(0, len(frames), 50):
            while socket.is_full:
                ear.writable_again.clear()
                await ear.writable_again.wait()
            socket.send(frames[at : at + 50])
        await done.wait()
        await socket.close()
    assert got == frames
    assert pongs == 200


async def test_messages_of_16_mib_in_fragments_and_long_text_out(
    http: aiohttp.ClientSession,
) -> None:
    text = "ä" * (8 << 20)

    async def serve(connection: ServerConnection) -> None:
        await connection.send([text[: 1 << 20]] * 8)  # eight fragments
        assert await connection.recv() == text
        await connection.send("same")

    async with strict(serve) as port:
        socket, ear = await opened(http, port)
        assert await ear.messages.get() == text[: 1 << 20] * 8
        socket.send([text])
        assert await ear.messages.get() == "same"
        await socket.close()


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1011, "no more"), (4321, "für heute")])
async def test_the_peer_says_why_it_closes_and_is_answered(
    code: int, reason: str, http: aiohttp.ClientSession
) -> None:
    closed = asyncio.Event()

    async def serve(connection: ServerConnection) -> None:
        await connection.close(code, reason)
        assert connection.protocol.close_rcvd is not None
        assert connection.protocol.close_rcvd.code == code
        closed.set()

    async with strict(serve) as port:
        _, ear = await opened(http, port)
        await ear.ended.wait()
        await closed.wait()
    assert (ear.why.code, ear.why.reason) == (code, reason)


async def test_who_closes_says_so(http: aiohttp.ClientSession) -> None:
    codes: list[int | None] = []

    async def serve(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
        codes.append(connection.close_code)

    async with strict(serve) as port:
        socket, ear = await opened(http, port)
        await socket.close()
    assert codes == [1000]
    assert not ear.ended.is_set()


async def test_what_comes_with_the_answer_to_the_handshake_is_heard(
    http: aiohttp.ClientSession,
) -> None:
    behind = frame(Opcode.TEXT, b"first") + frame(Opcode.CLOSE, b"\x03\xf3gone")

    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async with raw(leave, behind) as port:
        _, ear = await opened(http, port)
        assert await ear.messages.get() == "first"
        await ear.ended.wait()
    assert (ear.why.code, ear.why.reason) == (1011, "gone")


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\xc1\x01\x00", 1002),
        (frame(Opcode.TEXT, b"\xff"), 1007),
        (frame(Opcode.CLOSE, b"\x03\xee"), 1002),
        (b"\x82\x7f" + (1 << 25).to_bytes(8, "big"), 1009),
    ],
    ids=["compressed, which nobody asked for", "no UTF-8", "closed with 1006", "too long"],
)
async def test_a_peer_that_breaks_the_rules_is_told_so(
    wire: bytes, code: int, http: aiohttp.ClientSession
) -> None:
    said = bytearray()

    async def breach(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(Opcode.TEXT, b"before") + wire)
        said.extend(await reader.read())

    async with raw(breach) as port:
        _, ear = await opened(http, port)
        await ear.ended.wait()
        assert await ear.messages.get() == "before"
        await asyncio.wait_for(_until(lambda: len(said) > 8), 10)
    key = said[2:6]
    assert (said[0], said[6] ^ key[0], said[7] ^ key[1]) == (0x88, code >> 8, code & 0xFF)
    assert ear.why.code == 1006
    assert "the server sent" in ear.why.reason


async def _until(predicate: Callable[[], bool]) -> None:
    while not predicate():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("how", ["reset", "left", "silent"])
async def test_a_peer_that_goes_without_a_word_is_missed(
    how: str, http: aiohttp.ClientSession
) -> None:
    async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if how == "reset":
            writer.transport.abort()
        elif how == "silent":
            await reader.read()  # and answers no ping

    async with raw(vanish) as port:
        socket, ear = await opened(http, port, ping_s=0.1 if how == "silent" else 0)
        await ear.ended.wait()
        assert ear.why.code == 1006
        socket.send([b"to nobody"])
        await socket.close()


async def test_the_http_session_has_its_place_back(http: aiohttp.ClientSession) -> None:
    async def serve(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()

    async with strict(serve) as port:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as narrow:
            for _ in range(3):
                socket, _ = await opened(narrow, port)
                await socket.close()
            socket, ear = await opened(narrow, port)
        await ear.ended.wait()  # the session was closed under it, and did not wait for it in vain
        await socket.close()


async def test_an_answer_that_is_not_to_this_handshake_is_refused(
    http: aiohttp.ClientSession,
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(answer.encode() + b"Sec-WebSocket-Accept: AAAA\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        with pytest.raises(HandshakeRefused):
            await opened(http, server.sockets[0].getsockname()[1])
