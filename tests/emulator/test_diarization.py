"""Diarized finals: sentences, labels, and everything that is null where it otherwise is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from livekit.plugins.baseten.emulator import Word

Connect = Callable[..., Any]

LOUD = np.ones(512, "<i2").tobytes()
QUIET = bytes(1024)
UTTERANCE = LOUD * 4 + QUIET * 11


class Dialogue:
    """Says one list of words for each final."""

    blocking = False

    def __init__(self, *finals: list[Word]) -> None:
        self._finals = list(finals)

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[Word]:
        return self._finals.pop(0) if is_final else self._finals[0][:1]


def talk(text: str, speaker: str | None, start_s: float = 0.0) -> list[Word]:
    words = text.split()
    return [
        Word(word, start_s + i / 10, start_s + i / 10 + 0.1, 1.0, speaker)
        for i, word in enumerate(words)
    ]


def diarizing(connected: Connect, *finals: list[Word], **whisper: Any) -> Any:
    metadata = {"whisper_params": {"enable_diarization": True} | whisper}
    return connected(metadata, diarizer=True, recognizer=Dialogue(*finals))


def test_without_a_diarizer_it_is_off(connected: Connect) -> None:
    metadata = {"whisper_params": {"enable_diarization": True}}
    connection = connected(metadata, recognizer=Dialogue(talk("Hello.", "A")))
    (final,) = connection.heard(UTTERANCE)
    assert final["language_code"] == "en"
    assert final["segments"][0]["speaker"] is None
    assert final["diarization"] == []


def test_a_sentence_has_a_speaker_and_no_language(connected: Connect) -> None:
    connection = diarizing(connected, talk("Hello to you.", "A"))
    (final,) = connection.heard(UTTERANCE)
    (segment,) = final["segments"]
    assert (segment["speaker"], segment["speaker_confidence"]) == ("A", None)
    assert segment["text"] == "Hello to you."
    assert (segment["start_time"], segment["end_time"]) == (0.0, 0.2)  # where "you." starts
    assert [w["speaker"] for w in segment["word_timestamps"]] == ["A"] * 3
    assert (final["language_code"], final["language_prob"]) == (None, None)
    assert final["is_end_of_audio_flush"] is None
    assert final["diarization"] == [{"speaker": "A", "start": 0.0, "end": pytest.approx(0.3)}]
    assert final["next_partial"]["text"] == ""


def test_sentences_come_one_by_one_with_one_number(connected: Connect) -> None:
    words = talk("Hello.", "A") + talk("Hi. How", "B", 0.1)
    connection = diarizing(connected, words, talk("are you?", "B"))
    one, two = connection.heard(UTTERANCE)
    assert [m["segments"][0]["text"] for m in (one, two)] == ["Hello.", "Hi."]
    assert [m["segments"][0]["speaker"] for m in (one, two)] == ["A", "B"]
    assert [m["transcription_num"] for m in (one, two)] == [1, 1]
    assert two["next_partial"]["text"] == "How"
    (three,) = connection.heard(UTTERANCE)
    assert three["segments"][0]["text"] == "How are you?"
    assert three["transcription_num"] == 2


def test_an_utterance_without_a_full_stop_is_held_until_the_flush(connected: Connect) -> None:
    connection = diarizing(connected, talk("so then", None), talk("I", None))
    assert connection.heard(UTTERANCE) == []
    connection.heard(LOUD)
    _, flush, finished = connection.end()
    assert flush["segments"][0]["text"] == "so then I"
    assert flush["segments"][0]["speaker"] == "UNKNOWN"
    assert flush["is_end_of_audio_flush"] is None
    assert finished["body"] == {"status": "finished"}


@pytest.mark.parametrize(
    ("granularity", "texts"),
    [
        ("word", ["Hello.", "Hi", "you"]),
        ("segment", ["Hello. Hi you"]),
        ("split_segment", ["Hello.", "Hi you"]),
    ],
)
def test_other_granularities_split_otherwise(
    connected: Connect, granularity: str, texts: list[str]
) -> None:
    words = talk("Hello.", "A") + talk("Hi you", "B", 0.1)
    connection = diarizing(connected, words, diarization_granularity=granularity)
    (final,) = connection.heard(UTTERANCE)
    assert [s["text"] for s in final["segments"]] == texts


def test_partials_repeat_what_is_held_back(connected: Connect) -> None:
    metadata = {
        "whisper_params": {"enable_diarization": True},
        "streaming_params": {"enable_partial_transcripts": True},
    }
    recognizer = Dialogue(talk("so then", "A"), talk("I went.", "A"))
    connection = connected(metadata, diarizer=True, recognizer=recognizer)
    assert connection.heard(UTTERANCE) == []
    (partial,) = connection.heard(LOUD * 16)
    assert partial["segments"][0]["text"] == "so then I"
    assert partial["segments"][0]["speaker"] is None


NAME = "4f0c1c0e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("stream_id", "diarizer", "is_taken"),
    [(NAME, True, True), (NAME, False, False), ("x", True, False)],
)
def test_a_chain_takes_the_clients_name_for_the_stream_if_it_is_a_uuid(
    connected: Connect, stream_id: str, diarizer: bool, is_taken: bool
) -> None:
    connection = connected({"stream_id": stream_id}, diarizer=diarizer)
    (error,) = connection.told(type="nonsense")
    assert (error["body"]["stream_id"] == stream_id) is is_taken
