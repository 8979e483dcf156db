"""Speech that LiveKit hears and of which no words come: what a session is told of that."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from kit.harness import Played, Scene, play, scene
from kit.prompter import Prompter
from kit.stage import SELFISH, YOUNG_MAN, Script, script

from livekit.agents import UserTranscriptionTimeoutEvent
from livekit.plugins.baseten.emulator import Word, faults

TIMEOUT_S = 2.0
ONE = script(0.5, YOUNG_MAN, 4.0)
TWO = script(0.5, YOUNG_MAN, 4.0, YOUNG_MAN, 4.0)
LONG = script(0.5, SELFISH, 4.0)


class Forgetful(Prompter):
    """Hears words while somebody speaks, or not even then, and has none in the end."""

    def __init__(self, spoken: Script, *, partials: bool) -> None:
        super().__init__(spoken)
        self._partials = partials

    def recognize(self, pcm: bytes, *, is_final: bool) -> Sequence[Word]:
        if is_final or not self._partials:
            return []
        return super().recognize(pcm, is_final=is_final)


@dataclass
class Told:
    scene: Scene
    events: list[UserTranscriptionTimeoutEvent]


async def call(
    spoken: Script,
    *plan: faults.Entry,
    timeout_s: float | None = TIMEOUT_S,
    recognizer: Prompter | None = None,
) -> Told:
    events: list[UserTranscriptionTimeoutEvent] = []
    serving = {} if recognizer is None else {"recognizer": recognizer}
    asked: dict[str, Any] = {} if timeout_s is None else {"transcription_timeout": timeout_s}
    async with scene(spoken, "vad", *plan, server_options=serving, **asked) as played:
        played.call.session.on("user_transcription_timeout", events.append)
        await played.call.is_heard()
    return Told(played, events)


DEAF = Forgetful(ONE, partials=False)
SCENES: dict[str, Callable[[], Awaitable[Told]]] = {
    "no words": functools.partial(call, ONE, recognizer=DEAF),
    "interims only": functools.partial(call, ONE, recognizer=Forgetful(ONE, partials=True)),
    "twice": functools.partial(call, TWO, recognizer=DEAF),
    "not asked for": functools.partial(call, ONE, timeout_s=None, recognizer=DEAF),
    "words": functools.partial(call, ONE),
    "words after a cut": functools.partial(call, LONG, faults.Reset(30_000)),
    "words after a failure": functools.partial(call, ONE, faults.FailTranscription()),
}


@pytest.fixture(scope="module")
def scenes() -> dict[str, Played[Told]]:
    return play(SCENES)


@pytest.mark.parametrize("name", ["no words", "interims only"])
def test_speech_without_a_final_is_told_once(scenes: dict[str, Played[Told]], name: str) -> None:
    told = scenes[name].value
    (event,) = told.events
    line = ONE.lines[0]
    microphone = told.scene.call.microphone
    assert event.vad_speech_started_at == pytest.approx(microphone.spoken_at_s(line.start), abs=0.3)
    assert event.speech_duration == pytest.approx((line.end - line.start) / 16_000, abs=0.5)
    assert event.created_at == pytest.approx(microphone.spoken_at_s(line.end) + TIMEOUT_S, abs=0.3)
    assert told.scene.call.turns == []


def test_it_is_told_again_of_the_next_attempt(scenes: dict[str, Played[Told]]) -> None:
    one, two = scenes["twice"].value.events
    assert two.speech_duration == pytest.approx(2 * one.speech_duration, abs=0.2)
    assert two.vad_speech_started_at == pytest.approx(one.vad_speech_started_at)


@pytest.mark.parametrize("name", ["words", "words after a cut", "words after a failure"])
def test_nothing_is_told_where_words_come(scenes: dict[str, Played[Told]], name: str) -> None:
    """A lost connection and a failed final are mended well before that."""
    told = scenes[name].value
    assert len(told.scene.server.connections) == (1 if name == "words" else 2)
    assert told.events == []
    assert told.scene.call.turn_texts == told.scene.call.script.texts


@pytest.mark.parametrize("name", ["words after a cut", "words after a failure"])
def test_a_turn_that_was_mended_is_measured_by_its_own_speech(
    scenes: dict[str, Played[Told]], name: str
) -> None:
    call = scenes[name].value.scene.call
    (turn,) = call.turns
    assert turn.metrics["started_speaking_at"] < turn.metrics["stopped_speaking_at"]
    assert -0.2 < turn.metrics["stopped_speaking_at"] - call.spoken_at_s(0) < 0.4
    assert 0 <= turn.metrics["transcription_delay"] < TIMEOUT_S
    assert 0 < turn.metrics["end_of_turn_delay"] < 3.5


def test_nothing_is_told_unless_asked_for(scenes: dict[str, Played[Told]]) -> None:
    assert scenes["not asked for"].value.events == []
