"""Deployments that are away for longer than LiveKit's retries last: calls go on, words and all."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from kit import grammar
from kit.harness import KEY, SERVER_OPTIONS, STT_OPTIONS, Overheard, Played, Scene, overhear
from kit.harness import play_once as play_once_each
from kit.harness import scene
from kit.prompter import Prompter
from kit.stage import (
    LEISURE,
    SAMPLE_RATE_HZ,
    SELFISH,
    YOUNG_MAN,
    Call,
    Mode,
    Script,
    calling,
    script,
)

from livekit.agents import Agent, APIConnectOptions
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.plugins import baseten
from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import Server, SileroDetector, faults, serve

# A stream of these fails with the first refusal after a cut, and the next with the second.
QUICK = SessionConnectOptions(stt_conn_options=APIConnectOptions(max_retry=1))

NOBODY_WENT_ON = "no other one has gone on from it"
FELL_OFF = "no connection to Baseten for longer than replay_buffer_s"


@dataclass(frozen=True)
class Outage:
    """The deployment is away for so long, from within the second line or from before it."""

    seconds: float
    is_in_speech: bool
    mode: Mode

    @property
    def script(self) -> Script:
        """A line before it, lines in it, and one after it."""
        pauses_s = max(1.5, self.seconds - 20.0)
        return script(0.5, YOUNG_MAN, 2.0, SELFISH, pauses_s, LEISURE, 12.0, YOUNG_MAN, 1.4)

    @property
    def begins(self) -> int:
        line = self.script.lines[1]
        within = (line.start + line.end) // 2
        return within if self.is_in_speech else line.start - SAMPLE_RATE_HZ // 2

    @property
    def ends(self) -> int:
        return self.begins + round(self.seconds * SAMPLE_RATE_HZ)


def go_away(server: Server) -> None:
    server.plan.extend([faults.Refuse(503)] * 1000)
    for connection in server.connections:
        if connection.is_open:
            connection.reset()


def said(call: Call) -> str:
    """All that became a turn. LiveKit adds an empty one where a session in manual mode is closed."""
    return " ".join(filter(None, call.turn_texts))


async def lived_through(model: Model, outage: Outage) -> Scene:
    async with scene(outage.script, outage.mode, model=model) as played:
        call = played.call
        await call.microphone.reaches(outage.begins)
        go_away(played.server)
        if outage.mode == "manual":
            await call.hears(1, plus_s=0.1)
            committed = call.session.commit_user_turn(transcript_timeout=90)
        await call.microphone.reaches(outage.ends)
        played.server.plan.clear()
        if outage.mode == "manual":
            await committed
            await call.is_heard()
            await call.session.commit_user_turn(transcript_timeout=90)
        await call.is_heard()
        await call.until(lambda: said(call) == call.script.text, 60)
    return played


# What is between them is in the table of docs/reliability.md.
OUTAGES = [
    Outage(30.0, True, "stt"),
    Outage(30.0, True, "vad"),
    Outage(30.0, True, "manual"),
    Outage(12.0, False, "stt"),
]


@pytest.fixture(scope="module")
def of_model() -> Callable[[Model], dict[str, Played[Scene]]]:
    return play_once_each(
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
    spoken = [start for line in outage.script.lines for _, start, _ in line.words]
    words = [
        word
        for stream in scenes[str(outage)].value.streams
        for final in stream.finals
        for word in final.alternatives[0].words or []
    ]
    heard = [word.start_time for word in words if isinstance(word.start_time, float)]
    off_s = [at - start / SAMPLE_RATE_HZ for at, start in zip(heard, spoken, strict=True)]
    assert max(off_s) - min(off_s) < 0.002


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_audio_is_used_once(scenes: dict[str, Played[Scene]], outage: Outage) -> None:
    played = scenes[str(outage)].value
    spoken_s = played.call.microphone.position / SAMPLE_RATE_HZ
    assert spoken_s - 6 < played.used_s <= spoken_s


# What else can happen in an outage. What comes of it does not depend on the model.

LINES = script(0.5, SELFISH, 1.4, YOUNG_MAN, 1.4)
OTHER_LINES = script(0.5, YOUNG_MAN, 0.8, SELFISH, 1.4, seed=1)
LATER_LINE = script(0.5, SELFISH, 8.0, YOUNG_MAN, 1.4)


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
        async with (
            calling(speech_to_text, LINES, "stt", conn_options=QUICK) as one,
            calling(speech_to_text, OTHER_LINES, "stt", conn_options=QUICK) as other,
        ):
            yield Two([one, other], streams), server
        await speech_to_text.aclose()
    for stream in streams:
        grammar.check(stream.events, goes_on=stream.has_failed)


async def both_fail_at_once() -> Two:
    async with two_sessions() as (played, server):
        for call in played.calls:
            await call.microphone.reaches(2 * SAMPLE_RATE_HZ)
        go_away(server)
        for call in played.calls:
            await call.until(lambda: call.errors and not call.errors[-1].error.recoverable)
        server.plan.clear()
        for call in played.calls:
            await call.until(lambda: said(call) == call.script.text)
    return played


@contextlib.asynccontextmanager
async def away_in_mid_sentence(spoken: Script = LINES, **options: object) -> AsyncIterator[Scene]:
    """A session whose first stream has failed while somebody speaks."""
    async with scene(spoken, "stt", conn_options=QUICK, **options) as played:  # type: ignore[arg-type]
        call, line = played.call, spoken.lines[0]
        await call.microphone.reaches((line.start + line.end) // 2)
        go_away(played.server)
        await call.until(lambda: not call.errors[-1].error.recoverable if call.errors else False)
        yield played


async def handed_over() -> Scene:
    async with away_in_mid_sentence() as played:
        played.call.session.update_agent(Agent(instructions="take over"))
        await played.call.hears(0)
        played.server.plan.clear()
        await played.call.until(lambda: said(played.call) == LINES.text)
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
        await played.call.microphone.reaches(LATER_LINE.lines[1].start - SAMPLE_RATE_HZ)
        played.server.plan.clear()
        await played.call.until(lambda: said(played.call).endswith(YOUNG_MAN.text))
    return played


async def away_from_the_start() -> Scene:
    plan = [faults.Refuse(503)] * 1000
    async with scene(LINES, "stt", *plan, conn_options=QUICK) as played:
        await played.call.hears(0)
        played.server.plan.clear()
        await played.call.until(lambda: said(played.call) == LINES.text)
    return played


async def bad_audio() -> Scene:
    """A server that breaks down at what was said, as often as it is said to it."""
    plan = [faults.Reset(SAMPLE_RATE_HZ * 2)] * 6
    async with scene(LATER_LINE, "stt", *plan, conn_options=QUICK) as played:
        await played.call.until(lambda: said(played.call).endswith(YOUNG_MAN.text), 60)
    return played


@dataclass
class Others:
    scenes: dict[str, Played[Scene]] = field(default_factory=dict)


OTHERS: dict[str, Callable[[], Awaitable[Scene]]] = {
    "handed over": handed_over,
    "closed": closed,
    "away for good": away_for_good,
    "falls off": falls_off,
    "away from the start": away_from_the_start,
    "bad audio": bad_audio,
}
