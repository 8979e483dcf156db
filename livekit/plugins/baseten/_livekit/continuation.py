"""From a stream that has failed to the one that goes on from it.

Without a connection, LiveKit's retries end a stream after some seconds. An `AgentSession` then
opens another one, three times, before it gives the call up. What the first had not finished is
handed over, and for the recognition that is one connection more.

    OPEN --the stream ends or is closed--> FINISHED
      |
      +--it fails--> HELD --another stream goes on--> TAKEN
                       |                                ^
                       +--nobody did in time--> LOST ---+  with nothing left but the time axis

Which stream goes on from which must be certain, because one `STT` serves many callers. A session
opens its streams in one task, which has one pipeline, one after the other: then it is. Whoever
opens streams by hand says so (`STT.stream(continues=...)`).
"""

from __future__ import annotations

import asyncio
import enum
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .._core.clocks import EventClock
from .._core.recognition import Recognition
from .base import is_closing, is_sessions_own, running_pipeline


class Fate(enum.Enum):
    """What has become of the work of a stream."""

    OPEN = "the stream works on it"
    FINISHED = "the stream has ended or was closed"
    HELD = "the stream has failed, and another one may go on"
    TAKEN = "another stream has gone on, or whoever asked for the audio"
    LOST = "nobody went on in time"


class Successor(enum.Enum):
    """Whether another stream goes on from one that has failed."""

    CERTAIN = "its session opens another one, which will"
    POSSIBLE = "whoever opens streams may say so"
    NONE = "its session is closing"


@dataclass(frozen=True)
class Work:
    """What a stream works on, and hands over if it fails.

    Attributes:
        recognition: With the audio that has no final, the utterance and the flushes.
        clock: Of the events.
        start: The stream sample at which the next stream's own audio begins.
        goes_on: From another stream that has failed.
        keeps_times: The audio of both is one, without a gap, whatever offset the next one is given.
        lost_samples: How much of it was lost so far.
    """

    recognition: Recognition
    clock: EventClock
    start: int = 0
    goes_on: bool = False
    keeps_times: bool = False
    lost_samples: int = 0


class Unfinished:
    """The work of one stream, and what becomes of it.

    Args:
        release: Called when nobody has gone on in time, or nobody will.

    Attributes:
        fate: As drawn above.
        line: Of the session that has opened the stream, if one has.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._timer: asyncio.TimerHandle | None = None
        self.fate = Fate.OPEN
        self.line: _Line | None = None

    def finish(self) -> None:
        """The stream has ended, or was closed, and had not failed before."""
        if self.fate is Fate.OPEN:
            self.fate = Fate.FINISHED

    def hold(self, for_s: float) -> None:
        """The stream has failed: keep its work for so many seconds."""
        self.fate = Fate.HELD
        self._timer = asyncio.get_running_loop().call_later(for_s, self.lose)

    def take(self) -> None:
        """Somebody goes on with it.

        Raises:
            ValueError: There is nothing to go on with, or somebody has it already.
        """
        if self.fate is Fate.TAKEN:
            raise ValueError("what this stream had not finished was taken already")
        if self.fate not in (Fate.HELD, Fate.LOST):
            raise ValueError("this stream has not failed")
        self._cancel_timer()
        self.fate = Fate.TAKEN

    def lose(self) -> None:
        """Keep it no longer, if nobody has taken it."""
        if self.fate in (Fate.OPEN, Fate.HELD):
            self._cancel_timer()
            self.fate = Fate.LOST
            self._release()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Continuable(Protocol):
    """A stream, as far as another one may go on from it."""

    unfinished: Unfinished

    def hand_over(self, *, keeps_times: bool) -> Work: ...


@dataclass
class _Line:
    """The streams of one pipeline, of which each goes on from the one before if that has failed.

    Attributes:
        pipeline: Not kept alive by this, and neither is `latest`.
        latest: The one that was opened last.
        is_certain: There was never more than one at a time.
    """

    pipeline: weakref.ref[object]
    latest: weakref.ref[Continuable]
    is_certain: bool = True


class Pipelines:
    """Of one `STT`: which stream each session's pipeline has opened last."""

    def __init__(self) -> None:
        self._lines = weakref.WeakKeyDictionary[object, _Line]()

    def failed_before(self) -> Continuable | None:
        """The stream that the next one of this task is certain to go on from."""
        pipeline = running_pipeline()
        line = None if pipeline is None else self._lines.get(pipeline)
        latest = None if line is None or not line.is_certain else line.latest()
        is_held = latest is not None and latest.unfinished.fate is Fate.HELD
        return latest if is_held else None

    def opened(self, stream: Continuable) -> None:
        """The running task has opened this stream. It may be a session's."""
        pipeline = running_pipeline()
        if pipeline is None:
            return
        line = self._lines.setdefault(pipeline, _Line(weakref.ref(pipeline), weakref.ref(stream)))
        before, line.latest = line.latest(), weakref.ref(stream)
        stream.unfinished.line = line
        if before not in (None, stream) and before.unfinished.fate is Fate.OPEN:
            line.is_certain = False  # two at a time: a node of the user's own

    def successor(self, stream: Continuable) -> Successor:
        """Whether another stream will go on from this one, which has failed."""
        line = stream.unfinished.line
        if line is None:
            return Successor.POSSIBLE
        pipeline = line.pipeline()
        if pipeline is None or is_closing(pipeline):
            return Successor.NONE
        is_last = line.latest() is stream and is_sessions_own(stream, pipeline)
        return Successor.CERTAIN if is_last and line.is_certain else Successor.POSSIBLE
