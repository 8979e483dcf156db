"""Every fault does what its docstring says, seen from a client that shares nothing with ours."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from livekit.plugins.baseten.emulator import Handshake, ScriptRecognizer, Server, faults, serve

LOUD = np.ones(512, "<i2").tobytes()
QUIET = bytes(1024)
UTTERANCE = [LOUD] * 4 + [QUIET] * 11
HEALTH = '{"type":"health_check"}'
END = '{"type":"end_audio"}'
PARTIALS = json.dumps(
    {
        "streaming_params": {
            "enable_partial_transcripts": True,
            "partial_transcript_interval_s": 0.3,  # one partial in an utterance of 15 frames
        },
        "whisper_params": {"show_word_timestamps": True},
    }
)


def opening(server: Server) -> connect:
    headers = {"Authorization": "Bearer k"}
    return connect(server.url, additional_headers=headers, compression=None, ping_interval=None)


def scripted(*plan: faults.Entry) -> Any:
    return serve(*plan, recognizer=ScriptRecognizer(["one", "two", "three"]))


async def say(client: ClientConnection, *frames: str | bytes) -> None:
    for frame in frames:
        await client.send(frame)


async def said(client: ClientConnection, *frames: str | bytes) -> list[dict[str, Any]]:
    """Send all that, then everything that is answered until `finished` or the end."""
    messages = []
    try:
        for frame in frames:
            await client.send(frame)
        while True:
            messages.append(json.loads(await client.recv()))
            if messages[-1].get("body") == {"status": "finished"}:
                break
    except ConnectionClosed:
        pass
    return messages


def texts(messages: list[dict[str, Any]], *, is_final: bool = True) -> list[str]:
    return [
        m["segments"][0]["text"]
        for m in messages
        if m["type"] == "transcription" and m["is_final"] is is_final
    ]


async def closed(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        while True:
            await client.recv()
    return client.protocol.close_code


# At the handshake.


@pytest.mark.parametrize("status", [400, 401, 402, 404, 408, 429, 499, 503, 504])
async def test_refuse_answers_with_its_status(status: int) -> None:
    async with serve(faults.Refuse(status, "busy", {"Retry-After": "3"}), None) as server:
        with pytest.raises(InvalidStatus) as refused:
            await opening(server)
        response = refused.value.response
        assert (response.status_code, response.body) == (status, b"busy")
        assert response.headers["Retry-After"] == "3"
        async with opening(server):
            pass
        assert [h.status for h in server.handshakes] == [status, 101]
        assert len(server.connections) == 1


async def test_park_holds_the_handshake_until_woken() -> None:
    async with serve(faults.Park()) as server:
        opened = asyncio.ensure_future(_opened(server))
        await server.until(lambda: server.handshakes)
        assert server.handshakes[0].status is None
        server.wake()
        await (await opened).close()
        assert server.handshakes[0].status == 101


async def test_park_holds_the_handshake_for_a_while() -> None:
    async with serve((faults.Park(0.01), faults.Refuse(504))) as server:
        with pytest.raises(InvalidStatus):
            await opening(server)


async def test_upgrades_are_observed_when_asked_for_and_when_answered() -> None:
    seen: list[tuple[int | None, tuple[faults.Fault, ...]]] = []

    def observed(handshake: Handshake) -> None:
        seen.append((handshake.status, handshake.plan))

    refused = faults.Refuse(503)
    async with serve(refused, record=False, handshake_observer=observed) as server:
        with pytest.raises(InvalidStatus):
            await opening(server)
        await (await _opened(server)).close()
    assert seen == [(None, (refused,)), (503, (refused,)), (None, ()), (101, ())]


async def test_a_client_may_give_up_on_a_parked_handshake(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(faults.Park()) as server:
        opened = asyncio.ensure_future(_opened(server))
        await server.until(lambda: server.handshakes)
        opened.cancel()
        await asyncio.gather(opened, return_exceptions=True)
        await server.until(lambda: server.handshakes[0].status == 499)
        async with opening(server) as client:
            assert (await said(client, "{}", END))[-1]["type"] == "end_audio"
        assert len(server.connections) == 1
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def _opened(server: Server) -> ClientConnection:
    return await opening(server)


async def test_close_before_metadata_closes_at_once() -> None:
    async with serve(faults.CloseBeforeMetadata(1013, "full")) as server:
        client = await opening(server)
        assert await closed(client) == 1013
        assert client.protocol.close_reason == "full"


async def test_reject_metadata_refuses_what_is_valid() -> None:
    async with serve(faults.RejectMetadata()) as server, opening(server) as client:
        await client.send("{}")
        assert await closed(client) == 1011
        assert client.protocol.close_reason == "Internal Server Error (in model/chainlet)."


async def test_the_plan_can_grow_while_serving() -> None:
    async with serve() as server:
        async with opening(server):
            pass
        server.plan.append(faults.Refuse(503))
        with pytest.raises(InvalidStatus):
            await opening(server)


# At a count of samples.


@pytest.mark.parametrize(("after_samples", "frames"), [(0, 0), (512, 1), (600, 2), (1024, 2)])
async def test_faults_strike_at_a_count_of_samples(after_samples: int, frames: int) -> None:
    fault = faults.Garbage('{"type":"news"}', after_samples)
    async with serve(fault) as server, opening(server) as client:
        messages = await said(client, "{}", *[QUIET] * frames, HEALTH, *[QUIET] * 3, HEALTH, END)
        assert [m["type"] for m in messages] == [
            "news",
            "health_check",
            "health_check",
            "end_audio",
            "end_audio",
        ]


async def test_reset_ends_tcp_without_a_close_frame() -> None:
    async with serve(faults.Reset(1024)) as server, opening(server) as client:
        await say(client, "{}", QUIET, QUIET)
        assert await closed(client) == 1006
        (connection,) = server.connections
        await server.until(lambda: not connection.is_open)
        assert connection.close_code == 1006
        assert len(connection.audio) == 2048


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 1012, 1013])
async def test_close_closes_with_its_code(code: int) -> None:
    async with serve(faults.Close(code, "why", 512)) as server, opening(server) as client:
        await say(client, "{}", QUIET)
        assert await closed(client) == code
        assert client.protocol.close_reason == "why"


def test_close_cannot_send_1006() -> None:
    with pytest.raises(ValueError, match="Reset"):
        faults.Close(1006)


async def test_stall_reads_and_answers_nothing_while_tcp_stays_up() -> None:
    async with serve(faults.Stall(512)) as server:
        client = await opening(server)
        await client.send("{}")
        await client.send(QUIET)
        (connection,) = server.connections
        await server.until(lambda: len(connection.frames) == 2)
        await client.send(HEALTH)
        pong = await client.ping()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pong, 0.05)
        assert len(connection.frames) == 2
        assert connection.is_open
        client.transport.abort()


async def test_mute_reads_on_and_says_nothing() -> None:
    async with serve(faults.Mute(0)) as server, opening(server) as client:
        await say(client, "{}", *UTTERANCE, HEALTH)
        await (await client.ping())
        (connection,) = server.connections
        await server.until(lambda: len(connection.frames) == 17)
        assert connection.sent == []


async def test_mute_results_answers_health_checks_only() -> None:
    async with scripted(faults.MuteResults(0)) as server, opening(server) as client:
        messages = await said(client, PARTIALS, *UTTERANCE, HEALTH, END)
        assert sorted({m["type"] for m in messages}) == ["end_audio", "health_check"]


async def test_error_is_sent_and_the_session_goes_on() -> None:
    fault = faults.Error("STREAM_ERROR", "oops", recoverable=True)
    async with scripted(fault) as server, opening(server) as client:
        messages = await said(client, "{}", *UTTERANCE, END)
        assert messages[0]["body"]["message"] == "oops"
        assert messages[0]["body"]["recoverable"] is True
        assert texts(messages) == ["one"]


async def test_error_can_close_after_itself() -> None:
    fault = faults.Error("WEBSOCKET_ERROR", "gone", after_samples=512, then_close=1000)
    async with scripted(fault) as server, opening(server) as client:
        messages = await said(client, "{}", *[QUIET] * 4)
        assert [m["body"]["error_type"] for m in messages] == ["WEBSOCKET_ERROR"]
        assert client.protocol.close_code == 1000


async def test_garbage_can_be_binary() -> None:
    async with serve(faults.Garbage(b"\x00\x01")) as server, opening(server) as client:
        await client.send("{}")
        assert await client.recv() == b"\x00\x01"


async def test_slow_reading_makes_the_client_wait() -> None:
    loop = asyncio.get_running_loop()
    async with serve(faults.SlowReading(0.01)) as server, opening(server) as client:
        start_s = loop.time()
        messages = await said(client, "{}", *[QUIET] * 5, END)
        assert messages[-1]["body"] == {"status": "finished"}
        assert loop.time() - start_s >= 0.07


# In recognition.


async def test_fail_transcription_loses_that_final() -> None:
    async with scripted(faults.FailTranscription(2)) as server, opening(server) as client:
        messages = await said(client, "{}", *UTTERANCE * 3, END)
        assert texts(messages) == ["one", "two"]  # the script was not asked for the second
        numbers = [m["transcription_num"] for m in messages if m["type"] == "transcription"]
        assert numbers == [1, 3]
        errors = [m["body"]["error_type"] for m in messages if m["type"] == "error"]
        assert errors == ["TRANSCRIPTION_ERROR"]


async def test_slow_recognition_keeps_the_order() -> None:
    async with scripted(faults.SlowRecognition(0.02)) as server, opening(server) as client:
        messages = await said(client, "{}", *UTTERANCE * 2, END)
        assert messages[0]["body"] == {"status": "acknowledged"}
        assert texts(messages) == ["one", "two"]


async def test_hallucination_holds_partials_back_and_flags_finals() -> None:
    async with scripted(faults.Hallucination()) as server, opening(server) as client:
        messages = await said(client, PARTIALS, *UTTERANCE, END)
        assert texts(messages, is_final=False) == []
        (final,) = [m for m in messages if m["type"] == "transcription"]
        assert final["segments"][0]["possible_hallucination"] is True


# In what is said.


async def test_never_acknowledge_ignores_the_end() -> None:
    async with scripted(faults.NeverAcknowledge()) as server, opening(server) as client:
        await say(client, "{}", LOUD, END, HEALTH)
        assert json.loads(await client.recv())["type"] == "health_check"
        assert len(server.connections[0].sent) == 1


async def test_never_finish_acknowledges_and_flushes_and_stays() -> None:
    async with scripted(faults.NeverFinish()) as server, opening(server) as client:
        await say(client, "{}", LOUD, END)
        messages = [json.loads(await client.recv()) for _ in range(2)]
        assert [m["type"] for m in messages] == ["end_audio", "transcription"]
        for _ in range(2):
            await client.send(HEALTH)
            assert json.loads(await client.recv())["type"] == "health_check"


async def test_duplicate_sends_finals_twice() -> None:
    async with scripted(faults.Duplicate()) as server, opening(server) as client:
        assert texts(await said(client, "{}", *UTTERANCE, END)) == ["one", "one"]


async def test_an_empty_final_comes_after_the_one_it_was_planned_for() -> None:
    async with scripted(faults.EmptyFinalAfter(1)) as server, opening(server) as client:
        messages = await said(client, PARTIALS, *UTTERANCE * 2, END)
        assert texts(messages) == ["one", "", "two"]
        finals = [m for m in messages if m["type"] == "transcription" and m["is_final"]]
        assert [m["transcription_num"] for m in finals] == [1, 2, 3]
        assert finals[1]["segments"][0]["word_timestamps"] == []


async def test_a_stale_partial_opens_the_next_utterance() -> None:
    async with scripted(faults.StalePartial()) as server, opening(server) as client:
        messages = await said(client, PARTIALS, *UTTERANCE * 2, END)
        kinds = [(m["is_final"], m["segments"][0]["text"]) for m in messages if "is_final" in m]
        assert kinds == [
            (False, "one"),
            (True, "one"),
            (False, "one"),
            (False, "two"),
            (True, "two"),
        ]


async def test_null_language_is_null_everywhere() -> None:
    async with scripted(faults.NullLanguage()) as server, opening(server) as client:
        messages = await said(client, "{}", *UTTERANCE, END)
        (final,) = [m for m in messages if m["type"] == "transcription"]
        assert final["language_code"] is None
        assert final["segments"][0]["language_code"] is None


async def test_no_times_leaves_the_text() -> None:
    async with scripted(faults.NoTimes()) as server, opening(server) as client:
        messages = await said(client, PARTIALS, *UTTERANCE, END)
        (segment,) = next(m for m in messages if m["type"] == "transcription")["segments"]
        assert segment["text"] == "one"
        assert not segment.keys() & {"start_time", "end_time", "word_timestamps"}


async def test_the_old_shape_has_a_transcript_and_no_type() -> None:
    async with scripted(faults.OldShape()) as server, opening(server) as client:
        await say(client, PARTIALS, *UTTERANCE)
        partial, final = [json.loads(await client.recv()) for _ in range(2)]
        assert partial["message_type"] == "partial_transcript"
        assert final["message_type"] == "final_transcript"
        assert final["transcript"] == "one"
        assert final["segments"][0].keys() == {"start", "end", "text"}
        assert "type" not in final


async def test_rewrite_says_what_the_test_makes_of_it() -> None:
    def doubled(message: dict[str, Any]) -> list[dict[str, Any]]:
        return [message | {"more": 1}, message] if message["type"] == "health_check" else [message]

    async with serve(faults.Rewrite(doubled)) as server, opening(server) as client:
        messages = await said(client, "{}", HEALTH, END)
        assert [m.get("more") for m in messages] == [1, None, None, None]


async def test_a_handshake_can_get_several_faults() -> None:
    plan = (faults.Duplicate(), faults.NullLanguage(), faults.Close(1012, "", 512 * 15))
    async with scripted(plan) as server, opening(server) as client:
        messages = await said(client, "{}", *UTTERANCE)
        assert client.protocol.close_code == 1012
        assert all(m["language_code"] is None for m in messages)
