"""What is counted and timed: audio once, connections, and the delay of every final."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import pytest
from kit.client import Kind, frame, frames, of
from kit.in_memory import ALL, Call
from kit.loopback import QUICK, Listener, check, client, listening
from kit.models import MODELS

from livekit import rtc
from livekit.agents import stt
from livekit.agents.metrics import STTMetrics
from livekit.plugins.baseten import STT
from livekit.plugins.baseten._core.events import Used
from livekit.plugins.baseten._livekit import stream as _stream
from livekit.plugins.baseten.emulator import (
    AmplitudeDetector,
    ScriptRecognizer,
    coded_speech,
    faults,
    serve,
)

# 23.3 s in three utterances.
SPEECH = coded_speech(
    ([(16_000, 4000)] + [(800, 4000)] * 23) * 3, trailing_samples=8000, first_word=1001
)
SPOKEN_S = len(SPEECH.pcm) / 32_000


def usages(events: list[stt.SpeechEvent]) -> list[float]:
    found = [event.recognition_usage for event in of(Kind.RECOGNITION_USAGE, events)]
    return [usage.audio_duration for usage in found if usage is not None]


# Usage


# A report may be late by as much as goes out in one go: a second of audio.
AT_MOST_S = 5.0 + 1.1


@pytest.mark.parametrize("model", MODELS)
async def test_usage_comes_every_five_seconds_of_audio_and_the_rest_at_the_end(model: Any) -> None:
    silence = bytes(32_000 * 23 + 320)
    async with (
        serve(model=model) as server,
        client(server, model=model) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(silence)
        *regular, rest = await ended(listener)
    assert regular
    assert all(5.0 <= each <= AT_MOST_S for each in regular)
    assert 0 < rest < AT_MOST_S
    assert sum(regular) + rest == pytest.approx(len(silence) / 32_000)


@pytest.mark.parametrize("model", MODELS)
async def test_speech_changes_nothing_about_the_sum(model: Any) -> None:
    async with (
        serve(model=model) as server,
        client(server, model=model) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        used = await ended(listener)
        check_words(listener)
    assert all(0 < each <= AT_MOST_S for each in used)
    assert sum(used) == pytest.approx(SPOKEN_S)


def check_words(listener: Listener) -> None:
    assert " ".join(listener.said()) == SPEECH.text


async def ended(listener: Listener) -> list[float]:
    listener.stream.end_input()
    return usages(await listener.ended())


@pytest.mark.parametrize("model", MODELS)
async def test_each_event_is_one_metric_with_model_and_provider(model: Any) -> None:
    async with serve(model=model) as server, client(server, model=model) as speech_to_text:
        metrics: list[STTMetrics] = []
        speech_to_text.on("metrics_collected", metrics.append)
        async with listening(speech_to_text) as listener:
            listener.push(SPEECH.pcm)
            used = await ended(listener)
    assert [m.audio_duration for m in metrics if m.audio_duration] == used
    for each in metrics:
        assert each.streamed
        assert each.metadata is not None
        assert each.metadata.model_name == speech_to_text.model == model
        assert each.metadata.model_provider == speech_to_text.provider == "Baseten"
        assert each.label == speech_to_text.label


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", range(3))
async def test_audio_that_is_sent_again_is_counted_once(model: Any, seed: int) -> None:
    rng = random.Random(seed)
    plan = [faults.Reset(after_samples=rng.randint(1, 60_000)) for _ in range(4)]
    async with (
        serve(*plan, model=model) as server,
        client(server, model=model) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        used = await ended(listener)
        assert sum(c.received_samples for c in server.connections) / 16_000 > SPOKEN_S
    assert all(each > 0 for each in used), "what was counted is not taken back"
    assert sum(used) == pytest.approx(SPOKEN_S)


def test_finals_of_audio_that_is_sent_again_count_nothing() -> None:
    """Cut after all was sent, and sent again bit by bit, with finals in between."""
    call = Call(SPEECH)
    call.connect()
    call.push(ALL)
    call.send(ALL)
    call.cut()
    call.connect()
    for _ in range(60):
        call.send(16)
        call.arrive(16)
        call.recognize(9)
        call.receive(9)
    call.finish()
    used = [event.samples for event in call.events if isinstance(event, Used)]
    assert all(each > 0 for each in used), "what was counted is not taken back"
    assert sum(used) == call.samples


async def test_a_change_of_options_counts_nothing_twice() -> None:
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        # The first utterance, and on into the pause after it.
        listener.push(SPEECH.pcm[:280_000])
        await listener.until(lambda: "w1024" in listener.said())
        speech_to_text.update_options(vad_threshold=0.4)
        await listener.until(lambda: len(listener.acquired) == 2)
        listener.push(SPEECH.pcm[280_000:])
        used = await ended(listener)
        check(listener.events, SPEECH)
    assert sum(used) == pytest.approx(SPOKEN_S)


async def test_the_silence_that_a_flush_makes_up_is_not_the_users() -> None:
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        for at in range(0, 96_000, 16_000):
            listener.push(SPEECH.pcm[at : at + 16_000])
            listener.stream.flush()
        used = await ended(listener)
        assert server.connections[0].received_samples > 48_000 + 5 * 11 * 512
    assert sum(used) == pytest.approx(3.0)


@pytest.mark.parametrize(("rate_hz", "channels"), [(24_000, 1), (48_000, 2), (8000, 1)])
async def test_a_second_is_a_second_at_any_rate(rate_hz: int, channels: int) -> None:
    pcm = np.zeros(rate_hz * channels * 7, np.int16)
    # A resampler's silence is not quite silent.
    deaf: dict[str, Any] = {
        "recognizer": ScriptRecognizer([]),
        "voice_detector": lambda: AmplitudeDetector(99),
    }
    async with (
        serve(**deaf) as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        for each in frames(pcm, rate_hz=rate_hz, channels=channels):
            listener.stream.push_frame(each)
        used = await ended(listener)
    assert sum(used) == pytest.approx(7.0, abs=1e-3)


async def test_a_stream_without_audio_uses_nothing() -> None:
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        assert await ended(listener) == []


async def test_audio_that_nobody_heard_is_not_counted() -> None:
    async with (
        serve(*[faults.Refuse(401)] * 9) as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        await asyncio.gather(listener.ended(), return_exceptions=True)
    assert usages(listener.events) == []
    assert listener.used_s == 0


async def test_closing_a_stream_reports_what_was_sent_until_then() -> None:
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm[:192_000])  # six seconds
        await server.until(
            lambda: server.connections and server.connections[0].received_samples >= 95_700
        )
        await listener.stream.aclose()
        assert listener.used_s == pytest.approx(6.0, abs=0.033)


async def test_two_streams_of_one_stt_count_apart() -> None:
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as one,
        listening(speech_to_text) as other,
    ):
        one.push(SPEECH.pcm)
        other.push(SPEECH.pcm[:64_000])
        assert sum(await ended(one)) == pytest.approx(SPOKEN_S)
        assert sum(await ended(other)) == pytest.approx(2.0)


# Closing


@pytest.mark.parametrize("turns", range(12))
async def test_a_stream_closed_at_whatever_moment_of_its_handshake_closes(turns: int) -> None:
    async with serve() as server, client(server) as speech_to_text:
        stream = speech_to_text.stream(conn_options=QUICK)
        stream.push_frame(frame(bytes(3200)))
        await server.wait_for_connection()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(stream.aclose(), 10.0)
        await server.until(lambda: not any(c.is_open for c in server.connections))


# Connections


async def test_a_connection_is_reported_with_the_time_it_took() -> None:
    async with (
        serve(faults.Park()) as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await server.until(lambda: server.handshakes)
        await asyncio.sleep(0.05)
        server.wake()
        await listener.until(lambda: listener.acquired)
        waited_s = loop.time() - begun_s
        (acquired,) = listener.acquired
    assert not acquired.connection_reused
    assert acquired.audio_duration == 0
    assert 0.049 <= acquired.acquire_time <= waited_s + 0.01


async def test_a_prewarmed_connection_is_one_that_is_reused() -> None:
    async with serve() as server, client(server) as speech_to_text:
        speech_to_text.prewarm()
        await server.wait_for_connection()
        async with listening(speech_to_text) as listener:
            listener.push(SPEECH.pcm)
            await ended(listener)
            check(listener.events, SPEECH)
            (acquired,) = listener.acquired
        assert acquired.connection_reused
        assert len(server.handshakes) == 1


async def test_every_reconnection_is_reported() -> None:
    plan = [faults.Reset(after_samples=20_000)] * 2
    async with (
        serve(*plan) as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        await ended(listener)
        assert len(listener.acquired) == len(server.handshakes) == 3
        assert not any(each.connection_reused for each in listener.acquired)


# Delays


class Clock:
    """The wall clock of the stream, which goes on when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_stream, "_wall_s", clock)
    return clock


def spoken(listener: Listener, clock: Clock, pcm: bytes) -> None:
    """Push at the pace of speech, by the clock's reckoning."""
    for each in frames(pcm, samples=800):
        clock.now_s += 0.05
        listener.stream.push_frame(each)


ONE = coded_speech([(8000, 4000)], trailing_samples=9600, first_word=1001)


def delay_s(event: stt.SpeechEvent) -> float:
    metadata = event.alternatives[0].metadata
    assert metadata is not None
    delay: float = metadata["delay_s"]
    return delay


async def one_final(speech_to_text: STT, clock: Clock, late_s: float) -> list[stt.SpeechEvent]:
    async with listening(speech_to_text) as listener:
        begun_s = clock.now_s
        spoken(listener, clock, ONE.pcm)
        clock.now_s += late_s
        await listener.until_said(ONE)
        listener.stream.end_input()
        events = await listener.ended()
    (final,) = of(Kind.FINAL_TRANSCRIPT, events)
    (start,) = of(Kind.START_OF_SPEECH, events)
    (end,) = of(Kind.END_OF_SPEECH, events)
    assert start.speech_start_time == pytest.approx(begun_s + ONE.words[0].start_s, abs=0.05)
    assert end.speech_end_time == pytest.approx(begun_s + ONE.words[0].end_s, abs=0.05)
    # What it says is what can be reckoned from the times: from the last word until now.
    assert end.speech_end_time is not None
    assert delay_s(final) == pytest.approx(clock.now_s - end.speech_end_time, abs=1e-6)
    return events


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("late_s", [0.0, 3.0])
async def test_a_final_says_how_long_after_its_last_word_it_came(
    model: Any, late_s: float, clock: Clock
) -> None:
    async with serve(model=model) as server, client(server, model=model) as speech_to_text:
        events = await one_final(speech_to_text, clock, late_s)
    (final,) = of(Kind.FINAL_TRANSCRIPT, events)
    # So much silence was pushed after the word.
    assert delay_s(final) == pytest.approx(0.6 + late_s, abs=0.05)


async def test_a_pause_of_the_microphone_is_in_the_delay_and_not_in_the_words(
    clock: Clock,
) -> None:
    """Muted for a minute between two words: the clock goes on, the samples do not."""
    speech = coded_speech([(8000, 4000), (24_000, 4000)], trailing_samples=8000, first_word=1001)
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        spoken(listener, clock, speech.pcm[:40_000])  # the first word and half a second
        await listener.until(lambda: listener.said() == ["w1001"])
        clock.now_s += 60.0
        second_s = clock.now_s
        spoken(listener, clock, speech.pcm[40_000:])
        await listener.until_said(speech)
        listener.stream.end_input()
        events = await listener.ended()
    one, two = of(Kind.FINAL_TRANSCRIPT, events)
    assert delay_s(one) == pytest.approx(0.5, abs=0.1)
    assert delay_s(two) == pytest.approx(0.5, abs=0.1)
    (_, start) = of(Kind.START_OF_SPEECH, events)
    at_s = second_s + speech.words[1].start_s - 20_000 / 16_000
    assert start.speech_start_time == pytest.approx(at_s, abs=0.06)
    check(events, speech)


async def test_audio_that_came_in_one_burst_is_not_late(clock: Clock) -> None:
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        events = await listener.ended()
    for final in of(Kind.FINAL_TRANSCRIPT, events):
        assert 0 <= delay_s(final) < 0.2


async def test_a_clock_that_is_set_back_makes_no_delay_negative(clock: Clock) -> None:
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        spoken(listener, clock, ONE.pcm)
        clock.now_s -= 3600
        await listener.until_said(ONE)
        listener.stream.end_input()
        events = await listener.ended()
    (final,) = of(Kind.FINAL_TRANSCRIPT, events)
    assert delay_s(final) == 0.0


async def test_a_lost_connection_is_in_the_delay(clock: Clock) -> None:
    async with (
        serve(faults.Reset(after_samples=11_000), faults.Park()) as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        spoken(listener, clock, ONE.pcm)
        await server.until(lambda: len(server.handshakes) == 2)
        clock.now_s += 7.0
        server.wake()
        await listener.until_said(ONE)
        listener.stream.end_input()
        events = await listener.ended()
    (final,) = of(Kind.FINAL_TRANSCRIPT, events)
    assert delay_s(final) == pytest.approx(7.6, abs=0.05)


async def test_an_empty_final_has_no_delay() -> None:
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.stream.push_frame(rtc.AudioFrame(bytes(32_000), 16_000, 1, 16_000))
        listener.stream.flush()
        listener.stream.end_input()
        events = await listener.ended()
    (final,) = of(Kind.FINAL_TRANSCRIPT, events)
    assert "delay_s" not in (final.alternatives[0].metadata or {})
    assert final.speech_end_time is None
