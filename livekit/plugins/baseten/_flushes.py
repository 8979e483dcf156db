"""Forced ends of the utterance: asked for, sent, heard, answered.

Every flush is answered, in the order in which they were asked: with a final that reaches its
position, or with an empty one once it is certain enough that none will. Who asked is waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# After the server has heard a flush, with nobody known to speak, this long for a first result of
# sound that may have been speech.
GRACE_S = 1.0


@dataclass
class Flush:
    """
    Attributes:
        number: Counts the flushes of a stream, from 1.
        position: Stream sample up to which the utterance is to be finished.
        is_sent: It went out on the connection under way.
        trace_id: Of the probe behind it, "" where there is none.
        heard_s: When the server was known to have heard everything before it; None until then.
    """

    number: int
    position: int
    is_sent: bool = False
    trace_id: str = ""
    heard_s: float | None = None

    def reset(self) -> None:
        """A new connection: it has to be sent again."""
        self.is_sent, self.trace_id, self.heard_s = False, "", None


class Flushes:
    """Those that have no answer yet."""

    def __init__(self) -> None:
        self._waiting: list[Flush] = []
        self._count = 0

    @property
    def waiting(self) -> list[Flush]:
        return list(self._waiting)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def asked(self, position: int) -> Flush:
        self._count += 1
        flush = Flush(self._count, position)
        self._waiting.append(flush)
        return flush

    def heard(self, trace_id: str, now: float) -> None:
        """The server answered the probe behind one of them."""
        for flush in self._waiting:
            if flush.trace_id and flush.trace_id == trace_id:
                flush.heard_s = now

    def finalized(self, position: int, *, is_answer: bool) -> bool:
        """A final reaches up to ``position``; true if it answers any.

        Args:
            is_answer: The server says that it answers one.
        """
        answered = [f for f in self._waiting if f.position <= position]
        if is_answer and not answered:
            answered = [f for f in self._waiting if f.is_sent][:1]
        self._waiting = [f for f in self._waiting if f not in answered]
        return bool(answered)

    def overdue(self, now: float, is_silent: Callable[[int], bool]) -> bool:
        """Drop those that no final will answer any more; true if there were any."""
        late = [
            f for f in self._waiting if (due := self._due(f, is_silent)) is not None and now >= due
        ]
        self._waiting = [f for f in self._waiting if f not in late]
        return bool(late)

    def deadline(self, is_silent: Callable[[int], bool]) -> float | None:
        due = (self._due(flush, is_silent) for flush in self._waiting)
        return min((at for at in due if at is not None), default=None)

    def abandoned(self) -> bool:
        """No answer will come to any; true if any waited."""
        had_any = bool(self._waiting)
        self._waiting.clear()
        return had_any

    @staticmethod
    def _due(flush: Flush, is_silent: Callable[[int], bool]) -> float | None:
        if flush.heard_s is None:
            return None
        return flush.heard_s + (0.0 if is_silent(flush.position) else GRACE_S)
