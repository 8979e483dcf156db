"""Diarized results: what a final is, when it comes, and what is said again beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect

from livekit.plugins.baseten.emulator import Diarizer, Word, serve

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


AT_ONCE = Diarizer(max_wait_s=0)
PARTIALS = {"enable_partial_transcripts": True}


def diarizing(
    connected: Connect,
    *finals: list[Word],
    diarizer: bool | Diarizer = AT_ONCE,
    streaming: dict[str, Any] | None = None,
    **whisper: Any,
) -> Any:
    metadata = {
        "whisper_params": {"enable_diarization": True} | whisper,
        "streaming_params": streaming or {},
    }
    return connected(metadata, diarizer=diarizer, recognizer=Dialogue(*finals))


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [s["text"] for m in messages for s in m.get("segments", [])]


def test_without_a_diarizer_it_is_off(connected: Connect) -> None:
    metadata = {"whisper_params": {"enable_diarization": True}}
    connection = connected(metadata, recognizer=Dialogue(talk("Hello.", "A")))
    (final,) = connection.heard(UTTERANCE)
    assert final["language_code"] == "en"
    assert final["segments"][0]["speaker"] is None
    assert final["diarization"] == []


@pytest.mark.parametrize(
    ("flags", "segments"),
    [
        ({"enable_word_level_diarization": True}, ["Hello", "you"]),
        ({"enable_sentence_level_diarization": True}, []),
        ({"enable_word_level_diarization": True, "enable_sentence_level_diarization": True}, []),
    ],
)
def test_of_the_deprecated_flags_the_one_for_sentences_wins(
    connected: Connect, flags: dict[str, Any], segments: list[str]
) -> None:
    words = talk("Hello", "A") + talk("you", "B", 0.1)
    connection = diarizing(connected, words, diarization_granularity="segment", **flags)
    assert texts(connection.heard(UTTERANCE)) == segments


def test_the_deprecated_flags_do_nothing_without_diarization(connected: Connect) -> None:
    metadata = {"whisper_params": {"enable_word_level_diarization": True}}
    connection = connected(metadata, diarizer=True, recognizer=Dialogue(talk("Hello to you.", "A")))
    (final,) = connection.heard(UTTERANCE)
    assert final["segments"][0]["word_timestamps"] == []


# What a final is.


def test_a_sentence_has_a_speaker_and_no_language(connected: Connect) -> None:
    connection = diarizing(connected, talk("Hello to you.", "A"))
    (final,) = connection.heard(UTTERANCE)
    (segment,) = final["segments"]
    assert (segment["speaker"], segment["speaker_confidence"]) == ("A", None)
    assert segment["text"] == "Hello to you."
    assert (segment["start_time"], segment["end_time"]) == (0.0, 0.2)  # where "you." starts
    assert [w["speaker"] for w in segment["word_timestamps"]] == [None] * 3
    assert (final["language_code"], final["language_prob"]) == (None, None)
    assert final["is_end_of_audio_flush"] is None
    assert final["diarization"] == [{"speaker": "A", "start": 0.0, "end": pytest.approx(0.3)}]
    assert final["next_partial"]["text"] == ""


def test_sentences_come_one_by_one_with_one_number(connected: Connect) -> None:
    words = talk("Hello.", "A") + talk("Hi. How", "B", 0.1)
    connection = diarizing(connected, words, talk("are you?", "B"))
    one, two = connection.heard(UTTERANCE)
    assert texts([one, two]) == ["Hello.", "Hi."]
    assert [m["segments"][0]["speaker"] for m in (one, two)] == ["A", "B"]
    assert [m["transcription_num"] for m in (one, two)] == [1, 1]
    assert two["next_partial"]["text"] == "How"
    (three,) = connection.heard(UTTERANCE)
    assert texts([three]) == ["How are you?"]
    assert three["transcription_num"] == 2


def test_text_without_words_is_lost_with_the_next_full_stop(connected: Connect) -> None:
    connection = diarizing(connected, talk("Yes", "A"), talk("I do.", "A"))
    assert connection.heard(UTTERANCE) == []  # one token has no words
    assert texts(connection.heard(UTTERANCE)) == ["I do."]


def test_words_without_a_full_stop_never_become_final(connected: Connect) -> None:
    connection = diarizing(connected, talk("so then", "A"), talk("I went", "A"))
    assert connection.heard(UTTERANCE) == []
    connection.heard(LOUD * 8)
    _, flush, finished = connection.end()
    assert texts([flush]) == ["I went"]  # the tail is one frame, whatever was held before it
    assert flush["next_partial"]["text"] == "so then"
    assert flush["is_end_of_audio_flush"] is None
    assert finished["body"] == {"status": "finished"}


def test_without_a_tail_what_is_held_is_not_said_at_all(connected: Connect) -> None:
    connection = diarizing(connected, talk("so then", "A"))
    assert connection.heard(UTTERANCE) == []
    assert [m["body"]["status"] for m in connection.end()] == ["acknowledged", "finished"]


@pytest.mark.parametrize(
    ("granularity", "segments"),
    [
        ("word", [("Hello.", "A"), ("Hi you", "B"), ("No", "A")]),
        ("segment", [("Hello. Hi you No", "B")]),
        ("split_segment", [("Hello. Hi you No", "B")]),
    ],
)
def test_other_granularities_split_otherwise(
    connected: Connect, granularity: str, segments: list[tuple[str, str]]
) -> None:
    """By who speaks, or not at all; the whole has the name of whoever spoke most."""
    words = talk("Hello.", "A") + talk("Hi you", "B", 0.1) + [Word("No", 0.3, 0.35, 1.0, "A")]
    connection = diarizing(
        connected, words, diarization_granularity=granularity, show_word_timestamps=True
    )
    (final,) = connection.heard(UTTERANCE)
    assert [(s["text"], s["speaker"]) for s in final["segments"]] == segments
    if granularity != "word":
        (whole,) = final["segments"]
        assert (whole["start_time"], whole["end_time"]) == (0.0, 15 * 512 / 16_000)


def test_where_nobody_is_known_nobody_is_named(connected: Connect) -> None:
    connection = diarizing(connected, talk("so be it.", None), diarization_granularity="word")
    (final,) = connection.heard(UTTERANCE)
    assert [(s["text"], s["speaker"]) for s in final["segments"]] == [("so be it.", None)]
    assert final["diarization"] == []


# What is still to be said.


@pytest.mark.parametrize(
    ("granularity", "pending"),
    [("word", "Good"), ("segment", "Good"), ("split_segment", "Good"), ("sentence", "")],
)
def test_a_final_is_followed_by_the_last_partial_of_the_same_utterance(
    connected: Connect, granularity: str, pending: str
) -> None:
    """In every granularity but `sentence`, which forgets it with the final."""
    said = talk("Good morning.", "A")
    connection = diarizing(connected, said, streaming=PARTIALS, diarization_granularity=granularity)
    partial, final = connection.heard(LOUD * 16 + QUIET * 11)
    assert texts([partial, final]) == ["Good", "Good morning."]
    assert final["next_partial"]["text"] == pending


def test_at_the_end_of_the_audio_a_sentence_is_followed_by_it_as_well(connected: Connect) -> None:
    connection = diarizing(connected, talk("Good morning.", "A"), streaming=PARTIALS)
    connection.heard(LOUD * 16)
    _, flush, _ = connection.end()
    assert texts([flush]) == ["Good morning."]
    assert flush["next_partial"]["text"] == "Good"


def test_partials_repeat_what_is_held_back(connected: Connect) -> None:
    connection = diarizing(
        connected, talk("so then", "A"), talk("I went.", "A"), streaming=PARTIALS
    )
    assert connection.heard(UTTERANCE) == []
    (partial,) = connection.heard(LOUD * 16)
    assert texts([partial]) == ["so then I"]
    assert partial["segments"][0]["speaker"] is None
    assert partial["language_code"] is None


SECOND = 32  # frames, a little more than one


@pytest.mark.parametrize(
    ("prioritizes", "shown"), [(True, "Good morning. Who"), (False, "Good Who")]
)
def test_partials_repeat_finals_that_wait_for_their_speakers(
    connected: Connect, prioritizes: bool, shown: str
) -> None:
    connection = diarizing(
        connected,
        talk("Good morning.", "A"),
        talk("Who goes there?", "B"),
        diarizer=True,
        streaming=PARTIALS | {"prioritize_latency": prioritizes},
        diarization_granularity="sentence",
    )
    (partial,) = connection.heard(LOUD * 16 + QUIET * 11)
    assert texts([partial]) == ["Good"]
    repeated = connection.heard(LOUD * 16)
    if prioritizes:
        assert texts(repeated) == [shown]
    else:
        assert repeated == []  # transcription waits, too


@pytest.mark.parametrize(("prioritizes", "pending"), [(True, "Hi."), (False, "")])
def test_a_final_is_followed_by_those_that_still_wait(
    connected: Connect, prioritizes: bool, pending: str
) -> None:
    connection = diarizing(
        connected,
        talk("Hello.", "A") + talk("Hi.", "B", 0.1),
        diarizer=Diarizer(max_wait_s=4),
        streaming={"prioritize_latency": prioritizes},
    )
    assert connection.heard(UTTERANCE) == []
    connection.expired(4.0)
    one, two = connection.said()
    assert (one["next_partial"]["text"], two["next_partial"]["text"]) == (pending, "")


# When finals come.


def test_a_final_waits_until_speech_behind_it_is_diarized(connected: Connect) -> None:
    """The diarizer knows about speech five seconds later, and a buffer ends in silence."""
    connection = diarizing(
        connected,
        talk("Good morning.", "A"),
        talk("Hm", "B"),
        diarizer=Diarizer(max_wait_s=60),
        diarization_granularity="segment",
    )
    assert connection.heard(UTTERANCE + QUIET * 7 * SECOND) == []
    assert connection.heard(LOUD + QUIET * 4 * SECOND) == []
    assert texts(connection.heard(QUIET * 2 * SECOND)) == ["Good morning."]


def test_a_sentence_needs_no_more_speech_behind_it(connected: Connect) -> None:
    connection = diarizing(connected, talk("Good morning.", "A"), diarizer=Diarizer(max_wait_s=60))
    assert connection.heard(UTTERANCE + QUIET * 4 * SECOND) == []
    assert texts(connection.heard(QUIET * 2 * SECOND)) == ["Good morning."]


@pytest.mark.parametrize("of_audio", [True, False])
def test_a_final_waits_no_longer_than_the_maximum(connected: Connect, of_audio: bool) -> None:
    connection = diarizing(
        connected,
        talk("Good morning.", "A"),
        diarizer=Diarizer(max_wait_s=4),
        diarization_granularity="segment",
    )
    assert connection.heard(UTTERANCE) == []
    if of_audio:
        said = connection.heard(QUIET * 4 * SECOND)
    else:
        connection.expired(3.9)
        assert connection.said() == []
        connection.expired(4.0)
        said = connection.said()
    assert texts(said) == ["Good morning."]


@pytest.mark.parametrize("prioritizes", [True, False])
def test_at_the_end_of_the_audio_no_final_waits(connected: Connect, prioritizes: bool) -> None:
    connection = diarizing(
        connected,
        talk("Good morning.", "A"),
        talk("Who goes there?", "B"),
        diarizer=True,
        streaming={"prioritize_latency": prioritizes},
    )
    assert connection.heard(UTTERANCE + LOUD * 16) == []
    said = connection.end()
    assert texts(said) == ["Good morning.", "Who goes there?"]
    assert said[-1]["body"] == {"status": "finished"}


async def test_a_server_keeps_the_time_for_finals_that_wait() -> None:
    metadata = {"whisper_params": {"enable_diarization": True}}
    headers = {"Authorization": "Bearer k"}
    async with (
        serve(
            recognizer=Dialogue(talk("Good morning.", "A")), diarizer=Diarizer(max_wait_s=0.05)
        ) as server,
        connect(server.url, additional_headers=headers, compression=None) as client,
    ):
        await client.send(json.dumps(metadata))
        for at in range(0, len(UTTERANCE), 1024):
            await client.send(UTTERANCE[at : at + 1024])
        assert texts([json.loads(await client.recv())]) == ["Good morning."]


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
