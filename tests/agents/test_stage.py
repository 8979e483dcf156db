"""The stage itself: what it finds out about others it has to be able to find out."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest
from kit.harness import play
from kit.prompter import Prompter
from kit.stage import SELFISH, YOUNG_MAN, script

SPOKEN = script(0.5, YOUNG_MAN, 1.0, SELFISH, 0.5)
PCM = SPOKEN.pcm.astype("<i2").tobytes()


def heard(*buffers: bytes) -> list[str]:
    prompter = Prompter(SPOKEN)
    return [word.text for pcm in buffers for word in prompter.recognize(pcm, is_final=True)]


@pytest.mark.parametrize("seed", range(5))
def test_buffers_without_gap_or_overlap_say_every_word_once(seed: int) -> None:
    cuts = np.random.default_rng(seed).integers(0, len(SPOKEN.pcm), 9)
    edges = [0, *sorted(cuts.tolist()), len(SPOKEN.pcm)]
    buffers = [PCM[2 * start : 2 * stop] for start, stop in itertools.pairwise(edges)]
    assert " ".join(heard(*buffers)) == SPOKEN.text


def test_made_up_silence_within_a_buffer_says_nothing() -> None:
    middle = len(PCM) // 4 * 2
    assert " ".join(heard(PCM[:middle] + bytes(20_000) + PCM[middle:])) == SPOKEN.text


def test_audio_that_is_lost_or_doubled_costs_or_doubles_words() -> None:
    start, end = SPOKEN.lines[0].start, SPOKEN.lines[0].end
    assert YOUNG_MAN.text not in " ".join(heard(PCM[: 2 * start] + PCM[2 * end - 16_000 :]))
    assert len(heard(PCM, PCM[2 * start : 2 * end])) == len(SPOKEN.text.split()) + 8


def test_words_are_where_they_were_spoken() -> None:
    words = Prompter(SPOKEN).recognize(bytes(32_000) + PCM, is_final=True)
    assert words[0].start_s == pytest.approx(1 + SPOKEN.lines[0].start / 16_000)
    assert words[-1].end_s == pytest.approx(1 + SPOKEN.lines[1].end / 16_000)


def test_a_task_that_outlives_its_scene_is_found() -> None:
    async def leaves_one() -> bool:
        asyncio.get_running_loop().create_task(asyncio.sleep(60), name="left over")
        return True

    with pytest.raises(AssertionError, match="left over"):
        play({"leaves one": leaves_one})


def test_an_exception_that_nobody_asks_for_is_found() -> None:
    async def fails() -> None:
        raise ValueError("unheard of")

    async def ignores() -> bool:
        await asyncio.wait({asyncio.get_running_loop().create_task(fails())})
        return True

    with pytest.raises(AssertionError, match="unheard of"):
        play({"ignores": ignores})


def test_a_scene_that_fails_fails_its_own_tests_only() -> None:
    async def fails() -> bool:
        raise ValueError("a scene")

    async def goes_well() -> bool:
        return True

    played = play({"fails": fails, "goes well": goes_well})
    assert played["goes well"].value
    with pytest.raises(ValueError, match="a scene"):
        _ = played["fails"].value
