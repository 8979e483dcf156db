"""A whole conversation in each mode of turn detection: every turn, once, with its words."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import pytest
from kit.harness import Played, Scene, play_once, scene
from kit.stage import SELFISH, YOUNG_MAN, Mode, Script, script

from livekit import rtc
from livekit.agents import Agent, ModelSettings, stt
from livekit.agents.stt import SpeechEventType as Kind
from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import Connection

SHORT = script(0.5, YOUNG_MAN, 2.0, SELFISH, 2.0, YOUNG_MAN, 1.2)
# The turn detector waits up to 2.5 s where it thinks that more is to come.
LONG = script(0.5, YOUNG_MAN, 3.2, SELFISH, 3.2, YOUNG_MAN, 3.0)

MODES: list[Mode] = ["stt", "vad", "manual", "default"]


class Forgetful(Agent):
    """Takes the time away at which the user stopped."""

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterator[stt.SpeechEvent]:
        async for event in Agent.default.stt_node(self, audio, model_settings):
            yield replace(event, speech_end_time=None)


async def converse(model: Model, spoken: Script, mode: Mode, **options: Any) -> Scene:
    async with scene(spoken, mode, model=model, **options) as played:
        call = played.call
        for number in range(len(spoken.lines)):
            if mode == "manual":
                await call.hears(number, plus_s=0.1)
                await call.session.commit_user_turn(transcript_timeout=10)
        await call.is_heard()
        await call.until(lambda: call.is_answered(len(spoken.lines)))
    return played


def scenes(model: Model) -> dict[str, Callable[[], Awaitable[Scene]]]:
    talk = functools.partial(converse, model)
    modes: dict[str, Callable[[], Awaitable[Scene]]] = {
        mode: functools.partial(talk, LONG if mode == "default" else SHORT, mode) for mode in MODES
    }
    slow_server = {"vad_min_silence_duration_ms": 2000}
    return {
        **modes,
        "stt without speech_end_time": functools.partial(
            talk, SHORT, "stt", agent=lambda _: Forgetful(instructions="listen")
        ),
        "vad, server waits 2 s": functools.partial(talk, SHORT, "vad", stt_options=slow_server),
    }


@pytest.fixture(scope="module")
def of_model() -> Callable[[Model], dict[str, Played[Scene]]]:
    return play_once(scenes)


@pytest.fixture
def conversations(
    of_model: Callable[[Model], dict[str, Played[Scene]]], model: Model
) -> dict[str, Played[Scene]]:
    return of_model(model)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


@pytest.fixture
def played(conversations: dict[str, Played[Scene]], mode: Mode) -> Scene:
    return conversations[mode].value


def committed_after_s(played: Scene) -> list[float]:
    """Seconds from the end of each line, as the microphone had it, to its committed turn."""
    call = played.call
    return [turn.committed_at_s - call.spoken_at_s(n) for n, turn in enumerate(call.turns[:3])]


def test_every_turn_is_committed_once_with_its_words(played: Scene, mode: Mode) -> None:
    texts = played.call.turn_texts
    if mode == "manual":
        # Closing a session with manual turns commits what is left, and be it nothing.
        assert texts.pop() == ""
    assert texts == played.call.script.texts


def test_the_agent_is_not_kept_from_answering(played: Scene) -> None:
    # It waits for the user's silence: a start of speech without its end would mute it for good.
    assert played.call.answers


def test_every_word_is_transcribed_once(played: Scene) -> None:
    assert played.call.finals == played.call.script.texts
    assert [stream.text for stream in played.streams] == [played.call.script.text]


def test_interim_transcripts_lead_up_to_every_final(played: Scene) -> None:
    for line in set(played.call.script.texts):
        leading = [text for text in played.call.interims if text and line.startswith(text)]
        assert len(leading) >= 2


def test_the_user_speaks_and_listens_in_turn(played: Scene) -> None:
    states = [event.new_state for event in played.call.states]
    assert states == ["speaking", "listening"] * 3


def test_one_stream_and_one_connection_carry_the_conversation(played: Scene) -> None:
    assert len(played.streams) == 1
    assert len(played.server.connections) == 1


def test_nothing_is_reported_as_an_error(conversations: dict[str, Played[Scene]]) -> None:
    for name, each in conversations.items():
        assert each.value.call.errors == [], name
        assert each.logged("livekit.plugins.baseten") == [], name
        assert each.value.call.close_reason == "user_initiated", name


def test_closing_takes_no_time(played: Scene) -> None:
    # An unanswered flush costs two seconds; one after sounds that were no speech may take one.
    assert played.call.closing_took_s < 1.5


def test_the_turn_metrics_say_when_the_user_stopped(played: Scene, model: Model) -> None:
    call = played.call
    for number, turn in enumerate(call.turns[:3]):
        assert turn.metrics["stt_metadata"] == {
            "model_name": model,
            "model_provider": "Baseten",
        }
        assert turn.metrics["started_speaking_at"] < turn.metrics["stopped_speaking_at"]
        # LiveKit's own voice detection takes a tenth of a second longer than the last word.
        late_s = turn.metrics["stopped_speaking_at"] - call.spoken_at_s(number)
        assert -0.2 < late_s < 0.4
        assert 0 <= turn.metrics["transcription_delay"] < 1.5
        assert 0 < turn.metrics["end_of_turn_delay"] < 3.5


def test_every_turn_has_its_end_of_utterance_metrics(played: Scene) -> None:
    measured = played.call.eou_metrics
    assert len(measured) == 3
    for each, turn in zip(measured, played.call.turns, strict=False):
        assert each.end_of_utterance_delay == turn.metrics["end_of_turn_delay"]
        assert each.transcription_delay == turn.metrics["transcription_delay"]


def test_a_turn_ends_half_a_second_after_the_last_word(
    conversations: dict[str, Played[Scene]], model: Model
) -> None:
    # 0.5 s is LiveKit's endpointing delay; the server's own silence runs beside it. It is 0.35 s
    # of Whisper's, and 0.55 s of Qwen3-ASR's, which is then what a turn waits for.
    latest_s = {"whisper": 0.8, "qwen3-asr": 0.9}[model]
    for delay_s in committed_after_s(conversations["stt"].value):
        assert 0.4 < delay_s < latest_s


def test_without_speech_end_time_every_turn_would_end_later(
    conversations: dict[str, Played[Scene]],
) -> None:
    ours = median(committed_after_s(conversations["stt"].value))
    without = median(committed_after_s(conversations["stt without speech_end_time"].value))
    assert without - ours > 0.2


def test_the_end_of_speech_is_where_the_audio_says(
    conversations: dict[str, Played[Scene]],
) -> None:
    played = conversations["stt"].value
    ends = [e for e in played.streams[0].events if e.type is Kind.END_OF_SPEECH]
    for number, event in enumerate(ends):
        assert event.speech_end_time == pytest.approx(played.call.spoken_at_s(number), abs=0.1)


def test_starts_of_speech_are_where_the_audio_says(
    conversations: dict[str, Played[Scene]],
) -> None:
    played = conversations["stt"].value
    starts = [e for e in played.streams[0].events if e.type is Kind.START_OF_SPEECH]
    microphone = played.call.microphone
    for event, line in zip(starts, SHORT.lines, strict=True):
        assert event.speech_start_time == pytest.approx(
            microphone.spoken_at_s(line.start), abs=0.15
        )


# Flush.


def flushes(connection: Connection) -> list[int]:
    """For each flush that a Whisper connection saw, the frames of made-up silence in it."""
    seen, zeros = [], 0
    for frame in connection.frames:
        if isinstance(frame, bytes):
            zeros = zeros + 1 if not any(frame) else 0
            continue
        asked = json.loads(frame)
        if asked.get("type") == "health_check" and zeros:
            assert asked["trace_id"]
            seen.append(zeros)
        zeros = 0
    return seen


def commits(connection: Connection) -> list[int]:
    """For each commit that a Qwen3-ASR connection saw, the samples that it had got until then."""
    seen, samples = [], 0
    for frame in connection.frames:
        asked = json.loads(frame)
        if asked.get("type") == "input_audio_buffer.append":
            samples += len(base64.b64decode(asked["audio"])) // 2
        elif asked.get("type") == "input_audio_buffer.commit":
            seen.append(samples)
    return seen


@pytest.mark.parametrize("name", ["vad", "manual", "default", "vad, server waits 2 s"])
@pytest.mark.parametrize("model", ["whisper"])
def test_every_turn_is_finished_by_a_flush(
    conversations: dict[str, Played[Scene]], name: str
) -> None:
    assert len(flushes(conversations[name].value.connection)) >= 3


@pytest.mark.parametrize("name", ["vad", "manual", "default", "vad, server waits 2 s"])
@pytest.mark.parametrize("model", ["qwen3-asr"])
def test_every_turn_is_finished_by_a_commit(
    conversations: dict[str, Played[Scene]], name: str
) -> None:
    played = conversations[name].value
    committed = commits(played.connection)
    lines = played.call.script.lines
    starts = [line.start for line in lines[1:]] + [played.connection.received_samples]
    for line, next_start in zip(lines, starts, strict=True):
        assert any(line.end <= at <= next_start for at in committed)


@pytest.mark.parametrize("model", ["whisper"])
def test_a_flush_is_as_long_as_the_server_waits(conversations: dict[str, Played[Scene]]) -> None:
    short = flushes(conversations["vad"].value.connection)
    long = flushes(conversations["vad, server waits 2 s"].value.connection)
    # The rule takes 11 and 64 frames of 32 ms; some more, because what came before may count less.
    assert all(11 <= frames <= 25 for frames in short)
    assert all(64 <= frames <= 78 for frames in long)


@pytest.mark.parametrize("model", ["qwen3-asr"])
@pytest.mark.parametrize("name", [*MODES, "vad, server waits 2 s"])
def test_a_commit_needs_no_made_up_silence(
    conversations: dict[str, Played[Scene]], name: str
) -> None:
    connection = conversations[name].value.connection
    quiet = np.flatnonzero(np.frombuffer(connection.audio, "<i2") == 0)
    longest = max(map(len, np.split(quiet, np.flatnonzero(np.diff(quiet) > 1) + 1)))
    assert longest < 64  # a room is never so quiet for long


@pytest.mark.parametrize("model", ["whisper"])
def test_nothing_is_flushed_where_the_server_ends_the_turn(
    conversations: dict[str, Played[Scene]],
) -> None:
    assert flushes(conversations["stt"].value.connection)[:-1] == []  # the last is closing's


@pytest.mark.parametrize("model", ["qwen3-asr"])
def test_nothing_is_committed_where_the_server_ends_the_turn(
    conversations: dict[str, Played[Scene]],
) -> None:
    committed = commits(conversations["stt"].value.connection)
    assert committed
    assert all(at > SHORT.lines[-1].end for at in committed)  # when the session closes


def test_with_a_flush_a_slow_server_costs_no_delay(
    conversations: dict[str, Played[Scene]],
) -> None:
    played = conversations["vad, server waits 2 s"].value
    assert played.call.turn_texts == SHORT.texts
    for delay_s in committed_after_s(played):
        assert delay_s < 1.2


@pytest.mark.parametrize("name", [*MODES, "vad, server waits 2 s"])
def test_made_up_silence_is_in_no_time_that_a_user_sees(
    conversations: dict[str, Played[Scene]], name: str
) -> None:
    played = conversations[name].value
    ends_s = [event.alternatives[0].end_time for event in played.streams[0].finals]
    spoken_s = [line.end / 16_000 for line in played.call.script.lines]
    for (before, after), (said, said_next) in zip(
        pairwise(ends_s), pairwise(spoken_s), strict=True
    ):
        assert after - before == pytest.approx(said_next - said, abs=0.005)


# Usage.


@pytest.mark.parametrize("model", ["whisper"])
def test_every_second_of_audio_is_accounted_for_once(played: Scene) -> None:
    flushed = flushes(played.connection)
    sent_s = (played.connection.received_samples - sum(flushed) * 512) / 16_000
    filled_up_s = len(flushed) * 0.032  # at most: the last chunk before a flush need not be full
    assert sent_s - filled_up_s <= played.used_s <= sent_s + 0.001


@pytest.mark.parametrize("model", ["qwen3-asr"])
def test_every_sample_that_was_sent_is_accounted_for_once(played: Scene) -> None:
    sent_s = played.connection.received_samples / 16_000  # nothing is filled up or made up
    assert played.used_s == pytest.approx(sent_s, abs=0.001)


def test_the_session_knows_what_was_used_of_what(played: Scene, model: Model) -> None:
    (usage,) = [each for each in played.call.session.usage.model_usage if each.type == "stt_usage"]
    assert (usage.provider, usage.model) == ("Baseten", model)
    # LiveKit stops listening before it closes the stream, so the last seconds are not in it.
    assert played.used_s - 5.2 < usage.audio_duration <= played.used_s + 0.001


def test_the_connection_of_a_stream_is_measured(played: Scene) -> None:
    first = played.call.stt_metrics[0]
    assert first.label == "livekit.plugins.baseten.stt.STT"
    assert first.connection_reused  # the session warmed it up before the stream was opened
    assert first.acquire_time >= 0
