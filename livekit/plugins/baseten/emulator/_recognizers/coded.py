"""Audio that carries its own transcript, and the recognizer that reads it back.

Word ``n`` is a run of samples of value ``+n`` whose first sample is the marker ``-n``; zero is
silence. So what is recognized depends on the samples that arrived and on nothing else: a sample
that was lost, doubled or swapped shows as a lost word, a doubled word or a wrong length, and a slow
machine cannot change the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .recognizer import SAMPLE_RATE_HZ, Word, samples_of

MAX_WORDS = 32_000
WORD_SAMPLES = 4_000  # 250 ms, an ordinary word


@dataclass(frozen=True)
class CodedWord:
    """A word of coded speech.

    Attributes:
        text: What it is recognized as.
        start_samples: Its first sample, the marker.
        end_samples: One past its last sample.
    """

    text: str
    start_samples: int
    end_samples: int

    @property
    def start_s(self) -> float:
        return self.start_samples / SAMPLE_RATE_HZ

    @property
    def end_s(self) -> float:
        return self.end_samples / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class CodedSpeech:
    """Coded audio and the words in it.

    Attributes:
        pcm: 16-bit little-endian mono samples at 16 kHz.
        words: What is in it, at the exact sample.
    """

    pcm: bytes
    words: tuple[CodedWord, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def lengths(self) -> dict[str, int]:
        """The length of each word in samples, for a `CodedRecognizer` to check it by."""
        return {word.text: word.end_samples - word.start_samples for word in self.words}


def coded_speech(
    layout: Sequence[tuple[int, int]] | int,
    *,
    gap_samples: int = 800,
    word_samples: int = WORD_SAMPLES,
    trailing_samples: int = 0,
    first_word: int = 1,
) -> CodedSpeech:
    """Make audio whose words `CodedRecognizer` reads back.

    Args:
        layout: For each word, the silence before it and its length, in samples. A number stands
            for so many words with `gap_samples` before and `word_samples` in each.
        gap_samples: Silence before each word, in samples, where `layout` is a number.
        word_samples: Length of each word, in samples, where `layout` is a number.
        trailing_samples: Silence after the last word, in samples.
        first_word: The number of the first word.

    Raises:
        TypeError: `layout` is something else: words have numbers here, and no text.
        ValueError: A number is out of range.
    """
    if isinstance(layout, int):
        layout = [(gap_samples, word_samples)] * layout
    if isinstance(layout, str) or not all(isinstance(each, tuple | list) for each in layout):
        raise TypeError(
            f"coded_speech({layout!r}): words are w1, w2 and so on, given by how many there are, "
            "coded_speech(3), or by the silence before each and its length, in samples: "
            "coded_speech([(8_000, 4_000), (800, 4_000)])"
        )
    if first_word < 1 or first_word + len(layout) - 1 > MAX_WORDS:
        raise ValueError(f"words are numbered from 1 to {MAX_WORDS}")
    parts: list[np.ndarray[tuple[int], np.dtype[np.int16]]] = []
    words = []
    at = 0
    for number, (silence, length) in enumerate(layout, first_word):
        if silence < 0 or length < 1:
            raise ValueError(
                f"({silence}, {length}): silence before a word of 0 samples or more, and a word of "
                "1 or more"
            )
        run = np.full(length, number, np.int16)
        run[:1] = -number
        parts += [np.zeros(silence, np.int16), run]
        words.append(CodedWord(f"w{number}", at + silence, at + silence + length))
        at += silence + length
    parts.append(np.zeros(trailing_samples, np.int16))
    return CodedSpeech(np.concatenate(parts).astype("<i2").tobytes(), tuple(words))


class CodedRecognizer:
    """Reads coded speech: ``w{n}`` for every marker, with its times to the sample.

    A word in the middle of the buffer that is not `word_samples` long is reported with its length,
    ``w7!3999``: samples of it were lost or doubled. One that the buffer cuts off is not, and the
    rest of a word without its marker is nothing: the buffer before it had the word.

    Args:
        word_samples: How long words are, in samples: all of them, or each by its text, as
            `CodedSpeech.lengths` has it. `None` accepts any length.
    """

    blocking = False

    def __init__(self, word_samples: int | Mapping[str, int] | None = WORD_SAMPLES) -> None:
        self._word_samples = word_samples

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[Word]:
        samples = samples_of(pcm)
        markers = np.flatnonzero(samples < 0)
        # A run ends where the next sample differs from it, the marker aside.
        changes = np.flatnonzero(np.diff(samples)) + 1
        words = []
        for start in markers.tolist():
            number = -int(samples[start])
            end = self._end(samples, changes, start, number)
            words.append(
                Word(
                    self._text(number, end - start, touches_end=end == len(samples)),
                    start / SAMPLE_RATE_HZ,
                    end / SAMPLE_RATE_HZ,
                )
            )
        return words

    def _end(
        self,
        samples: np.ndarray[tuple[int], np.dtype[np.int16]],
        changes: np.ndarray[tuple[int], np.dtype[np.intp]],
        start: int,
        number: int,
    ) -> int:
        if start + 1 >= len(samples) or samples[start + 1] != number:
            return start + 1
        after = int(np.searchsorted(changes, start + 1, side="right"))
        return int(changes[after]) if after < len(changes) else len(samples)

    def _text(self, number: int, length_samples: int, *, touches_end: bool) -> str:
        text = f"w{number}"
        expected = self._word_samples
        if isinstance(expected, Mapping):
            expected = expected.get(text)
        is_whole = expected in (None, length_samples)
        return text if touches_end or is_whole else f"{text}!{length_samples}"
