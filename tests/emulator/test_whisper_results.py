"""Transcription frames: their keys, their numbers, and when partials come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from livekit.plugins.baseten.emulator import ScriptRecognizer, Word, coded_speech

Connect = Callable[..., Any]

LOUD = np.ones(512, "<i2").tobytes()
QUIET = bytes(1024)
PARTIALS = {"streaming_params": {"enable_partial_transcripts": True}}


def spoken(text: str, metadata: dict[str, Any], connected: Connect, **options: Any) -> Any:
    connection = connected(metadata, recognizer=ScriptRecognizer([text]), **options)
    (final,) = connection.heard(LOUD * 20 + QUIET * 11)
    return final


def test_every_key_is_there_every_time(connected: Connect) -> None:
    connection = connected(recognizer=ScriptRecognizer(["turn on"]))
    (final,) = connection.heard(LOUD * 20 + QUIET * 11)
    assert final.pop("segments")[0].keys() == {
        "start_time",
        "end_time",
        "text",
        "log_prob",
        "word_timestamps",
        "speaker",
        "speaker_confidence",
        "possible_hallucination",
        "beam_results",
        "language_code",
        "language_prob",
    }
    assert final == {
        "language_code": "en",
        "language_prob": None,
        "diarization": [],
        "timing_info": None,
        "enable_chunk_level_language_detection": False,
        "audio_length_sec": 31 * 512 / 16_000,
        "is_final": True,
        "transcription_num": 1,
        "next_partial": None,
        "pipeline_latency": None,
        "type": "transcription",
    }


def test_messages_are_compact_and_not_escaped(connected: Connect) -> None:
    connection = connected(recognizer=ScriptRecognizer(["Größe"]))
    for frame in [LOUD, *[QUIET] * 11]:
        connection.received(frame)
    (text,) = connection.outgoing()
    assert '"text":"Größe"' in text
    assert ": " not in text


def test_words_are_given_only_where_asked_for(connected: Connect) -> None:
    assert spoken("turn on", {}, connected)["segments"][0]["word_timestamps"] == []
    metadata = {"whisper_params": {"show_word_timestamps": True}}
    words = spoken("turn on", metadata, connected)["segments"][0]["word_timestamps"]
    assert [w["word"] for w in words] == ["turn", "on"]
    assert words[0].keys() == {"start_time", "end_time", "word", "prob", "speaker"}


def test_a_language_without_spaces_is_timed_by_character(connected: Connect) -> None:
    metadata = {"whisper_params": {"show_word_timestamps": True, "audio_language": "zh-hant"}}
    (segment,) = spoken("你好 世界", metadata, connected)["segments"]
    assert segment["text"] == "你好世界"
    assert [w["word"] for w in segment["word_timestamps"]] == list("你好世界")
    assert segment["language_code"] == "zh"


@pytest.mark.parametrize(
    ("params", "code", "prob"),
    [
        ({}, "en", None),
        ({"audio_language": "de"}, "de", None),
        ({"audio_language": "zh-hans"}, "zh", None),
        ({"audio_language": None}, None, None),
        ({"audio_language": "auto"}, "en", 0.98),
        ({"audio_language": "auto", "language_options": ["fr", "de"]}, "fr", 0.98),
    ],
)
def test_a_fixed_language_is_echoed_and_a_detected_one_has_a_probability(
    connected: Connect, params: dict[str, Any], code: str | None, prob: float | None
) -> None:
    final = spoken("hm", {"whisper_params": params}, connected)
    for part in (final, final["segments"][0]):
        assert (part["language_code"], part["language_prob"]) == (code, prob)


def test_a_language_that_is_not_known_fails_every_transcription(connected: Connect) -> None:
    connection = connected({"whisper_params": {"audio_language": "en-US"}})
    for _ in range(2):
        (error,) = connection.heard(LOUD + QUIET * 11)
        assert error["body"]["error_type"] == "TRANSCRIPTION_ERROR"
        assert error["body"]["recoverable"] is True
        assert "Traceback" in error["body"]["message"]
    assert connection.end()[-1]["body"] == {"status": "finished"}


def test_an_engine_without_aligner_fails_where_words_are_asked_for(connected: Connect) -> None:
    metadata = {"whisper_params": {"show_word_timestamps": True}}
    assert spoken("hm", metadata, connected, aligner=False)["type"] == "error"
    assert spoken("hm", {}, connected, aligner=False)["type"] == "transcription"


def test_language_detection_only_has_neither_text_nor_words(connected: Connect) -> None:
    params = {"language_detection_only": True, "show_word_timestamps": True}
    detected = params | {"audio_language": "auto"}
    final = spoken("turn on", {"whisper_params": detected}, connected)
    (segment,) = final["segments"]
    assert (segment["text"], segment["word_timestamps"], segment["log_prob"]) == ("", [], None)
    assert final["language_code"] == "en"
    fixed = spoken("turn on", {"whisper_params": params}, connected)["segments"][0]
    assert fixed["text"] == "turn on"  # nothing to detect, so it transcribes
    assert len(fixed["word_timestamps"]) == 2


def test_more_beams_than_the_engine_is_built_for_fail_every_transcription(
    connected: Connect,
) -> None:
    def beams(width: int) -> dict[str, Any]:
        return {"whisper_params": {"whisper_sampling_params": {"beam_width": width}}}

    assert spoken("hm", beams(6), connected)["body"]["error_type"] == "TRANSCRIPTION_ERROR"
    assert spoken("hm", beams(5), connected)["type"] == "transcription"


class Words:
    blocking = False

    def __init__(self, *words: Word) -> None:
        self._words = list(words)

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[Word]:
        return self._words


WORDS = {"whisper_params": {"show_word_timestamps": True}}


def test_words_are_timed_in_steps_of_a_fiftieth_of_a_second(connected: Connect) -> None:
    word = Word("turning", 0.111, 0.259), Word("on", 0.26, 0.3)
    connection = connected(WORDS, recognizer=Words(*word))
    (final,) = connection.heard(LOUD * 20 + QUIET * 11)
    times = [(w["start_time"], w["end_time"]) for w in final["segments"][0]["word_timestamps"]]
    assert times == [(pytest.approx(0.1), pytest.approx(0.24)), (pytest.approx(0.26), 0.3)]


def test_a_word_at_the_end_of_the_buffer_costs_the_whole_final(connected: Connect) -> None:
    end_s = 15 * 512 / 16_000
    words = Word("turn", 0.1, 0.2), Word("on", end_s, end_s + 0.1)
    connection = connected(WORDS, recognizer=Words(*words))
    (error,) = connection.heard(LOUD * 4 + QUIET * 11)
    assert error["body"]["error_type"] == "TRANSCRIPTION_ERROR"
    assert "Error during word alignment" in error["body"]["message"]
    connection = connected(recognizer=Words(*words))
    (final,) = connection.heard(LOUD * 4 + QUIET * 11)
    assert final["segments"][0]["text"] == "turn on"  # without word times there is no error


@pytest.mark.parametrize(("text", "count"), [("Yes", 0), ("Yes.", 1), ("Oh yes", 2)])
def test_a_text_of_one_token_has_no_words(connected: Connect, text: str, count: int) -> None:
    (segment,) = spoken(text, WORDS, connected)["segments"]
    assert segment["text"] == text
    assert len(segment["word_timestamps"]) == count


def test_latency_is_told_where_asked_for(connected: Connect) -> None:
    metadata = {"streaming_params": {"include_pipeline_latency_metric": True}}
    connection = connected(metadata, is_prompt=False)
    for frame in [LOUD, *[QUIET] * 11]:
        connection.received(frame, now_s=10.0)
    connection.recognize(now_s=10.75)
    assert connection.said()[0]["pipeline_latency"] == 0.75


def test_beam_results_are_given_where_asked_for(connected: Connect) -> None:
    final = spoken("hm", {"whisper_params": {"show_beam_results": True}}, connected)
    assert final["segments"][0]["beam_results"] == ["hm"]


def test_there_are_no_partials_unless_asked_for(connected: Connect) -> None:
    assert connected().heard(LOUD * 100) == []


def test_the_first_partial_comes_with_the_first_frame_of_speech_after_silence(
    connected: Connect,
) -> None:
    connection = connected(PARTIALS)
    assert connection.heard(QUIET * 30) == []
    (partial,) = connection.heard(LOUD)
    assert partial["is_final"] is False
    assert partial["audio_length_sec"] == 31 * 512 / 16_000


def test_partials_come_by_the_length_of_the_buffer(connected: Connect) -> None:
    # 0.5 s are 15.6 frames, so one comes at every sixteenth.
    lengths = [m["audio_length_sec"] for m in connected(PARTIALS).heard(LOUD * 50)]
    assert [round(s * 16_000 / 512) for s in lengths] == [16, 32, 48]


def test_partials_restate_the_whole_buffer(connected: Connect) -> None:
    connection = connected(PARTIALS)
    speech = coded_speech([(96, 4000)] * 4)
    texts = [m["segments"][0]["text"] for m in connection.heard(speech.pcm + LOUD[:0])]
    assert texts == ["w1 w2", "w1 w2 w3 w4"]


def test_finals_count_from_one_and_partials_are_numbered_as_the_final_before(
    connected: Connect,
) -> None:
    connection = connected(PARTIALS)
    messages = connection.heard((LOUD * 20 + QUIET * 11) * 2)
    assert [(m["is_final"], m["transcription_num"]) for m in messages] == [
        (False, 0),
        (True, 1),
        (False, 1),
        (True, 2),
    ]


def test_a_failed_transcription_takes_its_number_with_it(connected: Connect) -> None:
    connection = connected(is_prompt=False)
    connection.heard((LOUD + QUIET * 11) * 3)
    connection.recognize(1)
    connection.recognize(1, failure="out of memory")
    connection.recognize(1)
    one, error, three = connection.said()
    assert (one["transcription_num"], three["transcription_num"]) == (1, 3)
    assert error["body"]["error_type"] == "TRANSCRIPTION_ERROR"
    assert error["body"]["recoverable"] is True
    message = error["body"]["message"]
    assert message.startswith(f"Transcription failed: Stream {error['body']['stream_id']}: ")
    assert "Traceback (most recent call last):" in message
    assert "out of memory" in message


def test_no_partial_is_queued_behind_more_than_ten(connected: Connect) -> None:
    connection = connected(PARTIALS, is_prompt=False)
    connection.heard(LOUD * 16 * 20 + QUIET * 11)
    assert connection.recognize() == 12
    messages = connection.said()
    assert [m["is_final"] for m in messages] == [False] * 11 + [True]


def test_a_partial_that_found_no_place_is_tried_again_with_the_next_frame(
    connected: Connect,
) -> None:
    connection = connected(PARTIALS, is_prompt=False)
    connection.heard(LOUD * 16 * 12 + LOUD)  # the twelfth found no place, nor did the next frame
    connection.recognize(1)
    connection.said()
    connection.heard(LOUD)
    connection.recognize()
    lengths = [round(m["audio_length_sec"] * 16_000 / 512) for m in connection.said()]
    assert lengths == [*range(32, 16 * 12, 16), 16 * 12 + 2]


def test_a_suspicious_partial_is_held_back_and_a_suspicious_final_is_sent(
    connected: Connect,
) -> None:
    connection = connected(PARTIALS, is_prompt=False)
    connection.heard(LOUD * 20 + QUIET * 11)
    connection.recognize(possible_hallucination=True)
    (final,) = connection.said()
    assert final["is_final"]
    assert final["segments"][0]["possible_hallucination"] is True


def test_in_place_of_a_suspicious_partial_comes_the_last_one_even_of_another_utterance(
    connected: Connect,
) -> None:
    connection = connected(PARTIALS, is_prompt=False)
    connection.heard(LOUD * 20 + QUIET * 11)
    connection.recognize()
    partial, final = connection.said()
    connection.heard(LOUD * 20)
    connection.recognize(possible_hallucination=True)
    (stale,) = connection.said()
    renewed = {"transcription_num": 1, "audio_length_sec": stale["audio_length_sec"]}
    assert stale == partial | renewed
    assert stale["audio_length_sec"] == 16 * 512 / 16_000
    assert stale["segments"][0]["end_time"] <= final["segments"][0]["end_time"]


def test_a_suspicious_partial_is_sent_where_that_is_wanted(connected: Connect) -> None:
    streaming = PARTIALS["streaming_params"] | {"skip_partial_if_hallucination": False}
    connection = connected({"streaming_params": streaming}, is_prompt=False)
    connection.heard(LOUD * 20)
    connection.recognize(possible_hallucination=True)
    assert connection.said()[0]["segments"][0]["possible_hallucination"] is True
