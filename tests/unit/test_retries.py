"""What is retried, what gives the budget back, and the wait before a retry: it tames a storm."""

from __future__ import annotations

import functools
import importlib.util
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

from livekit.plugins.baseten._core.errors import BasetenError, MetadataRefused, SessionLost
from livekit.plugins.baseten._core.options import Model, Options
from livekit.plugins.baseten._core.retries import (
    FIRST_CEILING_S,
    LONGEST_RETRY_AFTER_S,
    RULES,
    WIDEST_SPREAD_INTERVALS,
    WORKED_AFTER_S,
    Refusals,
    Worth,
    retry_delay_s,
    rule_for,
    worth,
)
from livekit.plugins.baseten._core.session import Patience, Session
from livekit.plugins.baseten._core.wire import dialect_for

attempts = st.integers(0, 10_000)
intervals_s = st.floats(0.0, 60.0)
positions = st.floats(0.0, 1.0)
asked_s = st.floats(0.0, 3600.0)


def drawn_at(position: float) -> Callable[[float, float], float]:
    """A `uniform` that always lands at the same fraction of its range."""
    return lambda low, high: low + position * (high - low)


def budget_s(position: float, *, retry_interval_s: float = 2.0) -> float:
    """The sum of the waits that LiveKit's default of three retries makes."""
    return sum(
        retry_delay_s(n, retry_interval_s=retry_interval_s, uniform=drawn_at(position))
        for n in range(3)
    )


@given(attempts, intervals_s, positions, asked_s)
def test_every_wait_is_within_its_bounds(
    attempt: int, interval_s: float, position: float, asked: float
) -> None:
    delay_s = retry_delay_s(
        attempt, retry_interval_s=interval_s, uniform=drawn_at(position), retry_after_s=asked
    )
    longest_floor_s = max(interval_s, min(asked, LONGEST_RETRY_AFTER_S))
    assert 0.0 <= delay_s <= longest_floor_s + WIDEST_SPREAD_INTERVALS * interval_s


@given(intervals_s, positions)
def test_a_first_retry_is_quick(interval_s: float, position: float) -> None:
    delay_s = retry_delay_s(0, retry_interval_s=interval_s, uniform=drawn_at(position))
    assert 0.0 <= delay_s <= min(FIRST_CEILING_S, interval_s)


def test_a_lone_lost_connection_is_back_in_150_ms_on_average() -> None:
    assert retry_delay_s(0, retry_interval_s=2.0, uniform=drawn_at(0.5)) == pytest.approx(0.15)


@given(st.integers(1, 10_000), intervals_s, positions)
def test_later_retries_are_never_earlier_than_livekits(
    attempt: int, interval_s: float, position: float
) -> None:
    delay_s = retry_delay_s(attempt, retry_interval_s=interval_s, uniform=drawn_at(position))
    assert delay_s >= interval_s


def test_the_default_budget_lasts_as_long_as_documented() -> None:
    assert budget_s(0.0) == pytest.approx(4.0)
    assert budget_s(0.5) == pytest.approx(7.15)
    assert budget_s(1.0) == pytest.approx(10.3)


def test_a_session_outlives_half_a_minute_of_refusals_whatever_is_drawn() -> None:
    """It gives up with the fourth stream that fails, and opens the next one after 0.5 s."""
    later = functools.partial(retry_delay_s, retry_interval_s=2.0, is_later=True)
    stream_s = sum(later(n, uniform=drawn_at(0.0)) for n in range(3))
    assert budget_s(0.0) + 3 * (0.5 + stream_s) == pytest.approx(32.5)
    assert {later(n, uniform=drawn_at(1.0)) for n in range(3)} == {6.0}


@given(st.integers(1, 10_000))
def test_the_spread_doubles_once(attempt: int) -> None:
    widest_s = retry_delay_s(attempt, retry_interval_s=2.0, uniform=drawn_at(1.0))
    assert widest_s == (4.0 if attempt == 1 else 6.0)


@given(attempts, asked_s, positions)
def test_no_interval_is_no_waiting(attempt: int, asked: float, position: float) -> None:
    delay_s = retry_delay_s(
        attempt, retry_interval_s=0.0, uniform=drawn_at(position), retry_after_s=asked
    )
    assert delay_s == 0.0


@given(attempts, st.floats(0.001, 60.0), positions, st.floats(0.0, LONGEST_RETRY_AFTER_S))
def test_retry_after_is_a_floor(
    attempt: int, interval_s: float, position: float, asked: float
) -> None:
    delay_s = retry_delay_s(
        attempt, retry_interval_s=interval_s, uniform=drawn_at(position), retry_after_s=asked
    )
    unasked_s = retry_delay_s(attempt, retry_interval_s=interval_s, uniform=drawn_at(position))
    assert delay_s >= asked
    assert delay_s >= unasked_s


@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_not_all_come_back_the_moment_retry_after_ends(attempt: int) -> None:
    asked = functools.partial(retry_delay_s, retry_interval_s=2.0, retry_after_s=5.0)
    assert asked(attempt, uniform=drawn_at(0.0)) == 5.0
    assert asked(attempt, uniform=drawn_at(1.0)) >= 7.0


def test_a_first_retry_waits_no_longer_than_asked_before_it_spreads() -> None:
    asked = functools.partial(retry_delay_s, retry_interval_s=2.0, retry_after_s=0.5)
    assert asked(0, uniform=drawn_at(0.0)) == 0.5
    assert asked(0, uniform=drawn_at(1.0)) == 2.5


@pytest.mark.parametrize("asked", [60.0, 1e9, float("inf")])
def test_an_absurd_retry_after_is_capped(asked: float) -> None:
    delay_s = retry_delay_s(0, retry_interval_s=2.0, uniform=drawn_at(0.0), retry_after_s=asked)
    assert delay_s == LONGEST_RETRY_AFTER_S


@pytest.mark.parametrize("asked", [-1.0, float("nan")])
def test_a_senseless_retry_after_is_none(asked: float) -> None:
    delay_s = retry_delay_s(1, retry_interval_s=2.0, uniform=drawn_at(0.5), retry_after_s=asked)
    assert delay_s == 3.0


def test_a_long_interval_is_not_shortened_by_the_cap_on_retry_after() -> None:
    delay_s = retry_delay_s(1, retry_interval_s=30.0, uniform=drawn_at(0.0), retry_after_s=45.0)
    assert delay_s == 30.0


def test_random_uniform_fits() -> None:
    rng = random.Random(1)
    delays = {retry_delay_s(1, retry_interval_s=2.0, uniform=rng.uniform) for _ in range(100)}
    assert len(delays) == 100


# benchmarks/storm.py, with few calls


@pytest.fixture(scope="module")
def storm() -> Iterator[ModuleType]:
    path = ROOT / "benchmarks" / "storm.py"
    spec = importlib.util.spec_from_file_location("storm", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["storm"] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["storm"]


@pytest.mark.parametrize("parks", [False, True])
def test_a_storm_is_flatter_than_with_fixed_waits(storm: ModuleType, parks: bool) -> None:
    restart = storm.Storm(calls=1000, capacity=50.0, outage_s=2.0, parks=parks)
    fixed = storm.simulate(restart, storm.livekit_delay, seed=1)
    ours = storm.simulate(restart, storm.plugin_delay, seed=1)
    assert ours.peak(0.1) < 0.6 * fixed.peak(0.1)
    assert ours.peak(0.1, from_s=2.0) < 0.3 * fixed.peak(0.1, from_s=2.0)
    assert ours.calls_lost <= fixed.calls_lost
    assert ours.calls_lost < 20


def test_refused_calls_survive_that_fixed_waits_lose(storm: ModuleType) -> None:
    restart = storm.Storm(calls=1000, capacity=50.0, outage_s=2.0)
    fixed = storm.simulate(restart, storm.livekit_delay, seed=1)
    assert fixed.calls_lost > 80
    assert fixed.back_at_s(0.99) == float("inf")
    assert storm.simulate(restart, storm.plugin_delay, seed=1).back_at_s(0.95) < 30.0


def test_a_seed_decides_the_simulation(storm: ModuleType) -> None:
    restart = storm.Storm(calls=200, capacity=20.0, outage_s=2.0)
    one, same, other = (storm.simulate(restart, storm.plugin_delay, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.arrivals_s, same.arrivals_s)
    assert np.array_equal(one.back_s, same.back_s)
    assert not np.array_equal(one.back_s, other.back_s)


def test_without_overload_nobody_is_lost(storm: ModuleType) -> None:
    restart = storm.Storm(calls=100, capacity=1000.0, outage_s=3.5)
    outcome = storm.simulate(restart, storm.plugin_delay, seed=1)
    assert outcome.calls_lost == 0
    assert outcome.calls_with_failed_stream == 0


def test_a_page_takes_its_tables_again_and_again(storm: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{storm.BEGIN}\n{storm.END}\nafter\n", encoding="utf-8")
    for text in ("first\n", "second\n", "second\n"):
        storm.write_between_markers(page, text)
    expected = f"before\n{storm.BEGIN}\nsecond\n{storm.END}\nafter\n"
    assert page.read_text(encoding="utf-8") == expected


# What is retried (the table itself is compared with docs/design.md)


def refusal(sent: str = "{}") -> MetadataRefused:
    return MetadataRefused(1011, "no", sent=sent)


def is_retried(error: BasetenError) -> bool:
    return rule_for(error).is_retried


def test_what_no_rule_knows_is_a_defect() -> None:
    class New(BasetenError):
        pass

    assert rule_for(New()) is RULES[-1]


def test_the_second_refusal_of_the_same_metadata_is_for_good() -> None:
    refusals = Refusals()
    assert is_retried(refusals.judge(refusal()))
    assert is_retried(refusals.judge(refusal("other")))
    assert not is_retried(refusals.judge(refusal()))
    assert is_retried(refusals.judge(refusal()))  # somebody tries them once more


def test_metadata_that_was_accepted_may_be_refused_once_more() -> None:
    refusals = Refusals()
    refusals.judge(refusal())
    refusals.clear()
    assert is_retried(refusals.judge(refusal()))


def test_judging_changes_no_error() -> None:
    refusals, first, lost = Refusals(), refusal(), SessionLost(1006)
    refusals.judge(first)
    judged = refusals.judge(first)
    assert (first.permanent, getattr(judged, "permanent", None)) == (False, True)
    assert str(judged) == str(first)
    assert refusals.judge(lost) is lost


def session(model: Model, *, answers: Sequence[str] = ()) -> Session:
    made = Session(dialect_for(Options.create(model)), Patience())
    made.start(0.0)
    for answer in answers:
        made.receive(answer, 0.1)
    return made


ALIVE = '{"type": "health_check", "trace_id": "probe-1"}'
RESULT = '{"type": "transcription", "is_final": false, "segments": []}'
LONG_S, SHORT_S = WORKED_AFTER_S + 1.0, WORKED_AFTER_S - 1.0


@pytest.mark.parametrize(
    ("model", "answers", "lived_s", "expected"),
    [
        ("whisper", (), LONG_S, Worth.NOTHING),
        ("whisper", (ALIVE,), SHORT_S, Worth.ACCEPTED),
        ("whisper", (ALIVE,), LONG_S, Worth.WORKED),
        ("whisper", (ALIVE, RESULT), SHORT_S, Worth.WORKED),
        ("qwen3-asr", (), SHORT_S, Worth.NOTHING),
        ("qwen3-asr", (), LONG_S, Worth.WORKED),  # there is no question it could have answered
        ("qwen3-asr", (RESULT,), SHORT_S, Worth.WORKED),
    ],
)
def test_what_a_connection_was_good_for(
    model: Model, answers: Sequence[str], lived_s: float, expected: Worth
) -> None:
    lost = SessionLost(1006)
    assert worth(session(model, answers=answers), lost, lived_s=lived_s) is expected


def test_no_connection_and_a_refused_one_were_good_for_nothing() -> None:
    assert worth(None, SessionLost(1006), lived_s=LONG_S) is Worth.NOTHING
    assert worth(session("qwen3-asr"), refusal(), lived_s=LONG_S) is Worth.NOTHING
