"""Speaker labels, as a chain with a diarizer adds them. The least of it that a client must survive.

A sentence goes out when it ends; words after the last full stop wait for the next final. The times
of a sentence end where its last word starts (docs/protocol.md, diarization).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from .._recognizers.recognizer import Word
from . import whisper_messages as messages
from .metadata import WhisperParams
from .session import Job, Message

TERMINAL = (".", "?", "!", "。", "？", "！")  # noqa: RUF001 - full width, as Chinese has them


class Diarization:
    """Diarized results of one connection. It outlives an utterance: words may be held back."""

    def __init__(self, params: WhisperParams) -> None:
        self._params = params
        self._held: list[Word] = []

    def transcriptions(
        self, job: Job, words: Sequence[Word], pipeline_latency_s: float | None
    ) -> list[Message]:
        """The frames of a result: one for a partial, none to several for a final."""
        heard = self._held + messages.words_at(words, job.offset_s)
        if not job.is_final:
            return [self._message(job, [heard], pipeline_latency_s)]
        groups, held = self._split(heard)
        if job.is_flush and held:
            groups, held = [*groups, held], []
        self._held = held
        if self._params.diarization_granularity == "sentence":
            return [self._message(job, [group], pipeline_latency_s) for group in groups]
        return [self._message(job, groups, pipeline_latency_s)]

    def _split(self, words: list[Word]) -> tuple[list[list[Word]], list[Word]]:
        granularity = self._params.diarization_granularity
        if granularity == "word":
            return [[word] for word in words], []
        if granularity == "segment":
            return [words], []
        if granularity == "split_segment":
            return [list(group) for _, group in itertools.groupby(words, lambda w: w.speaker)], []
        sentences: list[list[Word]] = []
        rest: list[Word] = []
        for word in words:
            rest.append(word)
            if word.text.endswith(TERMINAL):
                sentences.append(rest)
                rest = []
        return sentences, rest

    def _message(
        self, job: Job, groups: list[list[Word]], pipeline_latency_s: float | None
    ) -> Message:
        segments = [self._segment(job, group) for group in groups]
        message = messages.transcription(
            job, segments, self._params, pipeline_latency_s=pipeline_latency_s
        )
        if job.is_final:
            # A label costs the language, and the flag of a flush is null and never true.
            message |= {"language_code": None, "language_prob": None}
            message["is_end_of_audio_flush"] = None
            message["next_partial"] = self._segment(job, self._held)
            message["diarization"] = _turns([word for group in groups for word in group])
        return message

    def _segment(self, job: Job, words: list[Word]) -> Message:
        named = [replace(w, speaker=w.speaker or "UNKNOWN") for w in words]
        start_s = named[0].start_s if named else job.offset_s
        end_s = job.offset_s + job.audio_length_s
        if named and job.is_final:
            is_sentence = self._params.diarization_granularity == "sentence"
            end_s = named[-1].start_s if is_sentence else named[-1].end_s
        segment = messages.segment(named, start_s, end_s, self._params)
        return segment | {"speaker": named[0].speaker if named and job.is_final else None}


def _turns(words: list[Word]) -> list[Message]:
    turns = []
    for speaker, group in itertools.groupby(words, lambda w: w.speaker or "UNKNOWN"):
        spoken = list(group)
        turns.append({"speaker": speaker, "start": spoken[0].start_s, "end": spoken[-1].end_s})
    return turns
