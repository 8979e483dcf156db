"""The socket. The only module that awaits the network; whatever aiohttp raises ends here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Coroutine, Generator, Mapping, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from .._core.errors import (
    BasetenError,
    ConnectFailed,
    ConnectTimedOut,
    HandshakeRefused,
    SessionLost,
)
from .eager import started
from .timeout import timeout

# How long to wait for the peer's close frame: a call that ends waits too, and the peer may be gone.
_CLOSE_TIMEOUT_S = 0.05

# The server's messages are a few kilobytes; its own cap is 100 MiB.
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Socket:
    """A WebSocket that ends with a `SessionLost`, however it ends."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._ws = ws
        self._written_together = _WrittenTogether(ws)

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
        try:
            async with timeout(timeout_s):
                ws = await http.ws_connect(
                    url,
                    headers=headers,
                    heartbeat=ping_interval_s or None,
                    max_msg_size=_MAX_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S),
                )
            return cls(ws)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, RuntimeError, ValueError) as e:
            error = _named(e, timeout_s)
        raise error  # out here: the original, which holds the key, is not even its context

    def send(self, frames: Sequence[str | bytes]) -> Awaitable[None] | None:
        """Send ``frames``, in one piece.

        Returns:
            None where the socket took them. Else what has to be awaited before more is sent.

        Raises:
            SessionLost: The socket is closed; awaiting may raise it too.
        """
        try:
            if len(frames) == 1:
                rests = [started(self._sending(frames[0]))]
            else:
                with self._written_together:
                    rests = [started(self._sending(frame)) for frame in frames]
        except _FAILURES as e:
            raise _lost_in_sending(e) from None
        full = [rest for rest in rests if rest is not None]
        return _Full(full) if full else None

    def _sending(self, frame: str | bytes) -> Coroutine[Any, Any, None]:
        if isinstance(frame, bytes):
            return self._ws.send_bytes(frame)
        return self._ws.send_str(frame)

    async def receive(self) -> str:
        """The next text message.

        Raises:
            SessionLost: The socket is closed, with the code and reason of the close frame if any.
        """
        while True:
            message = await self._ws.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                return str(message.data)
            if message.type is aiohttp.WSMsgType.BINARY:
                return repr(bytes(message.data[:40]))  # no server sends these: an unreadable one
            if message.type is aiohttp.WSMsgType.CLOSE:
                raise SessionLost(int(message.data), str(message.extra or ""))
            why = self._ws.exception()
            if why is None or isinstance(why, ConnectionError):
                raise SessionLost(1006, "cut off without a close frame")
            raise SessionLost(1006, f"{type(why).__name__}: {why}")

    async def close(self) -> None:
        """Close it. Waits at most 50 ms for the peer's close frame."""
        # Whatever goes wrong meanwhile, the socket is closed after it.
        with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError, OSError, RuntimeError):
            async with timeout(_CLOSE_TIMEOUT_S):
                await self._ws.close()

    def abandon(self) -> None:
        """Hang up where there is no event loop any more to close it with."""
        underneath = self._ws.get_extra_info("socket")
        if underneath is not None:
            with contextlib.suppress(OSError):
                underneath.shutdown(socket.SHUT_RDWR)


class _Full:
    """Waits until a socket takes more."""

    def __init__(self, rests: Sequence[Awaitable[None]]) -> None:
        self._rests = rests

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            for rest in self._rests:
                yield from rest.__await__()
        except _FAILURES as e:
            raise _lost_in_sending(e) from None


# What aiohttp raises where a socket is closed.
_FAILURES = (aiohttp.ClientError, OSError, RuntimeError)


def _lost_in_sending(error: Exception) -> SessionLost:
    return SessionLost(1006, f"sending failed: {error}")


class _WrittenTogether:
    """Frames that a socket's writer makes in this block go out in one piece at its end.

    aiohttp writes each frame to the transport by itself, and a system call costs as much as all
    that Python does for a frame. Its writer has no public way to be told to wait; where a version
    keeps its transport elsewhere, each frame goes by itself.
    """

    def __init__(self, ws: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._writer: Any = getattr(ws, "_writer", None)
        self._transport: asyncio.Transport | None = getattr(self._writer, "transport", None)
        self._parts: list[bytes] = []

    def __enter__(self) -> None:
        if self._transport is not None:
            self._writer.transport = self

    def __exit__(self, *_: object) -> None:
        if self._transport is not None:
            self._writer.transport = self._transport
            if self._parts:
                self._transport.write(b"".join(self._parts))
                self._parts.clear()

    # What the writer asks of its transport.

    def write(self, data: bytes) -> None:
        self._parts.append(data)

    def is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()


def _named(error: Exception, timeout_s: float) -> BasetenError:
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return HandshakeRefused(
            error.status,
            error.message,
            retry_after_s=_retry_after_s(error.headers or {}),
        )
    if isinstance(error, asyncio.TimeoutError):
        return ConnectTimedOut(timeout_s)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ConnectFailed(
            f"the certificate of {error.host} does not verify: {error.certificate_error}",
            permanent=True,
        )
    if isinstance(error, aiohttp.InvalidURL):
        return ConnectFailed(f"not a URL that can be connected to: {error}", permanent=True)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ConnectFailed(f"there is no host {error.host}")
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        why = os.strerror(number).lower() if number else str(error.os_error)
        return ConnectFailed(f"{error.host}, port {error.port}: {why}")
    return ConnectFailed(f"{type(error).__name__}: {error}")


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """What ``Retry-After`` asks for, be it in seconds or a time of day; 0 for anything else."""
    asked = headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
        # By the server's own clock, if it tells it.
        now = parsedate_to_datetime(headers.get("Date", "")) if "Date" in headers else _utc_now()
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)
