"""The property that holds for Whisper, over the other dialect: every word once, in its place.

The scripts, the checks and the cases are those of `reliability.test_any_interleaving`; only what
talks is another.
"""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import HealthCheck, given, settings
from reliability import in_memory
from reliability import test_any_interleaving as whisper
from reliability.in_memory import Call, Wire, check

from livekit.plugins.baseten._options import Options
from livekit.plugins.baseten._session import Session
from livekit.plugins.baseten.emulator import CodedRecognizer, InMemoryConnection


class Qwen3Wire(Wire):
    def __init__(self, session: Session, now: float) -> None:
        super().__init__(session, now)
        # With an aligner, so that words have the times that are checked.
        self.server = InMemoryConnection(
            model="qwen3-asr", recognizer=CodedRecognizer(None), aligner=True, is_prompt=False
        )


class Qwen3Call(Call):
    def change(self, options: Options) -> None:
        # At its very end that looks for a proof which there is none of in this dialect.
        with contextlib.suppress(AssertionError):
            super().change(options)


def options(limit_s: int = 30, interval_s: float = 0.5, silence_s: float = 0.3) -> Options:
    return Options.create(
        "qwen3-asr",
        final_transcript_max_duration_s=limit_s,
        enable_partial_transcripts=interval_s > 0,
        partial_transcript_interval_s=interval_s or 0.5,
        vad_min_silence_duration_ms=round(silence_s * 1000),
        show_word_timestamps=True,
    )


@pytest.fixture(autouse=True)
def qwen3_talks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_memory, "Wire", Qwen3Wire)


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(whisper.layouts, whisper.rests, whisper.asked, whisper.steps)
def test_any_interleaving_gives_every_word_once_in_its_place(
    layout: whisper.Layout, rest: int, first: whisper.Asked, script: list[whisper.Step]
) -> None:
    call = Qwen3Call(whisper.spoken(layout, rest), options(*first))
    run(call, script)


def run(call: Call, script: list[whisper.Step]) -> None:
    call.connect()
    for name, argument in script:
        if name == "settle":
            call.settle()
        elif name == "change":
            call.change(options(*argument))
        else:
            getattr(call, name)(argument)
    call.finish()
    check(call)


@pytest.mark.parametrize("seed", range(5))
def test_forty_long_scripts_give_every_word_once_in_its_place(seed: int) -> None:
    for case in range(40):
        rng = random.Random(100 * seed + case)
        layout = [
            (rng.choice(whisper.GAPS), rng.choice(whisper.LENGTHS))
            for _ in range(rng.randint(1, 25))
        ]
        rest = rng.choice((0, 300, 20_000))
        call = Qwen3Call(whisper.spoken(layout, rest), options(*whisper.random_asked(rng)))
        run(call, whisper.random_steps(rng, rng.randint(10, 250)))


# What a search has found


def test_each_commit_has_its_own_answer() -> None:
    """Two flushes at one place: the answer to the second is not that of the third."""
    call = Qwen3Call(whisper.spoken([(5631, 4000)], 20_000), options(interval_s=3.0))
    run(
        call,
        [
            ("push", 1),
            ("flush", 0),
            ("flush", 0),
            ("send", 400),
            ("arrive", 400),
            ("recognize", 50),
            ("push", 20_000),
            ("send", 400),
            ("flush", 0),
            ("send", 32),
            ("receive", 2),
            ("cut", 0),
        ],
    )


def test_an_empty_answer_is_for_what_was_asked_and_not_for_what_came_since() -> None:
    call = Qwen3Call(whisper.spoken([(800, 4000), (16_000, 4000), (800, 4000)], 300), options())
    call.connect()
    call.push(14_000)
    call.settle()
    call.push(3000)
    call.flush()
    call.send(400)
    call.arrive(400)
    call.recognize(50)
    call.push(6000)  # the second word begins, while the answer is under way
    call.receive(50)
    call.flush()
    call.finish()
    check(call)


def test_an_empty_partial_says_nothing_about_where_speech_begins() -> None:
    call = Qwen3Call(whisper.spoken([(800, 9000), (800, 4000)], 20_000), options(interval_s=0.1))
    call.connect()
    call.push(5000)
    call.flush()  # in mid-word: what is left of it has no text
    call.settle()
    call.push(20_000)
    call.settle()
    call.finish()
    check(call)


def test_a_flush_waits_for_the_connection_after_the_one_that_was_lost() -> None:
    call = Qwen3Call(whisper.spoken([(800, 4000), (800, 4000)], 300), options())
    call.connect()
    call.push(9000)
    call.flush()
    call.send(400)
    call.cut()
    call.wait(3500)
    call.push(300)  # whoever pushes meanwhile looks whether there is anything new
    assert call.events == []
    call.finish()
    check(call)
