"""Real speech, a recognizer that really hears it, and the rate that LiveKit's rooms have."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Sequence

import numpy as np
import pytest
from kit.harness import Scene, play, scene
from kit.stage import LEISURE, YOUNG_MAN, script

from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import SphinxRecognizer

SPOKEN = script(0.5, YOUNG_MAN, 1.8, LEISURE, 2.0)


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """The fewest words that must be changed, left out or put in."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        diagonal, row[0] = row[0], number
        for at, other in enumerate(heard, 1):
            diagonal, row[at] = (
                row[at],
                min(diagonal + (word != other), row[at] + 1, row[at - 1] + 1),
            )
    return row[-1]


async def conversation(recognizer: SphinxRecognizer, model: Model) -> Scene:
    async with scene(
        SPOKEN,
        "stt",
        model=model,
        server_options={"recognizer": recognizer},
        # In one piece: what it makes of speech that comes bit by bit is chaotic.
        stt_options={"enable_partial_transcripts": False},
        microphone_hz=24_000,
    ) as played:
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


@pytest.fixture(scope="module")
def of_model() -> Iterator[Callable[[Model], Scene]]:
    with SphinxRecognizer(workers=1) as recognizer:

        @functools.cache
        def of_model(model: Model) -> Scene:
            scenes: dict[str, Callable[[], Awaitable[Scene]]] = {
                model: functools.partial(conversation, recognizer, model)
            }
            return play(scenes)[model].value

        yield of_model


@pytest.fixture
def played(of_model: Callable[[Model], Scene], model: Model) -> Scene:
    return of_model(model)


def test_the_errors_of_words_are_counted() -> None:
    assert word_errors(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert word_errors(["a", "b", "c"], ["a", "x", "c", "d"]) == 2
    assert word_errors(["a", "b", "c"], []) == 3


def test_the_words_are_those_that_were_spoken(played: Scene) -> None:
    said = SPOKEN.text.split()
    # Sphinx gets 8 of these 30 wrong when it is given the recordings as files.
    assert word_errors(said, " ".join(played.call.turn_texts).split()) / len(said) <= 0.45


def test_every_sentence_is_a_turn(played: Scene) -> None:
    for line, turn in zip(SPOKEN.texts, played.call.turn_texts, strict=True):
        assert word_errors(line.split(), turn.split()) / len(line.split()) <= 0.6


def test_the_server_gets_what_the_microphone_heard(played: Scene) -> None:
    """Over both changes of rate, sample by sample: nothing is lost, doubled or shifted."""
    heard = np.frombuffer(played.connection.audio, "<i2")
    last = SPOKEN.lines[-1].end
    spoken = SPOKEN.pcm[:last].astype(np.float64)
    error = spoken - heard[:last]
    assert 10 * np.log10((spoken**2).mean() / (error**2).mean()) > 40  # dB


def test_every_turn_ends_where_its_line_does(played: Scene) -> None:
    for number, turn in enumerate(played.call.turns):
        late_s = turn.metrics["stopped_speaking_at"] - played.call.spoken_at_s(number)
        assert -0.4 < late_s < 0.4
