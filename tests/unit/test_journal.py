"""The audio that is kept, against a list."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livekit.plugins.baseten._core.journal import Journal


def pcm(samples: range) -> bytes:
    return np.arange(samples.start, samples.stop).astype("<i2").tobytes()


@given(
    st.lists(
        st.tuples(st.just("push"), st.integers(0, 40))
        | st.tuples(st.just("forget"), st.integers(-5, 200)),
        max_size=30,
    ),
    st.data(),
)
def test_a_journal_is_a_list_whose_front_falls_off(
    steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    journal = Journal()
    start = stop = 0
    for step, number in steps:
        if step == "push":
            journal.push(pcm(range(stop, stop + number)))
            stop += number
        else:
            gone = max(0, min(number, stop) - start)
            assert journal.forget(number) == gone
            start += gone
        assert (journal.start, journal.stop) == (start, stop)
    first = data.draw(st.integers(start, stop))
    last = data.draw(st.integers(first, stop))
    assert journal.read(first, last) == pcm(range(first, last))


def test_what_was_read_stays_when_the_journal_forgets() -> None:
    journal = Journal()
    journal.push(pcm(range(100)))
    read = journal.read(0, 100)
    journal.forget(50)
    journal.push(memoryview(pcm(range(100, 150))))
    assert read == pcm(range(100))
    assert journal.read(50, 150) == pcm(range(50, 150))


def test_loudness_is_that_of_the_loudest_32_ms() -> None:
    journal = Journal()
    journal.push(bytes(2 * 5000))
    assert journal.loudness(0, 5000) == 0
    journal.push(np.full(512, 1000, "<i2").tobytes())
    journal.push(bytes(2 * 5000))
    assert 500 < journal.loudness(0, journal.stop) <= 1000
    assert journal.loudness(0, 4000) == 0


@pytest.mark.parametrize("at", [0, 511, 512, 20_000, 59_999])
def test_a_loud_moment_is_found_wherever_it_is(at: int) -> None:
    samples = np.zeros(60_000, np.int16)
    samples[at : at + 512] = 1000
    journal = Journal()
    journal.push(samples.tobytes())
    journal.forget(100)
    for start, stop in [(0, 60_000), (at, at + 300), (0, at), (at + 512, 60_000)]:
        loudest = journal.loudness(start, stop)
        assert journal.is_louder(loudest, start, stop) == (min(60_000, stop) > max(100, start))
        assert not journal.is_louder(loudest + 0.1, start, stop)


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (7, 3), (-10, 0), (90, 400)])
def test_loudness_of_nothing_is_nothing(start: int, stop: int) -> None:
    journal = Journal()
    journal.push(bytes(2 * 100))
    assert journal.loudness(start, stop) == 0


@pytest.mark.parametrize("value", [-32768, 32767, -5])
def test_a_few_samples_have_a_loudness_too(value: int) -> None:
    journal = Journal()
    journal.push(np.full(3, value, "<i2").tobytes())
    assert journal.loudness(0, 3) == pytest.approx(abs(value))
