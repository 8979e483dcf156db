"""The audio clock: positions counted in samples of 16 kHz audio, and the maps between its times.

Three times exist (`docs/design.md`), and this is the only place that turns one into another:

* *stream*: samples since the first one pushed. Never jumps, never counts a sample twice.
* *connection*: samples a server has been sent on one connection, replays and made-up silence
  included. Starts at 0 with every connection.
* *wall clock*: when a stream sample was pushed, in seconds since the epoch.

What events say is stream time in seconds, with what the caller adds to it (`EventClock`).

Ranges are half-open. Seconds appear at the edges only.
"""

from __future__ import annotations

import math
from bisect import bisect_right

SAMPLE_RATE_HZ = 16_000
BYTES_PER_SAMPLE = 2  # pcm_s16le, mono

# A push that is no more than this too early or too late gets no breakpoint of its own.
_JITTER_S = 0.02


class ConnectionClock:
    """Maps one connection's samples to the stream's, made-up silence between them included.

    Args:
        origin: Stream position of the first sample sent on this connection.

    Attributes:
        sent: How much was sent.
        since: What was sent from here on is all audio: infinite where the last of it was silence.
        ahead: How far the stream is ahead there; most of what is asked for lies there.
    """

    def __init__(self, origin: int) -> None:
        # Breakpoints: from connection sample `_connection[i]` on, stream time is either
        # `_stream[i] + distance` (audio) or stands still at `_stream[i]` (made-up silence).
        self._connection = [0]
        self._stream = [origin]
        self._moves = [True]
        self.sent = 0
        self.since: float = 0
        self.ahead = origin

    def add_audio(self, samples: int) -> None:
        """``samples`` of the user's audio were sent."""
        if self._moves[-1]:
            self.sent += samples
        else:
            self._extend(samples, moves=True)

    def add_silence(self, samples: int) -> None:
        """``samples`` of made-up silence were sent."""
        self._extend(samples, moves=False)

    def _extend(self, samples: int, *, moves: bool) -> None:
        if samples and moves is not self._moves[-1]:
            stream = self.to_stream(self.sent)
            if self._connection[-1] == self.sent:  # a stretch of no length: nothing sent yet
                self._moves[-1] = moves
            else:
                self._connection.append(self.sent)
                self._stream.append(stream)
                self._moves.append(moves)
            self.since, self.ahead = self.sent if moves else math.inf, stream - self.sent
        self.sent += samples

    def to_stream(self, connection_samples: int) -> int:
        """The stream position at a connection position; it stands still in made-up silence."""
        if connection_samples >= self.since:
            return connection_samples + self.ahead
        i = max(0, bisect_right(self._connection, connection_samples) - 1)
        if not self._moves[i]:
            return self._stream[i]
        return self._stream[i] + max(0, connection_samples - self._connection[i])

    def forget(self, connection_samples: int) -> None:
        """Positions before ``connection_samples`` will not be asked for again."""
        i = bisect_right(self._connection, connection_samples) - 1
        if i > 0:
            del self._connection[:i], self._stream[:i], self._moves[:i]


class EventClock:
    """Maps stream samples to what events say: seconds, and what the caller adds to them.

    A stream that goes on from one that has failed goes on with its clock, too. What its caller
    adds holds from where its own audio begins.
    """

    def __init__(self) -> None:
        self._positions = [0]
        self._offsets_s = [0.0]

    def begin(self, position: int) -> None:
        """The audio from ``position`` on is another stream's. Times go on, until `set_start`."""
        if position > self._positions[-1]:
            self._positions.append(position)
            self._offsets_s.append(self._offsets_s[-1])

    def set_start(self, start_s: float) -> None:
        """Let the audio of the stream that began last start at ``start_s``."""
        self._offsets_s[-1] = start_s - self._positions[-1] / SAMPLE_RATE_HZ

    def offset_s(self, position: int) -> float:
        """What is added to the time of a stream sample."""
        if position >= self._positions[-1]:
            return self._offsets_s[-1]
        return self._offsets_s[max(0, bisect_right(self._positions, position) - 1)]

    def is_constant_from(self, position: int) -> bool:
        """All that follows is moved by the same."""
        return position >= self._positions[-1]

    def span_s(self, start: int, stop: int) -> tuple[float, float]:
        """The times of the stream samples ``start`` to ``stop``."""
        start_s = start / SAMPLE_RATE_HZ + self.offset_s(start)
        stop_s = stop / SAMPLE_RATE_HZ + self.offset_s(max(start, stop - 1))
        return start_s, max(start_s, stop_s)


class WallClock:
    """When each stream sample was pushed.

    A map and not a division: audio comes in bursts, and not at all while the user is muted. Kept
    as breakpoints between which audio came at the pace of speech, so that a steady hour is one.
    """

    def __init__(self) -> None:
        self._positions = [0]
        self._times_s = [0.0]
        self._pushed_s = [0.0]  # when the push came that made the breakpoint
        self._base_s = -math.inf  # when the stream would have begun, at the pace since the last one
        self._stop = 0
        self._last_push_s = 0.0

    def push(self, stop: int, now_s: float) -> None:
        """The stream up to sample ``stop`` had been pushed by ``now_s`` (epoch seconds)."""
        late_s = now_s - self._base_s - stop / SAMPLE_RATE_HZ
        if not -_JITTER_S <= late_s <= _JITTER_S:
            self._break(stop, now_s)
        self._stop, self._last_push_s = stop, now_s

    def _break(self, stop: int, now_s: float) -> None:
        start = self._stop
        # A sample was spoken before the end of its block, but after the block before.
        begun_s = max(self._last_push_s, now_s - (stop - start) / SAMPLE_RATE_HZ)
        if start == self._positions[-1]:
            del self._positions[-1], self._times_s[-1], self._pushed_s[-1]
        self._positions.append(start)
        self._times_s.append(begun_s)
        self._pushed_s.append(now_s)
        self._base_s = begun_s - start / SAMPLE_RATE_HZ

    def at(self, position: int) -> float:
        """Epoch seconds at which stream sample ``position`` was pushed."""
        i = max(0, bisect_right(self._positions, position) - 1)
        at_s = self._interpolate(i, position)
        if i + 1 < len(self._times_s):
            at_s = min(at_s, self._times_s[i + 1])
        return min(at_s, self._last_push_s)

    def pushed_s(self, position: int) -> float:
        """As `at`, where a long block counts as pushed at its end, whenever it was spoken."""
        i = max(0, bisect_right(self._positions, position) - 1)
        return max(self.at(position), self._pushed_s[i])

    def pushed_by(self, time_s: float) -> int:
        """Up to which stream sample audio had been pushed by a time, in epoch seconds."""
        i = bisect_right(self._pushed_s, time_s) - 1
        if i < 0:
            return self._positions[0]
        until = self._positions[i] + int((time_s - self._times_s[i]) * SAMPLE_RATE_HZ)
        return min(until, self._stop, *self._positions[i + 1 : i + 2])

    def forget(self, position: int) -> None:
        """Samples before ``position`` will not be asked for again."""
        i = bisect_right(self._positions, position) - 1
        if i > 0:
            del self._positions[:i], self._times_s[:i], self._pushed_s[:i]

    def _interpolate(self, i: int, position: int) -> float:
        return self._times_s[i] + (position - self._positions[i]) / SAMPLE_RATE_HZ
