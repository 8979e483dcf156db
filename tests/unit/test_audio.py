"""From whatever LiveKit hands over to 16 kHz mono, to the sample."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from kit.client import frame, frames
from numpy.typing import NDArray

from livekit import rtc
from livekit.plugins.baseten._livekit.audio import Intake

RATES_HZ = [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]
Pcm = NDArray[np.int16]


def voice(rate_hz: int, seconds: float = 1.0, seed: int = 1) -> Pcm:
    """Something with a shape of its own at every instant, within the band of 8 kHz audio."""
    rng, n = np.random.default_rng(seed), round(rate_hz * seconds)
    t = np.arange(n) / rate_hz
    signal = sum(
        np.sin(2 * np.pi * (f * t + rng.uniform(-40, 40) * t**2) + rng.uniform(0, 6))
        for f in rng.uniform(150, 3000, 12)
    )
    return np.asarray(signal / np.abs(signal).max() * 12_000).astype(np.int16)


def taken(intake: Intake, pushed: Iterable[rtc.AudioFrame], *, ended: bool = True) -> Pcm:
    out = b"".join([bytes(intake.converted(each)) for each in pushed])
    if ended:
        out += intake.rest()
    return np.frombuffer(out, np.int16)


def reference(pcm: Pcm, rate_hz: int) -> Pcm:
    """The whole of it resampled in one piece, offline."""
    return np.asarray(soxr.resample(pcm.astype(np.float64), rate_hz, 16_000, quality="VHQ"))


def lag(heard: NDArray[np.generic], expected: NDArray[np.generic]) -> int:
    """By how many samples ``heard`` comes later, where the two correlate best."""
    size = len(heard) + len(expected)
    spectrum = np.fft.rfft(heard.astype(float), size)
    spectrum *= np.conj(np.fft.rfft(expected.astype(float), size))
    best = int(np.argmax(np.fft.irfft(spectrum, size)))
    return best if best <= size // 2 else best - size


@pytest.mark.parametrize("frame_ms", [10, 20, 50])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_any_rate_becomes_16_khz_mono_to_the_sample(
    rate_hz: int, channels: int, frame_ms: int
) -> None:
    pcm = voice(rate_hz)
    interleaved = np.repeat(pcm, channels)
    intake = Intake()
    heard = taken(
        intake,
        frames(interleaved, rate_hz=rate_hz, channels=channels, samples=rate_hz * frame_ms // 1000),
    )
    assert len(heard) == 16_000 == intake.position
    expected = reference(pcm, rate_hz)
    assert lag(heard, expected) == 0
    error = heard.astype(float) - expected.astype(float)
    loudness = float(np.sqrt(np.mean(expected.astype(float) ** 2)))
    assert float(np.sqrt(np.mean(error**2))) < 0.01 * loudness


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_size_of_the_frames_changes_nothing(rate_hz: int) -> None:
    pcm = voice(rate_hz, 0.5)
    whole = taken(Intake(), [frame(pcm.tobytes(), rate_hz=rate_hz)])
    for samples in (1, 7, 441, 1021):
        pieces = frames(pcm[: 2000 if samples == 1 else None], rate_hz=rate_hz, samples=samples)
        heard = taken(Intake(), pieces, ended=False)
        difference = heard.astype(int) - whole[: len(heard)]
        assert np.abs(difference).max() <= 1  # products added in another order


@given(
    rate_hz=st.sampled_from(RATES_HZ),
    sizes=st.lists(st.integers(0, 3000), max_size=12),
    channels=st.integers(1, 3),
)
def test_the_length_is_exact_and_the_position_is_what_was_pushed(
    rate_hz: int, sizes: list[int], channels: int
) -> None:
    intake, pushed, came_out = Intake(), 0, 0
    for size in sizes:
        pcm = bytes(size * channels * 2)
        came_out += (
            len(bytes(intake.converted(frame(pcm, rate_hz=rate_hz, channels=channels)))) // 2
        )
        pushed += size
        assert intake.position == (pushed * 16_000 * 2 + rate_hz) // (2 * rate_hz)
        assert came_out <= intake.position
    came_out += len(intake.rest()) // 2
    assert came_out == intake.position


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(RATES_HZ), st.integers(1, 2), st.integers(0, 2500)), max_size=8
    )
)
def test_a_rate_that_changes_in_mid_stream_loses_and_doubles_nothing(
    parts: list[tuple[int, int, int]],
) -> None:
    intake, came_out, position = Intake(), 0, 0
    for rate_hz, channels, size in parts:
        pcm = bytes(size * channels * 2)
        came_out += (
            len(bytes(intake.converted(frame(pcm, rate_hz=rate_hz, channels=channels)))) // 2
        )
        assert position <= intake.position
        position = intake.position
    assert came_out + len(intake.rest()) // 2 == intake.position
    exact = sum(size * 16_000 / rate_hz for rate_hz, _, size in parts)
    assert abs(intake.position - exact) <= 0.5 * len(parts) + 1e-6


def test_audio_on_both_sides_of_a_change_is_where_it_belongs() -> None:
    first, second, third = voice(48_000, 0.5, 1), voice(16_000, 0.5, 2), voice(24_000, 0.5, 3)
    intake = Intake()
    heard = np.concatenate(
        [
            taken(intake, frames(first, rate_hz=48_000, samples=960), ended=False),
            taken(intake, frames(second), ended=False),
            taken(intake, frames(third, rate_hz=24_000, samples=1200)),
        ]
    )
    assert len(heard) == 24_000
    assert lag(heard[:8_000], reference(first, 48_000)) == 0
    assert heard[8_000:16_000].tolist() == second.tolist()
    assert lag(heard[16_000:], reference(third, 24_000)) == 0


def test_16_khz_mono_goes_through_untouched_and_at_once() -> None:
    pcm = voice(16_000, 0.1)
    intake = Intake()
    assert bytes(intake.converted(frame(pcm.tobytes()))) == pcm.tobytes()
    assert intake.rest() == b""


@pytest.mark.parametrize(
    ("left", "right", "mean"),
    [
        (100, 200, 150),
        (-100, 100, 0),
        (32767, 32767, 32767),
        (-32768, -32768, -32768),
        (32767, -32768, 0),
        (1, 2, 2),
        (3, 4, 4),
    ],
)
def test_stereo_is_the_mean_of_both_sides(left: int, right: int, mean: int) -> None:
    both = np.tile(np.array([left, right], np.int16), 160)
    heard = taken(Intake(), frames(both, channels=2))
    assert set(heard.tolist()) == {mean}
    assert len(heard) == 160


def test_more_channels_are_their_mean_too() -> None:
    four = np.tile(np.array([0, 100, 200, 300], np.int16), 160)
    assert set(taken(Intake(), frames(four, channels=4)).tolist()) == {150}


def test_channels_may_come_and_go_at_one_rate() -> None:
    pcm = voice(24_000, 0.5)
    half = len(pcm) // 2
    intake = Intake()
    mono = taken(intake, frames(pcm[:half], rate_hz=24_000), ended=False)
    stereo = taken(intake, frames(np.repeat(pcm[half:], 2), rate_hz=24_000, channels=2))
    whole = taken(Intake(), frames(pcm, rate_hz=24_000))
    assert np.concatenate([mono, stereo]).tolist() == whole.tolist()


@pytest.mark.parametrize("samples", [480, 1021, 2400])
@pytest.mark.parametrize("rate_hz", [24_000, 32_000, 44_100, 48_000])
def test_the_resampler_holds_back_two_milliseconds(rate_hz: int, samples: int) -> None:
    intake = Intake()
    heard = taken(intake, frames(voice(rate_hz), rate_hz=rate_hz, samples=samples), ended=False)
    assert 0 <= intake.position - len(heard) <= 0.002 * 16_000


def level_db(heard: Pcm) -> float:
    """Of the middle, to a sine of 20,000."""
    middle = heard[400:-400].astype(float)
    return float(20 * np.log10(max(1e-3, np.sqrt(2 * np.mean(middle**2))) / 20_000))


@pytest.mark.parametrize("rate_hz", [24_000, 32_000, 44_056, 44_100, 48_000])
@pytest.mark.parametrize("tone_hz", [300, 3_000, 7_000, 8_050, 9_000, 11_500])
def test_what_16_khz_can_hold_passes_and_what_would_alias_is_stopped(
    rate_hz: int, tone_hz: int
) -> None:
    tone = np.sin(2 * np.pi * tone_hz * np.arange(rate_hz) / rate_hz) * 20_000
    level = level_db(taken(Intake(), frames(tone.astype(np.int16), rate_hz=rate_hz)))
    if tone_hz <= 7_000:
        assert abs(level) < 0.1
    else:
        assert level < -60


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 44_100])
def test_what_is_asked_for_in_between_covers_all_that_was_pushed_and_doubles_nothing(
    rate_hz: int,
) -> None:
    pcm, half = voice(rate_hz), rate_hz // 2
    intake = Intake()
    before = taken(intake, frames(pcm[:half], rate_hz=rate_hz))
    assert len(before) == 8_000 == intake.position
    after = taken(intake, frames(pcm[half:], rate_hz=rate_hz))
    assert len(after) == 8_000
    whole = taken(Intake(), frames(pcm, rate_hz=rate_hz))
    assert np.abs(after.astype(int) - whole[8_000:]).max() <= 1
    assert np.abs(before[:7_900].astype(int) - whole[:7_900]).max() <= 1


def test_the_pieces_of_a_long_frame_are_short_and_are_all_of_it() -> None:
    pcm = voice(48_000, 5.2)
    stereo = frame(np.repeat(pcm, 2).tobytes(), rate_hz=48_000, channels=2)
    pieces = [np.frombuffer(bytes(each), np.int16) for each in Intake().pieces(stereo)]
    assert max(len(each) for each in pieces) <= 8_000
    assert np.array_equal(np.concatenate(pieces), taken(Intake(), [stereo], ended=False))


def test_empty_frames_are_nothing() -> None:
    intake = Intake()
    for rate_hz in (16_000, 48_000, 8_000):
        assert bytes(intake.converted(frame(b"", rate_hz=rate_hz))) == b""
    assert intake.position == 0
    assert intake.rest() == b""


def test_an_intake_can_go_on_after_its_rest() -> None:
    intake = Intake()
    taken(intake, frames(bytes(4_800), rate_hz=24_000))
    assert intake.position == 1_600


@pytest.mark.parametrize(("rate_hz", "channels"), [(0, 1), (-16_000, 1), (16_000, 0), (16_000, -1)])
def test_an_impossible_frame_is_a_value_error_that_changes_nothing(
    rate_hz: int, channels: int
) -> None:
    intake = Intake()
    with pytest.raises(ValueError, match="audio frame"):
        intake.converted(rtc.AudioFrame(b"", rate_hz, channels, 0))
    assert intake.position == 0


@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_buffer_longer_than_its_frame_says_is_heard_as_long_as_it_says(
    rate_hz: int, channels: int
) -> None:
    pcm = np.full(2_400 * channels + channels, 500, np.int16).tobytes()
    intake = Intake()
    heard = taken(intake, [rtc.AudioFrame(pcm, rate_hz, channels, 1_200)])
    assert len(heard) == intake.position == 1_200 * 16_000 // rate_hz
