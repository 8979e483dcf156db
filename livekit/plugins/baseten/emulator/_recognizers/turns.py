"""Scripted turns: what the next utterance will have been, and a recognizer that goes by the script.

An utterance is known by its sound. A client that loses its connection sends the same samples again
on the next one, and they are the same turn: no turn is used up twice, and none twice answered with
different words.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .recognizer import SAMPLE_RATE_HZ, Word, samples_of

FLOOR = 200
"""The magnitude up to which a sample is silence: resampling leaves some beside every sound."""

WORDS_PER_S = 4.0
CONFIDENCE = 0.95
_ONSET_SAMPLES = 512  # by which an utterance is known again
_LEAST_SAMPLES = 32  # of sound, 2 ms, before which there is nothing to know it by

Samples = NDArray[np.int16]


@dataclass(eq=False)
class Turn:
    """Something that is said, and how the server takes it.

    Attributes:
        text: What it is recognized as; empty for a noise.
        words: The same with times, in seconds from the start of the sound.
        after_s: How much longer its final takes, in seconds.
        partials: What interims say, one after the other, the last one again if need be. `None` is
            the first words, more of them the longer it is.
        is_scripted: Whether it was in the script; otherwise nobody said what it should be.
        connections: On how many connections it was heard: more than one if it was sent again.
        is_answered: Whether its final was made.
    """

    text: str = ""
    words: tuple[Word, ...] = ()
    after_s: float = 0.0
    partials: tuple[str, ...] | None = None
    language: str | None = None
    speaker: str | None = None
    confidence: float = CONFIDENCE
    is_scripted: bool = True
    connections: int = 0
    is_answered: bool = False

    def heard(self, sound_s: float, start_s: float, partial: int | None) -> list[Word]:
        """Its words in a buffer.

        Args:
            sound_s: How much of it is in the buffer, in seconds.
            start_s: Where it starts there, in seconds.
            partial: The number of this partial, from 0; `None` for the final.
        """
        if self.words and (partial is None or self.partials is None):
            return [
                self._word(w.text, start_s + w.start_s, start_s + w.end_s, w)
                for w in self.words
                if partial is None or w.end_s <= sound_s
            ]
        texts = self._texts(sound_s, partial)
        step_s = sound_s / max(1, len(texts))
        return [
            self._word(text, start_s + i * step_s, start_s + (i + 1) * step_s)
            for i, text in enumerate(texts)
        ]

    def _texts(self, sound_s: float, partial: int | None) -> list[str]:
        if partial is None:
            return self.text.split()
        if self.partials is None:
            return self.text.split()[: max(1, round(sound_s * WORDS_PER_S))]
        if not self.partials:
            return []
        return self.partials[min(partial, len(self.partials) - 1)].split()

    def _word(self, text: str, start_s: float, end_s: float, given: Word | None = None) -> Word:
        return Word(
            text,
            start_s,
            end_s,
            given.prob if given else self.confidence,
            (given and given.speaker) or self.speaker,
            (given and given.language) or self.language,
        )


class TurnRecognizer:
    """The n-th utterance is the n-th scripted turn; past the last one there are no words.

    Args:
        floor: The magnitude up to which a sample is silence.

    Attributes:
        waiting: The turns that were not heard yet.
        turns: Those that were, in the order in which they were first heard, unscripted ones too.
    """

    blocking = False

    def __init__(self, *, floor: int = FLOOR) -> None:
        self.waiting: deque[Turn] = deque()
        self.turns: list[Turn] = []
        self._floor = floor
        self._onsets: dict[int, Samples] = {}  # by which a turn is known again
        self._ear = _TurnEar(self)

    def connected(self) -> _TurnEar:
        return _TurnEar(self)

    def recognize(self, pcm: bytes, *, is_final: bool) -> Sequence[Word]:
        """For whoever has one connection and no more."""
        return self._ear.recognize(pcm, is_final=is_final)

    def sound(self, pcm: bytes) -> tuple[int, Samples]:
        """Where in a buffer there is sound first, in samples, and everything from there on."""
        samples = samples_of(pcm)
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > self._floor)
        start, end = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, 0)
        return start, samples[start:end]

    def turn_of(self, sound: Samples, answered: set[int]) -> Turn:
        """The turn that a sound is, the next one of the script if it is new.

        Args:
            sound: Its samples from the first loud one.
            answered: The numbers of the turns that had their final on this connection: the same
                sound after it is somebody who repeats himself, and no replay.
        """
        onset = sound[:_ONSET_SAMPLES].copy()
        for number, known in self._onsets.items():
            if number not in answered and _is_same(onset, known):
                self._onsets[number] = max(onset, known, key=len)
                return self.turns[number]
        self._onsets[len(self.turns)] = onset
        self.turns.append(self.waiting.popleft() if self.waiting else Turn(is_scripted=False))
        return self.turns[-1]


def _is_same(onset: Samples, known: Samples) -> bool:
    shared = min(len(onset), len(known))
    is_enough = shared >= _LEAST_SAMPLES or 0 < len(onset) == len(known)
    return is_enough and np.array_equal(onset[:shared], known[:shared])


class _TurnEar:
    """Hears one connection: which turn is under way on it, and which ones it has had."""

    blocking = False

    def __init__(self, script: TurnRecognizer) -> None:
        self._script = script
        self._turn: Turn | None = None
        self._partials = 0
        self._answered: set[int] = set()

    def latency_s(self, pcm: bytes, *, is_final: bool) -> float:
        _, sound = self._script.sound(pcm)
        turn = self._heard(sound, is_final=is_final)
        return turn.after_s if turn is not None and is_final else 0.0

    def recognize(self, pcm: bytes, *, is_final: bool) -> Sequence[Word]:
        start, sound = self._script.sound(pcm)
        turn = self._heard(sound, is_final=is_final)
        if turn is None:
            return []
        sound_s, start_s = len(sound) / SAMPLE_RATE_HZ, start / SAMPLE_RATE_HZ
        if not is_final:
            self._partials += 1
            return turn.heard(sound_s, start_s, self._partials - 1)
        turn.is_answered = True
        self._answered.add(self._script.turns.index(turn))
        self._turn, self._partials = None, 0
        return turn.heard(sound_s, start_s, None)

    def _heard(self, sound: Samples, *, is_final: bool) -> Turn | None:
        """The turn under way; `None` while there is too little of it to be known again."""
        if self._turn is None and (is_final or len(sound) >= _LEAST_SAMPLES):
            self._turn = self._script.turn_of(sound, self._answered)
            self._turn.connections += 1
        return self._turn


_seeds = itertools.count()


def utterance(seconds: float = 1.0) -> bytes:
    """Sound in the rhythm of speech, each time another one, for which a script says the words.

    Args:
        seconds: How long it is.

    Returns:
        16-bit little-endian mono samples at 16 kHz. There is no silence before or after it, and
        none in it.
    """
    count = max(1, round(seconds * SAMPLE_RATE_HZ))
    at_s = np.arange(count) / SAMPLE_RATE_HZ
    loudness = 3_000 + 2_500 * np.sin(2 * np.pi * WORDS_PER_S * at_s) ** 2
    noise = np.random.default_rng(next(_seeds)).uniform(0.1, 1.0, count)
    hum = np.sign(np.sin(2 * np.pi * 160 * at_s + 0.1))  # the voice that the noise is on
    return (loudness * noise * hum).astype("<i2").tobytes()
