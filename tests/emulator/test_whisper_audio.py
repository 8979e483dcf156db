"""Audio in, utterances out: frame sizes, the end of speech, the thirty seconds, the time axis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from livekit.plugins.baseten.emulator import coded_speech

Connect = Callable[..., Any]

LOUD = np.ones(512, "<i2").tobytes()
QUIET = bytes(1024)


class Levels:
    """A voice detector that is told what to think of each window."""

    def __init__(self, levels: Iterable[float]) -> None:
        self._levels = iter(levels)

    def probability(self, window: object) -> float:
        return next(self._levels)


def finals(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [m for m in messages if m["type"] == "transcription" and m["is_final"]]


def span(message: dict[str, Any]) -> tuple[float, float]:
    (segment,) = message["segments"]
    return segment["start_time"], segment["end_time"]


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (bytes(1024 - 2), "Input audio chunk is too short"),
        (bytes(200), "Input audio chunk is too short"),
        (bytes(3200), "Provided number of samples is 1600"),
        (bytes(2048), "Provided number of samples is 1024"),
        (bytes(512), "Input audio chunk is too short"),
        (bytes(1023), "buffer size must be a multiple of element size"),
        (b"", "division by zero"),
    ],
)
def test_a_frame_of_the_wrong_size_ends_the_session(
    connected: Connect, frame: bytes, why: str
) -> None:
    connection = connected()
    connection.received(frame)
    (error,) = connection.said()
    assert error["type"] == "error"
    assert error["trace_id"] is None
    assert error["timestamp"] is None
    assert error["body"]["error_type"] == "AUDIO_PROCESSING_ERROR"
    assert error["body"]["recoverable"] is False
    assert error["body"]["message"].startswith(f"Audio processing loop failed: {why}")
    assert (connection.closing.code, connection.closing.reason) == (1000, "")
    assert connection.audio == b""


def test_finals_that_were_queued_are_lost_with_a_frame_of_the_wrong_size(
    connected: Connect,
) -> None:
    connection = connected(is_prompt=False)
    connection.heard(LOUD + QUIET * 11)
    connection.received(bytes(100))
    assert connection.recognize() == 0
    assert [m["type"] for m in connection.said()] == ["error"]


@pytest.mark.parametrize(
    ("silence_ms", "frames"), [(300, 11), (500, 17), (0, 1), (100, 5), (32, 2), (64, 3), (33, 3)]
)
def test_so_many_silent_frames_end_an_utterance(
    connected: Connect, silence_ms: int, frames: int
) -> None:
    connection = connected({"streaming_vad_config": {"min_silence_duration_ms": silence_ms}})
    assert connection.heard(LOUD * 3 + QUIET * (frames - 1)) == []
    (final,) = connection.heard(QUIET)
    assert final["is_final"]


def test_speech_starts_the_count_of_silence_again(connected: Connect) -> None:
    connection = connected()
    assert connection.heard(LOUD + QUIET * 10 + LOUD + QUIET * 10) == []
    assert len(connection.heard(QUIET)) == 1


def test_between_the_thresholds_silence_goes_on_but_does_not_end(connected: Connect) -> None:
    levels = [0.5] + [0.34] * 10 + [0.36] * 5 + [0.34]
    connection = connected(voice_detector=lambda: Levels(levels))
    assert connection.heard(LOUD * 16) == []
    assert len(connection.heard(LOUD)) == 1


def test_between_the_thresholds_nothing_starts(connected: Connect) -> None:
    connection = connected(voice_detector=lambda: Levels([0.49] * 40))
    assert connection.heard(LOUD * 40) == []
    assert [m["type"] for m in connection.end()] == ["end_audio", "end_audio"]


def test_the_threshold_is_the_clients(connected: Connect) -> None:
    metadata = {"streaming_vad_config": {"threshold": 0.9, "min_silence_duration_ms": 0}}
    connection = connected(metadata, voice_detector=lambda: Levels([0.89, 0.9, 0.76, 0.74]))
    assert connection.heard(LOUD * 3) == []
    assert len(connection.heard(LOUD)) == 1


def test_a_threshold_that_is_no_number_shows_at_the_first_audio(connected: Connect) -> None:
    connection = connected({"streaming_vad_config": {"threshold": "0.5"}})
    (error,) = connection.heard(LOUD)
    assert error["body"]["error_type"] == "AUDIO_PROCESSING_ERROR"


def test_a_click_is_an_utterance_and_its_final_is_empty(connected: Connect) -> None:
    click = np.zeros(512, "<i2")
    click[100] = 9  # no marker, so not a word
    (final,) = connected().heard(click.tobytes() + QUIET * 11)
    assert final["segments"][0]["text"] == ""
    assert final["transcription_num"] == 1


def test_eight_kilohertz_voice_activity_wants_half_a_frame(connected: Connect) -> None:
    connection = connected({"streaming_vad_config": {"sampling_rate": 8000}})
    for frame in [LOUD[:512], *[QUIET[:512]] * 11]:
        connection.received(frame)
    assert len(connection.said()) == 1
    connection.received(LOUD)
    assert connection.closing.code == 1000


def test_the_silence_that_ends_speech_is_counted_in_whole_samples(connected: Connect) -> None:
    # 512.8 samples are 512, which the second frame of silence completes.
    connection = connected({"streaming_vad_config": {"min_silence_duration_ms": 32.05}})
    assert connection.heard(LOUD + QUIET) == []
    assert len(connection.heard(QUIET)) == 1


def test_a_final_spans_the_buffer_with_its_leading_silence(connected: Connect) -> None:
    connection = connected({"whisper_params": {"show_word_timestamps": True}})
    first = coded_speech([(512 * 20, 4000)], trailing_samples=512 * 12 + 96)
    second = coded_speech([(512 * 10, 4000)], trailing_samples=512 * 12 + 96, first_word=2)
    one, two = connection.heard(first.pcm + second.pcm)
    end_s = (20 + 8 + 11) * 512 / 16_000
    assert span(one) == (0.0, end_s)
    assert one["audio_length_sec"] == end_s
    assert two["segments"][0]["start_time"] == end_s
    (word,) = two["segments"][0]["word_timestamps"]
    at_samples = len(first.pcm) // 2 + 512 * 10
    assert word["word"] == "w2"
    assert word["start_time"] == pytest.approx(at_samples / 16_000, abs=0.02)
    assert word["end_time"] == pytest.approx((at_samples + 4000) / 16_000, abs=0.02)


def test_speech_beyond_thirty_seconds_is_cut_and_nothing_is_lost_or_doubled(
    connected: Connect,
) -> None:
    connection = connected()
    speech = coded_speech([(512, 4000)] + [(96, 4000)] * 140, trailing_samples=512 * 14)
    pcm = speech.pcm + bytes(-len(speech.pcm) % 1024)
    messages = connection.heard(pcm)
    assert len(messages) == 2
    assert span(messages[0]) == (0.0, 937 * 512 / 16_000)
    assert span(messages[1])[0] == 937 * 512 / 16_000
    assert " ".join(m["segments"][0]["text"] for m in messages) == speech.text
    assert [m["transcription_num"] for m in messages] == [1, 2]


def test_the_frame_that_overflows_is_not_looked_at(connected: Connect) -> None:
    connection = connected({"streaming_params": {"final_transcript_max_duration_s": 1}})
    connection.heard(LOUD * 31)
    connection.received(LOUD + LOUD)  # of a size that would otherwise end the session
    (final,) = connection.said()
    assert span(final) == (0.0, 31 * 512 / 16_000)
    assert connection.closing is None


def test_silence_of_thirty_seconds_is_dropped_but_its_time_passes(connected: Connect) -> None:
    connection = connected()
    assert connection.heard(QUIET * 1250) == []  # 40 s
    (final,) = connection.heard(LOUD * 100 + QUIET * 11)
    assert span(final) == (937 * 512 / 16_000, (1250 + 111) * 512 / 16_000)
    assert final["transcription_num"] == 1


def test_the_thirty_seconds_count_from_the_start_of_the_buffer(connected: Connect) -> None:
    connection = connected()
    connection.heard(QUIET * 900)
    (forced,) = connection.heard(LOUD * 38)
    assert span(forced) == (0.0, 937 * 512 / 16_000)
    (rest,) = connection.heard(QUIET * 11)
    assert span(rest) == pytest.approx((937 * 512 / 16_000, 949 * 512 / 16_000))


def test_a_longer_limit_is_cut_down_to_thirty_seconds(connected: Connect) -> None:
    connection = connected({"streaming_params": {"final_transcript_max_duration_s": 60}})
    assert len(connection.heard(LOUD * 938)) == 1


def test_a_declared_rate_changes_the_arithmetic_and_not_the_hearing(connected: Connect) -> None:
    connection = connected({"streaming_params": {"sample_rate": 8000}})
    one, two = connection.heard((LOUD * 10 + QUIET * 11) * 2)
    length_s = 21 * 512 / 16_000
    assert one["audio_length_sec"] == 2 * length_s
    assert span(one) == (0.0, length_s)  # contradicts the above, as on the real server
    assert span(two) == (2 * length_s, 3 * length_s)


def test_an_unknown_encoding_shows_at_the_first_audio(connected: Connect) -> None:
    connection = connected({"streaming_params": {"encoding": "opus"}})
    assert connection.told(type="health_check")[0]["body"]["healthy"]
    (error,) = connection.heard(QUIET)
    assert (
        "Unsupported encoding: opus. Expected 'pcm_s16le' or 'pcm_mulaw'"
        in (error["body"]["message"])
    )
    assert error["body"]["recoverable"] is False
    assert connection.closing.code == 1000


def test_mu_law_wants_256_bytes_and_is_never_heard(connected: Connect) -> None:
    connection = connected({"streaming_params": {"encoding": "pcm_mulaw", "sample_rate": 8000}})
    for _ in range(20):
        connection.received(b"\x11" * 256)
    assert [m["body"]["status"] for m in connection.end()] == ["acknowledged", "finished"]
    other = connected({"streaming_params": {"encoding": "pcm_mulaw"}})
    (error,) = other.heard(LOUD)
    assert error["body"]["error_type"] == "AUDIO_PROCESSING_ERROR"
