"""A server with a script, seen from a client that has no event loop and nothing of ours."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from livekit.plugins.baseten.emulator import (
    AmplitudeDetector,
    ScriptedServer,
    Word,
    faults,
    utterance,
)
from livekit.plugins.baseten.emulator._models.dialects import Dialect

KEY = "key-4711"
SILENCE = bytes(1024 * 20)
FRAME_BYTES = 1024

Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as running:
        yield lambda *plan, **options: running.enter_context(ScriptedServer(*plan, **options))


class Client:
    """Speaks either dialect by hand."""

    def __init__(self, socket: ClientConnection, model: str) -> None:
        self.socket = socket
        self._is_whisper = model == "whisper"

    def speak(self, pcm: bytes) -> None:
        pcm = pcm + bytes(-len(pcm) % FRAME_BYTES)
        for at in range(0, len(pcm), FRAME_BYTES):
            frame = pcm[at : at + FRAME_BYTES]
            if self._is_whisper:
                self.socket.send(frame)
            else:
                audio = base64.b64encode(frame).decode()
                self.socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    def message(self) -> dict[str, Any]:
        received = json.loads(self.socket.recv(timeout=10))
        assert isinstance(received, dict)
        return received

    def final(self) -> dict[str, Any]:
        """The next final; what came before it is in `partials`."""
        self.partials: list[str] = []
        while True:
            message = self.message()
            if message["type"] == "transcription" and message["is_final"]:
                return message
            self.partials.append(text_of(message))

    def hears(self, pcm: bytes) -> str:
        """The final of an utterance."""
        self.speak(pcm + SILENCE)
        return text_of(self.final())


def text_of(message: dict[str, Any]) -> str:
    return " ".join(segment["text"] for segment in message["segments"]).strip()


@contextlib.contextmanager
def calling(server: ScriptedServer, **params: Any) -> Iterator[Client]:
    metadata = {
        "whisper_params": {"show_word_timestamps": True, **params},
        "streaming_params": {
            "enable_partial_transcripts": True,
            "partial_transcript_interval_s": 0.25,
        },
    }
    headers = {"Authorization": f"Api-Key {KEY}"}
    with connect(server.url, additional_headers=headers, compression=None) as socket:
        socket.send(json.dumps(metadata))
        yield Client(socket, server.model)


MODELS = pytest.mark.parametrize("model", get_args(Dialect))


# Turns.


@MODELS
def test_each_utterance_is_the_next_turn(serve: Serve, model: str) -> None:
    server = serve(model=model)
    server.hear("a table for two")
    server.hear("at eight")
    with calling(server) as client:
        assert client.hears(utterance()) == "a table for two"
        assert client.hears(utterance(0.4)) == "at eight"
        server.hear("said later")
        assert client.hears(utterance(0.4)) == "said later"
    assert [turn.text for turn in server.turns] == ["a table for two", "at eight", "said later"]
    server.assert_heard("a table for two", "at eight", "said later")
    server.assert_script_is_over()


@MODELS
def test_what_was_cut_off_and_is_sent_again_is_the_same_turn(serve: Serve, model: str) -> None:
    server = serve(faults.Reset(after_samples=8_000), model=model)
    first = server.hear("a table for two")
    server.hear("at eight")
    said = utterance()
    with calling(server) as client, pytest.raises(ConnectionClosed):
        client.speak(said + SILENCE)
        client.final()
    with calling(server) as client:
        assert client.hears(said) == "a table for two"
        assert client.hears(utterance()) == "at eight"
    assert first.connections == 2
    server.assert_heard("a table for two", "at eight")


def test_a_final_that_was_lost_on_its_way_is_made_again(serve: Serve) -> None:
    server = serve()
    server.hear("a table for two")
    server.hear("at eight")
    said = utterance()
    for _ in range(2):
        with calling(server) as client:
            assert client.hears(SILENCE + said) == "a table for two"
    with calling(server) as client:
        assert client.hears(utterance()) == "at eight"


def test_who_repeats_himself_says_it_twice(serve: Serve) -> None:
    server = serve()
    server.hear("yes")
    server.hear("yes I said")
    said = utterance()
    with calling(server) as client:
        assert [client.hears(said), client.hears(said)] == ["yes", "yes I said"]


def test_two_callers_take_turns_from_one_script(serve: Serve) -> None:
    server = serve()
    server.hear("first")
    server.hear("second")
    with calling(server) as one, calling(server) as other:
        assert other.hears(utterance()) == "first"
        assert one.hears(utterance()) == "second"


def test_a_noise_has_an_empty_final_and_takes_a_turn(serve: Serve) -> None:
    server = serve()
    server.hear()
    server.hear("hello")
    with calling(server) as client:
        click = np.full(8, 9_000, "<i2").tobytes()
        assert client.hears(click) == ""
        assert client.hears(utterance()) == "hello"
    server.assert_heard("", "hello")


def test_what_is_too_soft_to_be_known_again_is_a_new_turn_each_time(serve: Serve) -> None:
    server = serve(voice_detector=AmplitudeDetector)
    soft = np.full(4_096, 100, "<i2").tobytes()
    for text in ("first", "second"):
        server.hear(text)
        with calling(server) as client:
            assert client.hears(soft) == text


def test_what_nobody_scripted_has_no_words_and_is_told(serve: Serve) -> None:
    server = serve()
    with calling(server) as client:
        assert client.hears(utterance()) == ""
    assert "utterance 1: nothing is scripted for it" in server.report()
    with pytest.raises(AssertionError, match="1 utterances without a script"):
        server.assert_script_is_over()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, ["a", "a table", "a table for", "a table for two"]),
        (["ah", "a cable"], ["ah", "a cable", "a cable", "a cable"]),
        ([], ["", "", "", ""]),
    ],
)
def test_partials_are_the_first_words_or_those_given(
    serve: Serve, given: list[str] | None, shown: list[str]
) -> None:
    server = serve()
    server.hear("a table for two", partials=given)
    with calling(server) as client:
        assert client.hears(utterance(1.024)) == "a table for two"
        assert client.partials[:4] == shown


def test_words_are_spread_over_the_sound(serve: Serve) -> None:
    server = serve()
    server.hear("at eight", confidence=0.5)
    with calling(server) as client:
        client.speak(bytes(FRAME_BYTES * 10) + utterance(0.64) + SILENCE)
        (segment,) = client.final()["segments"]
    words = [(w["word"], w["start_time"], w["end_time"]) for w in segment["word_timestamps"]]
    assert words == [("at", 0.32, pytest.approx(0.64)), ("eight", pytest.approx(0.64), 0.96)]
    assert {word["prob"] for word in segment["word_timestamps"]} == {0.5}


def test_words_with_times_of_their_own_keep_them(serve: Serve) -> None:
    server = serve()
    server.hear([Word("at", 0.1, 0.2, 0.4), Word("eight", 0.3, 0.6, 0.8)])
    with calling(server) as client:
        client.speak(bytes(FRAME_BYTES * 10) + utterance(0.64) + SILENCE)
        (segment,) = client.final()["segments"]
        assert [text for text in client.partials if text][:1] == ["at"]
    words = [
        (w["word"], w["start_time"], w["end_time"], w["prob"]) for w in segment["word_timestamps"]
    ]
    assert words == [
        ("at", pytest.approx(0.42), pytest.approx(0.52), 0.4),
        ("eight", pytest.approx(0.62), pytest.approx(0.92), 0.8),
    ]
    server.assert_heard("at eight")


@pytest.mark.parametrize(
    ("model", "heard"), [("whisper", ("de", "en")), ("qwen3-asr", ("German", "English"))]
)
def test_a_language_is_detected_where_the_client_asks(
    serve: Serve, model: str, heard: tuple[str, str]
) -> None:
    server = serve(model=model)
    server.hear("guten tag", language=heard[0])
    server.hear("hello")
    with calling(server, audio_language="auto") as client:
        assert language_of(client) == heard[0]
        assert language_of(client) == heard[1]  # what the server finds where the script is silent
    server.hear("guten tag", language=heard[0])
    with calling(server, audio_language=heard[1]) as client:
        assert language_of(client) == heard[1]  # it was not asked to detect any


def language_of(client: Client) -> str:
    """Of one more utterance."""
    client.speak(utterance() + SILENCE)
    code = client.final()["language_code"]
    assert isinstance(code, str)
    return code


def test_a_speaker_is_told_where_there_is_a_diarizer(serve: Serve) -> None:
    server = serve(diarizer=True)
    server.hear("hello there.", speaker="SPEAKER_1")
    with calling(server, enable_diarization=True) as client:
        client.speak(utterance() + SILENCE)
        assert client.final()["segments"][0]["speaker"] == "SPEAKER_1"


def test_a_slow_final_comes_late_and_interims_do_not(serve: Serve) -> None:
    server = serve()
    server.hear("at eight", after_s=0.2)
    turn = server.hear("a table for two", after_s=600)
    with calling(server) as client:
        begun_s = time.perf_counter()
        assert client.hears(utterance()) == "at eight"
        assert time.perf_counter() - begun_s >= 0.19
        client.speak(utterance() + SILENCE)
        assert text_of(client.message()) == "a"
        assert not turn.is_answered


# Faults.


def test_faults_strike_the_connections_to_come_in_order(serve: Serve) -> None:
    server = serve()
    server.fail_next(faults.Refuse(503), None, faults.Close(1012))
    with pytest.raises(InvalidStatus), calling(server):
        pass
    with calling(server) as client:
        server.hear("hello")
        assert client.hears(utterance()) == "hello"
        assert server.pending == [faults.Close(1012)]
        with pytest.raises(AssertionError, match="not struck"):
            server.assert_struck()
    with calling(server) as client, pytest.raises(ConnectionClosed) as closed:
        client.message()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    server.assert_struck()


def test_a_fault_now_counts_from_now(serve: Serve) -> None:
    server = serve()
    server.hear("hello")
    with calling(server) as client:
        client.hears(utterance(0.512))
        wait_for(server, lambda: server.connections[0].seconds > 1.15)
        server.fail_now(faults.Garbage("<html>", after_samples=1_024))
        assert len(server.pending) == 1
        client.speak(bytes(FRAME_BYTES * 2))
        assert client.socket.recv(timeout=10) == "<html>"
        server.fail_now(faults.Close(1001))
        with pytest.raises(ConnectionClosed):
            client.message()
    assert server.connections[0].close_code == 1001
    server.assert_struck()


@pytest.mark.parametrize(
    ("fault", "finals"),
    [
        (faults.Duplicate(), ["hello", "hello"]),
        (faults.EmptyFinalAfter(), ["hello", ""]),
    ],
)
def test_a_fault_now_may_be_in_what_is_said(
    serve: Serve, fault: faults.Fault, finals: list[str]
) -> None:
    server = serve()
    server.hear("hello")
    with calling(server) as client:
        client.speak(b"\0" * FRAME_BYTES)
        wait_for(server, lambda: server.connections and server.connections[0].seconds > 0)
        server.fail_now(fault)
        client.speak(utterance() + SILENCE)
        assert [text_of(client.final()), text_of(client.final())] == finals


def test_a_fault_now_may_be_in_the_recognizer(serve: Serve) -> None:
    server = serve()
    server.hear("hello")
    with calling(server) as client:
        wait_for(server, lambda: server.connections)
        server.fail_now(faults.FailTranscription(1))
        client.speak(utterance() + SILENCE)
        while (message := client.message())["type"] == "transcription":
            assert not message["is_final"]
        assert message["body"]["error_type"] == "TRANSCRIPTION_ERROR"


def test_what_cannot_strike_now_says_so(serve: Serve) -> None:
    server = serve()
    with calling(server):
        wait_for(server, lambda: server.connections)
        with pytest.raises(ValueError, match="at the start of a connection"):
            server.fail_now(faults.Refuse(503))
    wait_for(server, lambda: not server.connections[0].is_open)
    with pytest.raises(RuntimeError, match="no connection is open"):
        server.fail_now(faults.Reset())


def wait_for(server: ScriptedServer, predicate: Callable[[], object]) -> None:
    asyncio.run(server.until(predicate))


# What was received.


@MODELS
def test_settings_are_found_wherever_they_are(serve: Serve, model: str) -> None:
    server = serve(model=model)
    server.hear("hello")
    with calling(server, prompt="Names: Aoife") as client:
        client.hears(utterance())
    received = server.connections[0]
    assert received.asked("prompt") == "Names: Aoife"
    assert received.asked("partial_transcript_interval_s") == 0.25
    assert received.asked("beam_width") is None
    server.assert_asked(prompt="Names: Aoife", enable_partial_transcripts=True)
    with pytest.raises(AssertionError, match="'prompt': 'Names: Aoife'"):
        server.assert_asked(prompt="Names: Eve")


def test_audio_and_messages_are_kept(serve: Serve) -> None:
    server = serve()
    said = utterance(0.512)
    with calling(server) as client:
        client.speak(said)
        client.socket.send('{"type":"health_check","trace_id":"a"}')
        while client.message()["type"] != "health_check":
            pass
        (received,) = server.connections
        assert received.is_open
        assert received.close_code is None
    assert received.audio == said
    assert received.seconds == 0.512
    assert received.messages("health_check") == [{"type": "health_check", "trace_id": "a"}]
    assert received.messages("end_audio") == []


def test_assertions_say_what_was_received_instead(serve: Serve) -> None:
    server = serve(api_key=KEY)
    server.hear("a table for two")
    server.hear("at eight")
    with calling(server) as client:
        client.hears(utterance())
        client.speak(utterance(0.2))
        wait_for(server, lambda: len(server.turns) == 2)
        with pytest.raises(AssertionError, match="1 connections, expected 2"):
            server.assert_connections(2)
        with pytest.raises(AssertionError) as failed:
            server.assert_script_is_over()
        server.assert_connections(1)
    assert "not heard to the end: ['at eight']" in str(failed.value)
    assert "utterance 2: 'at eight', not ended" in str(failed.value)
    with pytest.raises(
        AssertionError, match=r"heard \['a table for two'\], expected \['at nine'\]"
    ):
        server.assert_heard("at nine")
    assert KEY not in str(failed.value)


def test_waiting_ends_in_the_report(serve: Serve) -> None:
    server = serve()
    with pytest.raises(AssertionError, match=r"still not so after 0.05 s\nwhisper at ws://"):
        asyncio.run(server.until(lambda: server.connections, 0.05))
    with pytest.raises(AssertionError, match="no connection was made"):
        server.assert_asked(audio_language="en")


async def test_waiting_looks_again_at_every_change_in_the_loop_of_the_test(serve: Serve) -> None:
    server = serve(faults.Refuse(401))
    looked_in: set[int] = set()

    def is_refused() -> bool:
        looked_in.add(threading.get_ident())
        return [handshake.status for handshake in server.handshakes] == [401]

    def call() -> None:
        with pytest.raises(InvalidStatus), calling(server):
            pass

    await asyncio.gather(server.until(is_refused), asyncio.to_thread(call))
    assert looked_in == {threading.get_ident()}


# The thread.


def test_it_ends_with_its_block_whoever_is_still_connected() -> None:
    with contextlib.ExitStack() as client:
        with ScriptedServer() as server:
            socket = client.enter_context(calling(server)).socket
            wait_for(server, lambda: server.connections)
        assert not [t for t in threading.enumerate() if t.name == "baseten_server"]
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)


def test_a_port_that_is_taken_is_an_error_here(serve: Serve) -> None:
    port = int(serve().url.split(":")[2].split("/")[0])
    with pytest.raises(OSError, match=str(port)):
        serve(port=port)
