"""What a recognition tells its stream. Times are samples of stream time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class SpokenWord(NamedTuple):
    """Times are stream samples."""

    text: str
    start: int
    end: int
    confidence: float | None
    speaker: str | None


class Hypothesis(NamedTuple):
    """What was said between two stream samples.

    Attributes:
        language: Standard code, "" where neither the server nor the user named one.
        language_prob: 0 to 1, how sure its detection is; None where the server gave none.
        source_language: What was spoken, where the text is a translation; "" if nobody knows, None
            where it is none.
        confidence: 0 to 1, None where the server gave none.
        beams: What else it may have been, where the server said so; the best first.
        heard_to: End of the audio that it accounts for.
        is_suspect: The server doubts it itself.
        is_unspoken: There is nothing but silence where it says that words are.
        is_promoted: The last partial of an utterance whose final never came.
    """

    text: str
    start: int
    end: int
    words: tuple[SpokenWord, ...] = ()
    language: str = ""
    confidence: float | None = None
    speaker: str | None = None
    heard_to: int = 0
    is_suspect: bool = False
    is_unspoken: bool = False
    is_promoted: bool = False
    language_prob: float | None = None
    source_language: str | None = None
    beams: tuple[str, ...] = ()


NOTHING = Hypothesis("", 0, 0)


@dataclass(frozen=True)
class SpeechStarted:
    """Attributes:
    utterance: Counts the utterances of a stream, from 1.
    at: Stream sample of the first word, or of the voice.
    is_wordless: A voice was heard, and no words have come yet.
    """

    utterance: int
    at: int
    is_wordless: bool = False


@dataclass(frozen=True)
class Interim:
    """Replaces the interim before it. An empty one takes it back."""

    utterance: int
    hypothesis: Hypothesis


@dataclass(frozen=True)
class Preflight:
    """An interim that will hardly change: it came twice, and silence has begun."""

    utterance: int
    hypothesis: Hypothesis


@dataclass(frozen=True)
class Final:
    """An empty one answers a flush, or ends an utterance that came to nothing."""

    utterance: int
    hypothesis: Hypothesis


@dataclass(frozen=True)
class SpeechEnded:
    utterance: int
    at: int


@dataclass(frozen=True)
class Used:
    """``samples`` more of the user's audio were sent. Audio that is sent again does not count."""

    samples: int


@dataclass(frozen=True)
class AudioLost:
    """Audio had to be dropped that no server has transcribed: the journal was full."""

    samples: int


@dataclass(frozen=True)
class HallucinationDropped:
    """A final that the server doubts, or that says words where there was silence."""

    hypothesis: Hypothesis


@dataclass(frozen=True)
class FlushAnswered:
    """Attributes:
    asked_s: When it was asked for, by the clock of whoever did.
    has_words: The answer is a final with words, and no empty one.
    """

    asked_s: float
    has_words: bool


@dataclass(frozen=True)
class ServerWarned:
    """An error frame after which the stream goes on."""

    error_type: str
    message: str


@dataclass(frozen=True)
class MessageSkipped:
    """A message that could not be read; reported once a kind."""

    reason: str


@dataclass(frozen=True)
class TimesDoubted:
    """A final has times that cannot be right; reported once a kind. Its words are kept."""

    reason: str


Event = (
    SpeechStarted
    | Interim
    | Preflight
    | Final
    | SpeechEnded
    | Used
    | AudioLost
    | FlushAnswered
    | HallucinationDropped
    | ServerWarned
    | MessageSkipped
    | TimesDoubted
)
