"""What a server's streams are about: kept up to date by what its observers are told."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...emulator.faults.spelling import described

if TYPE_CHECKING:
    from ...emulator import Connection, Event, Handshake

_SAMPLE_RATE_HZ = 16_000
_KEPT_ENDED = 100
_GIVEN_UP = 499  # a client that hung up before it had an answer


@dataclass
class Stream:
    """A handshake, and the connection that came of it if one did.

    Attributes:
        number: Counted from 1 in the order of accepting; `None` for one that was not accepted.
        began_s: When it was, in loop time.
        ended_s: When it was over; `None` while it is not.
        heard_s: Seconds of audio that were received.
        state: In a word or two.
        text: The last partial or final, or what the last error says.
        is_settled: It is a final.
        struck: The faults that struck or are in effect.
        pending: Those that wait for their occasion.
    """

    number: int | None
    began_s: float
    state: str
    ended_s: float | None = None
    heard_s: float = 0.0
    text: str = ""
    is_settled: bool = False
    struck: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


class Streams:
    """All of them, those that ended longest ago forgotten.

    Args:
        now_s: Loop time.
        said: Told of what is worth a line in a log.
    """

    def __init__(
        self, now_s: Callable[[], float], said: Callable[[str], None] = lambda line: None
    ) -> None:
        self._now_s = now_s
        self._said = said
        self._asked: dict[int, Stream] = {}
        self._open: dict[Connection, Stream] = {}
        self._ended: deque[Stream] = deque(maxlen=_KEPT_ENDED)
        self._ended_heard_s = 0.0
        self.accepted = 0
        self.finals = 0
        self.has_changed = True

    @property
    def open(self) -> list[Stream]:
        """Under way or held back, oldest first."""
        return sorted([*self._asked.values(), *self._open.values()], key=lambda one: one.began_s)

    @property
    def ended(self) -> list[Stream]:
        """Over or refused, the last one last."""
        return list(self._ended)

    @property
    def heard_s(self) -> float:
        """Seconds of audio that all of them have received."""
        return self._ended_heard_s + sum(one.heard_s for one in self._open.values())

    def handshake(self, handshake: Handshake) -> None:
        """As `emulator.serve` wants a handshake's observer."""
        self.has_changed = True
        words = tuple(described(fault) for fault in handshake.plan)
        if handshake.status is None:
            self._asked[id(handshake)] = Stream(None, self._now_s(), "held back", struck=words)
            if any(word.startswith("park") for word in words):
                self._said(f"handshake  held back ({', '.join(words)})")
            return
        stream = self._asked.pop(id(handshake))
        if handshake.status != 101:
            is_refused = handshake.status != _GIVEN_UP
            stream.state = f"refused {handshake.status}" if is_refused else "given up"
            stream.ended_s = self._now_s()
            self._ended.append(stream)
            self._said(f"handshake  {stream.state}{'' if is_refused else ' by the client'}")

    def connection(self, connection: Connection, event: Event) -> None:
        """As `emulator.serve` wants a connection's observer."""
        self.has_changed = True
        if event == "opened":
            self._opened(connection)
        stream = self._open[connection]
        pending = connection.pending
        stream.pending = tuple(described(fault) for fault in pending)
        stream.struck = tuple(described(f) for f in connection.plan if f not in pending)
        stream.heard_s = connection.received_samples / _SAMPLE_RATE_HZ
        if event == "sent":
            self._sent(stream, connection.last_sent or "{}")
        elif event == "received" and (connection.metadata is not None or stream.heard_s):
            stream.state = "listening"
        elif event == "closed":
            self._closed(connection)

    def _opened(self, connection: Connection) -> None:
        self.accepted += 1
        self._open[connection] = Stream(self.accepted, self._now_s(), "opened")
        words = ", ".join(described(fault) for fault in connection.plan)
        self._said(f"stream {self.accepted}  opened{f' ({words})' if words else ''}")

    def _sent(self, stream: Stream, text: str) -> None:
        message = json.loads(text)
        if message.get("type") == "transcription":
            stream.text = " ".join(segment["text"] for segment in message["segments"])
            stream.is_settled = bool(message.get("is_final"))
            if stream.is_settled:
                self.finals += 1
                self._said(f"stream {stream.number}  final   {stream.text or '(nothing)'}")
        elif message.get("type") == "error":
            stream.text, stream.is_settled = text, False
            self._said(f"stream {stream.number}  error   {text}")

    def _closed(self, connection: Connection) -> None:
        stream = self._open.pop(connection)
        ending = f"{connection.close_code} {connection.close_reason or ''}".rstrip()
        stream.state, stream.ended_s = f"closed {connection.close_code}", self._now_s()
        self._ended_heard_s += stream.heard_s
        self._ended.append(stream)
        self._said(f"stream {stream.number}  closed  {ending}")
