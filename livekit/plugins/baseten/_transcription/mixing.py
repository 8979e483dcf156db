"""From the channels of a recording to what is sent: all of them as one, one of them, or each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

# Up to this magnitude of 32767 it is what a quiet room sounds like.
QUIET = 300

# Below this share of its louder side's energy a mix has lost what was said: the sides cancel.
_CANCELLED = 0.04
_MEMORY_S = 0.5


class Mixer:
    """Makes one channel of two.

    Where they cancel each other, as when one side is wired the wrong way round, it is the louder.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._mixed_energy = 0.0
        self._side_energies = np.zeros(2)

    def mixed(self, samples: Samples) -> Samples:
        """
        Args:
            samples: A row for each sample, with two columns.
        """
        both = samples.astype(np.float32)
        mix = both.mean(axis=1)
        keep = float(np.exp(-len(mix) / (_MEMORY_S * self._rate_hz)))
        self._mixed_energy = keep * self._mixed_energy + float(np.square(mix).sum())
        self._side_energies = keep * self._side_energies + np.square(both).sum(axis=0)
        louder = int(self._side_energies.argmax())
        if self._mixed_energy < _CANCELLED * self._side_energies[louder]:
            mix = both[:, louder]
        return np.asarray(mix, np.int16)


def is_quiet(samples: Samples) -> bool:
    """Whether nobody speaks in it."""
    return not len(samples) or int(np.abs(samples.astype(np.int32)).max()) <= QUIET


def speaker_names(count: int) -> list[str]:
    """What the channels of a recording are called, where each is a speaker."""
    return ["left", "right"] if count == 2 else [f"channel {n}" for n in range(1, count + 1)]
