"""While there is no connection: what is kept, what is lost, how long it may take, who is told."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from kit.client import frame
from kit.loopback import calling, check, client, listening, only, serve, working

from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
)
from livekit.agents.stt import SpeechEventType as Kind
from livekit.plugins.baseten._connection import connector as _connector
from livekit.plugins.baseten._core import retries as _retries
from livekit.plugins.baseten._core import user_audio as _user_audio
from livekit.plugins.baseten._livekit import stream as _stream
from livekit.plugins.baseten.emulator import CodedSpeech, coded_speech, faults

pytestmark = pytest.mark.usefixtures("model")  # over both dialects

SPEECH = coded_speech(20, trailing_samples=8000, first_word=1001)  # words of 0.3 s with their gap


class FakeWall:
    """Time of day, for `_stream._wall_s`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_700_000_000.0
        monkeypatch.setattr(_stream, "_wall_s", lambda: self.now_s)


# A full journal


async def test_a_full_journal_loses_the_oldest_audio_and_says_how_much(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wall = FakeWall(monkeypatch)
    async with serve(faults.Park()) as server, calling(server, replay_buffer_s=2.0) as listener:
        for at in range(0, len(SPEECH.pcm), 3200):
            listener.push(SPEECH.pcm[at : at + 3200])
            wall.now_s += 0.1
        lost_s = listener.stream.lost_audio_s
        assert lost_s == pytest.approx(len(SPEECH.pcm) / 32_000 - 2.0, abs=0.2)
        await server.until(lambda: server.handshakes)
        server.wake()
        listener.stream.end_input()
        events = await listener.ended()
    kept = tuple(word for word in SPEECH.words if word.start_s >= lost_s)
    assert 4 < len(kept) < 8
    check(events, CodedSpeech(SPEECH.pcm, kept))
    warnings = [record.getMessage() for record in caplog.records if "dropped" in record.msg]
    assert f"{lost_s:.1f} s of audio" in warnings[-1]


async def test_a_burst_is_not_old_and_nothing_of_it_is_lost() -> None:
    """Much more than `replay_buffer_s`, in one go: a file, or what was said before the call."""
    async with serve(faults.Park()) as server, calling(server, replay_buffer_s=1.0) as listener:
        listener.push(SPEECH.pcm)
        await server.until(lambda: server.handshakes)
        server.wake()
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)
        assert listener.stream.lost_audio_s == 0


async def test_a_recording_of_ten_minutes_in_one_frame_is_heard_to_its_end() -> None:
    """As the README's own program does it: all of it before there is a connection."""
    speech = coded_speech([(60_000, 4000)] * 150, trailing_samples=8000, first_word=1001)
    assert len(speech.pcm) / 32_000 > 600
    async with serve() as server, calling(server) as listener:
        listener.stream.push_frame(frame(speech.pcm))
        listener.stream.end_input()
        check(await listener.ended(within_s=100.0), speech)
        assert listener.stream.lost_audio_s == 0


async def test_who_pushes_faster_than_speech_is_owed_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long the connection takes: nobody speaks at that pace, and somebody waits."""
    wall = FakeWall(monkeypatch)
    async with serve(faults.Park()) as server, calling(server, replay_buffer_s=1.0) as listener:
        for at in range(0, len(SPEECH.pcm), 3200):
            listener.push(SPEECH.pcm[at : at + 3200])
            wall.now_s += 0.01
        listener.push(bytes(32_000 * 20))
        wall.now_s += 9.0
        listener.push(bytes(3200))
        await server.until(lambda: server.handshakes)
        server.wake()
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)
        assert listener.stream.lost_audio_s == 0


async def test_more_than_can_be_held_is_refused_before_anything_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_user_audio, "MOST_HELD_S", 5.0)
    async with serve(faults.Park()) as server, calling(server) as listener:
        listener.push(bytes(5 * 32_000))
        with pytest.raises(BufferError, match="wait for the server"):
            listener.push(SPEECH.pcm)
        await server.until(lambda: server.handshakes)
        server.wake()
        assert listener.stream.lost_audio_s == 0


# Times


async def test_the_offset_of_the_framework_is_added_once_and_never_grows() -> None:
    plan = [faults.Reset(20_000), faults.Refuse(503), faults.Close(1012, "", 30_000)]
    async with serve(*plan) as server, calling(server) as listener:
        listener.stream.start_time_offset = 5.0
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH, offset_s=5.0)
        assert listener.stream.start_time_offset == 5.0
        assert len(server.handshakes) == 4


async def test_wall_clock_times_come_from_when_samples_were_pushed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through a burst, a muted minute and a reconnection."""
    wall = FakeWall(monkeypatch)
    begun_s = wall.now_s
    speech = coded_speech([(16_000, 4000)] * 6, trailing_samples=16_000, first_word=1001)
    pushed_s: list[float] = []  # for each block of 0.1 s, when it had come

    async with serve() as server, calling(server) as listener:
        await server.wait_for_connection()
        for number, at in enumerate(range(0, len(speech.pcm), 3200)):
            if number >= 20:  # the first two seconds are a burst: recorded before the call
                wall.now_s += 0.1
            if number == 40:
                wall.now_s += 60.0
            if number == 50:
                await server.until(lambda: server.connections[-1].received_samples > 40 * 1600)
                server.connections[-1].reset()
            listener.push(speech.pcm[at : at + 3200])
            pushed_s.append(wall.now_s)
        listener.stream.end_input()
        events = await listener.ended()
        assert len(server.connections) == 2
    check(events, speech)

    def came_s(sample: int) -> float:
        return pushed_s[min(sample, len(speech.pcm) // 2 - 1) // 1600]

    starts = [e.speech_start_time for e in events if e.type is Kind.START_OF_SPEECH]
    ends = [e.speech_end_time for e in events if e.type is Kind.END_OF_SPEECH]
    assert len(starts) == len(ends) == 6
    for word, start_s, end_s in zip(speech.words, starts, ends, strict=True):
        assert start_s is not None
        assert end_s is not None
        # A sample is a block old at most when its block comes.
        assert came_s(word.start_samples) - 0.13 < start_s < came_s(word.start_samples) + 0.03
        assert came_s(word.end_samples) - 0.13 < end_s < came_s(word.end_samples) + 0.03
    assert starts[0] == pytest.approx(begun_s, abs=0.1)


# The budget


async def test_forty_connections_that_are_recycled_while_nobody_speaks_cost_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_retries, "WORKED_AFTER_S", -1.0)
    patience = APIConnectOptions(max_retry=2, retry_interval=0.01, timeout=10.0)
    async with serve() as server, calling(server, patience) as listener:
        for number in range(1, 41):
            connection = await server.wait_for_connection(number)
            await working(server, connection)
            await connection.close((1000, 1001, 1012)[number % 3])
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)
        assert len(server.connections) == 41


async def test_connections_that_never_work_exhaust_the_budget() -> None:
    patience = APIConnectOptions(max_retry=2, retry_interval=0.01, timeout=10.0)
    plan = [faults.Close(1012)] * 9
    async with serve(*plan) as server, calling(server, patience) as listener:
        with pytest.raises(APIError):
            await listener.ended()
        assert len(server.handshakes) == 3
        assert [error.recoverable for error in listener.errors] == [True, True, False]


# Faults that would repeat themselves


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (400, "/websocket"),
        (401, "BASETEN_API_KEY"),
        (402, "billing"),
        (403, "api_key"),
        (404, "model_endpoint"),
    ],
)
async def test_a_permanent_refusal_is_not_retried_and_says_what_to_check(
    status: int, hint: str
) -> None:
    async with serve(faults.Refuse(status)) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        with pytest.raises(APIStatusError, match=hint) as raised:
            await listener.ended()
        assert raised.value.status_code == status
        assert not raised.value.retryable
        assert len(server.handshakes) == 1


@only("whisper", because="Qwen3-ASR refuses no metadata")
async def test_metadata_that_is_refused_twice_is_not_sent_again() -> None:
    plan = [faults.RejectMetadata()] * 5
    async with serve(*plan) as server, calling(server, language="de") as listener:
        with pytest.raises(APIError, match=r'metadata.*"audio_language": "de"'):
            await listener.ended()
        assert len(server.handshakes) == 2


@only("whisper", because="Qwen3-ASR refuses no metadata")
async def test_metadata_that_is_refused_once_may_have_met_a_failing_start() -> None:
    async with serve(faults.RejectMetadata()) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)


@only("whisper", because="AUDIO_PROCESSING_ERROR is a name of its errors")
async def test_audio_that_the_server_cannot_take_is_not_sent_again() -> None:
    wrong = faults.Error("AUDIO_PROCESSING_ERROR", "Input audio chunk is too short")
    async with serve(wrong) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        with pytest.raises(APIError, match="too short"):
            await listener.ended()
        assert len(server.handshakes) == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"Retry-After": "1"},
        {
            "Retry-After": "Wed, 21 Oct 2026 07:28:01 GMT",
            "Date": "Wed, 21 Oct 2026 07:28:00 GMT",
        },
    ],
    ids=["seconds", "date"],
)
async def test_the_server_is_given_the_time_it_asks_for(asked: dict[str, str]) -> None:
    busy = faults.Refuse(503, headers=asked)
    async with serve(busy) as server, calling(server) as listener:
        loop = asyncio.get_running_loop()
        await server.until(lambda: server.handshakes)
        refused_s = loop.time()
        await server.until(lambda: len(server.handshakes) > 1)
        assert loop.time() - refused_s > 0.95
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)


async def test_a_time_that_nobody_can_read_is_no_time() -> None:
    plan = [faults.Refuse(503, headers={"Retry-After": said}) for said in ("soon", "-1", "²", "")]
    async with serve(*plan) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)


# Liveness


async def test_a_muted_call_costs_no_connection() -> None:
    bounds: dict[str, Any] = {"health_check_interval_s": 0.1, "health_check_timeout_s": 0.1}
    async with serve() as server, calling(server, **bounds) as listener:
        listener.push(SPEECH.pcm)
        await listener.until_said(SPEECH)
        messages = len(server.connections[0].sent)
        await asyncio.sleep(1.0)  # ten times the bound
        assert len(server.connections[0].sent) <= messages + 2, "it is asked all the time"
        listener.push(bytes(32_000))
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)
        assert len(server.handshakes) == 1


async def test_a_user_who_mutes_in_mid_word_costs_no_connection_and_ends_his_turn() -> None:
    bounds: dict[str, Any] = {"health_check_interval_s": 0.1, "health_check_timeout_s": 0.2}
    half = len(SPEECH.pcm) // 4 * 2 + 1024
    async with serve() as server, calling(server, **bounds) as listener:
        listener.push(SPEECH.pcm[:half])
        await listener.until(
            lambda: listener.events and listener.events[-1].type is Kind.END_OF_SPEECH
        )
        listener.push(SPEECH.pcm[half:])
        listener.stream.end_input()
        events = await listener.ended()
        spoken = " ".join(e.alternatives[0].text for e in events if e.type is Kind.FINAL_TRANSCRIPT)
        assert [text.partition("!")[0] for text in spoken.split()] == SPEECH.text.split()
        assert len(server.handshakes) == 1


# A model that sleeps


async def test_a_cold_start_is_waited_for_where_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_connector, "_PROGRESS_EVERY_S", 0.05)
    caplog.set_level(logging.INFO)
    impatient = APIConnectOptions(max_retry=0, retry_interval=0.01, timeout=0.1)
    async with (
        serve(faults.Park()) as server,
        calling(server, impatient, cold_start_timeout=30.0) as listener,
    ):
        half = len(SPEECH.pcm) // 4 * 2
        listener.push(SPEECH.pcm[:half])
        await server.until(lambda: server.handshakes)
        await asyncio.sleep(0.3)
        listener.push(SPEECH.pcm[half:])
        server.wake()
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)
        assert len(server.handshakes) == 1
        assert listener.acquired[0].acquire_time > 0.25
    assert "waiting for the Baseten model to wake" in caplog.text


async def test_what_a_waking_model_refuses_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connector, "_WAKING_RETRY_S", 0.01)
    plan = [faults.Refuse(503), faults.Refuse(504), faults.Refuse(429)]
    once = APIConnectOptions(max_retry=0, retry_interval=0.01, timeout=5.0)
    async with serve(*plan) as server, calling(server, once, cold_start_timeout=30.0) as listener:
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)
        assert [h.status for h in server.handshakes] == [503, 504, 429, 101]


async def test_a_cold_start_fails_as_the_connect_options_say_by_default() -> None:
    impatient = APIConnectOptions(max_retry=0, retry_interval=0.01, timeout=0.1)
    async with serve(faults.Park()) as server, calling(server, impatient) as listener:
        listener.push(SPEECH.pcm)
        with pytest.raises(APITimeoutError, match="cold_start_timeout"):
            await listener.ended()


async def test_a_wrong_key_is_not_waited_for() -> None:
    async with (
        serve(faults.Refuse(401)) as server,
        calling(server, cold_start_timeout=30.0) as listener,
    ):
        with pytest.raises(APIStatusError):
            await listener.ended()
        assert len(server.handshakes) == 1


async def test_the_next_stream_takes_over_what_prewarm_opened() -> None:
    async with serve() as server, client(server) as stt:
        stt.prewarm()
        stt.prewarm()
        connection = await server.wait_for_connection()
        await working(server, connection)
        async with listening(stt) as listener:
            listener.push(SPEECH.pcm)
            listener.stream.end_input()
            check(await listener.ended(), SPEECH)
            assert listener.acquired[0].connection_reused
        assert server.connections == [connection]


async def test_a_stream_waits_for_the_connection_that_prewarm_has_under_way() -> None:
    async with serve(faults.Park()) as server, client(server) as stt:
        stt.prewarm()
        await server.until(lambda: server.handshakes)
        async with listening(stt) as listener:
            listener.push(SPEECH.pcm)
            listener.stream.end_input()
            await asyncio.sleep(0)
            server.wake()
            check(await listener.ended(), SPEECH)
            assert listener.acquired[0].connection_reused
        assert len(server.handshakes) == 1


async def test_a_prewarmed_connection_that_died_costs_the_stream_nothing() -> None:
    async with serve() as server, client(server) as stt:
        stt.prewarm()
        connection = await server.wait_for_connection()
        await working(server, connection)
        await connection.close(1012)
        async with listening(stt) as listener:
            listener.push(SPEECH.pcm)
            listener.stream.end_input()
            check(await listener.ended(), SPEECH)
        assert len(server.connections) == 2


async def test_warm_up_waits_until_the_model_has_answered() -> None:
    async with serve(faults.Park()) as server, client(server) as stt:
        warming = asyncio.ensure_future(stt.warm_up(30.0))
        await server.until(lambda: server.handshakes)
        assert not warming.done()
        server.wake()
        assert 0 <= await asyncio.wait_for(warming, 15) < 15
        await working(server, server.connections[0])
        async with listening(stt) as listener:
            listener.push(SPEECH.pcm)
            listener.stream.end_input()
            check(await listener.ended(), SPEECH)
            assert listener.acquired[0].connection_reused
        assert len(server.handshakes) == 1


@only("whisper", because="Qwen3-ASR says nothing until it hears speech")
async def test_warm_up_does_not_wait_for_what_takes_no_websockets() -> None:
    async with serve(*[faults.CloseBeforeMetadata(1003)] * 3) as server, client(server) as stt:
        with pytest.raises(APIConnectionError, match="is it a streaming model"):
            await asyncio.wait_for(stt.warm_up(600.0), 15)
        assert len(server.handshakes) == 1


async def test_warm_up_gives_up_in_time() -> None:
    async with serve(faults.Park()) as server, client(server) as stt:
        with pytest.raises(APITimeoutError):
            await stt.warm_up(0.1)


async def test_the_acquisition_of_each_connection_is_reported() -> None:
    async with serve(faults.Reset(20_000)) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)
        assert [m.connection_reused for m in listener.acquired] == [False, False]
        assert all(m.acquire_time >= 0 for m in listener.acquired)
