"""What opens a session, and what costs it: 1011 and not a word, whatever was wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from livekit.plugins.baseten.emulator import InMemoryConnection

REASON = "Internal Server Error (in model/chainlet)."


def opened(frame: str | bytes, **options: Any) -> InMemoryConnection:
    connection = InMemoryConnection(**options)
    connection.received(frame)
    return connection


def is_refused(frame: str | bytes, **options: Any) -> bool:
    connection = opened(frame, **options)
    assert connection.outgoing() == []  # refused or not, nothing is said
    if connection.closing is None:
        return False
    assert (connection.closing.code, connection.closing.reason) == (1011, REASON)
    assert connection.metadata is None
    return True


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "hello",
        "[]",
        "null",
        "3",
        '{"whisper_params":{}',
        b"\x00" * 1024,
        b"",
        '{"type":"health_check"}',
        '{"type":"end_audio"}',
    ],
)
def test_a_first_frame_that_is_no_metadata_is_refused(frame: str | bytes) -> None:
    assert is_refused(frame)


@pytest.mark.parametrize(
    "metadata",
    [
        {"language": "en"},
        {"vad_params": {}},
        {"streaming_whisper_params": {}},
        {"asr_options": {}},
        {"whisper_params": {"language": "en"}},
        {"streaming_params": {"sampling_rate": 16000}},
        {"whisper_params": {"whisper_sampling_params": {"temperature": 0.0}}},
        {"streaming_vad_config": {"endpointing": 300}},
        {"streaming_vad_config": {"id": "x"}},
        {"streaming_vad_config": {"model": "x"}},
        {"streaming_vad_config": {"detector": "x"}},
    ],
)
def test_an_unknown_key_is_refused(metadata: dict[str, Any]) -> None:
    assert is_refused(json.dumps(metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        {"whisper_params": None},
        {"whisper_params": []},
        {"whisper_params": {"language_options": None}},
        {"whisper_params": {"language_options": "en"}},
        {"whisper_params": {"show_word_timestamps": None}},
        {"whisper_params": {"show_word_timestamps": "perhaps"}},
        {"whisper_params": {"prompt": 3}},
        {"whisper_params": {"diarization_granularity": "letter"}},
        {"streaming_params": {"final_transcript_max_duration_s": 7.5}},
        {"streaming_params": {"final_transcript_max_duration_s": 12.5}},
        {"streaming_params": {"final_transcript_max_duration_s": None}},
        {"streaming_params": {"sample_rate": "fast"}},
        {"streaming_params": {"encoding": None}},
        {"streaming_params": {"partial_transcript_interval_s": "soon"}},
        {"streaming_vad_config": None},
        {"streaming_vad_config": {"sampling_rate": 44100}},
        {"streaming_vad_config": {"min_silence_duration_ms": "300"}},
        {"streaming_vad_config": {"speech_pad_ms": None}},
        {"stream_id": 3},
    ],
)
def test_a_wrong_value_is_refused(metadata: dict[str, Any]) -> None:
    assert is_refused(json.dumps(metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"streaming_params": {"final_transcript_max_duration_s": 30.0}},
        {"streaming_params": {"sample_rate": "16000"}},
        {"streaming_params": {"partial_transcript_interval_s": "1.0"}},
        {"streaming_params": {"enable_partial_transcripts": "true"}},
        {"streaming_params": {"encoding": "opus"}},  # wrong, but that shows at the first audio
        {"whisper_params": {"audio_language": None, "prompt": None, "prefix": None}},
        {"whisper_params": {"audio_language": "en-US"}},  # wrong, but that shows at the first final
        {"whisper_params": {"enable_diarization": None}},
        {"whisper_params": {"whisper_sampling_params": {"beam_width": 5}}},
        {"streaming_vad_config": {"sampling_rate": 8000}},
        {
            "streaming_vad_config": {
                "threshold": 0.4,
                "min_silence_duration_ms": 100,
                "speech_pad_ms": 30,
                "sampling_rate": 16000,
            }
        },
        {"streaming_diarization_config": {"anything": 1}, "diarization_config": {"goes": 2}},
        {"stream_id": "not a uuid", "include_timing_info": True},
    ],
)
def test_metadata_is_accepted_in_silence(metadata: dict[str, Any]) -> None:
    assert not is_refused(json.dumps(metadata))
    assert opened(json.dumps(metadata)).metadata == metadata


@pytest.mark.parametrize(
    ("key", "value", "before", "since"),
    [
        ("show_word_timestamps", True, "0.3.9", "0.4"),
        ("language_options", ["en"], "0.4.9", "0.5.0"),
        ("whisper_sampling_params", {}, "0.5", "0.6"),
        ("show_beam_results", False, "0.7.4", "0.7.5"),
    ],
)
def test_an_older_runtime_refuses_what_came_later(
    key: str, value: object, before: str, since: str
) -> None:
    frame = json.dumps({"whisper_params": {key: value}})
    assert is_refused(frame, runtime=before)
    assert not is_refused(frame, runtime=since)


def test_nothing_is_received_after_a_refusal() -> None:
    connection = opened("[]")
    connection.received("{}")
    assert connection.metadata is None
    assert connection.outgoing() == []
