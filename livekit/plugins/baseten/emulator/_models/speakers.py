"""Who speaks when, as a chain's diarizer finds out beside the transcription.

It hears windows of five seconds in steps of half a second, so that it knows about speech when five
more seconds of audio have come. How it tells voices apart is not imitated: whoever a recognizer
says has spoken a word has spoken it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .._recognizers.recognizer import Word
from .message import Message

STEP_S = 0.5
COLLAR_S = 0.5
"""Turns of one speaker with no more than this between them are one. A guess at the server's."""

LEAST_S = 0.01
"""How long a word is at least that starts where it ends."""


@dataclass(frozen=True)
class Diarizer:
    """The diarizer of a chain.

    Attributes:
        lag_s: How much audio must follow before it knows who spoke, in seconds.
        max_wait_s: How long a final waits for it at most, in seconds of audio or of time, whichever
            are over first. The server's own value is not known. 0 lets no final wait.
    """

    lag_s: float = 5.0
    max_wait_s: float = 10.0


@dataclass
class _Turn:
    speaker: str
    start_s: float
    end_s: float

    def overlap_s(self, start_s: float, end_s: float) -> float:
        return max(0.0, min(end_s, self.end_s) - max(start_s, self.start_s))

    def distance_s(self, start_s: float, end_s: float) -> float:
        return max(0.0, self.start_s - end_s, start_s - self.end_s)


class Speakers:
    """What the diarizer knows of one connection."""

    def __init__(self, diarizer: Diarizer) -> None:
        self._diarizer = diarizer
        self._turns: list[_Turn] = []
        self._speech_ends_s: deque[float] = deque()  # where there was speech, not yet diarized
        self._covered_s: float | None = None
        self._heard_s = 0.0

    def heard(self, until_s: float, *, is_speech: bool) -> None:
        """There is audio up to here. What is diarized ends with the last speech in it."""
        self._heard_s = until_s
        if is_speech:
            self._speech_ends_s.append(until_s)
        diarized_s = math.floor((until_s - self._diarizer.lag_s) / STEP_S) * STEP_S
        while self._speech_ends_s and self._speech_ends_s[0] <= diarized_s:
            self._covered_s = self._speech_ends_s.popleft()

    def spoke(self, words: Sequence[Word], offset_s: float) -> None:
        """Somebody said these words; their times are from the start of a buffer."""
        for word in words:
            if word.speaker is None:
                continue
            start_s, end_s = offset_s + word.start_s, offset_s + word.end_s
            last = self._turns[-1] if self._turns else None
            if last and last.speaker == word.speaker and start_s - last.end_s <= COLLAR_S:
                last.end_s = max(last.end_s, end_s)
            else:
                self._turns.append(_Turn(word.speaker, start_s, end_s))

    def covers(self, end_s: float) -> bool:
        """Whether a final that ends here need wait no longer, going by the audio."""
        if self._heard_s - end_s >= self._diarizer.max_wait_s:
            return True
        return self._covered_s is not None and self._covered_s >= end_s

    def speaker_of(self, start_s: float, end_s: float) -> str | None:
        """Who spoke most in a span; else who spoke nearest to it, those behind it first."""
        if not self._turns:
            return None
        end_s = max(end_s, start_s + LEAST_S)
        overlaps_s: dict[str, float] = {}
        for turn in self._turns:
            overlap_s = turn.overlap_s(start_s, end_s)
            overlaps_s[turn.speaker] = overlaps_s.get(turn.speaker, 0.0) + overlap_s
        speaker = max(sorted(overlaps_s), key=lambda name: overlaps_s[name])
        if overlaps_s[speaker] > 0:
            return speaker
        nearest = min(self._turns, key=lambda t: (t.distance_s(start_s, end_s), t.start_s <= end_s))
        return nearest.speaker

    def turns(self) -> list[Message]:
        return [{"speaker": t.speaker, "start": t.start_s, "end": t.end_s} for t in self._turns]

    def forget(self, until_s: float) -> None:
        """Drop what lies before the last turn that starts before this."""
        starts = [i for i, turn in enumerate(self._turns) if turn.start_s < until_s]
        if starts:
            del self._turns[: starts[-1]]
