"""The connection is lost at each point of sending, in each state of a stream: no word is.

Before a frame, within it and behind it, in either dialect: the metadata, the probe behind it,
audio, a flush, the end of the audio, a ping. Every call in one event loop, in which time passes
while all of them wait.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from kit import clock
from kit.cutting import Cut, Kind, Where, wired
from kit.loopback import ALIKE, QUICK, Listener, check, client, served_to_the_sample
from kit.models import MODELS

from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import CodedSpeech, coded_speech

PLACES: tuple[Where, ...] = get_args(Where)

# Two utterances. After a second, there is a short pause in the first.
LAYOUT = [(4000, 4000), (1000, 4000), (5000, 4000), (12_000, 4000)]
SPEECH = coded_speech(LAYOUT, trailing_samples=8000, first_word=1001)


@dataclass(frozen=True)
class State:
    """How far a stream is when it sends what is cut.

    Attributes:
        pushed: Samples of audio before that.
        words: How many words have been spoken by then, all of them to the end.
        finals: How many have a final by then.
        limit_s: When the server cuts an utterance.
    """

    pushed: int
    words: int
    finals: int = 0
    limit_s: int = 29


# Of the audio of a word itself nothing can be flushed or ended without cutting the word.
WHOLE = {
    "quiet": State(3000, 0),
    "speaking": State(8500, 1),
    "continuing": State(16_384, 2, 2, limit_s=1),
    "pausing": State(30_000, 3, 3),
}
STATES = {
    **WHOLE,
    "in mid-word": State(6000, 0),
    "continuing, in mid-word": State(19_500, 2, 2, limit_s=1),
}

Act = Callable[[Listener], None]


def flush(listener: Listener) -> None:
    listener.stream.flush()


def go_on(listener: Listener) -> None:
    """With what is pushed after everything else."""


async def one_call(
    model: Model, state: State, act: Act, *cuts: Cut, speech: CodedSpeech = SPEECH, **options: Any
) -> None:
    """Speak up to a state, act, and lose the connection by it; then speak on to the end."""
    asked = {
        "model": model,
        **ALIKE,
        "final_transcript_max_duration_s": state.limit_s,
        "ping_interval_s": 0.3,
        **options,
    }
    async with (
        served_to_the_sample(model=model, aligner=True) as server,
        wired(server) as wire,
        client(wire.url, **asked) as stt,
    ):
        listener = Listener(stt, QUICK)
        try:
            listener.push(speech.pcm[: state.pushed * 2])
            await listener.until(lambda: len(listener.said()) >= state.finals)
            await asyncio.sleep(0.2)  # of a time that passes when nothing is under way
            first, *later = cuts
            wire.cuts += later
            wire.arm(first)
            act(listener)
            if first.kind == "ping":
                await listener.until(lambda: wire.is_cut)
            listener.push(speech.pcm[state.pushed * 2 :])
            listener.stream.end_input()
            check(await listener.ended(), speech)
            assert wire.is_cut == len(cuts), "nothing was cut"
        finally:
            await listener.aclose()


async def first_call(model: Model, cut: Cut) -> None:
    """The first connection of a stream is lost while it is opened, with all audio there."""
    async with (
        served_to_the_sample(model=model, aligner=True) as server,
        wired(server) as wire,
        client(wire.url, model=model, **ALIKE) as stt,
    ):
        wire.cuts.append(cut)
        listener = Listener(stt, QUICK)
        try:
            listener.push(SPEECH.pcm)
            listener.stream.end_input()
            check(await listener.ended(), SPEECH)
            assert wire.is_cut == 1, "nothing was cut"
        finally:
            await listener.aclose()


async def ended(model: Model, state: State, *cuts: Cut) -> None:
    """The audio ends there, and the connection is lost by it."""
    speech = coded_speech(LAYOUT[: state.words], first_word=1001)
    silence = bytes(state.pushed * 2 - len(speech.pcm))
    spoken = CodedSpeech(speech.pcm + silence, speech.words)
    await one_call(model, state, go_on, *cuts, speech=spoken)


OPENING: dict[Model, tuple[Kind, ...]] = {
    "whisper": ("metadata", "probe"),
    "qwen3-asr": ("metadata",),
}
FLUSH: dict[Model, tuple[Kind, ...]] = {"whisper": ("silence", "probe"), "qwen3-asr": ("commit",)}
END: dict[Model, Kind] = {"whisper": "end_audio", "qwen3-asr": "commit"}


def calls(model: Model) -> dict[str, Callable[[], Awaitable[None]]]:
    scenes: dict[str, Callable[[], Awaitable[None]]] = {}
    for place in PLACES:
        for kind in OPENING[model]:
            cut = Cut(place, kind)
            scenes[f"{place} the first {kind}"] = functools.partial(first_call, model, cut)
            for name in ("quiet", "in mid-word", "pausing"):
                scenes[f"{place} another {kind}, {name}"] = functools.partial(
                    one_call, model, STATES[name], go_on, Cut("behind", "audio", 1), cut
                )
        for name, state in STATES.items():
            scenes[f"{place} audio, {name}"] = functools.partial(
                one_call, model, state, go_on, Cut(place, "audio", 1)
            )
            scenes[f"{place} a ping, {name}"] = functools.partial(
                one_call, model, state, go_on, Cut(place, "ping")
            )
        for name, state in WHOLE.items():
            for kind in FLUSH[model]:
                scenes[f"{place} a flush's {kind}, {name}"] = functools.partial(
                    one_call, model, state, flush, Cut(place, kind)
                )
            scenes[f"{place} the end, {name}"] = functools.partial(
                ended, model, state, Cut(place, END[model])
            )
    return scenes


@pytest.mark.parametrize("model", MODELS)
def test_wherever_sending_stops_every_word_comes_once(model: Model) -> None:
    scenes = calls(model)

    async def main() -> list[BaseException | None]:
        return await asyncio.gather(*(call() for call in scenes.values()), return_exceptions=True)

    outcomes = clock.run(main())
    failed = {
        name: repr(error) for name, error in zip(scenes, outcomes, strict=True) if error is not None
    }
    assert not failed, f"{len(failed)} of {len(scenes)}: {failed}"
