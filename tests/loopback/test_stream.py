"""One stream over loopback, from the frames that are pushed to the events that come out."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import numpy as np
import pytest
from kit.client import (
    KEY,
    PATIENCE_S,
    SPEECH,
    Kind,
    an_stt,
    collected,
    errors_of,
    finals,
    frames,
    heard,
    new_stt,
    of,
    push,
    transcribed,
    until,
    warnings_in,
    words,
)
from unit.test_audio import lag, reference, voice

from livekit.agents import (
    APIError,
)
from livekit.agents.types import TimedString
from livekit.plugins.baseten.emulator import (
    CodedRecognizer,
    ScriptRecognizer,
    Server,
    coded_speech,
    faults,
    serve,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")

TOLERANCE_S = 1e-4  # a sample is 0.00006 s


# Audio


@pytest.mark.parametrize("frame_ms", [10, 20, 50])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 44_100, 48_000])
async def test_the_server_hears_what_was_pushed_to_the_sample_in_frames_of_1024_bytes(
    rate_hz: int, channels: int, frame_ms: int
) -> None:
    pcm = voice(rate_hz)
    async with serve(recognizer=ScriptRecognizer(["one two"])) as server, an_stt(server) as stt:
        async with stt.stream() as stream:
            push(
                stream,
                np.repeat(pcm, channels),
                rate_hz=rate_hz,
                channels=channels,
                samples=rate_hz * frame_ms // 1000,
            )
            stream.end_input()
            events = await collected(stream)
        (connection,) = server.connections
    assert set(connection.frame_sizes) == {1024}
    assert connection.received_samples == 16_384  # one second, and zeros to the end of a frame
    received = np.frombuffer(connection.audio, "<i2").astype(float)
    expected = reference(pcm, rate_hz)
    assert not received[16_000:].any()
    assert lag(received[:16_000], expected) == 0
    error = float(np.sqrt(np.mean((received[:16_000] - expected) ** 2)))
    assert error < 0.01 * float(np.sqrt(np.mean(expected**2)))
    assert words(events) == ["one", "two"]


async def test_a_rate_that_changes_in_mid_stream_is_taken() -> None:
    parts = [(48_000, 2), (16_000, 1), (8_000, 1), (24_000, 2)]
    async with serve(recognizer=ScriptRecognizer(["one"])) as server, an_stt(server) as stt:
        async with stt.stream() as stream:
            for rate_hz, channels in parts:
                pcm = np.repeat(voice(rate_hz, 0.5, seed=rate_hz), channels)
                push(stream, pcm, rate_hz=rate_hz, channels=channels)
            stream.end_input()
            assert words(await collected(stream)) == ["one"]
        (connection,) = server.connections
    assert set(connection.frame_sizes) == {1024}
    received = np.frombuffer(connection.audio, "<i2")
    for n, (rate_hz, _) in enumerate(parts):
        expected = reference(voice(rate_hz, 0.5, seed=rate_hz), rate_hz)
        assert lag(received[n * 8_000 : (n + 1) * 8_000], expected) == 0


@pytest.mark.parametrize("samples", [1, 100, 511, 512, 513, 5000])
async def test_any_length_of_audio_is_padded_with_zeros_once(server: Server, samples: int) -> None:
    pcm = coded_speech([(0, samples)]).pcm
    async with an_stt(server) as stt:
        await transcribed(stt, pcm)
    (connection,) = server.connections
    assert set(connection.frame_sizes) == {1024}
    assert connection.audio == pcm + bytes(-len(pcm) % 1024)


async def test_the_metadata_goes_first_and_the_end_of_audio_last(server: Server) -> None:
    await heard(server, SPEECH.pcm, vad_threshold=0.25)
    (connection,) = server.connections
    assert connection.metadata is not None
    assert connection.metadata["streaming_vad_config"]["threshold"] == 0.25
    texts = [json.loads(frame) for frame in connection.frames if isinstance(frame, str)]
    assert connection.metadata == texts[0]
    assert isinstance(connection.frames[0], str)
    assert json.loads(connection.frames[-1]) == {"type": "end_audio"}
    assert [text.get("type") for text in texts[1:]] == ["health_check", "end_audio"]
    assert isinstance(connection.frames[2], bytes)
    assert connection.close_code == 1000


async def test_the_key_goes_into_the_header_of_the_handshake(server: Server) -> None:
    await heard(server, SPEECH.pcm)
    assert server.connections[0].headers["authorization"] == f"Api-Key {KEY}"
    assert KEY not in str(server.connections[0].frames)


# Events


async def test_events_come_in_order_with_everything_known_of_each_word(server: Server) -> None:
    events = await heard(server, SPEECH.pcm)
    transcripts = [e for e in events if e.type is not Kind.RECOGNITION_USAGE]
    kinds = [event.type for event in transcripts if event.type is not Kind.INTERIM_TRANSCRIPT]
    assert kinds == [Kind.START_OF_SPEECH, Kind.FINAL_TRANSCRIPT, Kind.END_OF_SPEECH] * 2
    assert transcripts[1].type is Kind.INTERIM_TRANSCRIPT
    assert finals(events) == ["w1 w2", "w3"]
    for event in of(Kind.INTERIM_TRANSCRIPT, events) + of(Kind.FINAL_TRANSCRIPT, events):
        (data,) = event.alternatives
        assert data.language == "en"
        assert data.confidence == 1.0
        assert data.words
        assert all(isinstance(word, TimedString) for word in data.words)
        assert [str(word) for word in data.words] == data.text.split()
        assert data.start_time == data.words[0].start_time
        assert data.end_time == data.words[-1].end_time
    said = [
        word for e in of(Kind.FINAL_TRANSCRIPT, events) for word in e.alternatives[0].words or []
    ]
    for word, coded in zip(said, SPEECH.words, strict=True):
        assert word == coded.text
        assert word.start_time == pytest.approx(coded.start_s, abs=TOLERANCE_S)
        assert word.end_time == pytest.approx(coded.end_s, abs=TOLERANCE_S)
        assert word.confidence == 1.0


async def test_an_utterance_has_one_id_and_the_next_another(server: Server) -> None:
    events = await heard(server, SPEECH.pcm)
    ids: list[str] = []
    for event in events:
        if event.type is Kind.START_OF_SPEECH:
            ids.append(event.request_id)
        if event.type is not Kind.RECOGNITION_USAGE:
            assert event.request_id == ids[-1]
    assert len(set(ids)) == 2
    assert all(ids)


async def test_the_offset_of_the_framework_is_added_to_every_time(server: Server) -> None:
    async with an_stt(server) as stt, stt.stream() as stream:
        stream.start_time_offset = 100.0
        push(stream, SPEECH.pcm)
        stream.end_input()
        events = await collected(stream)
    data = of(Kind.FINAL_TRANSCRIPT, events)[1].alternatives[0]
    assert data.start_time == pytest.approx(100 + SPEECH.words[2].start_s, abs=TOLERANCE_S)
    assert data.words
    assert data.words[0].start_time == data.start_time
    with pytest.raises(ValueError, match="start_time_offset"):
        stream.start_time_offset = -1.0


@pytest.mark.parametrize(
    ("options", "language"),
    [
        ({"language": "auto"}, "en"),
        ({"language_options": ["de", "fr"]}, "de"),
        ({"language": "pt-BR"}, "pt"),
        ({"language": "zh-TW"}, "zh"),
        ({"language": "iw"}, "he"),
    ],
)
async def test_the_language_is_never_auto_where_the_server_named_one(
    server: Server, options: dict[str, Any], language: str
) -> None:
    events = await heard(server, SPEECH.pcm, **options)
    told = {e.alternatives[0].language for e in events if e.alternatives}
    assert told == {language}


async def test_a_language_that_nobody_named_is_empty_and_not_auto(server: Server) -> None:
    server.plan.append(faults.NullLanguage())
    events = await heard(server, SPEECH.pcm, language="auto")
    assert words(events) == ["w1", "w2", "w3"]
    assert {e.alternatives[0].language for e in events if e.alternatives} == {""}


async def test_without_partials_there_are_only_finals(server: Server) -> None:
    events = await heard(server, SPEECH.pcm, enable_partial_transcripts=False)
    assert not of(Kind.INTERIM_TRANSCRIPT, events)
    kinds = [e.type for e in events if e.type is not Kind.RECOGNITION_USAGE]
    assert kinds == [Kind.START_OF_SPEECH, Kind.FINAL_TRANSCRIPT, Kind.END_OF_SPEECH] * 2
    assert words(events) == ["w1", "w2", "w3"]


@pytest.mark.parametrize("partials", [True, False])
async def test_without_words_the_times_are_still_about_the_speech(
    server: Server, partials: bool
) -> None:
    speech = coded_speech([(24_000, 8_000), (16_000, 8_000)], trailing_samples=16_000)
    async with serve(recognizer=CodedRecognizer(8_000)) as server:
        events = await heard(
            server,
            speech.pcm,
            show_word_timestamps=False,
            enable_partial_transcripts=partials,
        )
    found = of(Kind.FINAL_TRANSCRIPT, events)
    assert [e.alternatives[0].text for e in found] == ["w1", "w2"]
    for event, word in zip(found, speech.words, strict=True):
        (data,) = event.alternatives
        assert data.words is None
        assert data.confidence == 0.0
        assert data.end_time == pytest.approx(word.end_s, abs=0.1)
        # Without partials nothing says where in the buffer speech began.
        if partials:
            assert data.start_time == pytest.approx(word.start_s, abs=0.1)
        else:
            assert data.start_time <= word.start_s + 0.1
        assert 0 <= data.start_time < data.end_time


async def test_speech_starts_and_ends_at_a_time_of_day(server: Server) -> None:
    async with an_stt(server) as stt, stt.stream() as stream:
        push(stream, SPEECH.pcm[: 2 * 18_000])
        start, *_ = await until(stream, Kind.FINAL_TRANSCRIPT)
        (end,) = await until(stream, Kind.END_OF_SPEECH)
    assert start.speech_start_time is not None
    assert end.speech_end_time is not None
    assert start.speech_start_time <= end.speech_end_time <= end.created_at
    assert end.created_at - start.speech_start_time < PATIENCE_S


# Strange messages


def bare(message: faults.Message) -> list[faults.Message]:
    """A result with everything null that can be, and much that nobody knows."""
    if message["type"] != "transcription":
        return [{**message, "timestamp": "soon", "new": {"a": []}}]
    for segment in message["segments"]:
        for key in ("log_prob", "speaker", "beam_results", "language_code", "word_timestamps"):
            segment[key] = None
        segment["emotion"] = ["joy"]
    kept = ("type", "segments", "is_final", "audio_length_sec")
    return [{"new": 1} | {key: message[key] if key in kept else None for key in message}]


def without_the_optional(message: faults.Message) -> list[faults.Message]:
    if message["type"] != "transcription":
        return [message]
    segments = [{"text": s["text"], "end_time": s["end_time"]} for s in message["segments"]]
    kept = {key: message[key] for key in ("type", "is_final")}
    return [{**kept, "segments": [*segments, None, "x"]}]


@pytest.mark.parametrize(
    "fault",
    [
        faults.NullLanguage(),
        faults.NoTimes(),
        faults.OldShape(),
        faults.Rewrite(bare),
        faults.Rewrite(without_the_optional),
    ],
    ids=lambda fault: getattr(getattr(fault, "function", None), "__name__", type(fault).__name__),
)
async def test_missing_null_and_unknown_fields_cost_no_word(
    server: Server, fault: faults.Fault
) -> None:
    server.plan.append(fault)
    events = await heard(server, SPEECH.pcm)
    assert words(events) == ["w1", "w2", "w3"]
    for event in of(Kind.FINAL_TRANSCRIPT, events):
        (data,) = event.alternatives
        assert data.language == "en"
        assert 0 <= data.start_time <= data.end_time <= len(SPEECH.pcm) / 32_000
    starts, ends = of(Kind.START_OF_SPEECH, events), of(Kind.END_OF_SPEECH, events)
    assert len(starts) == len(ends) == 2


async def test_garbage_between_messages_costs_no_word_and_one_warning_a_kind(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    garbage: list[str | bytes] = ["<html>", "<html>", "{", "[]", "[1]", b"\x00\xff", b""]
    garbage += ['{"type":[]}', "null"]
    server.plan.append(
        tuple(faults.Garbage(payload, after_samples=512 * n) for n, payload in enumerate(garbage))
    )
    events = await heard(server, SPEECH.pcm)
    assert words(events) == ["w1", "w2", "w3"]
    warned = warnings_in(caplog)
    assert all("cannot be read" in warning for warning in warned)
    assert len(warned) == len(set(warned)) == 4  # not JSON, a list, no type, null
    assert len(server.connections) == 1


async def test_a_recoverable_error_is_one_warning_and_one_event_and_the_stream_goes_on(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    trace = "Traceback (most recent call last):\n  File x\nRuntimeError: it hiccuped"
    server.plan.append(
        faults.Error("DIARIZATION_ERROR", trace, recoverable=True, after_samples=512)
    )
    async with an_stt(server) as stt:
        errors = errors_of(stt)
        events = await transcribed(stt, SPEECH.pcm)
    assert words(events) == ["w1", "w2", "w3"]
    (error,) = errors
    assert error.recoverable
    assert isinstance(error.error, APIError)
    (warning,) = warnings_in(caplog)
    for shown in (warning, str(error.error)):
        assert "DIARIZATION_ERROR" in shown
        assert "it hiccuped" in shown
        assert "Traceback" not in shown
    assert len(server.connections) == 1


# Flush


async def test_a_flush_is_answered_with_what_was_said(server: Server) -> None:
    async with an_stt(server) as stt, stt.stream() as stream:
        push(stream, coded_speech(2).pcm)
        stream.flush()
        assert finals(await until(stream, Kind.FINAL_TRANSCRIPT)) == ["w1 w2"]
        await until(stream, Kind.END_OF_SPEECH)
        assert server.connections[0].is_open


@pytest.mark.parametrize("pushed", [b"", bytes(16_000)])
async def test_a_flush_of_nothing_is_answered_with_an_empty_interim_and_an_empty_final(
    server: Server, pushed: bytes
) -> None:
    async with an_stt(server) as stt, stt.stream() as stream:
        push(stream, pushed)
        stream.flush()
        interim, final = [
            e
            for e in await until(stream, Kind.FINAL_TRANSCRIPT)
            if e.type is not Kind.RECOGNITION_USAGE
        ]
        assert interim.type is Kind.INTERIM_TRANSCRIPT
        for event in (interim, final):
            assert event.alternatives[0].text == ""
            assert event.alternatives[0].end_time == 0.0


async def test_audio_right_after_a_flush_is_not_cut_and_made_up_silence_is_in_no_time(
    server: Server,
) -> None:
    speech = coded_speech([(777, 4000), (0, 4000), (500, 4000)], trailing_samples=8000)
    cuts = [0, speech.words[0].end_samples, speech.words[1].end_samples, len(speech.pcm) // 2]
    async with an_stt(server) as stt, stt.stream() as stream:
        for start, stop in itertools.pairwise(cuts):
            push(stream, speech.pcm[2 * start : 2 * stop])
            if stop != cuts[-1]:
                stream.flush()
        stream.end_input()
        events = await collected(stream)
    assert set(server.connections[0].frame_sizes) == {1024}
    assert finals(events) == ["w1", "w2", "w3"]
    said = of(Kind.FINAL_TRANSCRIPT, events)
    for event, word in zip(said, speech.words, strict=True):
        assert event.alternatives[0].start_time == pytest.approx(word.start_s, abs=TOLERANCE_S)
        assert event.alternatives[0].end_time == pytest.approx(word.end_s, abs=TOLERANCE_S)


async def test_two_flushes_in_a_row_are_both_answered(server: Server) -> None:
    async with an_stt(server) as stt, stt.stream() as stream:
        push(stream, coded_speech(1).pcm)
        stream.flush()
        assert finals(await until(stream, Kind.FINAL_TRANSCRIPT)) == ["w1"]
        stream.flush()
        assert finals(await until(stream, Kind.FINAL_TRANSCRIPT)) == [""]


# Usage


async def test_usage_adds_up_to_the_audio_that_was_pushed(server: Server) -> None:
    speech = coded_speech([(8_000, 4_000)] * 10, trailing_samples=1_234)
    async with an_stt(server) as stt:
        metrics: list[Any] = []
        stt.on("metrics_collected", metrics.append)
        events = await transcribed(stt, speech.pcm)
        await stt.aclose()
    used = [
        usage.audio_duration
        for e in of(Kind.RECOGNITION_USAGE, events)
        if (usage := e.recognition_usage)
    ]
    pushed_s = len(speech.pcm) / 32_000
    assert len(used) > 1
    assert sum(used) == pytest.approx(pushed_s, abs=TOLERANCE_S)
    assert sum(m.audio_duration for m in metrics) == pytest.approx(pushed_s, abs=TOLERANCE_S)


async def test_a_stream_that_is_closed_has_reported_what_it_used(server: Server) -> None:
    async with an_stt(server) as stt:
        metrics: list[Any] = []
        stt.on("metrics_collected", metrics.append)
        stream = stt.stream()
        push(stream, bytes(32_000))
        await server.until(lambda: server.connections and server.connections[0].frame_sizes[30:])
        await stream.aclose()
    assert sum(m.audio_duration for m in metrics) == pytest.approx(0.992, abs=0.04)


async def test_the_connection_is_reported_with_the_time_it_took(server: Server) -> None:
    async with an_stt(server) as stt:
        metrics: list[Any] = []
        stt.on("metrics_collected", metrics.append)
        await transcribed(stt, SPEECH.pcm)
    (acquired,) = [m for m in metrics if not m.audio_duration]
    assert 0 <= acquired.acquire_time < PATIENCE_S
    assert not acquired.connection_reused


# Several


async def test_each_stream_has_its_own_language(server: Server) -> None:
    async with an_stt(server) as stt:
        german = await transcribed(stt, SPEECH.pcm, language="de-AT")
        english = await transcribed(stt, SPEECH.pcm)
    assert {e.alternatives[0].language for e in of(Kind.FINAL_TRANSCRIPT, german)} == {"de"}
    assert {e.alternatives[0].language for e in of(Kind.FINAL_TRANSCRIPT, english)} == {"en"}
    sent = [(c.metadata or {})["whisper_params"]["audio_language"] for c in server.connections]
    assert sent == ["de", "en"]


async def test_streams_at_once_do_not_hear_each_other(server: Server) -> None:
    calls = [coded_speech(4, first_word=n) for n in (1, 100, 200, 300)]
    async with an_stt(server) as stt:
        heard = await asyncio.gather(*(transcribed(stt, call.pcm) for call in calls))
    for events, call in zip(heard, calls, strict=True):
        assert " ".join(finals(events)) == call.text
    assert len({e.request_id for events in heard for e in events}) >= len(calls)


async def test_closing_the_stt_closes_every_stream_of_it(server: Server) -> None:
    stt = new_stt(server)
    streams = [stt.stream() for _ in range(3)]
    await server.wait_for_connection(3)
    await asyncio.wait_for(stt.aclose(), PATIENCE_S / 4)
    await server.until(lambda: not any(c.is_open for c in server.connections))
    for stream in streams:
        with pytest.raises(RuntimeError):
            stream.push_frame(next(frames(bytes(1024))))
    await stt.aclose()
