"""`recognize()`: a whole recording at once, over a connection of its own, as one result."""

from __future__ import annotations

import asyncio
import wave
from typing import Any

import numpy as np
import pytest
from kit.client import Kind, frame, frames, new_stt
from kit.loopback import QUICK, client, listening
from kit.loopback import served_to_the_sample as serve
from paths import AUDIO

from livekit import rtc
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
    stt,
)
from livekit.agents.metrics import STTMetrics
from livekit.plugins.baseten.emulator import (
    AmplitudeDetector,
    CodedSpeech,
    ScriptRecognizer,
    Server,
    SileroDetector,
    SphinxRecognizer,
    coded_speech,
    faults,
)

RECORDINGS = AUDIO
ONCE = APIConnectOptions(max_retry=0, timeout=10.0)

# Two utterances, and nothing after the last word.
SPEECH = coded_speech([(8000, 4000), (800, 4000), (16_000, 4000), (800, 4000)], first_word=1001)


def recording(number: str) -> bytes:
    with wave.open(str(RECORDINGS / f"sense_and_sensibility_01-{number}.wav")) as file:
        assert file.getframerate() == 16_000
        pcm: bytes = file.readframes(file.getnframes())
    return pcm


def measured(speech_to_text: stt.STT) -> list[STTMetrics]:
    metrics: list[STTMetrics] = []
    speech_to_text.on("metrics_collected", metrics.append)
    return metrics


def check(event: stt.SpeechEvent, speech: CodedSpeech) -> None:
    """One final with everything in it."""
    assert event.type is Kind.FINAL_TRANSCRIPT
    (data,) = event.alternatives
    assert data.text == speech.text
    assert data.words is not None
    assert [str(word) for word in data.words] == [word.text for word in speech.words]
    for word, spoken in zip(data.words, speech.words, strict=True):
        assert word.start_time == pytest.approx(spoken.start_s)
        assert word.end_time == pytest.approx(spoken.end_s)
    assert data.start_time == pytest.approx(speech.words[0].start_s)
    assert data.end_time == pytest.approx(speech.words[-1].end_s)
    assert data.confidence == pytest.approx(1.0)
    assert data.language == "en"
    assert event.request_id


# What goes in


async def test_one_frame_is_recognized_as_one_result() -> None:
    async with serve() as server, client(server) as speech_to_text:
        check(await speech_to_text.recognize(frame(SPEECH.pcm)), SPEECH)


@pytest.mark.parametrize("samples", [160, 1600, 9999])
async def test_a_list_of_frames_is_recognized_as_one_result(samples: int) -> None:
    async with serve() as server, client(server) as speech_to_text:
        check(await speech_to_text.recognize([*frames(SPEECH.pcm, samples=samples)]), SPEECH)
        assert server.connections[0].audio.rstrip(b"\0") == SPEECH.pcm.rstrip(b"\0")


@pytest.mark.parametrize("shape", ["one frame", "a list"])
async def test_a_recording_longer_than_the_replay_buffer_is_recognized_whole(shape: str) -> None:
    breath = [(16_000, 4000), *[(800, 4000)] * 70]  # 22 s
    speech = coded_speech(breath * 3, trailing_samples=8000, first_word=1001)
    buffer = frame(speech.pcm) if shape == "one frame" else [*frames(speech.pcm)]
    async with serve() as server, client(server, replay_buffer_s=2.0) as speech_to_text:
        check(await speech_to_text.recognize(buffer), speech)


def stereo_24k(speech: CodedSpeech) -> rtc.AudioFrame:
    """Three samples for every two, on two channels; the recognizer sees where it is loud."""
    mono = np.frombuffer(speech.pcm, "<i2").astype(np.int32)
    loud = np.abs(mono) > 0
    at = np.arange(len(mono) * 3 // 2) * 2 // 3
    tone = (8000 * np.sin(np.arange(len(at)) * 0.1) * loud[at]).astype("<i2")
    left_and_right = np.column_stack([tone, tone]).tobytes()
    return rtc.AudioFrame(left_and_right, 24_000, 2, len(tone))


@pytest.mark.parametrize("shape", ["one frame", "a list"])
async def test_stereo_of_24_khz_is_heard_at_the_right_times(shape: str) -> None:
    whole = stereo_24k(SPEECH)
    split = [*frames(bytes(whole.data), rate_hz=24_000, channels=2)]
    # A filter rings on both sides of an edge.
    recognizer = ScriptRecognizer(["one two", "three four"], floor=1000)
    async with (
        serve(recognizer=recognizer, voice_detector=lambda: AmplitudeDetector(1000)) as server,
        client(server) as speech_to_text,
    ):
        event = await speech_to_text.recognize(whole if shape == "one frame" else split)
    (data,) = event.alternatives
    assert data.text == "one two three four"
    assert data.words is not None
    assert data.words[0].start_time == pytest.approx(SPEECH.words[0].start_s, abs=0.01)
    assert data.words[2].start_time == pytest.approx(SPEECH.words[2].start_s, abs=0.01)
    assert data.words[3].end_time == pytest.approx(SPEECH.words[3].end_s, abs=0.01)


async def test_silence_is_an_empty_result() -> None:
    async with serve() as server, client(server) as speech_to_text:
        event = await speech_to_text.recognize(frame(bytes(64_000)))
    assert event.type is Kind.FINAL_TRANSCRIPT
    assert [data.text for data in event.alternatives] == [""]
    assert event.alternatives[0].end_time == 0.0


async def test_nothing_is_an_empty_result_and_no_connection() -> None:
    async with serve() as server, client(server) as speech_to_text:
        event = await speech_to_text.recognize([])
        assert [data.text for data in event.alternatives] == [""]
        assert server.handshakes == []


async def test_noise_that_comes_to_nothing_is_an_empty_result() -> None:
    async with (
        serve(recognizer=ScriptRecognizer([])) as server,
        client(server) as speech_to_text,
    ):
        event = await speech_to_text.recognize(frame(SPEECH.pcm))
    assert [data.text for data in event.alternatives] == [""]


# What comes out


async def test_without_words_there_are_text_and_times() -> None:
    async with serve() as server, client(server, show_word_timestamps=False) as speech_to_text:
        (data,) = (await speech_to_text.recognize(frame(SPEECH.pcm))).alternatives
    assert data.text == SPEECH.text
    assert data.words is None
    assert 0 <= data.start_time < data.end_time <= len(SPEECH.pcm) / 32_000


async def test_the_language_asked_for_is_that_of_the_call() -> None:
    async with serve() as server, client(server, language="de") as speech_to_text:
        french = await speech_to_text.recognize(frame(SPEECH.pcm), language="fr")
        german = await speech_to_text.recognize(frame(SPEECH.pcm))
        asked = [(c.metadata or {})["whisper_params"]["audio_language"] for c in server.connections]
    assert asked == ["fr", "de"]
    assert french.alternatives[0].language == "fr"
    assert german.alternatives[0].language == "de"


async def test_a_language_that_whisper_does_not_know_is_refused_at_once() -> None:
    async with serve() as server, client(server) as speech_to_text:
        with pytest.raises(ValueError, match="klingon"):
            await speech_to_text.recognize(frame(SPEECH.pcm), language="klingon")
        assert server.handshakes == []


async def test_what_the_server_or_the_audio_denies_is_marked() -> None:
    # Numbers this low are too quiet for anybody to have said them.
    unspoken = coded_speech([(8000, 4000)], trailing_samples=8000, first_word=1)
    async with serve() as server, client(server) as speech_to_text:
        quiet = await speech_to_text.recognize(frame(unspoken.pcm))
    async with serve(faults.Hallucination()) as server, client(server) as speech_to_text:
        flagged = await speech_to_text.recognize(frame(SPEECH.pcm))
    assert (flagged.alternatives[0].metadata or {}).get("possible_hallucination") is True
    assert (quiet.alternatives[0].metadata or {}).get("no_speech") is True


async def test_it_drops_hallucinations_as_a_stream_does() -> None:
    async with (
        serve(faults.Hallucination()) as server,
        client(server, drop_hallucinations=True) as speech_to_text,
    ):
        event = await speech_to_text.recognize(frame(SPEECH.pcm))
    assert event.alternatives[0].text == ""


async def test_it_is_faster_than_the_audio() -> None:
    speech = coded_speech([(800, 4000)] * 90, trailing_samples=8000, first_word=1001)
    loop = asyncio.get_running_loop()
    async with serve() as server, client(server) as speech_to_text:
        begun_s = loop.time()
        check(await speech_to_text.recognize(frame(speech.pcm)), speech)
        assert loop.time() - begun_s < len(speech.pcm) / 32_000 / 3


@pytest.mark.parametrize("number", ["0880", "0870"])
async def test_real_speech_is_heard_in_a_moment(number: str) -> None:
    async with (
        serve(recognizer=ScriptRecognizer(["said"] * 9), voice_detector=SileroDetector) as server,
        client(server, drop_hallucinations=True) as speech_to_text,
    ):
        (data,) = (await speech_to_text.recognize(frame(recording(number)))).alternatives
    assert set(data.text.split()) == {"said"}
    assert not data.metadata


async def test_a_real_recognizer_understands_real_speech() -> None:
    with SphinxRecognizer() as recognizer:
        async with (
            serve(recognizer=recognizer, voice_detector=SileroDetector) as server,
            # The recognizer is another process, for which time here does not wait.
            client(server, drain_timeout_s=600) as speech_to_text,
        ):
            event = await speech_to_text.recognize(frame(recording("0880")))
    said = event.alternatives[0].text.split()
    assert {"young", "man"} & set(said)


# Its connection


async def test_it_has_a_connection_of_its_own_and_closes_it() -> None:
    async with serve() as server, client(server) as speech_to_text:
        await asyncio.gather(*(speech_to_text.recognize(frame(SPEECH.pcm)) for _ in range(3)))
        assert len(server.connections) == 3
        await server.until(lambda: not any(c.is_open for c in server.connections))


async def test_it_takes_the_prewarmed_connection() -> None:
    async with serve() as server, client(server) as speech_to_text:
        speech_to_text.prewarm()
        await server.wait_for_connection()
        await server.until(lambda: server.connections[0].metadata)
        check(await speech_to_text.recognize(frame(SPEECH.pcm)), SPEECH)
        assert len(server.connections) == 1


async def test_a_live_stream_goes_on_beside_it() -> None:
    async with (
        serve() as server,
        client(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        check(await speech_to_text.recognize(frame(SPEECH.pcm)), SPEECH)
        listener.stream.end_input()
        await listener.ended()
        assert " ".join(listener.said()) == SPEECH.text


async def test_a_call_that_is_cancelled_leaves_nothing_open() -> None:
    async with serve(faults.MuteResults()) as server, client(server) as speech_to_text:
        call = asyncio.create_task(speech_to_text.recognize(frame(SPEECH.pcm)))
        await server.wait_for_connection()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.until(lambda: not server.connections[0].is_open)


# Errors


def counted(server: Server) -> list[int | None]:
    return [handshake.status for handshake in server.handshakes]


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_retries_are_not_multiplied(retries: int) -> None:
    options = APIConnectOptions(max_retry=retries, retry_interval=0.001, timeout=10.0)
    async with serve(*[faults.Refuse(503)] * 20) as server, client(server) as speech_to_text:
        with pytest.raises(APIError):
            await speech_to_text.recognize(frame(SPEECH.pcm), conn_options=options)
        assert counted(server) == [503] * (retries + 1)


@pytest.mark.parametrize(
    "failure",
    [
        faults.Refuse(503),
        faults.Refuse(429),
        faults.Reset(after_samples=9000),
        faults.Close(1012, "restarting", after_samples=9000),
        faults.Error("AUDIO_PROCESSING_ERROR", after_samples=9000, then_close=1000),
        faults.FailTranscription(),
        faults.RejectMetadata(),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_one_failure_that_may_pass_is_tried_again(failure: faults.Fault) -> None:
    async with serve(failure) as server, client(server) as speech_to_text:
        metrics = measured(speech_to_text)
        event = await speech_to_text.recognize(frame(SPEECH.pcm), conn_options=QUICK)
        check(event, SPEECH)
        assert len(server.handshakes) == 2
    assert [m.audio_duration for m in metrics] == [pytest.approx(len(SPEECH.pcm) / 32_000)]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
async def test_a_refusal_that_will_not_pass_is_not_tried_again(status: int) -> None:
    async with serve(faults.Refuse(status)) as server, client(server) as speech_to_text:
        with pytest.raises(APIStatusError) as raised:
            await speech_to_text.recognize(frame(SPEECH.pcm), conn_options=QUICK)
        assert counted(server) == [status]
    assert raised.value.status_code == status
    assert not raised.value.retryable


async def test_metadata_that_is_refused_is_not_sent_for_ever() -> None:
    async with serve(*[faults.RejectMetadata()] * 99) as server, client(server) as speech_to_text:
        with pytest.raises(APIError) as raised:
            await speech_to_text.recognize(
                frame(SPEECH.pcm),
                conn_options=APIConnectOptions(max_retry=3, retry_interval=0.001, timeout=10.0),
            )
        assert len(server.handshakes) <= 4
    error: BaseException | None = raised.value
    said = ""
    while error is not None:
        said += str(error)
        error = error.__cause__
    assert "audio_language" in said, "what was sent is not named"


async def test_a_parked_handshake_is_a_timeout() -> None:
    options = APIConnectOptions(max_retry=0, timeout=0.05)
    async with serve(faults.Park()) as server, client(server) as speech_to_text:
        with pytest.raises(APITimeoutError, match="cold_start_timeout"):
            await speech_to_text.recognize(frame(SPEECH.pcm), conn_options=options)


async def test_nobody_there_is_a_connection_error() -> None:
    async with serve() as server:
        url = server.url
    speech_to_text = new_stt(url)
    try:
        with pytest.raises(APIConnectionError) as raised:
            await speech_to_text.recognize(frame(SPEECH.pcm), conn_options=ONCE)
        assert raised.value.retryable
    finally:
        await speech_to_text.aclose()


@pytest.mark.parametrize("dead", [faults.Stall(5000), faults.Mute(5000), faults.NeverFinish()])
async def test_a_server_that_falls_silent_does_not_hold_the_caller(dead: faults.Fault) -> None:
    options: dict[str, Any] = {
        "ping_interval_s": 0.2,
        "health_check_interval_s": 0.1,
        "health_check_timeout_s": 0.2,
        "drain_timeout_s": 0.2,
    }
    speech = coded_speech([(800, 4000)], trailing_samples=8000, first_word=1001)
    async with serve(dead) as server, client(server, **options) as speech_to_text:
        check(await speech_to_text.recognize(frame(speech.pcm), conn_options=QUICK), speech)


# Usage


async def test_usage_is_counted_once() -> None:
    async with serve() as server, client(server) as speech_to_text:
        metrics = measured(speech_to_text)
        event = await speech_to_text.recognize(frame(SPEECH.pcm))
    (one,) = metrics
    assert one.audio_duration == pytest.approx(len(SPEECH.pcm) / 32_000)
    assert not one.streamed
    assert one.duration >= 0
    assert one.request_id == event.request_id
    assert one.metadata is not None
    assert (one.metadata.model_name, one.metadata.model_provider) == ("whisper", "Baseten")


async def test_a_call_that_fails_uses_nothing() -> None:
    async with serve(faults.Refuse(401)) as server, client(server) as speech_to_text:
        metrics = measured(speech_to_text)
        errors: list[stt.STTError] = []
        speech_to_text.on("error", errors.append)
        with pytest.raises(APIStatusError):
            await speech_to_text.recognize(frame(SPEECH.pcm))
    assert metrics == []
    assert [error.recoverable for error in errors] == [False]
