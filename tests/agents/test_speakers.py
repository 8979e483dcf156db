"""Two people at one microphone: diarization, and LiveKit's MultiSpeakerAdapter over it.

Whisper's alone: Qwen3-ASR tells no speakers apart.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

import pytest
from kit.harness import Played, Scene, play, scene
from kit.prompter import Prompter
from kit.stage import SELFISH, YOUNG_MAN, script

from livekit.agents import stt
from livekit.agents.stt import MultiSpeakerAdapter
from livekit.plugins.baseten.emulator import Diarizer

SPOKEN = script(0.5, YOUNG_MAN, 1.6, SELFISH, 1.4)
SPEAKERS = ("SPEAKER_00", "SPEAKER_01")
HEARD = [f"{line}." for line in SPOKEN.texts]


async def dialogue(
    granularity: str, wrapped: Callable[[stt.STT], stt.STT] = lambda ours: ours
) -> Scene:
    async with scene(
        SPOKEN,
        "stt",
        stt_options={"enable_diarization": True, "diarization_granularity": granularity},
        server_options={
            "diarizer": Diarizer(max_wait_s=1.0),
            "recognizer": Prompter(SPOKEN, speakers=SPEAKERS, ending="."),
        },
        wrapped=wrapped,
    ) as played:
        await played.call.until(lambda: played.call.turns)
        await played.call.is_heard()
        await played.call.until(lambda: played.call.session.user_state == "listening")
    return played


def named(ours: stt.STT) -> stt.STT:
    return MultiSpeakerAdapter(
        stt=ours,
        primary_format="{speaker_id}: {text}",
        background_format="{speaker_id}: {text}",
    )


def only_the_first(ours: stt.STT) -> stt.STT:
    return MultiSpeakerAdapter(
        stt=ours,
        suppress_background_speaker=True,
    )


SCENES: dict[str, Callable[[], Awaitable[Scene]]] = {
    "sentence": functools.partial(dialogue, "sentence"),
    "segment": functools.partial(dialogue, "segment"),
    "named": functools.partial(dialogue, "sentence", named),
    "only the first": functools.partial(dialogue, "sentence", only_the_first),
}


@pytest.fixture(scope="module")
def scenes() -> dict[str, Played[Scene]]:
    return play(SCENES)


@pytest.mark.parametrize("granularity", ["sentence", "segment"])
def test_every_turn_names_its_speaker(scenes: dict[str, Played[Scene]], granularity: str) -> None:
    call = scenes[granularity].value.call
    assert call.turn_texts == HEARD
    finals = [event for event in call.transcripts if event.is_final]
    assert [event.speaker_id for event in finals] == list(SPEAKERS)


def test_every_word_names_its_speaker(scenes: dict[str, Played[Scene]]) -> None:
    for event, speaker in zip(scenes["sentence"].value.streams[0].finals, SPEAKERS, strict=True):
        words = event.alternatives[0].words
        assert words
        assert {word.speaker_id for word in words} == {speaker}


def test_the_adapter_writes_the_speakers_into_the_turns(
    scenes: dict[str, Played[Scene]],
) -> None:
    turns = scenes["named"].value.call.turn_texts
    assert turns == [f"{who}: {text}" for who, text in zip(SPEAKERS, HEARD, strict=True)]


def test_a_speaker_in_the_background_makes_no_turn(scenes: dict[str, Played[Scene]]) -> None:
    call = scenes["only the first"].value.call
    assert call.turn_texts == HEARD[:1]
    assert [event.new_state for event in call.states] == ["speaking", "listening"] * 2


def test_the_adapter_counts_no_second_twice(scenes: dict[str, Played[Scene]]) -> None:
    played = scenes["named"].value
    (usage,) = [each for each in played.call.session.usage.model_usage if each.type == "stt_usage"]
    assert usage.audio_duration <= played.used_s + 0.001
