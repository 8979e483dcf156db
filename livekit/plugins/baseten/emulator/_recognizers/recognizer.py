"""What a recognizer is: words out of a buffer of audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
"""What a recognizer takes every buffer to be, whatever rate the client declared."""


@dataclass(frozen=True)
class Word:
    """A word as it was heard.

    Attributes:
        text: The word, without spaces around it.
        start_s: Where it starts, in seconds from the start of the buffer.
        end_s: Where it ends, in seconds from the start of the buffer.
        prob: How sure the recognizer is, from 0 to 1.
        speaker: Who said it, where the recognizer can tell. Used by diarization only.
        language: What it is in, in the model's own spelling, where the recognizer can tell. Used
            only where the client asked for detection.
    """

    text: str
    start_s: float
    end_s: float
    prob: float = 1.0
    speaker: str | None = None
    language: str | None = None


@runtime_checkable
class Recognizer(Protocol):
    """Turns buffers into words. One instance hears all connections of a server.

    Attributes:
        blocking: Whether `recognize` takes long enough to be kept off the event loop. It is then
            called from several threads at once, and a partial that a later buffer of the same
            connection has overtaken is skipped.
    """

    @property
    def blocking(self) -> bool: ...

    def recognize(self, pcm: bytes, *, is_final: bool) -> Sequence[Word]:
        """Hear a whole buffer.

        Args:
            pcm: 16-bit little-endian mono samples at 16 kHz, everything since the previous final.
            is_final: Whether this is the last time that this buffer is heard.

        Raises:
            Exception: Whatever it raises becomes the server's `TRANSCRIPTION_ERROR`.
        """


class Ear(Recognizer, Protocol):
    """A recognizer for one connection, which may take its time over a buffer."""

    def latency_s(self, pcm: bytes, *, is_final: bool) -> float:
        """How long this buffer takes to be recognized, in seconds. Asked before `recognize`."""


@runtime_checkable
class Attentive(Protocol):
    """A recognizer that wants to know which connection it hears."""

    def connected(self) -> Ear:
        """There is a new connection; return who hears it."""


def samples_of(pcm: bytes) -> NDArray[np.int16]:
    """The samples of little-endian 16-bit PCM; a `ValueError` where there is half a sample."""
    return np.frombuffer(pcm, dtype="<i2").astype(np.int16, copy=False)
