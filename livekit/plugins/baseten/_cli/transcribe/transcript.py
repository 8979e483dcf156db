"""What was said, as the command line's formats write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from livekit.agents import stt
from livekit.agents.utils import is_given


@dataclass(frozen=True)
class Word:
    """Times are seconds from the start of the recording.

    Attributes:
        confidence: From 0 to 1.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class Segment:
    """One final: what was said between two pauses, or what of it the server finished at once.

    Attributes:
        confidence: From 0 to 1; None where the words have none.
        is_doubtful: Perhaps nobody said this: the server doubts it, the audio is silent there, or
            it is the last that came before the server gave up.
    """

    text: str
    start_s: float
    end_s: float
    language: str | None = None
    speaker: str | None = None
    confidence: float | None = None
    words: Sequence[Word] = ()
    is_doubtful: bool = False


@dataclass
class Transcript:
    """All that was said in one recording.

    Attributes:
        name: The file, as the user called it.
        duration_s: How much of it was heard, in seconds.
    """

    name: str
    duration_s: float = 0.0
    segments: list[Segment] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)

    @property
    def language(self) -> str | None:
        """What most of the segments are in."""
        languages = [segment.language for segment in self.segments if segment.language]
        return max(languages, key=languages.count, default=None)


_DOUBTS = ("possible_hallucination", "no_speech", "is_promoted_interim")


def segment_of(said: stt.SpeechData) -> Segment:
    """A final's words and times."""
    words = [
        Word(
            str(word),
            round(word.start_time if is_given(word.start_time) else said.start_time, 3),
            round(word.end_time if is_given(word.end_time) else said.end_time, 3),
            round(word.confidence, 3) if is_given(word.confidence) else None,
            word.speaker_id,
        )
        for word in said.words or ()
    ]
    has_confidence = any(word.confidence is not None for word in words)
    metadata = said.metadata or {}
    return Segment(
        text=said.text,
        start_s=round(said.start_time, 3),
        end_s=round(said.end_time, 3),
        language=str(said.language) or None,
        speaker=said.speaker_id,
        confidence=round(said.confidence, 3) if has_confidence else None,
        words=words,
        is_doubtful=any(metadata.get(doubt) for doubt in _DOUBTS),
    )
