"""What calls of known faults tell OpenTelemetry (docs/monitoring.md)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from kit.figures import figures, forget, told
from kit.loopback import QUICK, calling, client, listening, serve

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError
from livekit.agents.stt import SpeechEvent, SpeechEventType
from livekit.plugins.baseten._livekit import options_change, stream
from livekit.plugins.baseten._telemetry.instruments import DELAY_BOUNDARIES_S
from livekit.plugins.baseten.emulator import coded_speech, faults

# Two utterances. Of the first there is no final yet where the user has pushed PART.
SPEECH = coded_speech([(1600, 4000), (16_000, 4000)], trailing_samples=9600, first_word=1001)
SPOKEN_S = len(SPEECH.pcm) / 32_000
PART = 19 * 512

ONE_RETRY = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=0.5)


@pytest.fixture(autouse=True)
def nothing_told_before() -> Iterator[None]:
    forget()
    yield
    assert not [f for f in figures() if f.name.endswith("alive") and f.number]


async def test_a_call_without_faults() -> None:
    async with (
        serve(faults.SlowRecognition(0.7)) as server,
        calling(server, vad_min_silence_duration_ms=900) as listener,
    ):
        listener.push(SPEECH.pcm + bytes(32_000))
        await listener.until_said(SPEECH)
        during = figures()
        listener.stream.end_input()
        await listener.ended()
    assert {f"{f.name} {f.reason}".strip(): f.number for f in during if f.number} == {
        "stream.alive": 1,
        "connection.alive": 1,
        "connection.opened": 1,
        "connection.handshake_time": 1,
        "audio.sent": pytest.approx(SPOKEN_S + 1),
        "interim.delay": len(farther_interims(listener.events)),
        "final.delay": 2,
        "finals recognized": 2,
    }
    of = {figure.name: figure for figure in during}
    # What was pushed at once was recognized one after the other, each time in 0.7 s.
    assert of["interim.delay"].sum >= 2 * 0.7
    finals = [e for e in listener.events if e.type is SpeechEventType.FINAL_TRANSCRIPT]
    delays_s = [(event.alternatives[0].metadata or {})["delay_s"] for event in finals]
    assert of["final.delay"].sum == pytest.approx(sum(delays_s))
    assert min(delays_s) >= 0.7
    assert of["connection.handshake_time"].sum < 0.5
    interims = [e for e in listener.events if e.type is SpeechEventType.INTERIM_TRANSCRIPT]
    assert len(interims) > of["interim.delay"].number, "some say again what was shown before"
    assert told() == {}


def farther_interims(events: list[SpeechEvent]) -> list[float]:
    """Where those end that reach farther than all before: the others show nothing new."""
    interims = [e for e in events if e.type is SpeechEventType.INTERIM_TRANSCRIPT]
    ends_s = [event.alternatives[0].end_time for event in interims]
    return [end_s for i, end_s in enumerate(ends_s) if end_s > max(ends_s[:i], default=0.0)]


async def test_labels_are_few_and_say_nothing_of_a_call() -> None:
    async with serve(faults.Reset(PART)) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        await listener.until_said(SPEECH)
    common = {"model_name": "whisper", "model_provider": "Baseten", "server.address": "127.0.0.1"}
    own = {
        "connection.losses": {"error.type": "1006"},
        "finals": {"outcome": "recognized"},
    }
    for figure in (figure for figure in figures() if figure.number):
        assert figure.labels == common | own.get(figure.name, {}), figure.name
        if figure.boundaries:
            assert figure.boundaries == tuple(DELAY_BOUNDARIES_S), figure.name
    assert (DELAY_BOUNDARIES_S[0], DELAY_BOUNDARIES_S[-1]) == (0.02, 10)


async def test_what_may_go_wrong_is_there_with_a_zero_before_it_does() -> None:
    """Prometheus sees how much a counter has grown, not what it was born with."""
    async with serve() as server, calling(server):
        await server.wait_for_connection()
        zeros = {f"{f.name} {f.reason}".strip() for f in figures() if f.number == 0}
    assert {"audio.lost", "stream.retries", "messages.unreadable", "finals promoted"} <= zeros
    assert {"connection.losses 1006", "connection.failures 503", "stream.failures 401"} <= zeros


async def test_refused_lost_and_sent_again() -> None:
    plan = (faults.Refuse(503), faults.Close(1001, after_samples=PART), faults.Reset(PART))
    async with serve(*plan) as server, calling(server) as listener:
        listener.push(SPEECH.pcm[: 2 * PART])
        await server.until(
            lambda: len(server.connections) == 3 and server.connections[-1].received_samples == PART
        )
        listener.push(SPEECH.pcm[2 * PART :])
        await listener.until_said(SPEECH)
        listener.stream.end_input()
        await listener.ended()
        said = told()
    assert {name: number for name, number in said.items() if "delay" not in name} == {
        "stream.retries": 3,
        "connection.failures 503": 1,
        "connection.losses 1001": 1,
        "connection.losses 1006": 1,
        "connection.opened": 3,
        "connection.handshake_time": 3,
        "audio.sent": pytest.approx(SPOKEN_S),
        "audio.resent": pytest.approx(2 * PART / 16_000),
        "finals recognized": 2,
    }


@pytest.mark.parametrize(
    ("plan", "options", "expected"),
    [
        (faults.Refuse(401), {}, {"connection.failures 401": 1, "stream.failures 401": 1}),
        (
            faults.Park(),
            {},
            {
                "connection.failures timeout": 2,
                "stream.retries": 1,
                "stream.failures timeout": 1,
            },
        ),
        (
            faults.RejectMetadata(),
            {},
            {
                "connection.opened": 2,
                "connection.losses metadata_refused": 2,
                "stream.retries": 1,
                "stream.failures metadata_refused": 1,
            },
        ),
        (
            faults.Error(),
            {},
            {
                "connection.opened": 2,
                "connection.losses server_failed": 2,
                "stream.failures server_failed": 1,
            },
        ),
        (
            faults.Mute(),
            {"health_check_interval_s": 0.1, "health_check_timeout_s": 0.1},
            {
                "connection.opened": 2,
                "connection.losses given_up": 2,
                "stream.failures given_up": 1,
            },
        ),
        (
            (faults.NeverAcknowledge(), faults.MuteResults()),
            {"drain_timeout_s": 0.1},
            {
                "connection.opened": 2,
                "connection.losses no_last_result": 2,
                "stream.failures no_last_result": 1,
            },
        ),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_each_reason_for_which_a_stream_fails(
    plan: faults.Entry, options: dict[str, Any], expected: dict[str, float]
) -> None:
    async with serve(*[plan] * 9) as server, client(server, **options) as stt:
        async with listening(stt, ONE_RETRY) as listener:
            listener.push(SPEECH.pcm)
            if "drain_timeout_s" in options:
                listener.stream.end_input()
            with pytest.raises(APIError):
                await listener.ended()
        said = told()
    assert said | expected == said


async def test_nobody_listens_there() -> None:
    async with serve() as server:
        url = server.url
    async with client(url) as stt, listening(stt, ONE_RETRY) as listener:
        with pytest.raises(APIError):
            await listener.ended()
    assert told()["connection.failures unreachable"] == 2


async def test_flushes_answered_with_words_and_without() -> None:
    async with serve(faults.SlowRecognition(0.7)) as server, calling(server) as listener:
        listener.stream.flush()  # of nothing
        listener.push(bytes(16_000))
        listener.stream.flush()  # of silence
        listener.push(SPEECH.pcm[: 2 * PART])
        listener.stream.flush()
        await listener.until(listener.said)
        flushes = {f.reason: f for f in figures() if f.name == "flush.delay"}
    assert (flushes["empty"].number, flushes["words"].number) == (2, 1)
    assert 0.7 <= flushes["words"].sum < 4 * 0.7
    assert flushes["empty"].sum < 0.7


async def test_finals_that_were_dropped() -> None:
    async with (
        serve(faults.Hallucination()) as server,
        calling(server, drop_hallucinations=True) as listener,
    ):
        listener.push(SPEECH.pcm)
        listener.stream.flush()
        listener.stream.end_input()
        await listener.ended()
        said = told()
    assert said["finals dropped"] == 2
    assert said["flush.delay empty"] == 1
    assert "finals recognized" not in said


async def test_an_interim_that_had_to_be_made_a_final() -> None:
    once = APIConnectOptions(max_retry=0, timeout=1.0)
    async with serve(faults.Reset(PART)) as server, calling(server, once) as listener:
        listener.push(SPEECH.pcm[: 2 * PART])
        with pytest.raises(APIError):
            await listener.ended()
        said = told()
    assert said["interim.delay"] == said["finals promoted"] == said["final.delay"] == 1


async def test_each_message_that_cannot_be_read_counts() -> None:
    garbage = tuple(faults.Garbage(after_samples=n * 512) for n in range(1, 4))
    async with serve(garbage) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        await listener.until_said(SPEECH)
        listener.stream.end_input()
        await listener.ended()
    assert told()["messages.unreadable"] == 3


async def test_changeovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options_change, "_COALESCE_S", 0.0)
    async with serve() as server, calling(server) as listener:
        listener.push(SPEECH.pcm[:60_000])
        await server.wait_for_connection()
        listener.stt.update_options(extra_metadata={"no_such_key": 1})
        await listener.until(lambda: listener.errors)
        failed = told()
        listener.stt.update_options(language="de")
        await listener.until(lambda: len(listener.acquired) == 2)
        done = told()
    assert failed["connection.changeovers failed"] == 1
    assert failed["connection.losses metadata_refused"] == 2
    assert done["connection.changeovers done"] == done["connection.opened"] == 1
    assert "stream.retries" not in failed | done


async def test_a_connection_that_was_ready() -> None:
    async with serve() as server, client(server) as stt:
        await stt.warm_up()
        ready = told()
        async with listening(stt) as listener:
            listener.push(SPEECH.pcm)
            await listener.until_said(SPEECH)
            taken = told()
    assert (ready["connection.opened"], ready["connection.alive"]) == (1, 1)
    assert "connection.opened" not in taken
    assert (taken["connection.reused"], taken["connection.alive"]) == (1, 1)


async def test_audio_that_nobody_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    wall_s = iter(range(1_700_000_000, 1_700_000_100))
    monkeypatch.setattr(stream, "_wall_s", lambda: float(next(wall_s)))
    async with serve(faults.Park()) as server, calling(server, replay_buffer_s=2.0) as listener:
        for _ in range(6):
            listener.stream.push_frame(rtc.AudioFrame(bytes(32_000), 16_000, 1, 16_000))
        lost_s = listener.stream.lost_audio_s
        await server.until(lambda: server.handshakes)
        server.wake()
        await server.until(lambda: server.connections and server.connections[0].received_samples)
        said = told()
    assert lost_s >= 3
    assert said["audio.lost"] == pytest.approx(lost_s)


async def test_a_recording_that_is_recognized_at_once() -> None:
    pcm = SPEECH.pcm
    async with serve() as server, client(server) as stt:
        event = await stt.recognize(rtc.AudioFrame(pcm, 16_000, 1, len(pcm) // 2))
        said = told()
    assert event.alternatives[0].text
    assert said == {
        "connection.opened": 1,
        "connection.handshake_time": 1,
        "audio.sent": pytest.approx(SPOKEN_S),
    }


async def test_a_push_tells_nothing() -> None:
    """Where a provider is set, as it is here: not a function of it is called."""
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and "telemetry" in frame.f_code.co_filename:
            called.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")

    frame = rtc.AudioFrame(bytes(1600), 16_000, 1, 800)
    async with serve() as server, client(server) as stt, listening(stt, QUICK) as listener:
        listener.stream.push_frame(frame)
        await server.until(lambda: server.connections and server.connections[0].sent)
        await asyncio.sleep(0.1)
        sys.setprofile(note)
        try:
            for _ in range(40):  # two seconds, sent at once
                listener.stream.push_frame(frame)
        finally:
            sys.setprofile(None)
    assert called == []
