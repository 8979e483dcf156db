"""What a recognizer is: words out of a buffer of audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

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
        is_attached: Whether it follows the word before it without a space, as ``-hearted`` does.
    """

    text: str
    start_s: float
    end_s: float
    prob: float = 1.0
    speaker: str | None = None
    language: str | None = None
    is_attached: bool = False


@dataclass(frozen=True)
class Transcript:
    """A buffer as a model wrote it down, where there is more to say of it than its words.

    Attributes:
        text: The model's own text: spaces, capitals, punctuation. `None` is that of the words.
        words: Its words with times; none where nobody asked for times.
        language: What was detected, as a code; `None` where nobody asked.
        language_prob: How sure the detection is, from 0 to 1.
        log_prob: The sum of the tokens' log probabilities.
        is_doubtful: Whether the model's own figures say that it made this up.
    """

    text: str | None = None
    words: tuple[Word, ...] = ()
    language: str | None = None
    language_prob: float | None = None
    log_prob: float | None = None
    is_doubtful: bool = False


Heard: TypeAlias = Sequence[Word] | Transcript
"""What recognizers return: words and no more, or a transcript."""


@dataclass(frozen=True)
class DecodingOptions:
    """How a client asked for a buffer to be decoded: what the metadata says, in Whisper's terms.

    Attributes:
        language: A code; `None` is to detect it.
        language_options: Codes to detect among; empty is all that the model knows.
        is_detection_only: Whether the language is all that is wanted.
        translates: Whether to translate into English.
        prompt: What was said before.
        word_timestamps: Whether words and their times are wanted.
        beam_width: 1 is greedy.
        length_penalty: Of beams.
        repetition_penalty: Above 1 it holds repetitions down.
        no_repeat_ngram_size: No run of so many tokens comes twice; 0 is any.
        temperatures: Tried one after the other while the result is no good; partials get the first.
        max_new_tokens: The most tokens that a result has.
    """

    language: str | None = "en"
    language_options: tuple[str, ...] = ()
    is_detection_only: bool = False
    translates: bool = False
    prompt: str = ""
    word_timestamps: bool = True
    beam_width: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    max_new_tokens: int = 400


@runtime_checkable
class Recognizer(Protocol):
    """Turns buffers into words. One instance hears all connections of a server.

    Attributes:
        blocking: Whether `recognize` takes long enough to be kept off the event loop. It is then
            called from several threads at once, and a partial that a later buffer of the same
            connection has overtaken is skipped. An attribute `workers` says how many buffers are
            heard at once, 8 if it has none; one of them is kept for finals.
    """

    @property
    def blocking(self) -> bool: ...

    def recognize(self, pcm: bytes, *, is_final: bool) -> Heard:
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


@runtime_checkable
class Obliging(Protocol):
    """A recognizer that heeds how the client asked for a buffer to be decoded."""

    def transcribe(self, pcm: bytes, options: DecodingOptions, *, is_final: bool) -> Transcript:
        """Hear a whole buffer, as `Recognizer.recognize` does."""


def heard_by(
    recognizer: Recognizer, pcm: bytes, options: DecodingOptions, *, is_final: bool
) -> Heard:
    """What a recognizer makes of a buffer, as the client asked if it heeds that."""
    if isinstance(recognizer, Obliging):
        return recognizer.transcribe(pcm, options, is_final=is_final)
    return recognizer.recognize(pcm, is_final=is_final)


def text_of(words: Sequence[Word], *, has_spaces: bool = True) -> str:
    """Words as a text."""
    parts = [word.text if word.is_attached or not has_spaces else f" {word.text}" for word in words]
    return "".join(parts).strip()


def transcript_of(heard: Heard) -> Transcript:
    """The same of words alone: they say what language they are in, and have no text yet."""
    if isinstance(heard, Transcript):
        return heard
    words = tuple(heard)
    return Transcript(words=words, language=words[0].language if words else None)


def samples_of(pcm: bytes) -> NDArray[np.int16]:
    """The samples of little-endian 16-bit PCM; a `ValueError` where there is half a sample."""
    return np.frombuffer(pcm, dtype="<i2").astype(np.int16, copy=False)
