"""Forced ends of the utterance: asked for, sent, heard, answered.

Every flush is answered, in the order in which they were asked: with a final that reaches its
position, or with an empty one once it is certain enough that none will. Who asked is waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# After the server has heard a flush, with nobody known to speak, this long for a first result of
# sound that may have been speech; less, down to the least, once recognition was seen to be fast.
GRACE_S = 1.0
LEAST_GRACE_S = 0.3

# Where the server answers flushes itself, this long for it, with nobody known to speak.
ANSWER_S = 2.0


@dataclass
class Flush:
    """
    Attributes:
        number: Counts the flushes of a stream, from 1.
        position: Stream sample up to which the utterance is to be finished.
        trace_id: Of the probe behind it, "" where there is none.
        heard_s: When the server answered that probe; None until then.
        due_s: When no final will answer it any more; None while the server has not heard it.
    """

    number: int
    position: int
    trace_id: str = ""
    heard_s: float | None = None
    due_s: float | None = None

    def sent(self, trace_id: str, now: float) -> None:
        self.trace_id = trace_id
        if not trace_id:  # the server answers itself, or it does not
            self.due_s = now + ANSWER_S

    def reset(self) -> None:
        """A new connection: it has to be sent again."""
        self.trace_id = ""
        self.heard_s = self.due_s = None


class Flushes:
    """Those that have no answer yet."""

    def __init__(self) -> None:
        self._waiting: list[Flush] = []
        self._count = 0
        self._slowest_s: float | None = None  # from hearing a flush to the final that answers it

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
                flush.due_s = now + self._grace_s

    def settle(self, now: float, is_silent: Callable[[int], bool]) -> None:
        """Of those that were heard, the ones with nothing but silence behind them are due now."""
        for flush in self._waiting:
            if flush.heard_s is not None and is_silent(flush.position):
                flush.due_s = min(now, flush.due_s or now)

    def finalized(self, position: int, now: float) -> bool:
        """A final reaches up to stream sample ``position``; true if it answers any."""
        answered = [f for f in self._waiting if f.position <= position]
        took_s = [now - f.heard_s for f in answered if f.heard_s is not None]
        self._slowest_s = max([self._slowest_s or 0.0, *took_s]) if took_s else self._slowest_s
        self._waiting = [f for f in self._waiting if f not in answered]
        return bool(answered)

    @property
    def _grace_s(self) -> float:
        if self._slowest_s is None:
            return GRACE_S
        return min(GRACE_S, max(LEAST_GRACE_S, 2 * self._slowest_s))

    def overdue(self, now: float) -> int | None:
        """Drop those that no final will answer any more; the last one's position, if any."""
        late = [f for f in self._waiting if f.due_s is not None and now >= f.due_s]
        self._waiting = [f for f in self._waiting if f not in late]
        return max((f.position for f in late), default=None)

    @property
    def deadline(self) -> float | None:
        return min((f.due_s for f in self._waiting if f.due_s is not None), default=None)

    def abandoned(self) -> bool:
        """No answer will come to any; true if any waited."""
        had_any = bool(self._waiting)
        self._waiting.clear()
        return had_any
