"""The user's audio: when it was pushed, what must be kept of it, what was sent."""

from __future__ import annotations

from .clocks import SAMPLE_RATE_HZ, WallClock
from .journal import WINDOW_SAMPLES, Journal

# LiveKit's metrics are fed this often.
_USAGE_EVERY_SAMPLES = 5 * SAMPLE_RATE_HZ

# A server keeps 30 s of audio at most: what is older it has transcribed or dropped. 5 s more are
# for a transcription that comes late.
_SETTLED_AFTER_SAMPLES = (30 + 5) * SAMPLE_RATE_HZ

# Audio that comes faster than this, after so much of it, is no call but a recording: its caller
# waits for the whole of it, and nothing of it gets old.
_CALL_SPEED, _CALL_BURST_S = 1.25, 10.0

# Of a recording, this much is held for the server at most: 461 MB.
MOST_HELD_S = 4 * 3600.0

# So much silence after the last word is a pause.
PAUSE_SAMPLES = SAMPLE_RATE_HZ // 5

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
    def is_full(self) -> bool:
        """More audio waits for the server than may be held."""
        return self.journal.stop - self.journal.start >= MOST_HELD_S * SAMPLE_RATE_HZ

    @property
    def is_settled(self) -> bool:
        """All that was pushed has a final."""
        return self.journal.start == self.journal.stop

    def push(self, pcm: bytes | memoryview, stop: int, now_wall_s: float) -> bool:
        """Take more audio.

        Args:
            pcm: 16 kHz mono 16-bit.
            stop: The end of what the user pushed; a resampler may hold some of it back.
            now_wall_s: Epoch seconds.

        Returns:
            More is held now than is kept without a connection; see `drop_excess`.
        """
        journal = self.journal
        journal.push(pcm)
        self.wall.push(stop, now_wall_s)
        return journal.stop - journal.start > self._keep_samples

    def drop_excess(self, now_wall_s: float, cursor: int | None) -> int:
        """Drop what is not to be kept any longer.

        Args:
            now_wall_s: Epoch seconds.
            cursor: Up to where a live connection was sent audio; None while there is none.

        Returns:
            How many samples had to be dropped that no server has heard.
        """
        cut = self.journal.stop - self._keep_samples
        if not self._is_recording(now_wall_s):
            return self._trim(min(cut, self.wall.pushed_by(now_wall_s - self._keep_s)), cursor)
        return 0 if cursor is None else self._trim(cut, cursor)

    def settle(self, until: int) -> None:
        """Drop everything up to ``until``: a final accounts for it, so it is not sent again."""
        self.wall.forget(self.journal.start)  # not more: the times of this final will be asked for
        self.journal.forget(until)

    def drop_rest(self) -> int:
        """Drop everything that has no final.

        Returns:
            How many samples that were, 0 if nobody can have spoken in them.
        """
        start, stop = self.journal.start, self.journal.stop
        is_silent = self.is_silent(start, stop)
        self.settle(stop)
        return 0 if is_silent else stop - start

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

    def has_faded(self, start: int, stop: int) -> bool:
        """It ends in a pause: that is very quiet, compared with what came before it."""
        tail = self.journal.loudness(stop - PAUSE_SAMPLES, stop)
        return tail < max(_SILENCE_RMS, self.journal.loudness(start, stop) / 10)

    def _is_recording(self, now_wall_s: float) -> bool:
        """What is held came faster than anybody speaks."""
        journal = self.journal
        took_s = now_wall_s - self.wall.pushed_s(journal.start)
        held_s = (journal.stop - journal.start) / SAMPLE_RATE_HZ
        return held_s > took_s * _CALL_SPEED + _CALL_BURST_S

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
