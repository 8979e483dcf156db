"""What happened, in LiveKit's words: events, and errors with the retry policy in them."""

from __future__ import annotations

from typing import Any

import pytest

from livekit.agents import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    LanguageCode,
)
from livekit.agents import stt as lk
from livekit.agents.types import TimedString
from livekit.agents.utils import is_given
from livekit.plugins.baseten._core.clocks import EventClock
from livekit.plugins.baseten._core.errors import (
    BasetenError,
    ConnectFailed,
    ConnectTimedOut,
    DrainTimedOut,
    HandshakeRefused,
    LocalProtocolError,
    MetadataRefused,
    ServerFailed,
    SessionLost,
    WrongDialect,
)
from livekit.plugins.baseten._core.events import (
    NOTHING,
    Final,
    Hypothesis,
    Interim,
    Preflight,
    SpeechEnded,
    SpeechStarted,
    SpokenWord,
    Used,
)
from livekit.plugins.baseten._livekit.api_errors import to_api_error
from livekit.plugins.baseten._livekit.speech_events import SpeechEvents, SpokenEvent

EPOCH_S = 1_700_000_000.0
Kind = lk.SpeechEventType

SAID = Hypothesis(
    "turn on",
    16_000,
    28_000,
    words=(
        SpokenWord("turn", 16_000, 20_000, 0.9, "A"),
        SpokenWord("on", 20_000, 28_000, None, None),
    ),
    language="en",
    confidence=0.9,
    speaker="A",
)


def said(event: SpokenEvent, offset_s: float = 0.0, now_s: float = 3.0) -> lk.SpeechEvent:
    """Stream sample n was pushed n / 16000 seconds after the epoch of these tests."""
    speech_events = SpeechEvents("call", lambda position: EPOCH_S + position / 16_000)
    clock = EventClock()
    clock.set_start(offset_s)
    return speech_events.of(event, clock=clock, now_wall_s=EPOCH_S + now_s)


# Transcripts


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Interim(3, SAID), Kind.INTERIM_TRANSCRIPT),
        (Preflight(3, SAID), Kind.PREFLIGHT_TRANSCRIPT),
        (Final(3, SAID), Kind.FINAL_TRANSCRIPT),
    ],
)
def test_a_transcript_has_one_alternative_with_everything_known(
    event: SpokenEvent, kind: Kind
) -> None:
    spoken = said(event)
    assert spoken.type is kind
    assert spoken.request_id == "call-3"
    (data,) = spoken.alternatives
    assert data.text == "turn on"
    assert data.language == "en"
    assert isinstance(data.language, LanguageCode)
    assert (data.start_time, data.end_time) == (1.0, 1.75)
    assert data.confidence == 0.9
    assert data.speaker_id == "A"
    assert data.words is not None
    first, second = data.words
    assert isinstance(first, TimedString)
    assert (first, first.start_time, first.end_time) == ("turn", 1.0, 1.25)
    assert (first.confidence, first.speaker_id) == (0.9, "A")
    assert (second, second.start_time, second.end_time) == ("on", 1.25, 1.75)
    assert not is_given(second.confidence)


def test_the_offset_is_added_to_every_time() -> None:
    (data,) = said(Final(1, SAID), offset_s=100.0).alternatives
    assert (data.start_time, data.end_time) == (101.0, 101.75)
    assert data.words is not None
    assert [(w.start_time, w.end_time) for w in data.words] == [(101.0, 101.25), (101.25, 101.75)]
    assert {w.start_time_offset for w in data.words} == {100.0}


@pytest.mark.parametrize("event", [Interim(1, NOTHING), Final(1, NOTHING)])
def test_an_empty_transcript_has_one_alternative_too_and_no_times(event: SpokenEvent) -> None:
    spoken = said(event, offset_s=100.0)
    (data,) = spoken.alternatives
    assert data.text == ""
    assert (data.start_time, data.end_time, data.confidence) == (0.0, 0.0, 0.0)
    assert not data.words
    assert spoken.speech_end_time is None
    assert spoken.speech_start_time is None


def test_without_words_there_are_none_and_without_confidence_it_is_zero() -> None:
    (data,) = said(Final(1, Hypothesis("hi", 0, 16_000))).alternatives
    assert data.words is None
    assert data.confidence == 0.0
    assert data.language == ""
    assert (data.start_time, data.end_time) == (0.0, 1.0)


def test_a_final_says_when_its_speech_ended_and_how_late_it_is() -> None:
    spoken = said(Final(1, SAID), offset_s=100.0, now_s=2.25)
    assert spoken.speech_end_time == EPOCH_S + 1.75
    assert (spoken.alternatives[0].metadata or {})["delay_s"] == pytest.approx(0.5)
    assert said(Interim(1, SAID)).speech_end_time is None


def test_no_final_comes_before_its_speech() -> None:
    spoken = said(Final(1, SAID), now_s=1.0)
    assert (spoken.alternatives[0].metadata or {})["delay_s"] == 0.0


@pytest.mark.parametrize(
    ("flag", "key"),
    [
        ("is_suspect", "possible_hallucination"),
        ("is_promoted", "is_promoted_interim"),
        ("is_unspoken", "no_speech"),
    ],
)
def test_what_is_doubtful_says_why(flag: str, key: str) -> None:
    doubtful: dict[str, Any] = {flag: True}
    (data,) = said(Interim(1, Hypothesis("hi", 0, 1, **doubtful))).alternatives
    assert data.metadata == {key: True}
    assert said(Interim(1, SAID)).alternatives[0].metadata is None


def test_the_bounds_of_speech_are_wall_clock_times() -> None:
    started, ended = said(SpeechStarted(2, 16_000), 100.0), said(SpeechEnded(2, 28_000), 100.0)
    assert (started.type, ended.type) == (Kind.START_OF_SPEECH, Kind.END_OF_SPEECH)
    assert started.speech_start_time == EPOCH_S + 1.0
    assert ended.speech_end_time == EPOCH_S + 1.75
    assert started.request_id == ended.request_id == "call-2"
    assert started.alternatives == ended.alternatives == []


def test_usage_is_in_seconds_of_audio() -> None:
    spoken = said(Used(24_000))
    assert spoken.type is Kind.RECOGNITION_USAGE
    assert spoken.recognition_usage is not None
    assert spoken.recognition_usage.audio_duration == 1.5
    assert spoken.request_id


# Errors


@pytest.mark.parametrize(
    ("status", "retryable", "check"),
    [
        (400, False, "/websocket"),
        (401, False, "BASETEN_API_KEY"),
        (402, False, "billing"),
        (403, False, "api_key"),
        (404, False, "model_endpoint"),
        (405, False, ""),
        (408, True, "replica"),
        (410, False, ""),
        (418, False, ""),
        (422, False, ""),
        (429, True, "capacity"),
        (500, True, "model"),
        (502, True, "starting"),
        (503, True, "unavailable"),
        (504, True, "cold_start_timeout"),
        (599, True, ""),
        (200, False, "WebSocket"),
        (302, False, "WebSocket"),
    ],
)
def test_a_refused_handshake_says_its_status_and_what_to_check(
    status: int, retryable: bool, check: str
) -> None:
    error = to_api_error(HandshakeRefused(status))
    assert type(error) is APIStatusError
    assert error.status_code == status
    assert error.retryable is retryable
    assert str(status) in error.message
    assert check in error.message


@pytest.mark.parametrize(
    ("happened", "kind", "retryable", "says"),
    [
        (ConnectTimedOut(10.0), APITimeoutError, True, "within 10 s"),
        (ConnectTimedOut(10.0), APITimeoutError, True, "cold_start_timeout"),
        (ConnectFailed("connection refused"), APIConnectionError, True, "connection refused"),
        (ConnectFailed("bad cert", permanent=True), APIConnectionError, False, "bad cert"),
        (MetadataRefused(1011, "why", sent="{options}"), APIError, True, "{options}"),
        (MetadataRefused(1011, "", sent="{}", permanent=True), APIError, False, "metadata"),
        (ServerFailed("STREAM_ERROR", "it broke"), APIError, True, "STREAM_ERROR: it broke"),
        (ServerFailed("", "too short", permanent=True), APIError, False, "too short"),
        (WrongDialect("speaks v2"), APIError, False, "speaks v2"),
        (LocalProtocolError("a bug"), APIError, False, "a bug"),
        (DrainTimedOut(5.0, acknowledged=True), APIConnectionError, True, ""),
        (DrainTimedOut(5.0, acknowledged=False), APIConnectionError, True, ""),
    ],
)
def test_each_failure_has_livekits_class_and_says_what_happened(
    happened: BasetenError, kind: type[APIError], retryable: bool, says: str
) -> None:
    error = to_api_error(happened)
    assert type(error) is kind
    assert error.retryable is retryable
    assert says in error.message


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        (1000, True),
        (1001, True),
        (1002, False),
        (1003, False),
        (1005, True),
        (1006, True),
        (1007, False),
        (1008, False),
        (1009, False),
        (1010, False),
        (1011, True),
        (1012, True),
        (1013, True),
        (1014, True),
        (1015, True),
        (4000, True),
    ],
)
def test_a_lost_connection_is_tried_again_unless_the_server_objects_to_what_was_sent(
    code: int, retryable: bool
) -> None:
    error = to_api_error(SessionLost(code, "going away"))
    assert type(error) is APIConnectionError
    assert error.retryable is retryable
    assert (str(code) in error.message) is (code != 1006)  # which no server can send
    assert "going away" in error.message


def test_a_deployment_without_websockets_is_told_from_a_bad_message() -> None:
    assert "WebSocket" in to_api_error(SessionLost(1003)).message


def every_error() -> list[BasetenError]:
    return [
        LocalProtocolError("x"),
        ConnectFailed("x"),
        ConnectTimedOut(1.0),
        HandshakeRefused(503),
        MetadataRefused(1011, "x", sent="y"),
        WrongDialect("x"),
        ServerFailed("x", "y"),
        SessionLost(1006, "x"),
        DrainTimedOut(1.0, acknowledged=True),
    ]


@pytest.mark.parametrize("error", every_error(), ids=lambda e: type(e).__name__)
def test_no_error_of_ours_is_left_without_a_name_of_livekits(error: BasetenError) -> None:
    named = to_api_error(error)
    assert isinstance(named, APIError)
    assert "Baseten" in named.message or isinstance(error, LocalProtocolError)
    assert str(named)
    assert repr(named)
