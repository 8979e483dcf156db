"""The user's audio: when it was pushed, what must be kept of it, what was sent."""

from __future__ import annotations

from .clocks import SAMPLE_RATE_HZ, WallClock
from .journal import WINDOW_SAMPLES, Journal

# LiveKit's metrics are fed this often.
_USAGE_EVERY_SAMPLES = 5 * SAMPLE_RATE_HZ

# A server's buffer is 30 s at most: older audio has been transcribed or thrown away by it. This
# much more for a transcription to be late.
_SETTLED_AFTER_SAMPLES = (30 + 5) * SAMPLE_RATE_HZ

# Root mean square below which nobody speaks: about -50 dBFS.
_SILENCE_RMS = 100.0

# And above which a room is not noisy but somebody talks: about -36 dBFS.
_LOUD_RMS = 500.0


class UserAudio:
    """Lives as long as the stream. Positions are stream samples.

    Args:
        keep_s: Seconds of audio kept at most for the next connection while there is none.
    """

    def __init__(self, *, keep_s: float) -> None:
        self._keep_s = keep_s
        self._keep_samples = round(keep_s * SAMPLE_RATE_HZ)
        self._used = 0
        self.journal = Journal()
        self.wall = WallClock()
        self.sent = 0  # at least once, up to here

    @property
    def is_settled(self) -> bool:
        """All that was pushed has a final."""
        return self.journal.start == self.journal.stop

    def push(
        self, pcm: bytes | memoryview, stop: int, now_wall_s: float, *, cursor: int | None
    ) -> int:
        """More audio came.

        Args:
            pcm: 16 kHz mono 16-bit.
            stop: Up to where audio was pushed; a resampler may hold some of it back.
            now_wall_s: Epoch seconds.
            cursor: Where a live connection's sending stands; None while there is none.

        Returns:
            How many samples were lost by it: dropped, and heard by no server.
        """
        before = self.journal.stop
        self.journal.push(pcm)
        self.wall.push(stop, now_wall_s)
        excess = self.journal.stop - self.journal.start - self._keep_samples
        if excess <= 0:
            return 0
        # Audio that came faster than speech is not old, least of all what came this moment.
        aged = min(before, self.wall.position_at(now_wall_s - self._keep_s))
        return self._trim(min(self.journal.start + excess, aged), cursor)

    def settle(self, until: int) -> None:
        """A final accounts for everything up to ``until``: it will not be sent again."""
        self.wall.forget(self.journal.start)  # not further: events about this final will ask
        self.journal.forget(until)

    def note_sent(self, cursor: int) -> int:
        """A connection's sending stands at ``cursor``; returns the samples to report as used."""
        if cursor > self.sent:
            self.sent = cursor
        return self.take_unreported() if self.sent - self._used >= _USAGE_EVERY_SAMPLES else 0

    def take_unreported(self) -> int:
        """The samples sent since the last report of usage; they are reported by this."""
        used, self._used = self.sent - self._used, self.sent
        return used

    def is_silent(self, start: int, stop: int) -> bool:
        """Nothing that could be speech between two positions that are kept."""
        return not self.journal.is_louder(_SILENCE_RMS, start, stop)

    def loud_s(self, start: int, stop: int) -> float:
        """Seconds, in steps of 32 ms, as loud as speech is when somebody means to be heard."""
        windows = self.journal.windows(start, stop)
        return sum(1 for rms in windows if rms > _LOUD_RMS) * WINDOW_SAMPLES / SAMPLE_RATE_HZ

    def has_faded(self, start: int, stop: int, tail_samples: int) -> bool:
        """The last ``tail_samples`` are next to nothing beside what came before them."""
        tail = self.journal.loudness(stop - tail_samples, stop)
        return tail < max(_SILENCE_RMS, self.journal.loudness(start, stop) / 10)

    def _trim(self, cut: int, cursor: int | None) -> int:
        """Drop what lies before ``cut``, except what a live server may owe."""
        start = self.journal.start
        settled = self.sent - _SETTLED_AFTER_SAMPLES
        if cursor is not None:
            cut = min(cut, settled, cursor)
        if not self.journal.forget(cut):
            return 0
        self.wall.forget(cut)
        return max(0, cut - max(start, settled))
