"""The user's audio as it may have to be sent again, and how loud it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .clocks import BYTES_PER_SAMPLE

WINDOW_SAMPLES = 512  # 32 ms, what voice activity detectors look at


class Journal:
    """Audio that may have to be sent again: everything since the end of the last final.

    It holds the stream samples ``start`` to ``stop``. It has no bound itself: `UserAudio` decides
    what to forget.
    """

    def __init__(self) -> None:
        self._pcm = bytearray()
        self.start = 0
        self.stop = 0

    def push(self, pcm: bytes | memoryview) -> None:
        self._pcm += pcm
        self.stop = self.start + len(self._pcm) // BYTES_PER_SAMPLE

    def read(self, start: int, stop: int) -> bytes:
        """The PCM of the stream samples ``start`` to ``stop``, all of which must be held."""
        first = (start - self.start) * BYTES_PER_SAMPLE
        return bytes(memoryview(self._pcm)[first : first + (stop - start) * BYTES_PER_SAMPLE])

    def windows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Root mean square, 0 to 32768, of each 32 ms between two stream samples.

        A shorter rest is left out, unless it is all there is.
        """
        start, stop = max(start, self.start), min(stop, self.stop)
        if stop <= start:
            return np.zeros(0, np.float32)
        pcm = np.frombuffer(self.read(start, stop), np.int16).astype(np.float32)
        width = min(WINDOW_SAMPLES, len(pcm))
        rows = pcm[: len(pcm) // width * width].reshape(-1, width)
        rms: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", rows, rows) / width)
        return rms

    def loudness(self, start: int, stop: int) -> float:
        """Root mean square of the loudest 32 ms between two stream samples, 0 to 32768."""
        return float(self.windows(start, stop).max(initial=0.0))

    def is_louder(self, rms: float, start: int, stop: int) -> bool:
        """Any 32 ms between two stream samples are as loud as ``rms`` or louder."""
        start, stop = max(start, self.start), min(stop, self.stop)
        whole = (stop - start) // WINDOW_SAMPLES * WINDOW_SAMPLES
        stop = start + (whole or stop - start)
        # Nearly always there is one in the first second.
        step = 32 * WINDOW_SAMPLES
        return any(
            self.loudness(at, min(at + step, stop)) >= rms for at in range(start, stop, step)
        )

    def forget(self, until: int) -> int:
        """Drop everything before stream sample ``until``; returns how many samples went."""
        samples = min(until, self.stop) - self.start
        if samples <= 0:
            return 0
        del self._pcm[: samples * BYTES_PER_SAMPLE]
        self.start += samples
        return samples
