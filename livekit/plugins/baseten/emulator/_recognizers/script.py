"""A recognizer that says what it was told to say, whatever it hears."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from .recognizer import SAMPLE_RATE_HZ, Word, samples_of


class ScriptRecognizer:
    """The n-th final says the n-th line; past the last line there is nothing to say.

    Finals are counted over all connections of the server, so that a client that reconnects goes on
    in the script. Partials say the first words of the line that is next, the more of them the
    longer the buffer. Words are spread over the part of the buffer that is not silent.

    Args:
        lines: What to say, one utterance each. An empty line is an utterance without words.
        is_cyclic: Start again after the last line.
        floor: The magnitude up to which a sample is silence.
        words_per_s: How fast the lines are spoken, for the length of partials.

    Raises:
        TypeError: ``lines`` is one text, or has something else in it.
    """

    blocking = False

    def __init__(
        self,
        lines: Sequence[str],
        *,
        is_cyclic: bool = False,
        floor: int = 0,
        words_per_s: float = 4.0,
    ) -> None:
        if isinstance(lines, str) or not all(isinstance(line, str) for line in lines):
            raise TypeError(f"lines={lines!r}: a list of texts is needed, one for each utterance")
        self._lines = list(lines)
        self._is_cyclic = is_cyclic
        self._floor = floor
        self._words_per_s = words_per_s
        self._finals = 0
        self._lock = threading.Lock()

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[Word]:
        with self._lock:
            texts = self._line(self._finals)
            self._finals += is_final
        loud = np.flatnonzero(np.abs(samples_of(pcm).astype(np.int32)) > self._floor)
        start, end = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(pcm) // 2)
        if not is_final:
            length_s = (end - start) / SAMPLE_RATE_HZ
            texts = texts[: max(1, round(length_s * self._words_per_s))]
        step_s = (end - start) / SAMPLE_RATE_HZ / max(1, len(texts))
        first_s = start / SAMPLE_RATE_HZ
        return [
            Word(text, first_s + i * step_s, first_s + (i + 1) * step_s, 0.95)
            for i, text in enumerate(texts)
        ]

    def _line(self, number: int) -> list[str]:
        if self._is_cyclic and self._lines:
            number %= len(self._lines)
        return self._lines[number].split() if number < len(self._lines) else []
