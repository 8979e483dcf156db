"""Turns that the application ends itself, and sessions that are closed with words under way.

LiveKit flushes and then waits for a final: for seconds, where none comes. The timeout is far above
the bound here, so that a flush without an answer is a failure on the slowest machine too.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from kit.harness import Played, Scene, play_once, scene
from kit.stage import SAMPLE_RATE_HZ, YOUNG_MAN, Mode, Script, script

from livekit.plugins.baseten._core.options import Model

TIMEOUT_S = 10.0
PROMPT_S = 1.5  # a flush after a sound that may have been speech is given a second

SPOKEN = script(0.5, YOUNG_MAN, 2.5)
MIDDLE = (SPOKEN.lines[0].start + SPOKEN.lines[0].end) // 2


@dataclass
class Commits:
    """What a scene's commits returned, and how long each took."""

    texts: list[str] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    played: Scene | None = None

    async def commit(self, played: Scene) -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        self.texts.append(await played.call.session.commit_user_turn(transcript_timeout=TIMEOUT_S))
        self.took_s.append(loop.time() - begun_s)
        self.played = played

    @property
    def closing_took_s(self) -> float:
        assert self.played is not None
        return self.played.call.closing_took_s

    @property
    def turns(self) -> list[str]:
        assert self.played is not None
        # Closing a session with manual turns commits what is left, and be it nothing.
        return [text for text in self.played.call.turn_texts if text]


def manual(model: Model, spoken: Script = SPOKEN, **options: Any) -> Any:
    return scene(
        spoken, "manual", model=model, session_close_transcript_timeout=TIMEOUT_S, **options
    )


async def at_once_after_the_last_word(model: Model) -> Commits:
    commits = Commits()
    async with manual(model) as played:
        await played.call.hears(0)
        await commits.commit(played)
    return commits


async def after_the_final_has_come(model: Model) -> Commits:
    commits = Commits()
    async with manual(model) as played:
        await played.call.until(lambda: played.call.finals)
        await commits.commit(played)
    return commits


async def when_nothing_was_said(model: Model) -> Commits:
    commits = Commits()
    async with manual(model, script(3.0)) as played:
        await played.call.microphone.reaches(SAMPLE_RATE_HZ // 2)
        await commits.commit(played)
    return commits


async def before_any_audio(model: Model) -> Commits:
    commits = Commits()
    async with manual(model) as played:
        played.call.microphone.is_muted = True
        await commits.commit(played)
    return commits


async def twice_in_a_row(model: Model) -> Commits:
    commits = Commits()
    async with manual(model) as played:
        await played.call.hears(0)
        await commits.commit(played)
        await commits.commit(played)
    return commits


async def in_the_middle_of_a_sentence(model: Model) -> Commits:
    commits = Commits()
    async with manual(model) as played:
        await played.call.microphone.reaches(MIDDLE)
        await commits.commit(played)
        await played.call.hears(0)
        await played.call.until(lambda: played.call.turns)
        await commits.commit(played)
        await played.call.until(lambda: len(played.call.turns) == 2)
    return commits


async def while_the_server_waits_two_seconds(model: Model) -> Commits:
    commits = Commits()
    async with manual(model, stt_options={"vad_min_silence_duration_ms": 2000}) as played:
        await played.call.hears(0)
        await commits.commit(played)
    return commits


COMMITS: list[Callable[[Model], Awaitable[Commits]]] = [
    at_once_after_the_last_word,
    after_the_final_has_come,
    when_nothing_was_said,
    before_any_audio,
    twice_in_a_row,
    in_the_middle_of_a_sentence,
    while_the_server_waits_two_seconds,
]


def closed_in_mid_sentence(mode: Mode) -> Callable[[Model], Awaitable[Commits]]:
    async def closed(model: Model) -> Commits:
        commits = Commits()
        async with scene(
            SPOKEN, mode, model=model, session_close_transcript_timeout=TIMEOUT_S
        ) as played:
            commits.played = played
            await played.call.microphone.reaches(MIDDLE)
        return commits

    return closed


SCENES: dict[str, Callable[[Model], Awaitable[Commits]]] = {
    **{each.__name__: each for each in COMMITS},
    **{f"closed, {mode}": closed_in_mid_sentence(mode) for mode in ("stt", "vad", "manual")},
}


@pytest.fixture(scope="module")
def of_model() -> Callable[[Model], dict[str, Played[Commits]]]:
    return play_once(
        lambda model: {name: functools.partial(each, model) for name, each in SCENES.items()}
    )


@pytest.fixture
def committed(
    of_model: Callable[[Model], dict[str, Played[Commits]]], model: Model
) -> dict[str, Played[Commits]]:
    return of_model(model)


@pytest.mark.parametrize("name", [each.__name__ for each in COMMITS])
def test_a_commit_is_answered_at_once(committed: dict[str, Played[Commits]], name: str) -> None:
    commits = committed[name].value
    assert all(took_s < PROMPT_S for took_s in commits.took_s), commits.took_s
    assert commits.closing_took_s < PROMPT_S


@pytest.mark.parametrize(
    "name",
    [
        "at_once_after_the_last_word",
        "after_the_final_has_come",
        "while_the_server_waits_two_seconds",
    ],
)
def test_a_commit_has_the_last_words(committed: dict[str, Played[Commits]], name: str) -> None:
    commits = committed[name].value
    assert commits.texts == [YOUNG_MAN.text]
    assert commits.turns == [YOUNG_MAN.text]


@pytest.mark.parametrize("name", ["when_nothing_was_said", "before_any_audio"])
def test_a_commit_of_nothing_is_empty(committed: dict[str, Played[Commits]], name: str) -> None:
    commits = committed[name].value
    assert commits.texts == [""]
    assert commits.turns == []


def test_a_second_commit_says_nothing_twice(committed: dict[str, Played[Commits]]) -> None:
    assert committed["twice_in_a_row"].value.turns == [YOUNG_MAN.text]


def test_audio_that_flows_on_after_a_commit_is_not_cut(
    committed: dict[str, Played[Commits]],
) -> None:
    commits = committed["in_the_middle_of_a_sentence"].value
    assert len(commits.turns) == 2
    assert " ".join(commits.turns) == YOUNG_MAN.text
    assert commits.turns == commits.texts


@pytest.mark.parametrize("mode", ["stt", "vad", "manual"])
def test_closing_a_session_keeps_the_last_words(
    committed: dict[str, Played[Commits]], mode: Mode
) -> None:
    commits = committed[f"closed, {mode}"].value
    assert commits.closing_took_s < PROMPT_S
    (turn,) = commits.turns
    assert YOUNG_MAN.text.startswith(turn)
    assert len(turn.split()) >= 3  # of the four words up to the middle
