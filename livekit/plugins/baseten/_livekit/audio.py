"""From whatever LiveKit hands over to the only audio that the server hears right: 16 kHz, mono."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from livekit import rtc

from .._core.clocks import SAMPLE_RATE_HZ
from .._core.resampler import Resampler

# A long frame is converted in pieces of so much: a few milliseconds of work, little memory.
_PIECE_S = 0.5


class Intake:
    """Down-mixes and resamples frames of any rate and channel count, sample-exact across frames.

    A rate or channel count that changes in mid-stream is taken from the next frame on.

    Args:
        start: The stream sample at which its audio begins.
    """

    def __init__(self, start: int = 0) -> None:
        self._resampler: Resampler | None = None  # at 16 kHz there is none
        self._rate_hz = SAMPLE_RATE_HZ
        self._unchanged = 0  # samples that needed no resampler, since the rate changed
        self._before_change = start  # output samples up to then

    @property
    def position(self) -> int:
        """The end of what was pushed, a stream sample, what the resampler still holds included."""
        since = self._unchanged if self._resampler is None else self._resampler.position
        return self._before_change + since

    def converted(self, frame: rtc.AudioFrame) -> bytes | memoryview:
        """16 kHz mono 16-bit PCM: what can be said of ``frame`` and those before it by now.

        Raises:
            ValueError: The frame says something impossible of itself.
        """
        samples, channels, rate_hz = frame.samples_per_channel, frame.num_channels, self._rate_hz
        if frame.sample_rate == rate_hz == SAMPLE_RATE_HZ and channels == 1:
            self._unchanged += samples
            return frame.data[:samples]  # a frame may lie at the start of a longer buffer
        if frame.sample_rate == rate_hz and channels > 0 and samples <= rate_hz * _PIECE_S:
            return self._converted(frame.data, samples, channels)
        return b"".join(self.pieces(frame))

    def pieces(self, frame: rtc.AudioFrame) -> Iterator[bytes | memoryview]:
        """As `converted`, of a frame of any length, bit by bit."""
        channels = frame.num_channels
        if frame.sample_rate <= 0 or channels <= 0:
            raise ValueError(f"an audio frame of {frame.sample_rate} Hz and {channels} channels")
        if frame.sample_rate != self._rate_hz:
            yield self.rest()
            self._before_change, self._unchanged = self.position, 0
            self._rate_hz = frame.sample_rate
            has_16_khz = self._rate_hz == SAMPLE_RATE_HZ
            self._resampler = None if has_16_khz else Resampler(self._rate_hz)
        data, step = frame.data, max(1, int(self._rate_hz * _PIECE_S))
        for at in range(0, frame.samples_per_channel, step):
            samples = min(step, frame.samples_per_channel - at)
            yield self._converted(data[at * channels :], samples, channels)

    def rest(self) -> bytes:
        """What the resampler still holds of what was pushed. More may follow."""
        return b"" if self._resampler is None else self._resampler.rest().tobytes()

    def _converted(self, data: memoryview, samples: int, channels: int) -> memoryview:
        pcm: NDArray[np.int16] = np.frombuffer(data, np.int16, samples * channels)
        if channels > 1:
            mixed = np.add.reduce(pcm.reshape(-1, channels), axis=1, dtype=np.float32)
            pcm = np.rint(mixed / channels).astype(np.int16)
        if self._resampler is not None:
            return self._resampler.resampled(pcm).data
        self._unchanged += samples
        return pcm.data
