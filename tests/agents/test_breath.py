"""Somebody takes a breath, and goes on before the turn is over: a voice is heard sooner than words.

The same conversation with and without `local_vad`, in turn detection "stt".
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

import pytest
from kit.harness import Played, Scene, play_once, scene
from kit.stage import LEISURE, SELFISH, YOUNG_MAN, script

from livekit.plugins.baseten._core.options import Model

SPOKEN = script(0.5, YOUNG_MAN, SELFISH, 2.4, LEISURE, 2.0)


async def breathe(model: Model, is_heard: bool) -> Scene:
    async with scene(
        SPOKEN,
        "stt",
        model=model,
        stt_options={"local_vad": is_heard},
        vad=None,
        server_options={"latency_s": 0.1},
        turn_handling={"endpointing": {"min_delay": 0.8}},
    ) as played:
        await played.call.is_heard()
    return played


def scenes(model: Model) -> dict[str, Callable[[], Awaitable[Scene]]]:
    return {
        "without": functools.partial(breathe, model, is_heard=False),
        "with": functools.partial(breathe, model, is_heard=True),
    }


of_model = pytest.fixture(scope="module")(lambda: play_once(scenes))


@pytest.mark.parametrize("model", ["whisper"])  # the other one ends its utterances later
def test_a_turn_is_whole_whose_speaker_takes_a_breath(
    of_model: Callable[[Model], dict[str, Played[Scene]]], model: Model
) -> None:
    played = of_model(model)
    first, second, third = SPOKEN.texts
    assert played["without"].value.call.turn_texts == [first, second, third]
    assert played["with"].value.call.turn_texts == [f"{first} {second}", third]
    assert played["with"].value.call.errors == []
