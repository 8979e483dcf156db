"""Options that change in a call: the new connection works before the old one stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kit.loopback import Listener, calling, check, only, serve, working

from livekit.agents import APIConnectOptions
from livekit.agents.stt import SpeechEventType as Kind
from livekit.plugins.baseten._livekit import options_change as _changeover
from livekit.plugins.baseten.emulator import Connection, Server, coded_speech, faults

pytestmark = pytest.mark.usefixtures("model")  # over both dialects

SPEECH = coded_speech(20, trailing_samples=8000, first_word=1001)  # 6 s, one utterance
TURNS = coded_speech([(9000, 4000)] * 12, trailing_samples=8000, first_word=1001)

REFUSED: dict[str, Any] = {"extra_metadata": {"no_such_key": 1}}


CODES = {"English": "en", "German": "de", "French": "fr", "Dutch": "nl"}


def language_of(connection: Connection) -> str:
    """Its code: Whisper is told that, Qwen3-ASR a name."""
    assert connection.metadata is not None
    asked: str = connection.metadata["whisper_params"]["audio_language"]
    return CODES.get(asked, asked)


async def finish(listener: Listener) -> None:
    listener.stream.end_input()
    check(await listener.ended(), SPEECH)


async def carried(server: Server, number: int) -> None:
    """Wait until the n-th connection gets audio."""
    connection = await server.wait_for_connection(number)
    await server.until(lambda: connection.received_samples)


async def test_ten_calls_within_50_ms_open_one_connection() -> None:
    async with serve() as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        await listener.until_said(SPEECH)
        for number in range(10):
            listener.stt.update_options(language=("de", "fr", "nl")[number % 3])
            listener.stt.update_options(vad_threshold=0.3 + number / 100)
            await asyncio.sleep(0.005)
        listener.push(bytes(3200))
        await carried(server, 2)
        await finish(listener)
        assert len(server.handshakes) == 2
        assert language_of(server.connections[1]) == "de"
        changed = server.connections[1].metadata or {}
        assert changed["streaming_vad_config"]["threshold"] == 0.39
        finals = [e for e in listener.events if e.type is Kind.FINAL_TRANSCRIPT]
        assert finals[0].alternatives[0].language == "en"


async def test_a_call_that_changes_nothing_opens_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_changeover, "_COALESCE_S", 0.0)
    async with serve() as server, calling(server) as listener:
        await server.wait_for_connection()
        listener.stt.update_options(language="en", enable_partial_transcripts=True)
        listener.stt.update_options(language="de")
        listener.stt.update_options(language="en")
        listener.push(SPEECH.pcm)
        await listener.until_said(SPEECH)
        await finish(listener)
        assert len(server.handshakes) == 1


async def test_a_change_waits_for_a_pause_while_the_old_connection_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_changeover, "_COALESCE_S", 0.0)
    half = len(SPEECH.pcm) // 4 * 2
    async with serve() as server, calling(server) as listener:
        listener.push(SPEECH.pcm[:half])
        await listener.until(lambda: listener.events)  # in mid-word
        listener.stt.update_options(language="de")
        second = await server.wait_for_connection(2)
        await working(server, second)
        for at in range(half, len(SPEECH.pcm), 3200):
            listener.push(SPEECH.pcm[at : at + 3200])
            await asyncio.sleep(0.001)
        await listener.until_said(SPEECH)
        listener.push(bytes(3200))
        await carried(server, 2)
        await finish(listener)
        assert not any(second.audio), "the utterance was taken from the old connection"
        assert not server.connections[0].is_open or server.connections[0].close_code
        assert len(server.handshakes) == 2


@pytest.mark.parametrize("pushed_samples", [2_000, 30_000, 47_777, 61_111])
async def test_a_change_that_gets_no_pause_comes_in_mid_word_and_costs_none(
    pushed_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_changeover, "_COALESCE_S", 0.0)
    monkeypatch.setattr(_changeover, "_PAUSE_WITHIN_S", 0.01)
    async with serve() as server, calling(server) as listener:
        listener.push(SPEECH.pcm[: pushed_samples * 2])
        first = await server.wait_for_connection()
        await server.until(lambda: first.received_samples >= pushed_samples // 512 * 512)
        listener.stt.update_options(language="de", partial_transcript_interval_s=0.2)
        await carried(server, 2)
        listener.push(SPEECH.pcm[pushed_samples * 2 :])
        await listener.until_said(SPEECH)
        await finish(listener)
        assert len(server.handshakes) == 2


async def test_five_changes_in_a_call_cost_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_changeover, "_COALESCE_S", 0.0)
    monkeypatch.setattr(_changeover, "_PAUSE_WITHIN_S", 0.02)
    async with serve() as server, calling(server) as listener:
        for number, at in enumerate(range(0, len(TURNS.pcm), 3200)):
            listener.push(TURNS.pcm[at : at + 3200])
            await asyncio.sleep(0.002)
            if number % 12 == 11 and number < 72:
                turn = number // 12 + 1
                listener.stt.update_options(vad_min_silence_duration_ms=300 - turn)
                await server.wait_for_connection(turn + 1)
        await listener.until_said(TURNS)
        listener.stream.end_input()
        check(await listener.ended(), TURNS)
        assert len(server.handshakes) == 7


async def test_the_old_connection_works_while_the_new_one_is_parked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_changeover, "_COALESCE_S", 0.0)
    async with serve(None, faults.Park()) as server, calling(server) as listener:
        await server.wait_for_connection()
        listener.stt.update_options(language="de")
        await server.until(lambda: len(server.handshakes) == 2)
        listener.push(SPEECH.pcm)
        await listener.until_said(SPEECH)
        server.wake()
        listener.push(bytes(3200))
        await carried(server, 2)
        await finish(listener)


async def test_a_cut_while_the_options_change_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_changeover, "_COALESCE_S", 0.0)
    async with serve(None, faults.Park()) as server, calling(server) as listener:
        first = await server.wait_for_connection()
        listener.push(SPEECH.pcm[:60_000])
        await server.until(lambda: first.received_samples > 20_000)
        listener.stt.update_options(language="de")
        await server.until(lambda: len(server.handshakes) == 2)
        first.reset()
        listener.push(SPEECH.pcm[60_000:])
        await listener.until_said(SPEECH)
        await finish(listener)
        assert language_of(server.connections[-1]) == "de"


@only("whisper", because="Qwen3-ASR refuses no metadata")
async def test_options_that_the_server_refuses_leave_the_call_with_the_old_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_changeover, "_COALESCE_S", 0.0)
    async with serve() as server, calling(server) as listener:
        listener.push(SPEECH.pcm[:60_000])
        await server.wait_for_connection()
        listener.stt.update_options(**REFUSED)
        await listener.until(lambda: listener.errors)
        assert listener.errors[0].recoverable
        assert "no_such_key" in str(listener.errors[0].error)
        listener.push(SPEECH.pcm[60_000:])
        await listener.until_said(SPEECH)
        assert listener.stream.options.extra_metadata == {}
        await finish(listener)


@pytest.mark.parametrize(
    ("model", "options"),
    [("whisper", {"language": "de"}), ("whisper", REFUSED), ("qwen3-asr", {"language": "de"})],
    ids=["whisper", "whisper, refused", "qwen3-asr"],  # that refuses no metadata
    indirect=["model"],
)
async def test_options_that_change_between_two_connections(options: dict[str, Any]) -> None:
    """They are what the next connection is asked for; refused, the call goes on without them."""
    patience = APIConnectOptions(max_retry=8, retry_interval=0.05, timeout=10.0)
    plan = [faults.Reset(30_000), faults.Refuse(503), faults.Refuse(503)]
    async with serve(*plan) as server, calling(server, patience) as listener:
        listener.push(SPEECH.pcm)
        await server.until(lambda: len(server.handshakes) == 2 and server.handshakes[1].status)
        listener.stt.update_options(**options)
        await listener.until_said(SPEECH)
        await finish(listener)
        assert language_of(server.connections[-1]) == options.get("language", "en")


@pytest.mark.parametrize(
    ("model", "options"),
    [("whisper", {"language": "de"}), ("whisper", REFUSED), ("qwen3-asr", {"language": "de"})],
    ids=["whisper", "whisper, refused", "qwen3-asr"],  # that refuses no metadata
    indirect=["model"],
)
async def test_options_that_change_while_the_first_handshake_is_parked(
    options: dict[str, Any],
) -> None:
    async with serve(faults.Park()) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        await server.until(lambda: server.handshakes)
        listener.stt.update_options(**options)
        server.wake()
        await listener.until_said(SPEECH)
        if "language" in options:
            listener.push(bytes(3200))
            await carried(server, 2)
        await finish(listener)


async def test_a_new_stream_has_the_options_as_they_are_now() -> None:
    async with serve() as server, calling(server) as listener:
        await server.wait_for_connection()
        listener.stt.update_options(language="de")
        second = listener.stt.stream(language="fr")
        third = listener.stt.stream()
        await server.wait_for_connection(3)
        await server.until(lambda: sum(c.metadata is not None for c in server.connections) >= 3)
        await second.aclose()
        await third.aclose()
        assert {"de", "fr"} <= {language_of(connection) for connection in server.connections}
