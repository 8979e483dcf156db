"""The user's audio: when it was pushed, what must be kept of it, what was sent."""

from __future__ import annotations

from .clocks import SAMPLE_RATE_HZ, WallClock
from .journal import WINDOW_SAMPLES, Journal

# LiveKit's metrics are fed this often.
_USAGE_EVERY_SAMPLES = 5 * SAMPLE_RATE_HZ

# A server keeps 30 s of audio at most: what is older it has transcribed or dropped. 5 s more are
# for a transcription that comes late.
_SETTLED_AFTER_SAMPLES = (30 + 5) * SAMPLE_RATE_HZ

# Nobody speaks below this root mean square: about -50 dBFS.
_SILENCE_RMS = 100.0

# Above this one it is no noise of the room, but somebody who talks: about -36 dBFS.
_LOUD_RMS = 500.0


class UserAudio:
    """Lives as long as the stream. Positions are stream samples.

    Args:
        keep_s: How many seconds of audio are kept at most while there is no connection.

    Attributes:
        sent: Up to here, some server was sent it.
    """

    def __init__(self, *, keep_s: float) -> None:
        self._keep_s = keep_s
        self._keep_samples = round(keep_s * SAMPLE_RATE_HZ)
        self._used = 0
        self.journal = Journal()
        self.wall = WallClock()
        self.sent = 0

    @property
    def is_settled(self) -> bool:
        """All that was pushed has a final."""
        return self.journal.start == self.journal.stop

    def push(
        self, pcm: bytes | memoryview, stop: int, now_wall_s: float, *, cursor: int | None
    ) -> int:
        """Take more audio.

        Args:
            pcm: 16 kHz mono 16-bit.
            stop: The end of what the user pushed; a resampler may hold some of it back.
            now_wall_s: Epoch seconds.
            cursor: Up to where a live connection was sent audio; None while there is none.

        Returns:
            How many samples had to be dropped that no server has heard.
        """
        before = self.journal.stop
        self.journal.push(pcm)
        self.wall.push(stop, now_wall_s)
        excess = self.journal.stop - self.journal.start - self._keep_samples
        if excess <= 0:
            return 0
        # Count the age and not the length: audio may come faster than speech.
        aged = min(before, self.wall.position_at(now_wall_s - self._keep_s))
        return self._trim(min(self.journal.start + excess, aged), cursor)

    def settle(self, until: int) -> None:
        """Drop everything up to ``until``: a final accounts for it, so it is not sent again."""
        self.wall.forget(self.journal.start)  # not more: the times of this final will be asked for
        self.journal.forget(until)

    def note_sent(self, cursor: int) -> int:
        """Note that a connection was sent audio up to ``cursor``.

        Returns:
            The samples to report as used, 0 as long as they are few.
        """
        if cursor > self.sent:
            self.sent = cursor
        return self.take_unreported() if self.sent - self._used >= _USAGE_EVERY_SAMPLES else 0

    def take_unreported(self) -> int:
        """The samples that were sent and not reported as used before."""
        used, self._used = self.sent - self._used, self.sent
        return used

    def is_silent(self, start: int, stop: int) -> bool:
        """There is nothing that could be speech between two positions."""
        return not self.journal.is_louder(_SILENCE_RMS, start, stop)

    def loud_s(self, start: int, stop: int) -> float:
        """How many seconds are as loud as clear speech, counted in steps of 32 ms."""
        windows = self.journal.windows(start, stop)
        return sum(1 for rms in windows if rms > _LOUD_RMS) * WINDOW_SAMPLES / SAMPLE_RATE_HZ

    def has_faded(self, start: int, stop: int, tail_samples: int) -> bool:
        """The last ``tail_samples`` are very quiet, compared with what came before them."""
        tail = self.journal.loudness(stop - tail_samples, stop)
        return tail < max(_SILENCE_RMS, self.journal.loudness(start, stop) / 10)

    def _trim(self, cut: int, cursor: int | None) -> int:
        """Drop what is before ``cut``, except what a live server may still send results of.

        Returns:
            How many samples of it no server has heard.
        """
        start = self.journal.start
        settled = self.sent - _SETTLED_AFTER_SAMPLES
        if cursor is not None:
            cut = min(cut, settled, cursor)
        if not self.journal.forget(cut):
            return 0
        self.wall.forget(cut)
        return max(0, cut - max(start, settled))
