"""From what was transcribed to what is said of it, on one connection without diarization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .._recognizers.recognizer import Word
from . import messages
from .message import Message
from .metadata import StreamingParams
from .segments import Segment
from .session import Job


class Results(Protocol):
    """What becomes of the results of a connection.

    Attributes:
        is_waiting: Whether finals wait for something.
        due_s: When the first of them has waited long enough, by the clock of whoever calls.
    """

    @property
    def is_waiting(self) -> bool: ...

    @property
    def due_s(self) -> float | None: ...

    def heard(self, until_s: float, *, is_speech: bool) -> None:
        """There is audio up to here, and it ended with speech, or not. In seconds of it."""

    def partial(self, job: Job, segment: Segment, now_s: float) -> list[Message]: ...

    def final(
        self, job: Job, segment: Segment, words: Sequence[Word], now_s: float
    ) -> list[Message]: ...

    def release(self, now_s: float, *, all_of_them: bool = False) -> list[Message]:
        """Say the finals that have waited for long enough, or all."""


class PlainResults:
    """Results without diarization: one message each, at once."""

    is_waiting = False
    due_s = None

    def __init__(self, streaming: StreamingParams) -> None:
        self._streaming = streaming
        self._last_partial: Segment | None = None

    def heard(self, until_s: float, *, is_speech: bool) -> None:
        pass

    def partial(self, job: Job, segment: Segment, now_s: float) -> list[Message]:
        """A suspicious one is replaced by the last that was not, in a message with new numbers.

        A final does not clear what is stored, so that can be a partial of an earlier utterance.
        """
        if not is_held_back(segment, self._streaming):
            self._last_partial = segment
        if self._last_partial is None:
            return []
        return [self._message(job, self._last_partial, now_s)]

    def final(
        self, job: Job, segment: Segment, words: Sequence[Word], now_s: float
    ) -> list[Message]:
        message = self._message(job, segment, now_s)
        if job.is_flush:
            message["is_end_of_audio_flush"] = True  # there only when true
        return [message]

    def release(self, now_s: float, *, all_of_them: bool = False) -> list[Message]:
        return []

    def _message(self, job: Job, segment: Segment, now_s: float) -> Message:
        return messages.transcription(
            job,
            [segment],
            latency_s=latency_s(job, self._streaming, now_s),
            language=segment.language,
            language_prob=segment.language_prob,
        )


def is_held_back(segment: Segment, streaming: StreamingParams) -> bool:
    return segment.possible_hallucination and streaming.skip_partial_if_hallucination


def latency_s(job: Job, streaming: StreamingParams, now_s: float) -> float | None:
    return now_s - job.queued_s if streaming.include_pipeline_latency_metric else None
