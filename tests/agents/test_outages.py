"""Deployments that are away for longer than LiveKit's retries last: calls go on, words and all."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from kit.harness import Played, Scene, play_once, scene
from kit.stage import LEISURE, SAMPLE_RATE_HZ, SELFISH, YOUNG_MAN, Mode, Script, script

from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import Server, faults


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
        await call.until(lambda: " ".join(call.turn_texts) == call.script.text, 60)
    return played


# What is between them, and all of it in silence too, is in the table of docs/reliability.md.
OUTAGES = [
    Outage(30.0, True, "stt"),
    Outage(30.0, True, "vad"),
    Outage(30.0, True, "manual"),
    Outage(12.0, False, "stt"),
]
SCENES: dict[str, Callable[[Model], Awaitable[Scene]]] = {
    str(outage): functools.partial(lived_through, outage=outage) for outage in OUTAGES
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


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_every_word_is_in_a_turn_once(scenes: dict[str, Played[Scene]], outage: Outage) -> None:
    played = scenes[str(outage)].value
    assert " ".join(filter(None, played.call.turn_texts)) == outage.script.text
