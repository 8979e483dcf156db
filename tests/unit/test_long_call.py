"""A long call, in memory, that is cut again and again."""

from __future__ import annotations

import random
import sys
from collections import deque
from typing import Any

from kit.in_memory import Call, check, seconds

from livekit.plugins.baseten._core.options import Model, Options
from livekit.plugins.baseten.emulator import coded_speech

CALL_S = 1200
CUT_EVERY_S = 10
LOOKED_AT_EVERY_S = 60


def held_bytes(thing: Any, seen: set[int]) -> int:
    """What an object holds on to, whatever it is made of."""
    if id(thing) in seen or isinstance(thing, type):
        return 0
    seen.add(id(thing))
    inner: list[Any] = []
    if isinstance(thing, dict):
        inner = [*thing, *thing.values()]
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        inner = list(thing)
    elif hasattr(thing, "__dict__"):
        inner = [vars(thing)]
    return sys.getsizeof(thing) + sum(held_bytes(each, seen) for each in inner)


def test_a_cut_every_ten_seconds_loses_no_word_and_holds_no_memory(
    model: Model,
) -> None:
    rng = random.Random(3)
    layout = []
    spoken_samples = 0
    while spoken_samples < seconds(CALL_S):
        gap = rng.choice((800, 3000, 3000, 9000, 16_000, 48_000))
        layout.append((gap, 4000))
        spoken_samples += gap + 4000
    speech = coded_speech(layout, trailing_samples=16_000, first_word=1001)
    # Turns end after the silence that the speech was made for, and words have times.
    asked = {"vad_min_silence_duration_ms": 300, "show_word_timestamps": True}
    call = Call(speech, Options.create(model, **asked))
    call.connect()

    held: list[int] = []
    next_cut, next_look = seconds(CUT_EVERY_S), seconds(LOOKED_AT_EVERY_S)
    while call.pushed < call.samples:
        call.push(16_000)
        call.wait(10)  # a hundred times as fast as speech
        call.settle()
        if call.pushed >= next_look:
            next_look += seconds(LOOKED_AT_EVERY_S)
            held.append(held_bytes(call.recognition, set()))
        if call.pushed >= next_cut:
            next_cut += seconds(CUT_EVERY_S)
            call.push(rng.randint(1, 16_000))
            call.send(rng.randint(0, 40))
            call.arrive(rng.randint(0, 40))
            call.recognize(rng.randint(0, 3))
            call.receive(rng.randint(0, 3))
            call.cut()
            call.connect()
    call.finish()

    check(call)
    assert call.connections >= CALL_S / CUT_EVERY_S
    assert len(held) >= CALL_S / LOOKED_AT_EVERY_S
    # The utterance under way, at 32 kB a second; and what is over leaves nothing behind.
    assert max(held) < 300_000, f"{held}"
