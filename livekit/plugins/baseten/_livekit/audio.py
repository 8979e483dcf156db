"""From whatever LiveKit hands over to the only audio that the server hears right: 16 kHz, mono."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from livekit import rtc

from .._core.clocks import SAMPLE_RATE_HZ

# Flat to the last half kilohertz of the band, where the consonants are. Of soxr's qualities the
# lower ones save some 9 ms of delay by cutting into that.
_QUALITY = "HQ"


class Intake:
    """Down-mixes and resamples frames of any rate and channel count, sample-exact across frames.

    A rate or channel count that changes in mid-stream is taken from the next frame on.
    """

    def __init__(self) -> None:
        self._resampler: soxr.ResampleStream | None = None
        self._rate_hz = SAMPLE_RATE_HZ
        self._since_change = 0  # input samples at this rate
        self._before_change = 0  # output samples up to then

    @property
    def position(self) -> int:
        """How much was pushed, in samples of 16 kHz, what the resampler still holds included."""
        return self._before_change + round(self._since_change * SAMPLE_RATE_HZ / self._rate_hz)

    def converted(self, frame: rtc.AudioFrame) -> memoryview:
        """16 kHz mono 16-bit PCM: what can be said of ``frame`` and those before it by now.

        Raises:
            ValueError: The frame says something impossible of itself.
        """
        if frame.sample_rate <= 0 or frame.num_channels <= 0:
            raise ValueError(
                f"an audio frame of {frame.sample_rate} Hz and {frame.num_channels} channels"
            )
        if frame.sample_rate != self._rate_hz:
            return self._changed_rate(frame)
        self._since_change += frame.samples_per_channel
        if self._rate_hz == SAMPLE_RATE_HZ and frame.num_channels == 1:
            return frame.data[: frame.samples_per_channel]
        pcm = _mono(frame)
        if self._rate_hz == SAMPLE_RATE_HZ:
            return pcm.data
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(
                self._rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16", quality=_QUALITY
            )
        # As one column: soxr would make it one, and squeeze the result.
        resampled: NDArray[np.int16] = self._resampler.resample_chunk(pcm[:, np.newaxis])
        return resampled.data

    def _changed_rate(self, frame: rtc.AudioFrame) -> memoryview:
        before = self.rest()
        self._before_change = self.position
        self._since_change = 0
        self._rate_hz = frame.sample_rate
        return memoryview(before + bytes(self.converted(frame)))

    def rest(self) -> bytes:
        """What the resampler still holds; the audio ends here, or goes on at another rate."""
        if self._resampler is None:
            return b""
        rest = self._resampler.resample_chunk(np.zeros(0, np.int16), last=True)
        self._resampler = None
        return bytes(rest.tobytes())


def _mono(frame: rtc.AudioFrame) -> NDArray[np.int16]:
    # A frame may lie at the start of a longer buffer.
    data = frame.data[: frame.samples_per_channel * frame.num_channels]
    pcm = np.frombuffer(data, dtype=np.int16)
    if frame.num_channels == 1:
        return pcm
    mixed: NDArray[np.float64] = pcm.reshape(-1, frame.num_channels).mean(axis=1)
    return np.rint(mixed).astype(np.int16)
