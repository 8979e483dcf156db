"""The socket, once it is open."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Mapping, Sequence
from typing import Protocol

import aiohttp

from .._core.errors import SessionLost
from .handshake import upgraded
from .rfc6455 import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Reader,
    Violation,
    all_framed,
    close_frame,
    close_reason,
    framed,
    text,
)
from .timeout import timeout

# How long to wait for the peer's close frame: a call that ends waits too, and the peer may be gone.
_CLOSE_TIMEOUT_S = 0.05

# The server's messages are a few kilobytes; its own cap is 100 MiB.
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Receiver(Protocol):
    """Is told what comes over a socket, where it comes: without a task or a wake-up in between."""

    def received(self, message: str) -> None: ...

    def lost(self, error: SessionLost) -> None:
        """The socket is closed, with the code and reason of the close frame if any. Said once."""
        ...

    def writable(self) -> None:
        """A socket that was full takes more."""
        ...


class Socket(asyncio.Protocol):
    """A WebSocket. aiohttp makes its handshake (`handshake`); then this alone reads and writes.

    Args:
        response: Of the handshake.
        ping_interval_s: See `open`.

    Attributes:
        is_full: It holds much that the peer has not taken yet: send no more before it is writable.
    """

    def __init__(self, response: aiohttp.ClientResponse, *, ping_interval_s: float) -> None:
        self.is_full = False
        self._response = response
        self._ping_interval_s = ping_interval_s
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(_MAX_MESSAGE_BYTES)
        self._receiver: Receiver | None = None  # until the socket is closed
        self._transport: asyncio.Transport | None = None
        self._before: asyncio.BaseProtocol | None = None  # aiohttp's
        self._closed = asyncio.Event()
        self._heard_s = self._loop.time()
        self._pinged_s = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls,
        http: aiohttp.ClientSession,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        ping_interval_s: float,
    ) -> Socket:
        """
        Args:
            ping_interval_s: A peer is pinged after this much quiet, and is dead if half as much
                later nothing came back; 0 never pings.

        Raises:
            HandshakeRefused: The server answered the upgrade with an HTTP status.
            ConnectTimedOut: It did not answer in time.
            ConnectFailed: It could not be reached.
        """
        response = await upgraded(http, url, headers, timeout_s=timeout_s)
        return cls(response, ping_interval_s=ping_interval_s)

    def listen(self, receiver: Receiver) -> None:
        """Take the connection over from aiohttp. What the server has said already comes at once."""
        self._receiver = receiver
        connection = self._response.connection
        before = connection.protocol if connection is not None else None
        if before is not None:
            self._before, self._transport = before, before.transport
            before.set_parser(self, None)  # hands over what has come since the handshake
        if self._transport is None:
            self._lose(SessionLost(1006, "cut off without a close frame"))
            return
        self._transport.set_protocol(self)
        if self._ping_interval_s:
            self._timer = self._loop.call_later(self._ping_interval_s, self._keep_alive)

    def send(self, frames: Sequence[str | bytes]) -> None:
        """Send ``frames``, in one piece. A socket that is closed takes none, and has said so."""
        self._write(all_framed(frames))

    async def close(self) -> None:
        """Close it. Waits at most 50 ms for the peer's close frame."""
        if self._receiver is not None:
            self._receiver = None
            self._write(close_frame(1000))
            with contextlib.suppress(asyncio.TimeoutError):
                async with timeout(_CLOSE_TIMEOUT_S):
                    await self._closed.wait()
        self._hang_up()
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._abort()  # the peer takes nothing any more

    def look(self) -> None:
        """Notice that the peer sends no more, or that somebody has closed the HTTP session.

        The transport tells nobody as long as the peer takes nothing: it waits until all is sent.
        """
        transport = self._transport
        if self._receiver is not None and transport is not None and transport.is_closing():
            self._cut_off(SessionLost(1006, "cut off without a close frame"))

    def abandon(self) -> None:
        """Hang up where there is no event loop any more to close it with."""
        transport = self._transport
        underneath = transport.get_extra_info("socket") if transport is not None else None
        if underneath is not None:
            with contextlib.suppress(OSError):
                underneath.shutdown(socket.SHUT_RDWR)

    # What the event loop calls

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        try:
            for kind, payload in self._reader.feed(data):
                self._take(kind, payload)
                if self._closed.is_set():
                    return
        except Violation as e:
            self._write(close_frame(e.code, str(e)))
            self._lose(SessionLost(1006, f"the server sent {e}"))

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._receiver is not None:
            self._receiver.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._before is not None:
            self._before.connection_lost(exc)  # aiohttp's session waits for that
        why = "cut off without a close frame"
        if exc is not None and not isinstance(exc, ConnectionError):
            why = f"{type(exc).__name__}: {exc}"
        self._lose(SessionLost(1006, why))

    # What aiohttp calls to hand over

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data_received(data)
        return False, b""

    def feed_eof(self) -> None:
        pass

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == TEXT:
            message = text(payload)
        elif kind == BINARY:
            message = repr(payload[:40])  # no server sends these: an unreadable one
        else:
            self._control(kind, payload)
            return
        if self._receiver is not None:
            self._receiver.received(message)

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            self._write(framed(PONG, payload))
        elif kind == CLOSE:
            code, reason = close_reason(payload)
            if self._receiver is not None:
                self._write(framed(CLOSE, payload[:2]))
            self._lose(SessionLost(code, reason))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _keep_alive(self) -> None:
        now = self._loop.time()
        if self._heard_s < self._pinged_s:
            self._cut_off(SessionLost(1006, "the server answers no ping", given_up=True))
            return
        due_s = self._heard_s + self._ping_interval_s
        if now >= due_s:
            self._pinged_s = now
            self._write(framed(PING, b""))
            due_s = now + self._ping_interval_s / 2
        self._timer = self._loop.call_at(due_s, self._keep_alive)

    def _cut_off(self, error: SessionLost) -> None:
        """The peer takes nothing any more: do not wait until it does."""
        self._abort()  # first: a transport of TLS that was closed twice aborts nothing
        self._lose(error)

    def _abort(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _lose(self, error: SessionLost) -> None:
        receiver, self._receiver = self._receiver, None
        self._closed.set()
        self._hang_up()
        if receiver is not None:
            receiver.lost(error)

    def _hang_up(self) -> None:
        """Close the transport, which sends first what was written, and let aiohttp forget it."""
        if self._timer is not None:
            self._timer.cancel()
        self._response.close()
