"""Words and segments of a result, before they become JSON. Times are of the connection's axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .message import Message


@dataclass(frozen=True)
class TimedWord:
    """A word as the aligner times it. It has a speaker once a diarizer has told."""

    text: str
    start_s: float
    end_s: float
    prob: float
    speaker: str | None = None

    def message(self) -> Message:
        return {
            "start_time": self.start_s,
            "end_time": self.end_s,
            "word": self.text,
            "prob": self.prob,
            "speaker": self.speaker,
        }


@dataclass(frozen=True)
class Segment:
    """A piece of a transcript. What the server builds anew has no more than the first fields."""

    start_s: float = 0.0
    end_s: float = 0.0
    text: str = ""
    words: tuple[TimedWord, ...] = ()
    language: str | None = None
    speaker: str | None = None
    language_prob: float | None = None
    log_prob: float | None = None
    possible_hallucination: bool = False
    beam_results: tuple[str, ...] | None = None

    def message(self) -> Message:
        """Every key is there every time."""
        return {
            "start_time": self.start_s,
            "end_time": self.end_s,
            "text": self.text,
            "log_prob": self.log_prob,
            "word_timestamps": [word.message() for word in self.words],
            "speaker": self.speaker,
            "speaker_confidence": None,
            "possible_hallucination": self.possible_hallucination,
            "beam_results": None if self.beam_results is None else list(self.beam_results),
            "language_code": self.language,
            "language_prob": self.language_prob,
        }


def merged(segments: Sequence[Segment]) -> Segment:
    """One segment of several. Without any it has no text and lasts from 0 to 0."""
    if not segments:
        return Segment()
    languages = Counter(segment.language for segment in segments if segment.language)
    return Segment(
        start_s=min(segment.start_s for segment in segments),
        end_s=max(segment.end_s for segment in segments),
        text=" ".join(segment.text for segment in segments),
        words=tuple(word for segment in segments for word in segment.words),
        language=languages.most_common(1)[0][0] if languages else None,
    )
