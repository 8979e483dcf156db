"""From any sample rate to 16 kHz, in a stream, with two milliseconds of delay.

A windowed-sinc filter in polyphase form. Of two rates with the ratio ``down / up`` the filter's
phases repeat after ``down`` samples in and ``up`` samples out. So one matrix, the same for every
call of a process, makes a block of output from a block of input and a little of what lies around.

Flat to 7 kHz, and 60 dB down from 8 kHz on, where it would alias. Of 8 kHz audio, half of that.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .clocks import SAMPLE_RATE_HZ

# Of the band that both rates have, so much passes unchanged; what lies beyond the band is stopped.
_PASS = 7 / 8
_STOP_DB = 64.0

# A block out is about so long: a longer one multiplies by more zeros, a shorter one copies more.
_BLOCK_SAMPLES = 32

# For rates whose ratio is one of larger numbers that matrix would be huge. They have so many phases
# in its place, of which the nearest is taken.
_LONGEST_BLOCK_SAMPLES = 640
_PHASES = 512

# BLAS spreads a larger product over threads, which then wait busily for the next one.
_LARGEST_PRODUCT = 2**18

_LEAST, _MOST = np.float32(-32768), np.float32(32767)


class Resampler:
    """One stream of mono audio of one rate.

    The sample that comes out n-th, counted from 0, is of the instant n / 16,000 s after the first
    sample that went in.
    """

    def __init__(self, rate_hz: int) -> None:
        self._bank = _bank(rate_hz)
        self._taken = self._given = 0  # samples in, samples out
        # The input that is still needed: from a reach before the block that is due. Before all of
        # it there is silence.
        self._kept = np.zeros(self._bank.reach, np.float32)

    @property
    def position(self) -> int:
        """How much went in, in samples of 16 kHz."""
        down, up = self._bank.down, self._bank.up
        return (2 * self._taken * up + down) // (2 * down)

    def resampled(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """All that can be known by now: up to 2 ms before the end of ``pcm`` (4 ms at 8 kHz)."""
        bank = self._bank
        self._taken += len(pcm)
        known = -(-(self._taken - bank.reach) * bank.up // bank.down)
        return self._made(pcm, max(known, self._given))

    def rest(self) -> NDArray[np.int16]:
        """What is still owed of all that went in, as if silence followed.

        More may follow all the same: no sample comes twice.
        """
        return self._made(np.zeros(0, np.int16), max(self.position, self._given))

    def _made(self, pcm: NDArray[np.int16], stop: int) -> NDArray[np.int16]:
        """``pcm`` came: the output up to ``stop``."""
        bank, before = self._bank, len(self._kept)
        block, up = self._given // bank.up, bank.up
        held = before + len(pcm)
        signal = np.empty(max(held, bank.width(stop - block * up)), np.float32)
        signal[:before] = self._kept
        signal[before:held] = pcm
        if held < len(signal):
            signal[held:] = 0
        out = bank.filtered(signal, self._given - block * up, stop - block * up)
        needed = (stop // up - block) * bank.down
        self._kept = signal[needed:held].copy()
        self._given = stop
        np.rint(out, out=out)
        out.clip(_LEAST, _MOST, out=out)
        return out.astype(np.int16)


class _Bank:
    """The filter for one rate.

    Attributes:
        down: Samples in to a block.
        up: Samples out to a block.
        reach: How many samples before a block, and how many after it, have a part in it.
    """

    def __init__(self, rate_hz: int) -> None:
        common = math.gcd(rate_hz, SAMPLE_RATE_HZ)
        repeats = max(1, _BLOCK_SAMPLES * common // SAMPLE_RATE_HZ)
        self.down = repeats * rate_hz // common
        self.up = repeats * SAMPLE_RATE_HZ // common
        self._band = min(rate_hz, SAMPLE_RATE_HZ) / 2 / rate_hz  # in cycles for a sample in
        # Kaiser's formulas for the length and the shape of the window.
        self._taps = (_STOP_DB - 7.95) / (14.36 * self._band * (1 - _PASS))
        self._beta = 0.1102 * (_STOP_DB - 8.7)
        self.reach = math.ceil(self._taps / 2)
        self._has_phases = self.up > _LONGEST_BLOCK_SAMPLES
        if self._has_phases:
            at: NDArray[Any] = np.arange(_PHASES + 1) / _PHASES
            taken = np.arange(-self.reach, self.reach + 1)
            matrix = self._coefficients(taken, at)
        else:
            at = np.arange(self.up) * (self.down / self.up)
            taken = np.arange(-self.reach, self.down + self.reach)
            matrix = self._coefficients(taken, at).T
        self._matrix: NDArray[np.float32] = np.ascontiguousarray(matrix, np.float32)

    def width(self, stop: int) -> int:
        """How much signal it takes to filter up to ``stop``; see `filtered`."""
        if self._has_phases:
            return stop * self.down // self.up + 2 * self.reach + 1
        return -(-stop // self.up) * self.down + 2 * self.reach

    def filtered(self, signal: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """The output ``start`` to ``stop``, counted from a block a reach before which ``signal``
        begins."""
        if self._has_phases:
            return self._filtered_by_phase(signal, start, stop)
        blocks = -(-stop // self.up)
        width, up = self._matrix.shape
        # Overlapping views of the signal, a row for each block.
        rows = np.ndarray((blocks, width), np.float32, signal, strides=(4 * self.down, 4))
        out = np.empty((blocks, up), np.float32)
        if blocks * width * up <= _LARGEST_PRODUCT:
            np.dot(rows.copy(), self._matrix, out=out)
            return out.reshape(-1)[start:stop]
        step = max(1, _LARGEST_PRODUCT // (width * up))
        for at in range(0, blocks, step):
            np.dot(rows[at : at + step].copy(), self._matrix, out=out[at : at + step])
        return out.reshape(-1)[start:stop]

    def _filtered_by_phase(
        self, signal: NDArray[np.float32], start: int, stop: int
    ) -> NDArray[np.float32]:
        out = np.empty(stop - start, np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(signal, self._matrix.shape[1])
        for at in range(0, len(out), 1024):
            position = np.arange(start + at, min(start + at + 1024, stop)) * self.down
            first, rest = np.divmod(position, self.up)
            phase = (2 * rest * _PHASES + self.up) // (2 * self.up)
            part = windows[first], self._matrix[phase]
            np.einsum("ij,ij->i", *part, out=out[at : at + 1024])
        return out

    def _coefficients(self, taken: NDArray[Any], at: NDArray[Any]) -> NDArray[np.floating]:
        """``[i, j]`` is the part of the sample ``taken[j]`` in the one at the instant ``at[i]``."""
        distance = taken - at[:, np.newaxis]
        inside = np.clip(1 - (2 * distance / self._taps) ** 2, 0, None)
        window = np.where(inside > 0, np.i0(self._beta * np.sqrt(inside)), 0)
        cutoff = self._band * (1 + _PASS) / 2
        parts: NDArray[np.floating] = window * np.sinc(2 * cutoff * distance)
        parts /= parts.sum(axis=1, keepdims=True)  # none is louder for its place in the block
        return parts


@functools.lru_cache(maxsize=16)
def _bank(rate_hz: int) -> _Bank:
    return _Bank(rate_hz)
