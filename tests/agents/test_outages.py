"""Deployments that are away for longer than LiveKit's retries last: calls go on, words and all."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from kit import grammar
from kit.harness import (
    KEY,
    SERVER_OPTIONS,
    STT_OPTIONS,
    Overheard,
    Played,
    Scene,
    overhear,
    play,
    play_once,
    scene,
)
from kit.outages import Outage, go_away, has_failed, has_said_all, lived_through, off_s, said
from kit.prompter import Prompter
from kit.stage import (
    SAMPLE_RATE_HZ,
    SELFISH,
    YOUNG_MAN,
    Call,
    Script,
    calling,
    script,
)

from livekit import rtc
from livekit.agents import (
    Agent,
    APIConnectOptions,
    ModelSettings,
    STTContextOptions,
    stt,
    utils,
)
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.plugins import baseten
from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten._livekit.continuation import Fate
from livekit.plugins.baseten.emulator import Server, SileroDetector, faults, serve

# A stream of these fails with the first refusal after a cut, and the next with the second.
QUICK = SessionConnectOptions(stt_conn_options=APIConnectOptions(max_retry=1))

NOT_TAKEN = "unsupported encoding"
NOBODY_WENT_ON = "no other one has gone on from it"
FELL_OFF = "no connection to Baseten for longer than replay_buffer_s"


# What is between them is in the table of docs/reliability.md.
OUTAGES = [
    Outage(30.0, True, "stt"),
    Outage(30.0, True, "vad"),
    Outage(30.0, True, "manual"),
    Outage(12.0, False, "stt"),
]


@pytest.fixture(scope="module")
def of_model() -> Callable[[Model], dict[str, Played[Scene]]]:
    return play_once(
        lambda model: {
            str(outage): functools.partial(lived_through, model, outage) for outage in OUTAGES
        }
    )


@pytest.fixture
def scenes(
    of_model: Callable[[Model], dict[str, Played[Scene]]], model: Model
) -> dict[str, Played[Scene]]:
    return of_model(model)


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_every_word_is_in_a_turn_once(scenes: dict[str, Played[Scene]], outage: Outage) -> None:
    played = scenes[str(outage)].value
    assert said(played.call) == outage.script.text
    assert " ".join(stream.text for stream in played.streams if stream.text) == outage.script.text
    assert len(played.streams) > 1
    assert not scenes[str(outage)].logged("livekit.plugins.baseten")


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_times_go_on_as_if_nothing_had_happened(
    scenes: dict[str, Played[Scene]], outage: Outage
) -> None:
    off = off_s(scenes[str(outage)].value)
    assert max(off) - min(off) < 0.002


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_audio_is_used_once(scenes: dict[str, Played[Scene]], outage: Outage) -> None:
    played = scenes[str(outage)].value
    spoken_s = played.call.microphone.position / SAMPLE_RATE_HZ
    assert spoken_s - 0.1 < played.used_s < spoken_s + 0.001


# What else can happen in an outage. What comes of it does not depend on the model.

LINES = script(0.5, SELFISH, 1.4, YOUNG_MAN, 1.4)
OTHER_LINES = script(0.5, YOUNG_MAN, 0.8, SELFISH, 1.4, seed=1)
LATER_LINE = script(0.5, SELFISH, 14.0, YOUNG_MAN, 1.4)


@dataclass
class Two:
    """Two sessions with one `STT`."""

    calls: list[Call]
    streams: list[Overheard]


@contextlib.asynccontextmanager
async def two_sessions() -> AsyncIterator[tuple[Two, Server]]:
    async with serve(
        **SERVER_OPTIONS["whisper"],
        recognizer=Prompter(LINES, OTHER_LINES),
        voice_detector=SileroDetector,
    ) as server:
        speech_to_text = baseten.STT(
            model_endpoint=server.url, api_key=KEY, **STT_OPTIONS["whisper"]
        )
        streams = overhear(speech_to_text)
        one_knows, other_knows = [STTContextOptions(keyterms=[term]) for term in ("Elinor", "Lucy")]
        async with (
            calling(
                speech_to_text, LINES, "stt", conn_options=QUICK, stt_context_options=one_knows
            ) as one,
            calling(
                speech_to_text,
                OTHER_LINES,
                "stt",
                conn_options=QUICK,
                stt_context_options=other_knows,
            ) as other,
        ):
            yield Two([one, other], streams), server
        await speech_to_text.aclose()
    for stream in streams:
        grammar.check(stream.events, goes_on=stream.has_failed)


async def both_fail_at_once() -> Two:
    async with two_sessions() as (played, server):
        for call in played.calls:
            await call.microphone.reaches(2 * SAMPLE_RATE_HZ)
        played.calls[0].session.update_options(keyterms=["Marianne"])
        go_away(server)
        await server.until(lambda: len(played.streams) == 4)
        server.plan.clear()
        for call in played.calls:
            await call.is_heard()
            await call.until(functools.partial(has_said_all, call))
    return played


@contextlib.asynccontextmanager
async def away_in_mid_sentence(spoken: Script = LINES, **options: Any) -> AsyncIterator[Scene]:
    """A session whose first stream has failed while somebody speaks."""
    async with scene(spoken, "stt", conn_options=QUICK, **options) as played:
        call, line = played.call, spoken.lines[0]
        await call.microphone.reaches((line.start + line.end) // 2)
        go_away(played.server)
        await call.until(lambda: has_failed(call))
        yield played


async def handed_over() -> Scene:
    async with away_in_mid_sentence() as played:
        played.call.session.update_agent(Agent(instructions="take over"))
        await played.call.hears(0)
        played.server.plan.clear()
        await played.call.until(lambda: has_said_all(played.call))
    return played


async def closed() -> Scene:
    async with away_in_mid_sentence() as played:
        pass
    return played


async def away_for_good() -> Scene:
    async with away_in_mid_sentence() as played:
        await played.call.until(lambda: played.call.close_reason, 60)
    return played


async def falls_off() -> Scene:
    async with away_in_mid_sentence(LATER_LINE, stt_options={"replay_buffer_s": 2.0}) as played:
        await played.call.microphone.reaches(LATER_LINE.lines[1].start - 8 * SAMPLE_RATE_HZ)
        played.server.plan.clear()
        await played.call.until(lambda: said(played.call).endswith(YOUNG_MAN.text))
    return played


async def away_from_the_start() -> Scene:
    plan = [faults.Refuse(503)] * 1000
    async with scene(LINES, "stt", *plan, conn_options=QUICK) as played:
        await played.call.hears(0)
        played.server.plan.clear()
        await played.call.until(lambda: has_said_all(played.call))
    return played


async def bad_audio() -> Scene:
    """A server that cannot take what was said, and says so."""
    plan = faults.Error("AUDIO_PROCESSING_ERROR", NOT_TAKEN, after_samples=2 * SAMPLE_RATE_HZ)
    # The first connection is the one that the session warms up.
    async with scene(LINES, "stt", plan, conn_options=QUICK) as played:
        await played.call.until(lambda: said(played.call).endswith(LINES.texts[1]))
    return played


async def closed_later() -> Scene:
    async with away_in_mid_sentence() as played:
        await played.server.until(lambda: len(played.streams) > 1)
        handshakes = len(played.server.handshakes)
        await played.server.until(lambda: len(played.server.handshakes) > handshakes)
    return played


class OwnNode(Agent):
    """Its node opens the streams by itself, one at a time, or two."""

    def __init__(self, opened: stt.STT, streams: int) -> None:
        super().__init__(instructions="listen")
        self._opened = opened
        self._streams = streams

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterator[stt.SpeechEvent]:
        streams = [self._opened.stream() for _ in range(self._streams)]

        async def feed() -> None:
            async for frame in audio:
                streams[0].push_frame(frame)

        feeding = asyncio.create_task(feed())
        try:
            async for event in streams[0]:
                yield event
        finally:
            await utils.aio.cancel_and_wait(feeding)
            for stream in streams:
                await stream.aclose()


async def own_node() -> Scene:
    async with away_in_mid_sentence(agent=lambda ours: OwnNode(ours, 1)) as played:
        await played.call.hears(0)
        played.server.plan.clear()
        await played.call.until(lambda: has_said_all(played.call))
    return played


async def own_node_of_two() -> Scene:
    async with away_in_mid_sentence(agent=lambda ours: OwnNode(ours, 2)) as played:
        await played.server.until(lambda: len(played.streams) == 4)
    return played


OTHERS: dict[str, Callable[[], Awaitable[Any]]] = {
    "two sessions": both_fail_at_once,
    "handed over": handed_over,
    "closed": closed,
    "closed later": closed_later,
    "away for good": away_for_good,
    "falls off": falls_off,
    "away from the start": away_from_the_start,
    "bad audio": bad_audio,
    "own node": own_node,
    "own node of two": own_node_of_two,
}


@pytest.fixture(scope="module")
def others() -> dict[str, Played[Any]]:
    return play(OTHERS)


def lost_s(played: Played[Scene]) -> float:
    """Added up in whole samples: a sum of seconds may be rounded to another tenth."""
    lost = sum(round(each.stream.lost_audio_s * SAMPLE_RATE_HZ) for each in played.value.streams)
    return lost / SAMPLE_RATE_HZ


def warnings_of(played: Played[Any], said: str) -> list[str]:
    return [line for line in played.logged("livekit.plugins.baseten") if said in line]


def test_two_sessions_that_fail_at_once_have_their_own_words(
    others: dict[str, Played[Two]],
) -> None:
    played = others["two sessions"].value
    assert [said(call) for call in played.calls] == [LINES.text, OTHER_LINES.text]
    assert {stream.text for stream in played.streams} - {""} == {LINES.text, OTHER_LINES.text}
    assert len(played.streams) == 4


def test_each_of_two_sessions_is_heard_with_its_own_keyterms(
    others: dict[str, Played[Two]],
) -> None:
    by_call = {
        each.text: each.stream.options.keyterms for each in others["two sessions"].value.streams
    }
    assert by_call[LINES.text] == ("Marianne",)
    assert by_call[OTHER_LINES.text] == ("Lucy",)


def test_another_agent_hears_what_was_said_before_it_came(
    others: dict[str, Played[Scene]],
) -> None:
    played = others["handed over"].value
    assert said(played.call) == LINES.text
    assert len(played.streams) == 2


def test_a_node_of_ones_own_loses_nothing_with_one_stream_at_a_time(
    others: dict[str, Played[Scene]],
) -> None:
    assert said(others["own node"].value.call) == LINES.text


def test_of_two_streams_at_once_none_goes_on_from_another(others: dict[str, Played[Scene]]) -> None:
    played = others["own node of two"].value
    assert not [s for s in played.streams if s.stream.unfinished.fate is Fate.TAKEN]


def test_an_outage_before_the_first_word_loses_none(others: dict[str, Played[Scene]]) -> None:
    assert said(others["away from the start"].value.call) == LINES.text


def test_what_falls_off_is_reported_once(others: dict[str, Played[Scene]]) -> None:
    played = others["falls off"]
    assert said(played.value.call).endswith(YOUNG_MAN.text)
    reported = warnings_of(played, FELL_OFF)
    assert f" {lost_s(played):.1f} s of audio" in reported[-1]
    away_s = (LATER_LINE.lines[1].start - LATER_LINE.lines[0].start) / SAMPLE_RATE_HZ
    assert 0 < lost_s(played) < away_s
    assert not warnings_of(played, NOBODY_WENT_ON)


@pytest.mark.parametrize("name", ["away for good", "closed", "closed later"])
def test_what_nobody_will_say_is_reported_once(others: dict[str, Played[Scene]], name: str) -> None:
    (warning,) = warnings_of(others[name], NOBODY_WENT_ON)
    assert f" {lost_s(others[name]):.1f} s of audio" in warning
    assert lost_s(others[name]) > 0.5


def test_a_session_gives_up_with_the_fourth_stream(others: dict[str, Played[Scene]]) -> None:
    played = others["away for good"].value
    assert played.call.close_reason == "error"
    assert len(played.streams) == 4
    assert sum(stream.stream.lost_audio_s > 0 for stream in played.streams) == 1


def test_audio_that_a_model_cannot_take_ends_no_call(others: dict[str, Played[Scene]]) -> None:
    played = others["bad audio"]
    assert said(played.value.call).endswith(LINES.texts[1])
    assert len(played.value.streams) == 2
    assert len(warnings_of(played, NOBODY_WENT_ON)) == 1
