"""Forced ends of the utterance: every one is answered, in order, once."""

from __future__ import annotations

import pytest

from livekit.plugins.baseten._core.flushes import ANSWER_S, GRACE_S, LEAST_GRACE_S, Flush, Flushes


def sent(flush: Flush) -> Flush:
    flush.sent(f"flush-{flush.number}", now=0.0)
    return flush


def silent(position: int) -> bool:
    return True


def noisy(position: int) -> bool:
    return False


def test_each_has_a_number_and_waits() -> None:
    flushes = Flushes()
    assert not flushes
    first, second = flushes.asked(100), flushes.asked(200)
    assert (first.number, second.number) == (1, 2)
    assert flushes.waiting == [first, second]
    assert flushes


def test_a_final_answers_those_it_reaches() -> None:
    flushes = Flushes()
    flushes.asked(100)
    later = flushes.asked(300)
    assert not flushes.finalized(99, now=6.0)
    assert flushes.finalized(100, now=6.0)
    assert flushes.waiting == [later]
    assert flushes.finalized(1000, now=6.0)
    assert not flushes.finalized(1000, now=6.0)


def test_where_no_probe_can_follow_the_server_has_a_while_to_answer() -> None:
    flushes = Flushes()
    flushes.asked(100).sent("", now=5.0)
    flushes.settle(5.0, silent)
    assert flushes.deadline == 5.0 + ANSWER_S
    assert not flushes.overdue(5.0 + ANSWER_S - 0.001)
    assert flushes.overdue(5.0 + ANSWER_S)


def test_nothing_is_due_until_the_server_has_heard() -> None:
    flushes = Flushes()
    sent(flushes.asked(100))
    flushes.settle(1.0, silent)
    assert flushes.deadline is None
    assert not flushes.overdue(1e9)
    flushes.heard("somebody else's", 1.0)
    flushes.heard("", 1.0)
    assert flushes.deadline is None


def test_an_answer_without_an_id_is_for_none() -> None:
    flushes = Flushes()
    flushes.asked(100)
    flushes.heard("", 1.0)
    assert flushes.deadline is None


def test_sound_gets_some_grace_and_silence_none() -> None:
    flushes = Flushes()
    sent(flushes.asked(100))
    flushes.heard("flush-1", 5.0)
    flushes.settle(5.0, noisy)
    assert flushes.deadline == 5.0 + GRACE_S
    assert not flushes.overdue(5.0)
    assert not flushes.overdue(5.0 + GRACE_S - 0.001)
    flushes.settle(5.5, silent)
    assert flushes.deadline == 5.5
    assert flushes.overdue(5.5)
    assert not flushes
    assert not flushes.overdue(1e9)


@pytest.mark.parametrize(
    ("answered_in_s", "grace_s"),
    [(0.0, LEAST_GRACE_S), (0.25, 0.5), (0.4, 0.8), (3.0, GRACE_S)],
)
def test_a_server_that_was_seen_to_be_fast_gets_less_grace(
    answered_in_s: float, grace_s: float
) -> None:
    flushes = Flushes()
    sent(flushes.asked(100))
    flushes.heard("flush-1", 5.0)
    assert flushes.finalized(100, now=5.0 + answered_in_s)
    sent(flushes.asked(200))
    flushes.heard("flush-2", 20.0)
    assert flushes.deadline == pytest.approx(20.0 + grace_s)


def test_the_slowest_answer_counts() -> None:
    flushes = Flushes()
    for n, took_s in enumerate([0.4, 0.1], 1):
        sent(flushes.asked(n))
        flushes.heard(f"flush-{n}", 5.0)
        flushes.finalized(n, now=5.0 + took_s)
    sent(flushes.asked(3))
    flushes.heard("flush-3", 20.0)
    assert flushes.deadline == pytest.approx(20.8)


def test_settling_asks_about_the_flushs_own_position() -> None:
    flushes = Flushes()
    sent(flushes.asked(100))
    sent(flushes.asked(200))
    flushes.heard("flush-1", 5.0)
    flushes.heard("flush-2", 5.0)
    flushes.settle(5.0, lambda position: position <= 100)
    assert flushes.overdue(5.0)
    assert [flush.position for flush in flushes.waiting] == [200]
    assert flushes.deadline == 5.0 + GRACE_S


def test_the_first_that_is_due_is_the_deadline() -> None:
    flushes = Flushes()
    sent(flushes.asked(100))
    sent(flushes.asked(200))
    flushes.heard("flush-2", 3.0)
    assert flushes.deadline == 3.0 + GRACE_S
    flushes.heard("flush-1", 2.0)
    assert flushes.deadline == 2.0 + GRACE_S


def test_a_new_connection_starts_over_with_it() -> None:
    flushes = Flushes()
    flush = sent(flushes.asked(100))
    flushes.heard("flush-1", 5.0)
    flush.reset()
    assert flush == Flush(1, 100)
    assert flushes.deadline is None
    assert flushes


def test_those_that_no_answer_will_come_to_are_gone_at_once() -> None:
    flushes = Flushes()
    assert not flushes.abandoned()
    flushes.asked(100)
    assert flushes.abandoned()
    assert not flushes
    assert not flushes.abandoned()


def test_what_waits_cannot_be_changed_from_outside() -> None:
    flushes = Flushes()
    flushes.asked(100)
    flushes.waiting.clear()
    assert flushes
