"""Flushes: somebody wants what was said so far finished now, and waits for the answer.

    ASKED --its request goes out--> SENT --the server answers the probe behind it--> HEARD
      ^                               |                                                |
      +----------- a new connection --+------------------------------------------------+

A flush is asked for at a position in the stream. Once the session has sent the audio up to there,
it sends the request (`send_next`). What that is, the dialect knows: to Whisper it is enough zeros
that its voice activity detector takes them for the end of speech, with a health check behind them
whose answer says that they were heard; to Qwen3-ASR it is a commit, which the server answers.

Every flush is answered, in the order in which they were asked: by a final that reaches its
position, or by an empty one when it is overdue or the server has gone on to what comes behind it,
because no other will come then.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .clocks import BYTES_PER_SAMPLE
from .wire import Dialect

# How long to wait for the first result of a sound that may be speech, from when the server heard
# the flush. Where the server was seen to be fast, the wait gets shorter, down to the second number.
GRACE_S = 1.0
LEAST_GRACE_S = 0.3

# How long to wait where no probe can follow the request, and nobody is known to speak.
ANSWER_S = 2.0


@dataclass
class Flush:
    """
    Attributes:
        number: Counts the flushes of a stream, from 1.
        position: Stream sample up to which the utterance is to be finished.
        asked_s: When it was asked for.
        is_owed: Somebody waits for the answer.
        trace_id: Of the probe behind its request; "" before it is sent, or where there is none.
        heard_s: When the server answered that probe; None until then.
        due_s: When to stop waiting for a final that answers it; None until that is known.
    """

    number: int
    position: int
    asked_s: float = 0.0
    is_owed: bool = True
    trace_id: str = ""
    heard_s: float | None = None
    due_s: float | None = None


class Flushes:
    """The flushes of one stream that have no answer yet.

    Attributes:
        unsent: Those whose request has not gone out on the connection of the moment.
        answered_to: Stream position of the last flush that was answered.
    """

    def __init__(self) -> None:
        self.unsent: deque[Flush] = deque()
        self.answered_to = 0
        self._waiting: list[Flush] = []
        self._count = 0
        self._slowest_s: float | None = None  # from hearing a flush to the final that answers it

    @property
    def waiting(self) -> list[Flush]:
        return list(self._waiting)

    @property
    def is_any_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def deadline(self) -> float | None:
        """When the first of them is overdue."""
        return self.deadline_before(math.inf)

    def deadline_before(self, position: float) -> float | None:
        """When the first of those up to stream sample ``position`` is overdue."""
        due = (f.due_s for f in self._waiting if f.due_s is not None and f.position <= position)
        return min(due, default=None)

    def is_any_before(self, position: int) -> bool:
        """A final up to stream sample ``position`` answers at least one of them."""
        return any(flush.position <= position for flush in self._waiting)

    # On their way

    def ask(self, position: int, now: float, *, is_owed: bool = True) -> None:
        """Have the utterance up to stream sample ``position`` finished.

        Args:
            is_owed: Somebody waits for the answer, be it empty.
        """
        self._count += 1
        flush = Flush(self._count, position, now, is_owed)
        self._waiting.append(flush)
        self.unsent.append(flush)

    def restart(self) -> None:
        """Have all of them sent again: there is a new connection."""
        for flush in self._waiting:
            flush.trace_id, flush.heard_s, flush.due_s = "", None, None
        self.unsent = deque(self._waiting)

    def send_next(self, dialect: Dialect, now: float) -> tuple[list[str | bytes], int]:
        """Take the next request.

        Returns:
            Its frames, and how many samples of made-up silence are in them.
        """
        flush = self.unsent.popleft()
        end = dialect.end_of_utterance(flush.number)
        flush.trace_id = end.trace_id
        if not end.trace_id:
            flush.due_s = now + ANSWER_S
        zeros = dialect.audio(bytes(dialect.chunk_samples * BYTES_PER_SAMPLE))
        silence = [zeros] * (end.silence_samples // dialect.chunk_samples)
        return [*silence, end.frame], end.silence_samples

    def note_heard(self, trace_id: str, now: float) -> None:
        """Start the wait for the result: the server answered the probe ``trace_id``."""
        for flush in self._waiting:
            if flush.trace_id and flush.trace_id == trace_id:
                flush.heard_s = now
                flush.due_s = now + self._grace_s

    def stop_waiting_for_silence(self, now: float, is_silent: Callable[[int], bool]) -> None:
        """Make those overdue that the server heard and that have only silence before them."""
        for flush in self._waiting:
            if flush.heard_s is not None and is_silent(flush.position):
                flush.due_s = min(now, flush.due_s or now)

    # Answered

    def answer(self, position: int, now: float) -> list[Flush]:
        """Take those out that a final up to stream sample ``position`` answers."""
        answered = [f for f in self._waiting if f.position <= position]
        for flush in answered:
            self.answered_to = position
            if flush.heard_s is not None:
                self._slowest_s = max(self._slowest_s or 0.0, now - flush.heard_s)
        self._waiting = [f for f in self._waiting if f.position > position]
        return answered

    def drop_overdue(self, now: float, before: float = math.inf) -> list[Flush]:
        """Take those up to stream sample ``before`` out that no final will answer in time."""
        late = [f for f in self._waiting if f.due_s is not None and now >= f.due_s]
        return self._dropped([f for f in late if f.position <= before])

    def drop_before(self, position: int) -> list[Flush]:
        """Take those up to stream sample ``position`` out: no final came of them."""
        return self._dropped([f for f in self._waiting if f.position <= position])

    def _dropped(self, late: list[Flush]) -> list[Flush]:
        self.answered_to = max([self.answered_to, *(f.position for f in late)])
        self._waiting = [f for f in self._waiting if f not in late]
        return late

    def clear(self) -> list[Flush]:
        """Take all of them out: the stream is over."""
        cleared, self._waiting = self._waiting, []
        return cleared

    @property
    def _grace_s(self) -> float:
        if self._slowest_s is None:
            return GRACE_S
        return min(GRACE_S, max(LEAST_GRACE_S, 2 * self._slowest_s))
