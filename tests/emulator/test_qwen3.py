"""Qwen3-ASR: JSON text only, turns that the server ends, commits that the client does."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from livekit.plugins.baseten.emulator import (
    CodedRecognizer,
    InMemoryConnection,
    ScriptRecognizer,
    Server,
    coded_speech,
    faults,
    serve,
)

LOUD = np.ones(512, "<i2").tobytes()
QUIET = bytes(1024)
COMMIT = '{"type":"input_audio_buffer.commit"}'


def append(pcm: bytes) -> str:
    audio = base64.b64encode(pcm).decode()
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio})


class Talk:
    """A connection in memory, and what is said on it."""

    def __init__(self, *first: str | bytes, **options: Any) -> None:
        self.connection = InMemoryConnection(model="qwen3-asr", **options)
        self.said = self._received(*first)

    def __call__(self, *frames: str | bytes) -> list[dict[str, Any]]:
        self.said = self._received(*frames)
        return self.said

    def _received(self, *frames: str | bytes) -> list[dict[str, Any]]:
        for frame in frames:
            self.connection.received(frame)
        return [json.loads(text) for text in self.connection.outgoing()]


def finals(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [m for m in messages if m.get("is_final")]


def text(message: dict[str, Any]) -> str:
    return " ".join(s["text"] for s in message["segments"])


def settings(**blocks: dict[str, Any]) -> str:
    return json.dumps(blocks)


SPEECH = coded_speech([(512, 4000), (96, 4000)], trailing_samples=16_000)


@pytest.mark.parametrize("append_samples", [1, 160, 512, 1600, 100_000])
def test_audio_comes_in_any_size(append_samples: int) -> None:
    talk = Talk()
    step = 2 * append_samples
    frames = [append(SPEECH.pcm[at : at + step]) for at in range(0, len(SPEECH.pcm), step)]
    (final,) = finals(talk(*frames))
    assert text(final) == SPEECH.text
    assert talk.connection.audio == SPEECH.pcm


def test_the_servers_own_finals_have_no_flag_and_times_bound_the_speech() -> None:
    (final,) = finals(Talk(append(SPEECH.pcm)).said)
    assert "is_end_of_audio_flush" not in final
    (segment,) = final["segments"]
    assert segment["start_time"] == SPEECH.words[0].start_s
    assert segment["end_time"] == SPEECH.words[-1].end_s
    assert final["language_code"] == "English"
    assert "word_timestamps" not in segment


def test_times_go_on_over_turns() -> None:
    one, two = finals(Talk(append(SPEECH.pcm * 2)).said)
    shift_s = len(SPEECH.pcm) / 32_000
    assert one["segments"][0]["start_time"] + shift_s == pytest.approx(
        two["segments"][0]["start_time"]
    )


@pytest.mark.parametrize(("silence_ms", "frames"), [(None, 17), (300, 11), (0, 1)])
def test_so_many_silent_windows_end_a_turn(silence_ms: int | None, frames: int) -> None:
    voice = {} if silence_ms is None else {"min_silence_duration_ms": silence_ms}
    talk = Talk(settings(streaming_vad_config=voice))
    assert finals(talk(append(LOUD + QUIET * (frames - 1)))) == []
    assert len(finals(talk(append(QUIET)))) == 1


def test_turns_count_from_zero_for_partials_and_finals() -> None:
    talk = Talk(recognizer=ScriptRecognizer(["one", "two"]))
    messages = talk(append((LOUD * 16 + QUIET * 17) * 2))
    assert {(m["is_final"], m["transcription_num"]) for m in messages} == {
        (False, 0),
        (True, 0),
        (False, 1),
        (True, 1),
    }
    assert [text(m) for m in finals(messages)] == ["one", "two"]


def test_partials_can_be_off() -> None:
    talk = Talk(settings(streaming_params={"enable_partial_transcripts": False}))
    assert all(m["is_final"] for m in talk(append(SPEECH.pcm)))


def test_a_commit_in_speech_is_answered_by_one_flagged_final() -> None:
    talk = Talk(append(SPEECH.pcm[: 2 * 8700]))  # in mid-word and not at a window's end
    (final,) = talk(COMMIT)
    assert final["is_final"] is True
    assert final["is_end_of_audio_flush"] is True
    assert text(final) == SPEECH.text
    (second,) = finals(talk(append(SPEECH.pcm), COMMIT))[1:]
    assert second["is_end_of_audio_flush"] is True
    assert talk.connection.closing is None


@pytest.mark.parametrize("before", [[], [append(QUIET * 40)], [append(SPEECH.pcm)], [COMMIT]])
def test_a_commit_with_nothing_pending_is_an_empty_turn(before: list[str]) -> None:
    (final,) = Talk(*before)(COMMIT)
    assert final["segments"] == []
    assert final["is_end_of_audio_flush"] is True
    assert final["language_code"] is None


def test_a_word_shorter_than_a_window_is_heard_at_the_commit() -> None:
    speech = coded_speech([(0, 100)])
    assert [text(m) for m in Talk(append(speech.pcm))(COMMIT)] == ["w1"]


def test_a_commit_at_the_very_end_of_speech_has_the_speech() -> None:
    speech = coded_speech([(0, 512)], trailing_samples=512 * 16 + 100)
    assert [text(m) for m in finals(Talk(append(speech.pcm))(COMMIT))] == ["w1!512"]


def test_silence_is_not_recognized_at_a_commit() -> None:
    talk = Talk(append(QUIET * 9), recognizer=ScriptRecognizer(["one"]))
    assert talk(COMMIT)[0]["segments"] == []


def test_what_came_after_the_last_window_belongs_to_the_commit() -> None:
    speech = coded_speech([(0, 512), (0, 100)])
    talk = Talk(append(speech.pcm), recognizer=CodedRecognizer(None))
    assert [text(m) for m in talk(COMMIT)] == ["w1 w2"]
    # and the next turn starts after it
    (final,) = finals(talk(append(SPEECH.pcm)))
    assert final["segments"][0]["start_time"] == pytest.approx(612 / 16_000 + 0.032)


def test_speech_that_was_cut_still_ends() -> None:
    cut, rest = finals(Talk(append(LOUD * 937 + QUIET * 17)).said)
    assert (cut["transcription_num"], rest["transcription_num"]) == (0, 1)


def test_a_commit_waits_for_what_was_queued() -> None:
    talk = Talk(append(SPEECH.pcm), COMMIT, is_prompt=False)
    assert talk.said == []
    talk.connection.recognize()
    flags = [m.get("is_end_of_audio_flush") for m in finals(talk())]
    assert flags == [None, True]


def test_speech_beyond_thirty_seconds_is_cut_and_nothing_is_lost() -> None:
    speech = coded_speech([(512, 4000)] + [(96, 4000)] * 140, trailing_samples=16_000)
    messages = finals(Talk(append(speech.pcm)).said)
    assert len(messages) == 2
    assert " ".join(text(m) for m in messages) == speech.text


def test_silence_of_thirty_seconds_is_dropped_but_its_time_passes() -> None:
    (final,) = finals(Talk(append(bytes(32_000 * 40) + SPEECH.pcm)).said)
    assert final["segments"][0]["start_time"] == pytest.approx(40 + SPEECH.words[0].start_s)


# The handshake.

ASKING = {"whisper_params": {"show_word_timestamps": True, "audio_language": "German"}}


@pytest.mark.parametrize(
    "handshake", [ASKING, {"type": "transcription_session.update", "session": ASKING}]
)
def test_both_handshakes_are_taken_in_silence(handshake: dict[str, Any]) -> None:
    talk = Talk(json.dumps(handshake), aligner=True)
    assert talk.said == []
    assert talk.connection.metadata == handshake
    (final,) = finals(talk(append(SPEECH.pcm)))
    assert final["language_code"] == "German"
    words = final["segments"][0]["word_timestamps"]
    assert [w["word"] for w in words] == ["w1", "w2"]
    assert words[0].keys() == {"word", "start_time", "end_time", "prob"}


def test_words_come_with_finals_and_with_an_aligner_only() -> None:
    messages = Talk(json.dumps(ASKING), append(SPEECH.pcm), aligner=True).said
    assert all("word_timestamps" not in m["segments"][0] for m in messages if not m["is_final"])
    (final,) = finals(Talk(json.dumps(ASKING), append(SPEECH.pcm)).said)
    assert "word_timestamps" not in final["segments"][0]


def test_unknown_keys_are_ignored() -> None:
    handshake = {"whisper_params": {"novel": 1}, "streaming_vad_config": {"x": 2}, "y": 3}
    assert Talk(json.dumps(handshake)).connection.closing is None


def test_settings_are_for_the_turn_that_follows() -> None:
    talk = Talk(append(SPEECH.pcm[:4096]), is_prompt=False)
    talk(settings(whisper_params={"audio_language": "French"}))
    talk(append(SPEECH.pcm[4096:]), append(SPEECH.pcm))
    talk.connection.recognize()
    assert [m["language_code"] for m in finals(talk())] == ["English", "French"]


# Errors.


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00" * 1024,
        "hello",
        "[]",
        "{}",
        '{"type":"end_audio"}',
        '{"type":"health_check"}',
        '{"type":"input_audio_buffer.append"}',
        '{"type":"input_audio_buffer.append","audio":"???"}',
        append(b"\x00"),
        '{"streaming_params":{"partial_transcript_interval_s":"soon"}}',
        '{"type":"transcription_session.update"}',
    ],
)
def test_what_cannot_be_read_is_an_error_and_the_end(frame: str | bytes) -> None:
    talk = Talk(frame)
    (error,) = talk.said
    assert error.keys() == {"type", "error"}
    assert error["type"] == "error"
    assert talk.connection.closing is not None
    assert talk.connection.closing.code == 1000
    assert talk(COMMIT) == []


# On a socket.


def opening(server: Server) -> connect:
    headers = {"Authorization": "Bearer k"}
    return connect(server.url, additional_headers=headers, compression=None, ping_interval=None)


def scripted(*plan: faults.Entry) -> Any:
    return serve(*plan, model="qwen3-asr", recognizer=ScriptRecognizer(["one", "two"]))


async def received(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    return [json.loads(await client.recv()) for _ in range(count)]


async def test_a_turn_on_a_socket() -> None:
    async with scripted() as server, opening(server) as client:
        await client.send(append(LOUD * 4))
        await client.send(COMMIT)
        (final,) = await received(client, 1)
        assert text(final) == "one"
        assert server.connections[0].metadata is None
        assert server.connections[0].audio == LOUD * 4


async def test_a_binary_frame_is_an_error_and_then_the_connection_closes() -> None:
    async with scripted() as server, opening(server) as client:
        await client.send(b"\x00")
        (error,) = await received(client, 1)
        assert error["type"] == "error"
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.protocol.close_code == 1000


async def test_the_flagged_final_can_come_twice() -> None:
    async with scripted(faults.Duplicate()) as server, opening(server) as client:
        await client.send(append(LOUD * 4))
        await client.send(COMMIT)
        one, two = await received(client, 2)
        assert one == two


async def test_the_flagged_final_can_stay_away() -> None:
    async with scripted(faults.NeverFinish()) as server, opening(server) as client:
        await client.send(append(LOUD * 4))
        await client.send(COMMIT)
        await client.send(append(LOUD * 4 + QUIET * 17))
        (final,) = await received(client, 1)
        assert (text(final), final["transcription_num"]) == ("two", 1)


async def test_the_flagged_final_can_be_late() -> None:
    async with scripted(faults.SlowRecognition(0.01)) as server, opening(server) as client:
        await client.send(append(LOUD * 4))
        await client.send(COMMIT)
        (final,) = await received(client, 1)
        assert final["is_end_of_audio_flush"] is True


@pytest.mark.parametrize(
    ("place", "frame"),
    [
        ("message", {"type": "error", "message": "oops"}),
        ("error", {"type": "error", "error": "oops"}),
        ("body.message", {"type": "error", "body": {"message": "oops"}}),
        ("body.error", {"type": "error", "body": {"error": "oops"}}),
    ],
)
@pytest.mark.parametrize("model", ["qwen3-asr", "whisper"])
async def test_an_error_can_have_its_text_in_any_of_four_places(
    model: Any, place: Any, frame: dict[str, Any]
) -> None:
    plan = (faults.Error(message="oops", then_close=1000), faults.ErrorShape(place))
    async with serve(plan, model=model) as server, opening(server) as client:
        await client.send('{"streaming_params":{}}')
        assert await received(client, 1) == [frame]
