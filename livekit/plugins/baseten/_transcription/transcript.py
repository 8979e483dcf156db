"""What was said in a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .._core.text import joined


@dataclass(frozen=True)
class Word:
    """
    Attributes:
        start_s: In seconds from the start of the recording, as all times of a transcript.
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
        speaker: Who said it; a channel's name, where each channel is a speaker.
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
        name: The file or URL, as the user called it.
        duration_s: How much of it was heard, in seconds.
        notes: What is to be said beside the words: damaged places, why nothing was heard.
    """

    name: str
    duration_s: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return joined(segment.text for segment in self.segments)

    @property
    def language(self) -> str | None:
        """What most of the segments are in."""
        languages = [segment.language for segment in self.segments if segment.language]
        return max(languages, key=languages.count, default=None)


def writable(text: str) -> str:
    """Text that any encoding of Unicode can have: without halves of surrogate pairs."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
