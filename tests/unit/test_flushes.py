"""Forced ends of the utterance: every one is answered, in order, once."""

from __future__ import annotations

import numpy as np
import pytest
from kit import in_memory
from kit.in_memory import Call, check
from numpy.typing import NDArray

from livekit.plugins.baseten._core.events import Final
from livekit.plugins.baseten._core.flushes import ANSWER_S, GRACE_S, LEAST_GRACE_S, Flush, Flushes
from livekit.plugins.baseten._core.options import Options
from livekit.plugins.baseten._core.wire import Dialect, dialect_for
from livekit.plugins.baseten.emulator import coded_speech

WHISPER = dialect_for(Options.create("whisper"))
QWEN3 = dialect_for(Options.create("qwen3-asr"))


def ask_and_send(
    flushes: Flushes, position: int, dialect: Dialect = WHISPER, now: float = 0.0
) -> None:
    flushes.ask(position, 0.0)
    flushes.send_next(dialect, now)


def positions(flushes: Flushes) -> list[int]:
    return [flush.position for flush in flushes.waiting]


def is_overdue(flushes: Flushes, now: float) -> bool:
    return flushes.deadline is not None and now >= flushes.deadline


def finalize(flushes: Flushes, position: int, now: float) -> bool:
    """A final reaches stream sample ``position``; whether it answers any."""
    answers = flushes.is_any_before(position)
    flushes.answer(position, now)
    return answers


def silent(position: int) -> bool:
    return True


def noisy(position: int) -> bool:
    return False


def test_each_has_a_number_and_waits() -> None:
    flushes = Flushes()
    assert not flushes.waiting
    flushes.ask(100, 0.0)
    flushes.ask(200, 0.0)
    assert flushes.waiting == [Flush(1, 100), Flush(2, 200)]
    assert flushes.waiting


def test_a_final_answers_those_it_reaches() -> None:
    flushes = Flushes()
    flushes.ask(100, 0.0)
    flushes.ask(300, 0.0)
    assert not finalize(flushes, 99, now=6.0)
    assert finalize(flushes, 100, now=6.0)
    assert positions(flushes) == [300]
    assert finalize(flushes, 1000, now=6.0)
    assert not finalize(flushes, 1000, now=6.0)


def test_where_no_probe_can_follow_the_server_has_a_while_to_answer() -> None:
    flushes = Flushes()
    ask_and_send(flushes, 100, QWEN3, 5.0)
    flushes.stop_waiting_for_silence(5.0, silent)
    assert flushes.deadline == 5.0 + ANSWER_S
    assert not is_overdue(flushes, 5.0 + ANSWER_S - 0.001)
    assert is_overdue(flushes, 5.0 + ANSWER_S)


def test_nothing_is_due_until_the_server_has_heard() -> None:
    flushes = Flushes()
    ask_and_send(flushes, 100)
    flushes.stop_waiting_for_silence(1.0, silent)
    assert flushes.deadline is None
    assert not is_overdue(flushes, 1e9)
    flushes.note_heard("somebody else's", 1.0)
    flushes.note_heard("", 1.0)
    assert flushes.deadline is None


def test_an_answer_without_an_id_is_for_none() -> None:
    flushes = Flushes()
    flushes.ask(100, 0.0)
    flushes.note_heard("", 1.0)
    assert flushes.deadline is None


def test_sound_gets_some_grace_and_silence_none() -> None:
    flushes = Flushes()
    ask_and_send(flushes, 100)
    flushes.note_heard("flush-1", 5.0)
    flushes.stop_waiting_for_silence(5.0, noisy)
    assert flushes.deadline == 5.0 + GRACE_S
    assert not is_overdue(flushes, 5.0)
    assert not is_overdue(flushes, 5.0 + GRACE_S - 0.001)
    flushes.stop_waiting_for_silence(5.5, silent)
    assert flushes.deadline == 5.5
    assert is_overdue(flushes, 5.5)
    flushes.drop_overdue(5.5)
    assert not flushes.waiting
    assert not is_overdue(flushes, 1e9)


@pytest.mark.parametrize(
    ("answered_in_s", "grace_s"),
    [(0.0, LEAST_GRACE_S), (0.25, 0.5), (0.4, 0.8), (3.0, GRACE_S)],
)
def test_a_server_that_was_seen_to_be_fast_gets_less_grace(
    answered_in_s: float, grace_s: float
) -> None:
    flushes = Flushes()
    ask_and_send(flushes, 100)
    flushes.note_heard("flush-1", 5.0)
    assert finalize(flushes, 100, now=5.0 + answered_in_s)
    ask_and_send(flushes, 200)
    flushes.note_heard("flush-2", 20.0)
    assert flushes.deadline == pytest.approx(20.0 + grace_s)


def test_the_slowest_answer_counts() -> None:
    flushes = Flushes()
    for n, took_s in enumerate([0.4, 0.1], 1):
        ask_and_send(flushes, n)
        flushes.note_heard(f"flush-{n}", 5.0)
        finalize(flushes, n, now=5.0 + took_s)
    ask_and_send(flushes, 3)
    flushes.note_heard("flush-3", 20.0)
    assert flushes.deadline == pytest.approx(20.8)


def test_settling_asks_about_the_flushs_own_position() -> None:
    flushes = Flushes()
    ask_and_send(flushes, 100)
    ask_and_send(flushes, 200)
    flushes.note_heard("flush-1", 5.0)
    flushes.note_heard("flush-2", 5.0)
    flushes.stop_waiting_for_silence(5.0, lambda position: position <= 100)
    assert is_overdue(flushes, 5.0)
    flushes.drop_overdue(5.0)
    assert positions(flushes) == [200]
    assert flushes.deadline == 5.0 + GRACE_S


def test_the_first_that_is_due_is_the_deadline() -> None:
    flushes = Flushes()
    ask_and_send(flushes, 100)
    ask_and_send(flushes, 200)
    flushes.note_heard("flush-2", 3.0)
    assert flushes.deadline == 3.0 + GRACE_S
    flushes.note_heard("flush-1", 2.0)
    assert flushes.deadline == 2.0 + GRACE_S


def test_a_new_connection_starts_over_with_it() -> None:
    flushes = Flushes()
    ask_and_send(flushes, 100)
    flushes.note_heard("flush-1", 5.0)
    assert not flushes.unsent
    flushes.restart()
    assert flushes.waiting == list(flushes.unsent) == [Flush(1, 100)]
    assert flushes.deadline is None
    assert flushes.waiting


def test_those_that_no_answer_will_come_to_are_gone_at_once() -> None:
    flushes = Flushes()
    flushes.ask(100, 0.0)
    flushes.clear()
    assert not flushes.waiting


def test_what_waits_cannot_be_changed_from_outside() -> None:
    flushes = Flushes()
    flushes.ask(100, 0.0)
    flushes.waiting.clear()
    assert flushes.waiting


# Whatever comes behind


class LateDetector:
    """Notices speech after 0.3 s of it, and the end of it at once."""

    def __init__(self) -> None:
        self._loud = 0

    def probability(self, window: NDArray[np.int16]) -> float:
        self._loud = self._loud + 1 if np.abs(window.astype(int)).max(initial=0) > 0 else 0
        return 1.0 if self._loud > 10 else 0.0


@pytest.mark.parametrize("flushed_after_s", [0.0, 0.1, 0.2, 0.3, 0.35])
@pytest.mark.parametrize("partials", [True, False])
def test_a_flush_in_the_first_moments_of_speech_is_answered_in_its_time(
    flushed_after_s: float, partials: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has not noticed the speech yet, and hears on for eight seconds."""
    monkeypatch.setattr(in_memory, "AmplitudeDetector", LateDetector)
    call = Call(
        coded_speech([(16_000, 128_000)], trailing_samples=8000, first_word=1001),
        Options.create("whisper", enable_partial_transcripts=partials),
    )
    call.connect()
    call.push(16_000 + round(flushed_after_s * 16_000))
    call.flush()
    asked_s, answered_s = call.now, None
    while call.pushed < call.samples:
        call.push(800)
        call.settle()
        call.wait(50)
        if answered_s is None and any(isinstance(event, Final) for event in call.events):
            answered_s = call.now
    assert answered_s is not None
    assert answered_s - asked_s < GRACE_S + 0.2
    call.finish()
    check(call)
