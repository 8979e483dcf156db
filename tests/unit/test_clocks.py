"""The audio clock, each map against a model so simple that it cannot be wrong."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from livekit.plugins.baseten._core.clocks import (
    SAMPLE_RATE_HZ,
    ConnectionClock,
    EventClock,
    WallClock,
)

EPOCH_S = 1_700_000_000.0

# Connection time

stretches = st.lists(st.tuples(st.booleans(), st.integers(0, 25)), max_size=25)


def sent(clock: ConnectionClock, plan: list[tuple[bool, int]], origin: int) -> list[int]:
    """The stream position at each connection sample, and at the end."""
    positions, at = [], origin
    for is_audio, samples in plan:
        (clock.add_audio if is_audio else clock.add_silence)(samples)
        for _ in range(samples):
            positions.append(at)
            at += is_audio
    return [*positions, at]


@given(stretches, st.integers(0, 1000))
def test_each_connection_sample_has_its_place_in_the_stream(
    plan: list[tuple[bool, int]], origin: int
) -> None:
    clock = ConnectionClock(origin)
    expected = sent(clock, plan, origin)
    assert clock.sent == len(expected) - 1
    assert [clock.to_stream(n) for n in range(len(expected))] == expected


@given(stretches, stretches, st.integers(0, 1000), st.data())
def test_forgetting_changes_no_later_answer(
    before: list[tuple[bool, int]],
    after: list[tuple[bool, int]],
    origin: int,
    data: st.DataObject,
) -> None:
    clock = ConnectionClock(origin)
    expected = sent(clock, before, origin)
    until = data.draw(st.integers(0, clock.sent))
    clock.forget(until)
    expected = expected[:-1] + sent(clock, after, expected[-1])
    assert [clock.to_stream(n) for n in range(until, len(expected))] == expected[until:]


@given(stretches, st.integers(-50, 2000), st.integers(-50, 2000))
def test_stream_time_never_runs_backwards(
    plan: list[tuple[bool, int]], first: int, second: int
) -> None:
    clock = ConnectionClock(0)
    sent(clock, plan, 0)
    first, second = sorted((first, second))
    assert 0 <= clock.to_stream(first) <= clock.to_stream(second)


def test_an_hour_of_flushes_is_remembered_only_until_its_finals() -> None:
    clock = ConnectionClock(0)
    for _ in range(10_000):
        clock.add_audio(512)
        clock.add_silence(512)
        clock.forget(clock.sent)
    assert clock.to_stream(clock.sent) == 10_000 * 512
    assert len(clock._connection) <= 2


# Wall-clock time


class Calls:
    """Blocks pushed at times, and what a sample's time may be, straight from the list of them."""

    def __init__(self, blocks: list[tuple[float, int]]) -> None:
        """``blocks``: seconds since the one before, samples."""
        self.wall = WallClock()
        self.pushed: list[tuple[int, int, float, float]] = []
        now_s, stop, last_s = EPOCH_S, 0, 0.0
        for pause_s, samples in blocks:
            now_s += pause_s
            self.wall.push(stop + samples, now_s)
            begun_s = max(last_s, now_s - samples / SAMPLE_RATE_HZ)
            self.pushed.append((stop, stop + samples, begun_s, now_s))
            stop, last_s = stop + samples, now_s
        self.stop, self.now_s = stop, now_s

    def bounds_s(self, position: int) -> tuple[float, float]:
        """From when on the sample can have been spoken, to the push of its block and, where the
        block came faster than speech, one block more."""
        for start, stop, begun_s, now_s in self.pushed:
            if start <= position < stop:
                return begun_s, begun_s + max(now_s - begun_s, (stop - start) / SAMPLE_RATE_HZ)
        return self.now_s, self.now_s


JITTER_S = 0.02 + 1e-6
blocks = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.01, 0.05, 0.05, 0.05, 0.08, 1.0, 30.0]),
        st.sampled_from([160, 800, 800, 800, 1600, 16_000]),
    ),
    min_size=1,
    max_size=20,
)


@given(blocks, st.data())
@example([(0.0, 800)] * 20, None)
@example([(30.0, 160), (0.0, 16_000), (0.05, 800)], None)
def test_a_sample_was_pushed_within_its_block(
    plan: list[tuple[float, int]], data: st.DataObject | None
) -> None:
    calls = Calls(plan)
    positions = (
        [data.draw(st.integers(0, calls.stop - 1)) for _ in range(5)]
        if data
        else list(range(0, calls.stop, 79))
    )
    for position in positions:
        earliest_s, latest_s = calls.bounds_s(position)
        assert earliest_s - JITTER_S <= calls.wall.at(position) <= latest_s + JITTER_S


@given(blocks)
def test_later_samples_were_not_pushed_earlier_nor_any_in_the_future(
    plan: list[tuple[float, int]],
) -> None:
    calls = Calls(plan)
    times = [calls.wall.at(position) for position in range(0, calls.stop + 1000, 97)]
    assert times == sorted(times)
    assert times[-1] <= calls.now_s


@given(blocks, st.data())
def test_forgetting_the_past_changes_nothing_after_it(
    plan: list[tuple[float, int]], data: st.DataObject
) -> None:
    kept, forgetful = Calls(plan), Calls(plan)
    until = data.draw(st.integers(0, kept.stop))
    forgetful.wall.forget(until)
    for position in range(until, kept.stop, 101):
        assert forgetful.wall.at(position) == kept.wall.at(position)


def test_a_pause_is_no_time_of_speech() -> None:
    wall = Calls([(0.0, 800), (0.05, 800), (60.0, 800)]).wall
    assert wall.at(1599) == pytest.approx(EPOCH_S + 0.05, abs=0.001)
    assert wall.at(1600) == pytest.approx(EPOCH_S + 60.0, abs=0.001)


def test_a_recording_pushed_at_once_was_all_pushed_now() -> None:
    wall = Calls([(0.0, 800)] + [(0.0, 800)] * 199).wall
    assert wall.at(0) == pytest.approx(EPOCH_S - 0.05)
    assert wall.at(100_000) == pytest.approx(EPOCH_S, abs=JITTER_S)


@pytest.mark.parametrize("jitter_s", [0.0, 0.004, 0.009])
def test_a_steady_hour_is_remembered_in_a_few_numbers(jitter_s: float) -> None:
    wall, draw = WallClock(), random.Random(5)
    for n in range(1, 72_001):
        wall.push(n * 800, EPOCH_S + n * 0.05 + draw.uniform(-jitter_s, jitter_s))
    assert len(wall._positions) < 5
    assert wall.at(57_600_000 - 1) == pytest.approx(EPOCH_S + 3600, abs=JITTER_S + jitter_s)


def test_an_hour_of_stalls_is_remembered_only_until_its_finals() -> None:
    wall = WallClock()
    for n in range(1, 72_001):
        wall.push(n * 800, EPOCH_S + n * 0.05 + 0.04 * math.sin(n))
        if n % 100 == 0:
            wall.forget(n * 800)
    assert len(wall._positions) <= 101


# What events say


def test_times_go_on_in_another_stream_until_it_is_told_where_it_starts() -> None:
    clock = EventClock()
    clock.set_start(5.0)
    clock.begin(32_000)
    assert clock.span_s(16_000, 48_000) == (6.0, 8.0)
    clock.set_start(100.0)
    assert clock.span_s(32_000, 48_000) == (100.0, 101.0)
    assert clock.span_s(16_000, 32_000) == (6.0, 7.0), "what was spoken before keeps its time"
    assert clock.span_s(16_000, 48_000) == (6.0, 101.0)
    assert clock.span_s(32_000, 32_000) == (100.0, 100.0)


def test_a_word_never_ends_before_it_starts_whatever_start_is_given() -> None:
    clock = EventClock()
    clock.set_start(50.0)
    clock.begin(32_000)
    clock.set_start(0.0)
    start_s, end_s = clock.span_s(31_000, 33_000)
    assert start_s == end_s == 50.0 + 31_000 / SAMPLE_RATE_HZ
