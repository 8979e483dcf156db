"""What happens in calls: interruptions, cuts, monologues, noise, handoffs, changed options."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from kit.harness import KEY, Overheard, Played, Scene, play_once, scene
from kit.stage import LEISURE, SAMPLE_RATE_HZ, SELFISH, YOUNG_MAN, Mode, script
from numpy.typing import NDArray

from livekit.agents import Agent, APIConnectionError, APIStatusError, STTContextOptions
from livekit.agents.stt import SpeechEventType as Kind
from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import faults

TWO_LINES = script(0.5, YOUNG_MAN, 2.0, SELFISH, 1.4)
ONE_LINE = script(0.5, SELFISH, 1.4)
MUTED = script(0.5, YOUNG_MAN, 3.0, SELFISH, 1.4)
MONOLOGUE = script(0.5, LEISURE, 1.4)
NOISE = np.random.default_rng(7).normal(0, 3000, SAMPLE_RATE_HZ // 4).astype(np.int16)
NOISY = script(0.5, NOISE, 1.0, YOUNG_MAN, 1.0, NOISE, 1.4)

LONG_ANSWER = " ".join(["well"] * 50)  # ten seconds


class LoudnessDetector:
    """Takes everything loud for speech, claps included."""

    def probability(self, window: NDArray[np.int16]) -> float:
        return 1.0 if np.abs(window.astype(np.int32)).max() > 400 else 0.0


async def interrupted(model: Model, mode: Mode, **options: Any) -> Scene:
    async with scene(TWO_LINES, mode, model=model, answers=(LONG_ANSWER,), **options) as played:
        await played.call.hears(0)
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def cut_in_mid_sentence(model: Model, mode: Mode) -> Scene:
    async with scene(ONE_LINE, mode, model=model) as played:
        line = ONE_LINE.lines[0]
        await played.call.microphone.reaches((line.start + line.end) // 2)
        played.connection.reset()
        await played.call.until(lambda: played.call.turns)
        await played.call.is_heard()
    return played


async def cut_again_and_again(model: Model) -> Scene:
    async with scene(ONE_LINE, "stt", model=model) as played:
        line = ONE_LINE.lines[0]
        for part in (1, 2, 3):
            await played.call.microphone.reaches(line.start + (line.end - line.start) * part // 4)
            played.connection.reset()
        await played.call.until(lambda: played.call.turns)
        await played.call.is_heard()
    return played


async def cut_between_turns(model: Model) -> Scene:
    async with scene(TWO_LINES, "stt", model=model) as played:
        await played.call.until(lambda: played.call.turns)
        played.connection.reset()
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def monologue(model: Model, mode: Mode) -> Scene:
    options = {"final_transcript_max_duration_s": 3}
    async with scene(MONOLOGUE, mode, model=model, stt_options=options) as played:
        await played.call.until(lambda: played.call.turns)
        await played.call.is_heard()
    return played


async def noise(model: Model, mode: Mode) -> Scene:
    options = {"voice_detector": LoudnessDetector}
    async with scene(NOISY, mode, model=model, server_options=options) as played:
        await played.call.is_heard()
        await played.call.until(lambda: played.call.turns)
    return played


async def empty_final_after_a_turn(model: Model) -> Scene:
    async with scene(ONE_LINE, "stt", faults.EmptyFinalAfter(1), model=model) as played:
        await played.call.until(lambda: played.call.turns)
        await played.call.is_heard()
    return played


async def handoff(model: Model, mode: Mode) -> Scene:
    async with scene(TWO_LINES, mode, model=model) as played:
        await played.call.until(lambda: played.call.is_answered(1))
        played.call.session.update_agent(Agent(instructions="take over"))
        await played.call.until(lambda: played.call.is_answered(2))
    return played


async def handoff_in_mid_sentence(model: Model) -> Scene:
    async with scene(ONE_LINE, "stt", model=model) as played:
        line = ONE_LINE.lines[0]
        await played.call.microphone.reaches((line.start + line.end) // 2)
        played.call.session.update_agent(Agent(instructions="take over"))
        await played.call.until(lambda: played.call.is_answered(1))
    return played


async def cleared(model: Model) -> Scene:
    async with scene(TWO_LINES, "manual", model=model) as played:
        await played.call.hears(0, plus_s=0.2)
        cleared = played.connection
        played.call.session.clear_user_turn()
        await played.server.until(lambda: not cleared.is_open)
        await played.call.hears(1, plus_s=0.1)
        await played.call.session.commit_user_turn(transcript_timeout=10)
        await played.call.until(lambda: played.call.is_answered(1))
    return played


async def cleared_in_stt_mode(model: Model) -> Scene:
    async with scene(TWO_LINES, "stt", model=model) as played:
        await played.call.until(lambda: len(played.call.turns) == 1)
        played.call.session.clear_user_turn()
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def other_language(model: Model) -> Scene:
    async with scene(TWO_LINES, "stt", model=model) as played:
        line = TWO_LINES.lines[0]
        await played.call.microphone.reaches((line.start + line.end) // 2)
        played.stt.update_options(language="de")
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def wrong_key(model: Model) -> Scene:
    async with scene(
        ONE_LINE, "stt", model=model, server_options={"api_key": "another"}, answers=("never",)
    ) as played:
        await played.call.until(lambda: played.call.close_reason)
    return played


async def muted_after_the_last_word(model: Model) -> Scene:
    async with scene(ONE_LINE, "stt", model=model, vad=None) as played:
        await played.call.hears(0, plus_s=0.05)
        played.call.microphone.is_muted = True
        await played.call.until(lambda: played.call.turns)
    return played


async def muted_in_mid_sentence(model: Model) -> Scene:
    async with scene(MUTED, "stt", model=model, vad=None) as played:
        first, second = MUTED.lines
        await played.call.microphone.reaches((first.start + first.end) // 2)
        played.call.microphone.is_muted = True
        await played.call.microphone.reaches(second.start - SAMPLE_RATE_HZ // 2)
        played.call.microphone.is_muted = False
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def keyterms(model: Model) -> Scene:
    terms = STTContextOptions(keyterms=["Dashwood"])
    async with scene(
        TWO_LINES,
        "stt",
        model=model,
        stt_options={"keyterms": ["Norland"]},
        stt_context_options=terms,
    ) as played:
        line = TWO_LINES.lines[0]
        await played.call.microphone.reaches((line.start + line.end) // 2)
        played.call.session.update_options(keyterms=["Willoughby"])
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def preflight(model: Model) -> Scene:
    options = {"preflight": True, "vad_min_silence_duration_ms": 1000}
    async with scene(TWO_LINES, "stt", model=model, stt_options=options) as played:
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def unavailable_at_first(model: Model) -> Scene:
    refusals = (faults.Refuse(503), faults.Refuse(503))
    async with scene(ONE_LINE, "stt", *refusals, model=model) as played:
        await played.call.until(lambda: played.call.turns)
    return played


SCENES: dict[str, Callable[[Model], Awaitable[Scene]]] = {
    "interrupted, stt": functools.partial(interrupted, mode="stt"),
    "interrupted, vad": functools.partial(interrupted, mode="vad"),
    "interrupted, stt alone": functools.partial(interrupted, mode="stt", vad=None),
    "cut, stt": functools.partial(cut_in_mid_sentence, mode="stt"),
    "cut, vad": functools.partial(cut_in_mid_sentence, mode="vad"),
    "cut again and again": cut_again_and_again,
    "cut between turns": cut_between_turns,
    "monologue, stt": functools.partial(monologue, mode="stt"),
    "monologue, vad": functools.partial(monologue, mode="vad"),
    "noise, stt": functools.partial(noise, mode="stt"),
    "noise, vad": functools.partial(noise, mode="vad"),
    "empty final after a turn": empty_final_after_a_turn,
    "handoff, stt": functools.partial(handoff, mode="stt"),
    "handoff, vad": functools.partial(handoff, mode="vad"),
    "handoff in mid-sentence": handoff_in_mid_sentence,
    "cleared": cleared,
    "cleared, stt": cleared_in_stt_mode,
    "other language": other_language,
    "muted after the last word": muted_after_the_last_word,
    "muted in mid-sentence": muted_in_mid_sentence,
    "keyterms": keyterms,
    "preflight": preflight,
    "wrong key": wrong_key,
    "unavailable at first": unavailable_at_first,
}


@pytest.fixture(scope="module")
def of_model() -> Callable[[Model], dict[str, Played[Scene]]]:
    return play_once(
        lambda model: {name: functools.partial(each, model) for name, each in SCENES.items()}
    )


@pytest.fixture
def scenes(
    of_model: Callable[[Model], dict[str, Played[Scene]]], model: Model
) -> dict[str, Played[Scene]]:
    return of_model(model)


def spoken_kinds(stream: Overheard) -> list[Kind]:
    """What a stream said, without interims and answers to flushes: closing asks for one, too."""
    return [
        event.type
        for event in stream.events
        if event.type in (Kind.START_OF_SPEECH, Kind.END_OF_SPEECH) or event in stream.finals
    ]


WHOLE = [
    name
    for name in SCENES
    if name not in ("wrong key", "cleared", "muted in mid-sentence")  # not all is said or heard
    and not name.startswith("monologue")
]


@pytest.mark.parametrize("name", WHOLE)
def test_every_turn_comes_once_and_whole(scenes: dict[str, Played[Scene]], name: str) -> None:
    call = scenes[name].value.call
    assert call.turn_texts == call.script.texts


def test_the_user_is_taken_for_silent_in_the_end(scenes: dict[str, Played[Scene]]) -> None:
    for name in WHOLE:
        call = scenes[name].value.call
        # LiveKit starts its voice activity detection anew for the second agent, in mid-sentence.
        times = 2 if name == "handoff in mid-sentence" else len(call.script.lines)
        states = [event.new_state for event in call.states]
        assert states == ["speaking", "listening"] * times, name


def test_no_connection_is_left_behind(scenes: dict[str, Played[Scene]]) -> None:
    for name, played in scenes.items():
        assert not any(each.is_open for each in played.value.server.connections), name


@pytest.mark.parametrize("name", ["interrupted, stt", "interrupted, vad", "interrupted, stt alone"])
def test_who_speaks_over_the_agent_interrupts_it(
    scenes: dict[str, Played[Scene]], name: str
) -> None:
    call = scenes[name].value.call
    first = call.loudspeaker.segments[0]
    assert first.interrupted
    # By the first words already, and not by the end of the turn.
    began = call.turns[0].committed_at_s
    assert began + first.playback_position < call.spoken_at_s(1)


@pytest.mark.parametrize("name", ["cut, stt", "cut, vad"])
def test_a_cut_costs_no_word_and_makes_no_turn(scenes: dict[str, Played[Scene]], name: str) -> None:
    played = scenes[name].value
    assert len(played.server.connections) == 2
    assert spoken_kinds(played.streams[0]) == [
        Kind.START_OF_SPEECH,
        Kind.FINAL_TRANSCRIPT,
        Kind.END_OF_SPEECH,
    ]
    (error,) = played.call.errors
    assert error.error.recoverable
    assert isinstance(error.error.error, APIConnectionError)


def test_three_cuts_cost_no_word(scenes: dict[str, Played[Scene]]) -> None:
    played = scenes["cut again and again"].value
    assert len(played.server.connections) == 4
    assert played.call.finals == [SELFISH.text]


def test_times_go_on_after_a_cut(scenes: dict[str, Played[Scene]]) -> None:
    whole = scenes["empty final after a turn"].value.streams[0].finals[0].alternatives[0]
    for name in ("cut, stt", "cut, vad", "cut again and again"):
        after = scenes[name].value.streams[0].finals[0].alternatives[0]
        # Where the stream itself starts in the session differs by moments.
        assert after.end_time - after.start_time == pytest.approx(
            whole.end_time - whole.start_time, abs=0.05
        )
        stopped_s = scenes[name].value.call.turns[0].metrics["stopped_speaking_at"]
        spoken_s = scenes[name].value.call.spoken_at_s(0)
        assert -0.2 < stopped_s - spoken_s < 0.4


@pytest.mark.parametrize("name", ["monologue, stt", "monologue, vad"])
def test_a_monologue_is_one_turn_of_several_finals(
    scenes: dict[str, Played[Scene]], name: str
) -> None:
    played = scenes[name].value
    kinds = spoken_kinds(played.streams[0])
    finals = len(played.call.finals)
    assert finals >= 3
    assert kinds == [
        Kind.START_OF_SPEECH,
        *[Kind.FINAL_TRANSCRIPT] * finals,
        Kind.END_OF_SPEECH,
    ]
    assert played.call.turn_texts == played.call.script.texts
    assert [event.new_state for event in played.call.states] == ["speaking", "listening"]


@pytest.mark.parametrize("name", ["noise, stt", "noise, vad"])
def test_noise_moves_nothing(scenes: dict[str, Played[Scene]], name: str) -> None:
    played = scenes[name].value
    finals = [frame for frame in played.connection.sent if '"is_final":true' in frame]
    assert len(finals) >= 3  # the server had heard it, and found no words
    assert spoken_kinds(played.streams[0])[:3] == [
        Kind.START_OF_SPEECH,
        Kind.FINAL_TRANSCRIPT,
        Kind.END_OF_SPEECH,
    ]


@pytest.mark.parametrize("name", ["handoff, stt", "handoff, vad", "handoff in mid-sentence"])
def test_a_handoff_keeps_the_stream_and_its_connection(
    scenes: dict[str, Played[Scene]], name: str
) -> None:
    played = scenes[name].value
    assert len(played.streams) == 1
    assert len([c for c in played.server.connections if c.received_samples]) == 1


def test_what_is_cleared_is_not_in_the_turn(scenes: dict[str, Played[Scene]]) -> None:
    played = scenes["cleared"].value
    assert played.call.turn_texts[0] == SELFISH.text
    assert len(played.streams) == 2


def test_a_stream_opened_by_clearing_has_sane_times(scenes: dict[str, Played[Scene]]) -> None:
    for turn, line in ((scenes["cleared"].value.call.turns[0], 1),):
        stopped_s = turn.metrics["stopped_speaking_at"]
        assert -0.2 < stopped_s - scenes["cleared"].value.call.spoken_at_s(line) < 0.4
    second = scenes["cleared, stt"].value.call.turns[1]
    assert 0.4 < second.metrics["end_of_turn_delay"] < 1.5


def test_another_language_in_mid_sentence_costs_no_word(
    scenes: dict[str, Played[Scene]], model: Model
) -> None:
    played = scenes["other language"].value
    asked = [
        connection.metadata["whisper_params"]["audio_language"]
        for connection in played.server.connections
        if connection.metadata
    ]
    assert asked == {"whisper": ["en", "de"], "qwen3-asr": ["auto", "German"]}[model]
    said = [event.language for event in played.call.transcripts if event.is_final]
    assert said[-1] == "de"
    assert played.call.errors == []


def test_a_wrong_key_closes_the_session_and_says_so(scenes: dict[str, Played[Scene]]) -> None:
    played = scenes["wrong key"]
    call = played.value.call
    assert call.close_reason == "error"
    assert len(call.errors) == 4  # LiveKit tolerates three in a row
    for event in call.errors:
        assert isinstance(event.error.error, APIStatusError)
        assert event.error.error.status_code == 401
        assert not event.error.recoverable
        assert "BASETEN_API_KEY" in str(event.error.error)
        assert KEY not in repr(event)


def test_the_key_is_in_no_line_of_the_log(scenes: dict[str, Played[Scene]]) -> None:
    records = [record for played in scenes.values() for record in played.records]
    assert records
    for record in records:
        assert KEY not in logging.Formatter().format(record)
        assert KEY not in repr(vars(record))


def test_muting_after_the_last_word_ends_the_turn(scenes: dict[str, Played[Scene]]) -> None:
    played = scenes["muted after the last word"].value
    assert len(played.server.connections) == 1
    assert played.call.errors == []
    (turn,) = played.call.turns
    # No audio comes that could end it: what ends it is two seconds without any.
    assert turn.committed_at_s - played.call.spoken_at_s(0) < 4.0
    assert turn.metrics["stopped_speaking_at"] == pytest.approx(played.call.spoken_at_s(0), abs=0.2)


def test_muting_in_mid_sentence_loses_only_what_was_muted(
    scenes: dict[str, Played[Scene]],
) -> None:
    played = scenes["muted in mid-sentence"].value
    cut, whole = played.call.turn_texts
    assert YOUNG_MAN.text.startswith(cut)
    assert whole == SELFISH.text
    assert len(played.server.connections) == 1


def test_the_keyterms_of_the_session_are_the_models(
    scenes: dict[str, Played[Scene]], model: Model
) -> None:
    played = scenes["keyterms"].value
    # Whisper has them in its prompt, Qwen3-ASR in a list of their own.
    place = {"whisper": "prompt", "qwen3-asr": "keyterms"}[model]
    asked = [
        connection.metadata["whisper_params"][place]
        for connection in played.server.connections
        if connection.metadata and connection.received_samples
    ]
    assert len(asked) == 2  # the terms changed once
    assert all("Norland" in terms for terms in asked)
    assert ["Dashwood" in terms for terms in asked] == [True, False]
    assert ["Willoughby" in terms for terms in asked] == [False, True]


def test_a_preflight_comes_before_its_final(scenes: dict[str, Played[Scene]]) -> None:
    played = scenes["preflight"].value
    told = [
        (event.type, event.alternatives[0].text)
        for event in played.streams[0].events
        if event.type in (Kind.PREFLIGHT_TRANSCRIPT, Kind.FINAL_TRANSCRIPT)
        and event.alternatives[0].text
    ]
    assert told == [
        (kind, line)
        for line in TWO_LINES.texts
        for kind in (Kind.PREFLIGHT_TRANSCRIPT, Kind.FINAL_TRANSCRIPT)
    ]


def test_a_server_that_comes_up_late_is_waited_for(scenes: dict[str, Played[Scene]]) -> None:
    played = scenes["unavailable at first"].value
    assert [h.status for h in played.server.handshakes] == [503, 503, 101]
    assert played.call.turn_texts == [SELFISH.text]
