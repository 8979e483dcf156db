"""What a report says of a call, against a call whose every time is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from report.recordings import RATE_HZ, a_call

from livekit.plugins.baseten._report import Recorded, read
from livekit.plugins.baseten._report.axis import Axis
from livekit.plugins.baseten._report.call import Call, made_out, median, quantile

MS = 0.003


def seen(recorded: Recorded) -> tuple[Axis, Call]:
    assert recorded.pcm is not None
    axis = Axis(recorded.lines, len(recorded.pcm))
    return axis, made_out(recorded, axis)


@pytest.fixture
def live(tmp_path: Path) -> tuple[Axis, Call]:
    return seen(read(a_call(tmp_path / "call")))


@pytest.fixture
def fast(tmp_path: Path) -> tuple[Axis, Call]:
    """The same, pushed a hundred times as fast as it is spoken."""
    return seen(read(a_call(tmp_path / "call", pace=100)))


def near(seconds: float) -> object:
    return pytest.approx(seconds, abs=MS)


def test_audio_is_where_it_was_spoken_with_a_gap_where_none_came(
    live: tuple[Axis, Call],
) -> None:
    axis, _ = live
    assert axis.is_live
    assert [(s.x0, s.x1) for s in axis.segments] == [(near(0), near(6)), (near(7.5), near(9.5))]
    assert axis.of_sample(3 * RATE_HZ) == near(3)
    assert axis.of_sample(6 * RATE_HZ) == near(7.5)
    assert axis.of_end(6 * RATE_HZ) == near(6)  # what ends there ends before the gap
    assert axis.end == near(9.6)


def test_utterances_have_their_words_interims_and_delays(live: tuple[Axis, Call]) -> None:
    _, call = live
    first, second, third = call.utterances
    (final,) = first.finals
    assert final.text == "one two"
    assert [(w.text, w.x0, w.x1) for w in final.words] == [
        ("one", near(1), near(1.5)),
        ("two", near(1.5), near(2)),
    ]
    assert (final.at, final.delay_s) == (near(2.5), 0.5)
    (interim,) = first.interims
    assert (interim.text, interim.x0, interim.x1) == ("one", near(1.6), near(2.5))
    assert first.first_partial_s == near(0.6)
    assert (second.x0, second.x1) == (near(5), near(5.8))
    assert (third.x0, third.x1) == (near(8), near(8.9))  # said at 6.5 of the audio
    assert third.first_partial_s is None
    assert call.delays_s == [0.3, 0.5, 0.5]


def test_an_end_of_speech_that_no_metadata_measures_is_measured(tmp_path: Path) -> None:
    path = a_call(tmp_path / "call")
    path.write_text(path.read_text().replace('"metadata":{"delay_s":0.3},', ""))
    _, call = seen(read(path))
    assert call.utterances[1].finals[0].delay_s == near(0.3)


def test_a_flush_has_its_answer(live: tuple[Axis, Call]) -> None:
    (flush,) = live[1].flushes
    assert (flush.x, flush.answered, flush.text) == (near(5.9), near(6.1), "three")
    assert flush.took_s == near(0.2)


def test_a_lost_connection_and_what_was_sent_again(live: tuple[Axis, Call]) -> None:
    _, call = live
    lost, after = call.connections
    assert lost.is_lost
    assert lost.ending == "connection lost"
    assert (lost.asked, lost.carried, lost.closed) == (near(0.25), near(0.5), near(4))
    assert lost.replayed is None
    assert not after.is_lost
    assert (after.carried, after.closed) == (near(4.5), near(9.6))
    assert after.replayed == (near(2), near(4))
    assert call.replayed_s == near(2)
    assert call.lost_s == 0.5
    assert [trouble.message for trouble in call.troubles] == [
        "Baseten: connection lost",
        "0.5 s of audio were dropped unheard so far",
    ]
    assert lost.row == after.row == 0


def test_connections_that_overlap_are_in_rows_of_their_own(tmp_path: Path) -> None:
    path = a_call(tmp_path / "call")
    early = path.read_text().replace('"open_for_s":0.0', '"open_for_s":2.0')
    path.write_text(early)  # opened 2 s before it took over
    _, call = seen(read(path))
    assert [connection.row for connection in call.connections] == [0, 1]
    assert call.connections[1].opened == near(2.5)


def test_audio_faster_than_speech_is_shown_in_its_own_time(fast: tuple[Axis, Call]) -> None:
    axis, call = fast
    assert not axis.is_live
    assert axis.end == 8.0
    first, _, third = call.utterances
    assert (first.x0, first.x1) == (near(1), near(2))
    assert (third.x0, third.x1) == (near(6.5), near(7.4))
    assert call.delays_s == call.first_partials_s == []
    assert call.flushes[0].x == near(5.9)
    lost, after = call.connections
    assert (lost.carried, lost.closed) == (near(0), near(4))  # what it had been sent by then
    assert (after.carried, after.closed) == (near(4), near(6))
    assert call.connections[1].replayed == (near(2), near(4))
    assert call.replayed_s == near(2)


def test_audio_after_the_last_line_of_a_crash_is_shown(tmp_path: Path) -> None:
    path = a_call(tmp_path / "call")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:20]))
    recorded = read(path)
    axis, _ = seen(recorded)
    assert axis.samples == 8 * RATE_HZ
    assert axis.of_sample(8 * RATE_HZ) == pytest.approx(8.0, abs=0.05)


def test_a_recording_of_nothing_is_a_call_of_nothing(tmp_path: Path) -> None:
    path = a_call(tmp_path / "call")
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    recorded = read(path)
    recorded.pcm = np.zeros(0, np.int16)
    axis, call = seen(recorded)
    assert (axis.end, axis.of_sample(0), axis.of_time(1.0)) == (0, 0, 0)
    assert call == Call([], [], [], [], 0)


def test_the_summary_s_statistics() -> None:
    assert median([]) is None
    assert quantile([], 0.99) is None
    hundred = [float(n) for n in range(1, 101)]
    assert (median(hundred), quantile(hundred, 0.99)) == (50.5, 99.0)
    assert quantile([1.0, 2.0], 0.99) == 2.0
