"""Results with diarization: finals wait until it is known who spoke, sentences until they end."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .._recognizers.recognizer import Word
from . import messages
from .message import Message
from .metadata import Metadata
from .results import is_held_back, latency_s
from .segments import Segment, TimedWord, merged
from .session import Job
from .speakers import Diarizer, Speakers

TERMINAL = frozenset(".?!。？！｡։؟۔।॥")  # noqa: RUF001 - of several scripts
"""Of the characters that Unicode calls the end of a sentence those that are met with."""


@dataclass(frozen=True)
class _Waiting:
    segment: Segment
    job: Job
    since_s: float


class DiarizedResults:
    """What becomes of the results of a connection that tells speakers apart. See `Results`.

    Three things are still to be said: finals that wait for the diarizer, words of a sentence that
    has not ended, and the last partial. A partial, and the `next_partial` of a final, is all of
    them in one segment, words included that a final has said meanwhile. `prioritize_latency` is
    what lets finals wait beside the transcription; without it, transcription waits with them.
    """

    def __init__(self, settings: Metadata, diarizer: Diarizer) -> None:
        self._streaming = settings.streaming_params
        self._granularity = settings.whisper_params.diarization_granularity
        self._diarizer = diarizer
        self._speakers = Speakers(diarizer)
        self._waiting: deque[_Waiting] = deque()
        self._held: Segment | None = None
        self._last_partial: Segment | None = None

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def due_s(self) -> float | None:
        return self._waiting[0].since_s + self._diarizer.max_wait_s if self._waiting else None

    def heard(self, until_s: float, *, is_speech: bool) -> None:
        self._speakers.heard(until_s, is_speech=is_speech)

    def partial(self, job: Job, segment: Segment, now_s: float) -> list[Message]:
        if not is_held_back(segment, self._streaming):
            self._last_partial = segment
        elif self._last_partial is None:
            return []
        wait_s = latency_s(job, self._streaming, now_s)
        return [messages.transcription(job, [self._to_be_said()], latency_s=wait_s)]

    def final(
        self, job: Job, segment: Segment, words: Sequence[Word], now_s: float
    ) -> list[Message]:
        self._speakers.spoke(words, job.offset_s)
        # At the end of the audio what is left is one frame, and words of a sentence stay held.
        if self._granularity == "sentence" and not job.is_flush:
            self._last_partial = None
            ended = self._sentences(segment)
        else:
            ended = [segment]
        self._waiting.extend(_Waiting(segment, job, now_s) for segment in ended)
        return self.release(now_s)

    def release(self, now_s: float, *, all_of_them: bool = False) -> list[Message]:
        said = []
        while self._waiting and (all_of_them or self._may_be_said(self._waiting[0], now_s)):
            said.append(self._said(self._waiting.popleft(), now_s))
        return said

    def _may_be_said(self, waiting: _Waiting, now_s: float) -> bool:
        has_waited = now_s - waiting.since_s >= self._diarizer.max_wait_s
        return has_waited or self._speakers.covers(waiting.segment.end_s)

    def _to_be_said(self) -> Segment:
        finals = [each.segment for each in self._waiting if self._streaming.prioritize_latency]
        return merged([*finals, *filter(None, [self._held, self._last_partial])])

    def _sentences(self, segment: Segment) -> list[Segment]:
        """Those that have ended. What is left of the words is held for the next final.

        Text without words is lost with the first full stop: sentences are made of words.
        """
        whole = merged([*filter(None, [self._held]), segment])
        self._held = whole
        if TERMINAL.isdisjoint(whole.text):
            return []
        sentences, rest = [], []
        for word in whole.words:
            rest.append(word)
            if word.text[-1:] in TERMINAL:
                sentences.append(_sentence(rest, whole.language))
                rest = []
        self._held = _sentence(rest, whole.language) if rest else None
        return sentences

    def _said(self, waiting: _Waiting, now_s: float) -> Message:
        segment = waiting.segment
        message = messages.transcription(
            waiting.job,
            self._with_speakers(segment),
            latency_s=latency_s(waiting.job, self._streaming, now_s),
            diarization=self._speakers.turns(),
            next_partial=self._to_be_said(),
        )
        self._speakers.forget(segment.end_s)
        message["is_end_of_audio_flush"] = None  # never true, even where it is one
        return message

    def _with_speakers(self, segment: Segment) -> list[Segment]:
        """A segment for each run of one speaker's words, or the whole with the majority's name."""
        speaker = self._speakers.speaker_of(segment.start_s, segment.end_s)
        if self._granularity != "word" or not segment.words or speaker is None:
            return [replace(segment, speaker=speaker)]
        words = [
            replace(word, speaker=self._speakers.speaker_of(word.start_s, word.end_s))
            for word in segment.words
        ]
        return [
            _run(list(run), name)
            for name, run in itertools.groupby(words, key=lambda word: word.speaker)
        ]


def _sentence(words: Sequence[TimedWord], language: str | None) -> Segment:
    """Words in a segment that ends where the last of them starts."""
    text = ("" if language in ("zh", "ja") else " ").join(word.text for word in words)
    return Segment(words[0].start_s, words[-1].start_s, text, tuple(words), language)


def _run(words: Sequence[TimedWord], speaker: str | None) -> Segment:
    text = " ".join(word.text for word in words)
    return Segment(words[0].start_s, words[-1].end_s, text, tuple(words), speaker=speaker)
