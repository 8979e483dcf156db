"""What happened, in LiveKit's words: speech events and errors, and with them the retry policy."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
    LanguageCode,
    stt,
)
from livekit.agents.types import NOT_GIVEN, TimedString

from ._backoff import retry_delay_s
from ._errors import (
    BasetenError,
    ConnectFailed,
    ConnectTimedOut,
    HandshakeRefused,
    MetadataRefused,
    ServerFailed,
    SessionLost,
    WrongDialect,
)
from ._events import Final, Hypothesis, Interim, Preflight, SpeechEnded, SpeechStarted, Used
from ._timeline import SAMPLE_RATE_HZ

SpokenEvent = SpeechStarted | Interim | Preflight | Final | SpeechEnded | Used

# What to check, by HTTP status of the refused handshake (docs/protocol.md, handshake failures).
_HANDSHAKE_HINTS = {
    400: "the URL is not right for a WebSocket; it must end in /websocket",
    401: "the API key is missing or invalid: check api_key or BASETEN_API_KEY",
    402: "the Baseten account has a billing problem",
    403: "the API key may not use this deployment: check api_key or BASETEN_API_KEY",
    404: "no such model, deployment or environment: check model_endpoint",
    408: "no replica took the connection in time",
    429: "the deployment is at its capacity",
    500: "the model failed to start or to answer",
    502: "the model cannot be reached; it may be starting",
    503: "the model is unavailable; it may be starting or draining",
    504: "no replica was ready in time; a model that sleeps takes minutes to wake: see "
    "cold_start_timeout and prewarm()",
}


@dataclass(frozen=True)
class Retries(APIConnectOptions):
    """LiveKit's retries, spread so that many calls that were cut at once come back one by one."""

    retry_after_s: Callable[[], float] = lambda: 0.0

    def _interval_for_retry(self, num_retries: int) -> float:
        return retry_delay_s(
            num_retries,
            retry_interval_s=self.retry_interval,
            uniform=random.uniform,
            retry_after_s=self.retry_after_s(),
        )


class Speaker:
    """Says a stream's events to LiveKit.

    Args:
        request_id: Prefix of every event's id; the utterance's number follows.
        wall_time_s: Epoch seconds at which a stream sample was pushed.
    """

    def __init__(self, request_id: str, wall_time_s: Callable[[int], float]) -> None:
        self._request_id = request_id
        self._wall_time_s = wall_time_s

    def said(self, event: SpokenEvent, *, offset_s: float, now_wall_s: float) -> stt.SpeechEvent:
        """
        Args:
            offset_s: Added to every time, as `RecognizeStream.start_time_offset`.
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
            return stt.SpeechEvent(
                kinds.START_OF_SPEECH,
                request_id,
                speech_start_time=self._wall_time_s(event.at),
            )
        if isinstance(event, SpeechEnded):
            return stt.SpeechEvent(
                kinds.END_OF_SPEECH, request_id, speech_end_time=self._wall_time_s(event.at)
            )
        hypothesis = event.hypothesis
        data = speech_data(hypothesis, offset_s=offset_s)
        if isinstance(event, Preflight):
            return stt.SpeechEvent(kinds.PREFLIGHT_TRANSCRIPT, request_id, [data])
        if isinstance(event, Interim):
            return stt.SpeechEvent(kinds.INTERIM_TRANSCRIPT, request_id, [data])
        end_wall_s = self._wall_time_s(hypothesis.end) if hypothesis.text else None
        if end_wall_s is not None:
            data.metadata = {**(data.metadata or {}), "delay_s": max(0.0, now_wall_s - end_wall_s)}
        return stt.SpeechEvent(
            kinds.FINAL_TRANSCRIPT, request_id, [data], speech_end_time=end_wall_s
        )


def speech_data(hypothesis: Hypothesis, *, offset_s: float) -> stt.SpeechData:
    metadata: dict[str, Any] = {}
    if hypothesis.is_suspect:
        metadata["possible_hallucination"] = True
    if hypothesis.is_unspoken:
        metadata["no_speech"] = True
    if hypothesis.is_promoted:
        metadata["is_promoted_interim"] = True
    data = stt.SpeechData(
        language=LanguageCode(hypothesis.language),
        text=hypothesis.text,
        speaker_id=hypothesis.speaker,
        metadata=metadata or None,
    )
    if not hypothesis.text:
        return data  # without times: zero means none to LiveKit
    data.start_time = hypothesis.start / SAMPLE_RATE_HZ + offset_s
    data.end_time = hypothesis.end / SAMPLE_RATE_HZ + offset_s
    if hypothesis.confidence is not None:
        data.confidence = hypothesis.confidence
    if hypothesis.words:
        data.words = [
            TimedString(
                text,
                start_time=start / SAMPLE_RATE_HZ + offset_s,
                end_time=end / SAMPLE_RATE_HZ + offset_s,
                confidence=NOT_GIVEN if confidence is None else confidence,
                start_time_offset=offset_s,
                speaker_id=speaker,
            )
            for text, start, end, confidence, speaker in hypothesis.words
        ]
    return data


def to_api_error(error: BasetenError) -> APIError:
    """LiveKit's name for ``error``, and whether trying again can help."""
    message = str(error)
    if isinstance(error, HandshakeRefused):
        hint = _HANDSHAKE_HINTS.get(error.status, message)
        if error.status < 400:
            hint = "the URL answers plain HTTP and is no WebSocket: is it a streaming model?"
        return APIStatusError(
            f"Baseten refused the connection with HTTP {error.status}: {hint}",
            status_code=error.status,
            retryable=error.status >= 400,  # of those, LiveKit knows which pass
        )
    if isinstance(error, ConnectTimedOut):
        return APITimeoutError(
            f"Baseten: {message}. A model that sleeps holds the handshake until it is awake: see "
            "cold_start_timeout and prewarm()"
        )
    if isinstance(error, ConnectFailed):
        return APIConnectionError(
            f"Baseten cannot be reached: {message}", retryable=not error.permanent
        )
    if isinstance(error, (MetadataRefused, ServerFailed)):
        return APIError(f"Baseten: {message}", retryable=not error.permanent)
    if isinstance(error, SessionLost):
        if error.code == 1003:
            message += ": the deployment takes no WebSockets; is it a streaming model?"
        return APIConnectionError(f"Baseten: {message}", retryable=not error.permanent)
    if isinstance(error, WrongDialect):
        return APIError(f"Baseten: {message}", retryable=False)
    return APIError(f"{type(error).__name__}: {message}", retryable=False)
