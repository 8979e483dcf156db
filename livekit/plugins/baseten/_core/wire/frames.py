"""The server's frames as values, and what a dialect must be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class ServerWord(NamedTuple):
    """Times in seconds of connection time, None where the server gave none that make sense."""

    text: str
    start_s: float | None = None
    end_s: float | None = None
    confidence: float | None = None
    speaker: str | None = None


class Transcript(NamedTuple):
    """A hypothesis for the current utterance. Each one replaces the one before it.

    Attributes:
        start_s: Start of the audio it accounts for, leading silence included.
        end_s: End of the audio it accounts for. For a final: where the next one begins.
        audio_s: Length of that audio.
        number: ``transcription_num``; None where the server sent none.
        is_flush: The server's answer to the end of audio or a forced end of the utterance.
        language: Standard code, "" where the server named none.
        language_prob: How sure its detection is, None where nothing was detected.
        confidence: Mean probability of the words, None where there are none.
        beams: What else it may have been, if that was asked for; the best first.
        parts: Where several people spoke, what each said in turn; else empty.
        pending: What the server holds back for the next final.
        settles: If it answers a request, the stream position of that request. `Session` fills this
            in, because it knows what it asked.
    """

    text: str
    is_final: bool
    words: tuple[ServerWord, ...] = ()
    start_s: float | None = None
    end_s: float | None = None
    audio_s: float | None = None
    number: int | None = None
    is_flush: bool = False
    is_diarized: bool = False
    is_suspect: bool = False
    language: str = ""
    speaker: str | None = None
    confidence: float | None = None
    language_prob: float | None = None
    beams: tuple[str, ...] = ()
    parts: tuple[Transcript, ...] = ()
    pending: Transcript | None = None
    settles: int | None = None


@dataclass(frozen=True)
class EndAudio:
    """Answer to the end of audio: ``acknowledged`` at once, ``finished`` after the last final."""

    status: str


@dataclass(frozen=True)
class Alive:
    """Answer to a probe."""

    trace_id: str


@dataclass(frozen=True)
class Failure:
    """An error frame.

    Attributes:
        recoverable: The stream goes on after it.
        permanent: The same input would fail the same way.
        is_lost_result: The server failed to transcribe a piece of the audio.
    """

    error_type: str
    message: str
    recoverable: bool
    permanent: bool = False
    is_lost_result: bool = False


@dataclass(frozen=True)
class Unknown:
    """A frame that this version does not know. It is skipped, because newer servers send more."""

    type: str


ServerFrame = Transcript | EndAudio | Alive | Failure | Unknown


@dataclass(frozen=True)
class EndOfUtterance:
    """How to make the server finish an utterance now.

    Attributes:
        silence_samples: How much silence to send as audio first, in whole chunks.
        frame: What to send after it.
        trace_id: An `Alive` with this id says that the server has heard the silence. It is "" if
            the server answers with a flagged final instead.
    """

    silence_samples: int
    frame: str
    trace_id: str


class Dialect(Protocol):
    """The protocol of one kind of deployment, with the options of a stream. Immutable."""

    @property
    def chunk_samples(self) -> int:
        """Audio in one frame."""
        ...

    @property
    def pads_chunks(self) -> bool:
        """The server ends the session at a frame of any other length: zeros fill the last one."""
        ...

    @property
    def answers_each_end(self) -> bool:
        """Every end, of an utterance or of the audio, is answered with one flagged final."""
        ...

    @property
    def acknowledges_end(self) -> bool:
        """The end of audio is answered at once, before the last results."""
        ...

    @property
    def forced_samples(self) -> int:
        """Length of a final that was cut off because speech went on too long."""
        ...

    @property
    def segments_span_buffer(self) -> bool:
        """A result's times are those of the server's whole buffer, not of the speech in it."""
        ...

    @property
    def trailing_samples(self) -> int:
        """Silence after the last word in a final that the server ended by itself."""
        ...

    @property
    def holds_back_sentences(self) -> bool:
        """Words become final with the end of their sentence, and never without one."""
        ...

    @property
    def speaker_wait_s(self) -> float:
        """How long a final may wait until the server knows who spoke."""
        ...

    @property
    def sends_partials(self) -> bool: ...

    @property
    def partial_interval_samples(self) -> int: ...

    @property
    def language(self) -> str:
        """Standard code of the language that was asked for, "" to detect it."""
        ...

    @property
    def audio_head(self) -> str | None:
        """How a text frame with audio begins; None where audio is binary."""
        ...

    @property
    def cut_keyterms(self) -> Sequence[str]:
        """The keyterms that the model is not told, because they do not fit."""
        ...

    @property
    def doubts(self) -> Sequence[str]:
        """What of the options a deployment may not be able to do, a message each."""
        ...

    @property
    def translates(self) -> bool:
        """Results are in English, and name the language that was spoken."""
        ...

    @property
    def stream_id(self) -> str:
        """The name of the connection at the server, "" where it has none from here."""
        ...

    def opening(self, number: int = 0) -> str:
        """The first frame of a connection.

        Args:
            number: Of the connections with this `stream_id`, which one it is, from 0.
        """
        ...

    def described(self) -> str:
        """What `opening` asks for, in one line for error messages; without the prompt."""
        ...

    def audio(self, pcm: bytes) -> str | bytes: ...

    def end_of_utterance(self, number: int) -> EndOfUtterance: ...

    def end_of_audio(self) -> str: ...

    @property
    def can_probe(self) -> bool:
        """The protocol has a health check, which a live server answers with `Alive`."""
        ...

    def probe(self, trace_id: str) -> str:
        """The frame of that health check, if `can_probe`."""
        ...

    def decode(self, text: str) -> ServerFrame:
        """Read one server frame.

        Raises:
            UnreadableFrame: ``text`` is not a frame.
            WrongDialect: It is one of another protocol. No other exception, whatever ``text`` is.
        """
        ...

    def is_last(self, frame: ServerFrame) -> bool:
        """``frame`` answers `end_of_audio`, and nothing will come after it."""
        ...


def mean_confidence(words: Sequence[float | None]) -> float | None:
    """Of the confidences of ``words`` the mean, None where none has any."""
    known = [confidence for confidence in words if confidence is not None]
    return sum(known) / len(known) if known else None
