"""Control frames, and the end: acknowledged, what was queued, a flush if speech, finished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Connect = Callable[..., Any]

LOUD = np.ones(512, "<i2").tobytes()
QUIET = bytes(1024)
ACKNOWLEDGED, FINISHED = {"status": "acknowledged"}, {"status": "finished"}


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    """What the messages are, in a word each."""
    return [
        m["body"]["status"]
        if m["type"] == "end_audio"
        else {True: "flush", None: "final"}[m.get("is_end_of_audio_flush")]
        if m["type"] == "transcription"
        else m["type"]
        for m in messages
    ]


def test_end_audio_is_acknowledged_by_its_name_and_finished_without(connected: Connect) -> None:
    acknowledged, finished = connected().told(type="end_audio", trace_id="t1")
    assert acknowledged == {
        "type": "end_audio",
        "trace_id": "t1",
        "timestamp": None,
        "body": ACKNOWLEDGED,
    }
    assert finished == acknowledged | {"trace_id": None, "body": FINISHED}


def test_end_audio_in_speech_flushes(connected: Connect) -> None:
    connection = connected()
    connection.heard(LOUD * 5 + QUIET * 3)
    messages = connection.end()
    assert kinds(messages) == ["acknowledged", "flush", "finished"]
    assert messages[1]["is_final"] is True


def test_end_audio_after_speech_has_nothing_to_flush(connected: Connect) -> None:
    connection = connected()
    assert kinds(connection.heard(LOUD + QUIET * 20)) == ["final"]
    assert kinds(connection.end()) == ["acknowledged", "finished"]


def test_silence_alone_is_acknowledged_and_finished(connected: Connect) -> None:
    connection = connected()
    connection.heard(QUIET * 50)
    assert kinds(connection.end()) == ["acknowledged", "finished"]


def test_what_was_queued_comes_between_acknowledged_and_finished(connected: Connect) -> None:
    connection = connected(is_prompt=False)
    connection.heard((LOUD + QUIET * 11) * 2 + LOUD)
    assert kinds(connection.end()) == ["acknowledged"]
    connection.recognize(2)
    assert kinds(connection.said()) == ["final", "final"]
    connection.recognize()
    assert kinds(connection.said()) == ["flush", "finished"]


def test_finished_comes_after_a_failure_too(connected: Connect) -> None:
    connection = connected(is_prompt=False)
    connection.heard(LOUD)
    connection.end()
    connection.recognize(failure="no")
    assert kinds(connection.said()) == ["error", "finished"]


def test_end_audio_twice_at_once_flushes_once_and_finishes_twice(connected: Connect) -> None:
    connection = connected(is_prompt=False)
    connection.heard(LOUD)
    assert kinds(connection.end() + connection.end()) == ["acknowledged"] * 2
    connection.recognize()
    assert kinds(connection.said()) == ["flush", "finished", "finished"]
    assert connection.closing is None


def test_of_two_ends_that_wait_for_work_one_finishes_before_the_flush(connected: Connect) -> None:
    connection = connected(is_prompt=False)
    connection.heard(LOUD + QUIET * 11 + LOUD)
    assert kinds(connection.end() + connection.end()) == ["acknowledged"] * 2
    connection.recognize(1)
    assert kinds(connection.said()) == ["final", "finished"]
    connection.recognize(1)
    assert kinds(connection.said()) == ["flush", "finished"]


def test_audio_after_end_audio_is_transcribed_and_finished_waits_for_it(
    connected: Connect,
) -> None:
    connection = connected(is_prompt=False)
    connection.heard(LOUD + QUIET * 11)
    connection.end()
    connection.heard(LOUD + QUIET * 11)
    connection.recognize()
    assert kinds(connection.said()) == ["final", "final", "finished"]


def test_after_finished_the_server_stays(connected: Connect) -> None:
    connection = connected()
    connection.end()
    assert connection.closing is None


@pytest.mark.parametrize(
    ("control", "answers"),
    [
        ({"type": "health_check"}, ["health_check"]),
        ({"type": "end_audio"}, ["acknowledged", "finished"]),
        ({"type": "more"}, ["error"]),
    ],
)
def test_after_finished_one_frame_is_answered_and_then_the_server_closes(
    connected: Connect, control: dict[str, Any], answers: list[str]
) -> None:
    connection = connected()
    connection.end()
    assert kinds(connection.told(**control)) == answers
    assert (connection.closing.code, connection.closing.reason) == (1000, "")
    assert connection.told(type="health_check") == []


def test_audio_after_finished_closes_as_well(connected: Connect) -> None:
    connection = connected()
    connection.end()
    connection.heard(QUIET)
    assert connection.closing.code == 1000


def test_a_health_check_does_not_wait_for_transcriptions(connected: Connect) -> None:
    connection = connected(is_prompt=False)
    connection.heard(LOUD + QUIET * 11)
    connection.received('{"type":"health_check","trace_id":"h1","timestamp":1.5}', now_s=42.5)
    assert connection.said() == [
        {"type": "health_check", "trace_id": "h1", "timestamp": 42.5, "body": {"healthy": True}}
    ]


def test_a_health_check_tells_how_far_apart_partials_are(connected: Connect) -> None:
    metadata = {"streaming_params": {"enable_partial_transcripts": True}}
    connection = connected(metadata, is_prompt=False, since_s=1.0)
    ask = {"type": "health_check", "body": {"get_partial_interval": True}}
    assert connection.told(**ask)[0]["body"] == {"healthy": True, "partial_interval": 0.0}
    connection.heard(LOUD * 32)
    connection.recognize(1, now_s=4.0)
    assert connection.told(**ask)[-1]["body"]["partial_interval"] == 3.0  # since the start
    connection.recognize(1, now_s=4.75)
    assert connection.told(**ask)[-1]["body"]["partial_interval"] == 0.75


def test_keys_that_a_control_frame_does_not_know_are_ignored(connected: Connect) -> None:
    assert kinds(connected().told(type="health_check", more=1)) == ["health_check"]


@pytest.mark.parametrize(
    "text",
    [
        "KeepAlive",
        "{",
        "[]",
        '{"terminate_session": true}',
        '{"type":"KeepAlive"}',
        '{"type":"input_audio_buffer.commit"}',
        '{"type":"health_check","trace_id":3}',
        '{"type":"health_check","body":[]}',
    ],
)
def test_any_other_text_is_an_error_that_changes_nothing(connected: Connect, text: str) -> None:
    connection = connected()
    connection.received(text)
    (error,) = connection.said()
    assert error.keys() == {"type", "trace_id", "timestamp", "body"}
    assert error["body"].keys() == {
        "error_type",
        "message",
        "stream_id",
        "recoverable",
        "timestamp",
    }
    assert error["body"]["error_type"] == "STREAM_ERROR"
    assert error["body"]["recoverable"] is True
    assert error["body"]["message"].startswith("Failed to validate text message: ")
    assert kinds(connection.heard(LOUD + QUIET * 11)) == ["final"]


def test_a_client_that_reports_an_error_is_told_so_in_another_shape(connected: Connect) -> None:
    (error,) = connected().told(type="error", trace_id="e1")
    assert error == {
        "type": "error",
        "trace_id": "e1",
        "timestamp": None,
        "body": {"error": "Unhandled message type: MessageType.ERROR"},
    }


def test_an_empty_text_is_an_error_from_which_only_a_chain_does_not_recover(
    connected: Connect,
) -> None:
    truss, chain = connected(), connected(diarizer=True)
    for connection in (truss, chain):
        connection.received("")
    (recoverable,), (fatal,) = truss.said(), chain.said()
    assert (recoverable["body"]["error_type"], truss.closing) == ("STREAM_ERROR", None)
    assert kinds(truss.heard(LOUD + QUIET * 11)) == ["final"]
    assert fatal["body"]["error_type"] == "AUDIO_PROCESSING_ERROR"
    assert chain.closing.code == 1000


def test_nothing_is_finalised_without_end_audio(connected: Connect) -> None:
    connection = connected()
    assert connection.heard(LOUD * 50 + QUIET * 10) == []
