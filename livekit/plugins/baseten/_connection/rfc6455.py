"""WebSocket messages as the bytes that go over a socket, and back: RFC 6455, a client's side.

No extension is offered, so that no message may be compressed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
from collections.abc import Callable, Iterable, Iterator

import numpy as np

# Kinds of frames.
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

_KINDS = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}
_LARGEST_CONTROL_BYTES = 125

# What a peer may close with, besides the codes from 3000 to 4999.
_CLOSE_CODES = {*range(1000, 1004), *range(1007, 1015)}


class Violation(Exception):
    """The peer sent what RFC 6455 forbids.

    Attributes:
        code: To close the connection with.
    """

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code


def framed(kind: int, payload: bytes) -> bytes:
    """A message in one frame, masked as a client has to."""
    return b"".join(_parts(kind, payload))


def all_framed(messages: Iterable[str | bytes]) -> bytes:
    """Texts and audio, each in one frame."""
    parts: list[bytes | bytearray] = []
    for message in messages:
        if isinstance(message, bytes):
            parts += _parts(BINARY, message)
        else:
            parts += _parts(TEXT, message.encode())
    return b"".join(parts)


def _parts(kind: int, payload: bytes) -> tuple[bytes | bytearray, ...]:
    key, masked = os.urandom(4), bytearray(payload)
    _mask(key, masked)
    return _head(kind, len(masked)), key, masked


def mask(key: bytes, data: bytearray) -> None:
    """Mask ``data`` in place: where aiohttp has no function for that, which is faster."""
    masked = np.frombuffer(data, np.uint8) ^ np.resize(np.frombuffer(key, np.uint8), len(data))
    data[:] = masked.tobytes()


_mask: Callable[[bytes, bytearray], None] = mask
with contextlib.suppress(ImportError):
    from aiohttp._websocket.helpers import websocket_mask as _mask  # C, where it was built


@functools.lru_cache(maxsize=64)  # nearly all audio is of one length
def _head(kind: int, length: int) -> bytes:
    if length <= _LARGEST_CONTROL_BYTES:
        return bytes((0x80 | kind, 0x80 | length))
    if length < 2**16:
        return struct.pack("!BBH", 0x80 | kind, 0x80 | 126, length)
    return struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, length)


def close_frame(code: int, reason: str = "") -> bytes:
    # Of the reason, what fits: a control frame has no more room.
    return framed(CLOSE, struct.pack("!H", code) + reason.encode()[:100])


def close_reason(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame; 1005 where it has none.

    Raises:
        Violation: No frame may say this.
    """
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not (code in _CLOSE_CODES or 3000 <= code < 5000):
        raise Violation(1002, "closed with an impossible code")
    return code, text(payload[2:])


def text(payload: bytes) -> str:
    """
    Raises:
        Violation: ``payload`` is no UTF-8.
    """
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise Violation(1007, "a text that is no UTF-8") from None


class Reader:
    """Joins what a socket delivers to messages and control frames.

    Args:
        most_bytes: In a message.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rest = bytearray()  # of a frame that is not there yet
        self._needed = 0  # so much of it, or more
        self._kind: int | None = None  # of a message in fragments
        self._fragments = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The messages that are complete with ``data``. Take all of them, unless you hang up.

        Raises:
            Violation: Nothing that follows can be read.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data, self._rest = bytes(self._rest), bytearray()
        at, stop = 0, len(data)
        while stop - at >= 2:
            start, end = self._span(data, at)
            if start > stop or end > stop:
                self._needed = max(start, end) - at
                break
            is_last, kind = data[at] >= 0x80, data[at] & 0x0F
            at = end
            if (is_last and self._kind is None) or kind >= CLOSE:
                yield kind, data[start:end]
            else:
                yield from self._joined(kind, data[start:end], is_last)
        else:
            self._needed = 2
        self._rest += data[at:]

    def _span(self, data: bytes, at: int) -> tuple[int, int]:
        """Where the payload of the frame at ``at`` starts and ends, as far as can be known yet."""
        first, length = data[at], data[at + 1]
        kind = first & 0x0F
        if first & 0x70:
            raise Violation(1002, "a compressed message, which nobody asked for")
        if kind not in _KINDS:
            raise Violation(1002, f"a frame of the unknown kind {kind}")
        if length & 0x80:
            raise Violation(1002, "a masked frame, which only a client may send")
        start = at + 2
        if kind >= CLOSE and (length > _LARGEST_CONTROL_BYTES or first < 0x80):
            raise Violation(1002, "a control frame that is too long or in fragments")
        if kind < CLOSE and (kind == CONTINUATION) is (self._kind is None):
            raise Violation(1002, "a message within the fragments of another, or a rest of none")
        if length > _LARGEST_CONTROL_BYTES:
            start += 2 if length == 126 else 8
            if start > len(data):
                return start, start
            length = int.from_bytes(data[at + 2 : start], "big")
        if length + len(self._fragments) > self._most_bytes:
            raise Violation(1009, f"a message of more than {self._most_bytes} bytes")
        return start, start + length

    def _joined(self, kind: int, part: bytes, is_last: bool) -> Iterator[tuple[int, bytes]]:
        whole = self._kind = kind if self._kind is None else self._kind
        self._fragments += part
        if is_last:
            message, self._kind, self._fragments = bytes(self._fragments), None, bytearray()
            yield whole, message
