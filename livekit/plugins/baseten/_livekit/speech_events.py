"""What happened, in LiveKit's words."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from livekit.agents import (
    LanguageCode,
    stt,
)
from livekit.agents.types import NOT_GIVEN, TimedString

from .._core.clocks import SAMPLE_RATE_HZ, EventClock
from .._core.events import (
    Final,
    Hypothesis,
    Interim,
    Preflight,
    SpeechEnded,
    SpeechStarted,
    SpokenWord,
    Used,
)

_language = functools.lru_cache(maxsize=64)(LanguageCode)  # which looks a code up in its tables
SpokenEvent = SpeechStarted | Interim | Preflight | Final | SpeechEnded | Used
SPOKEN = (Interim, Final, SpeechStarted, SpeechEnded, Preflight, Used)


class SpeechEvents:
    """Makes LiveKit's speech events of what a recognition tells its stream.

    Args:
        request_id: Prefix of every event's id; the utterance's number follows.
        wall_time_s: Epoch seconds at which a stream sample was pushed.
    """

    def __init__(self, request_id: str, wall_time_s: Callable[[int], float]) -> None:
        self._request_id = request_id
        self._wall_time_s = wall_time_s

    def of(self, event: SpokenEvent, *, clock: EventClock, now_wall_s: float) -> stt.SpeechEvent:
        """
        Args:
            clock: Knows what is added to times, as `RecognizeStream.start_time_offset`.
            now_wall_s: Epoch seconds.
        """
        kinds = stt.SpeechEventType
        if isinstance(event, Used):
            usage = stt.RecognitionUsage(audio_duration=event.samples / SAMPLE_RATE_HZ)
            return stt.SpeechEvent(
                kinds.RECOGNITION_USAGE, self._request_id, recognition_usage=usage
            )
        request_id = f"{self._request_id}-{event.utterance}"
        if isinstance(event, SpeechStarted):
            at_s = self._wall_time_s(event.at)
            return stt.SpeechEvent(kinds.START_OF_SPEECH, request_id, speech_start_time=at_s)
        if isinstance(event, SpeechEnded):
            at_s = self._wall_time_s(event.at)
            return stt.SpeechEvent(kinds.END_OF_SPEECH, request_id, speech_end_time=at_s)
        data = speech_data(event.hypothesis, clock)
        if isinstance(event, Interim):
            return stt.SpeechEvent(kinds.INTERIM_TRANSCRIPT, request_id, [data])
        if isinstance(event, Preflight):
            return stt.SpeechEvent(kinds.PREFLIGHT_TRANSCRIPT, request_id, [data])
        end_wall_s = self._wall_time_s(event.hypothesis.end) if data.text else None
        if end_wall_s is not None:
            data.metadata = {**(data.metadata or {}), "delay_s": max(0.0, now_wall_s - end_wall_s)}
        return stt.SpeechEvent(
            kinds.FINAL_TRANSCRIPT, request_id, [data], speech_end_time=end_wall_s
        )


def speech_data(hypothesis: Hypothesis, clock: EventClock) -> stt.SpeechData:
    metadata: dict[str, Any] = {}
    if hypothesis.is_suspect:
        metadata["possible_hallucination"] = True
    if hypothesis.is_unspoken:
        metadata["no_speech"] = True
    if hypothesis.is_promoted:
        metadata["is_promoted_interim"] = True
    if hypothesis.language_prob is not None:
        metadata["language_prob"] = hypothesis.language_prob
    if hypothesis.beams:
        metadata["beam_results"] = list(hypothesis.beams)
    data = stt.SpeechData(
        language=_language(hypothesis.language),
        text=hypothesis.text,
        speaker_id=hypothesis.speaker,
        metadata=metadata or None,
    )
    if hypothesis.source_language is not None and hypothesis.text:
        if hypothesis.source_language:
            data.source_languages = [LanguageCode(hypothesis.source_language)]
        data.target_languages, data.target_texts = [data.language], [hypothesis.text]
    if not hypothesis.text:
        return data  # without times: zero means none to LiveKit
    data.start_time, data.end_time = clock.span_s(hypothesis.start, hypothesis.end)
    if hypothesis.confidence is not None:
        data.confidence = hypothesis.confidence
    if clock.is_constant_from(hypothesis.start):  # as it nearly always is
        offset_s = clock.offset_s(hypothesis.start)
        words = [
            TimedString(
                text,
                start / SAMPLE_RATE_HZ + offset_s,
                end / SAMPLE_RATE_HZ + offset_s,
                NOT_GIVEN if confidence is None else confidence,
                offset_s,
                speaker,
            )
            for text, start, end, confidence, speaker in hypothesis.words
        ]
    else:
        words = [_timed(word, clock) for word in hypothesis.words]
    data.words = words or None
    return data


def _timed(word: SpokenWord, clock: EventClock) -> TimedString:
    start_s, end_s = clock.span_s(word.start, word.end)
    return TimedString(
        word.text,
        start_time=start_s,
        end_time=end_s,
        confidence=NOT_GIVEN if word.confidence is None else word.confidence,
        start_time_offset=clock.offset_s(word.start),
        speaker_id=word.speaker,
    )
