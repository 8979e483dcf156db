"""What Whisper's runtime makes of the words that were heard in a buffer, or why it fails.

A failure costs the whole result, a final as well as a partial, and every word of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .._recognizers.recognizer import (
    SAMPLE_RATE_HZ,
    Heard,
    Transcript,
    Word,
    text_of,
    transcript_of,
)
from .languages import SCRIPTS, UNSPACED, WHISPER
from .metadata import WhisperParams
from .segments import Segment, TimedWord
from .session import Job

DETECTION_PROB = 0.98
"""What language detection reports as its certainty here."""

WORD_STEP_S = 0.02
"""The aligner's time axis: words start and end at multiples of this from the buffer's start."""

MAX_BEAM_WIDTH = 5
"""What engines are built for, if nothing else was asked for."""


class TranscriptionFailed(Exception):
    """A buffer cannot be transcribed as was asked. The message is a traceback's last line."""


@dataclass(frozen=True)
class Runtime:
    """The runtime of a deployment.

    Attributes:
        has_aligner: Whether the engine can time words; without it, asking for that fails.
        word_step_s: The step in which words are timed, in seconds; 0 is to the sample.
    """

    has_aligner: bool = True
    word_step_s: float = WORD_STEP_S

    def transcribe(
        self, job: Job, heard: Heard, params: WhisperParams, *, suspicious: bool
    ) -> Segment:
        """The one segment of a buffer. It spans all of it, silence included.

        The buffer is taken for 16-bit audio at 16 kHz, so that is what the end comes from, while
        the start and `audio_length_sec` follow the rate that the client declared.

        Raises:
            TranscriptionFailed: It cannot be done.
        """
        transcript = transcript_of(heard)
        words, text, log_prob = transcript.words, transcript.text, transcript.log_prob
        code, prob = _language(params, transcript)
        end_s = job.offset_s + round(len(job.pcm) / 2 / SAMPLE_RATE_HZ, 3)
        if params.audio_language == "auto" and params.language_detection_only:
            return Segment(job.offset_s, end_s, language=code, language_prob=prob)
        if params.whisper_sampling_params.beam_width > MAX_BEAM_WIDTH:
            raise TranscriptionFailed("RuntimeError: the engine is not built for this beam width")
        if text is None:
            text = text_of(words, has_spaces=code not in UNSPACED)
        if log_prob is None:
            log_prob = sum(math.log(max(word.prob, 1e-9)) for word in words)
        return Segment(
            job.offset_s,
            end_s,
            text,
            self._timed(job, words, code) if params.show_word_timestamps else (),
            language=code,
            language_prob=prob,
            log_prob=log_prob,
            possible_hallucination=suspicious or transcript.is_doubtful,
            beam_results=(text,) if params.show_beam_results else (),
        )

    def _timed(self, job: Job, words: Sequence[Word], code: str | None) -> tuple[TimedWord, ...]:
        if not self.has_aligner:
            raise TranscriptionFailed(
                "ValueError: Please set enable_word_timestamp to True to enable "
                "`show_word_timestamps`"
            )
        if _is_one_token(words, code):
            return ()
        length_s = len(job.pcm) / 2 / SAMPLE_RATE_HZ
        timed = []
        for word in _characters(words) if code in UNSPACED else words:
            if word.start_s >= length_s:
                raise TranscriptionFailed(
                    "RuntimeError: Error during word alignment: list index out of range"
                )
            start_s, end_s = (job.offset_s + self._step(s) for s in (word.start_s, word.end_s))
            timed.append(TimedWord(word.text, start_s, end_s, round(word.prob, 2)))
        return tuple(timed)

    def _step(self, at_s: float) -> float:
        if not self.word_step_s:
            return at_s
        return math.floor(at_s / self.word_step_s + 1e-6) * self.word_step_s


def _language(params: WhisperParams, transcript: Transcript) -> tuple[str | None, float | None]:
    """The language's code and its probability, as the server reports them.

    A fixed language is echoed without a probability, and so is none at all. Detection finds what
    the recognizer heard; where that does not say, the first language it may choose.
    """
    asked = params.audio_language
    if asked == "auto":
        detected = transcript.language or (params.language_options or ["en"])[0]
        prob = transcript.language_prob
        return detected, DETECTION_PROB if prob is None else prob
    if asked is not None and asked not in WHISPER and asked not in SCRIPTS:
        raise TranscriptionFailed(f"KeyError: {asked!r}")
    return (None if asked is None else SCRIPTS.get(asked, asked)), None


def _is_one_token(words: Sequence[Word], code: str | None) -> bool:
    """Whether the tokenizer knows the whole text: taken to be so of a plain word of few letters."""
    return (
        len(words) == 1
        and words[0].text.isalpha()
        and len(words[0].text) <= 5
        and (code not in UNSPACED)
    )


def _characters(words: Sequence[Word]) -> list[Word]:
    """Where a language has no spaces, the aligner times characters."""
    characters = []
    for word in words:
        step_s = (word.end_s - word.start_s) / max(1, len(word.text))
        for i, character in enumerate(word.text):
            start_s = word.start_s + i * step_s
            characters.append(Word(character, start_s, start_s + step_s, word.prob))
    return characters
