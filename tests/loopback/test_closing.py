"""The end of a stream: of its input, of its STT, and at any moment of a call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kit.client import (
    PATIENCE_S,
    SPEECH,
    Kind,
    an_stt,
    collected,
    frames,
    heard,
    new_stt,
    push,
    transcribed,
    until,
    words,
)

from livekit.agents import (
    APIConnectOptions,
    APIError,
)
from livekit.agents import stt as lk
from livekit.plugins.baseten.emulator import (
    Server,
    coded_speech,
    faults,
    serve,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


# The end


async def test_the_input_ends_after_the_last_word_even_in_the_middle_of_it(server: Server) -> None:
    speech = coded_speech(5, word_samples=4000)
    events = await heard(server, speech.pcm)
    assert words(events) == ["w1", "w2", "w3", "w4", "w5"]
    assert events[-1].type in (Kind.END_OF_SPEECH, Kind.RECOGNITION_USAGE)


@pytest.mark.parametrize("fault", [faults.NeverFinish(), faults.NeverAcknowledge()])
async def test_a_server_that_never_finishes_is_waited_for_a_little(
    server: Server, fault: faults.Fault
) -> None:
    server.plan += [fault] * 10
    async with an_stt(server, drain_timeout_s=0.2) as stt, stt.stream() as stream:
        push(stream, SPEECH.pcm)
        stream.end_input()
        events = await collected(stream)
    assert words(events) == ["w1", "w2", "w3"]


async def test_the_end_of_no_audio_at_all_is_the_end(server: Server) -> None:
    async with an_stt(server) as stt:
        assert await transcribed(stt, b"") == []
        async with stt.stream() as stream:
            await asyncio.sleep(0)
            if server.connections:
                await server.until(lambda: server.connections[0].metadata)
            stream.end_input()
            assert await collected(stream) == []


async def test_the_end_of_no_audio_on_an_open_connection_is_the_end(server: Server) -> None:
    async with an_stt(server) as stt, stt.stream() as stream:
        await server.wait_for_connection()
        await server.until(lambda: server.connections[0].sent)
        stream.end_input()
        assert await collected(stream) == []


async def test_silence_alone_says_nothing_and_ends(server: Server) -> None:
    events = await heard(server, bytes(64_000))
    assert {event.type for event in events} <= {Kind.RECOGNITION_USAGE}


async def test_after_the_end_of_the_input_nothing_can_be_pushed(server: Server) -> None:
    async with an_stt(server) as stt, stt.stream() as stream:
        push(stream, SPEECH.pcm)
        stream.end_input()
        for late in (
            stream.end_input,
            stream.flush,
            lambda: stream.push_frame(next(frames(bytes(1024)))),
        ):
            with pytest.raises(RuntimeError, match="input ended"):
                late()
        assert words(await collected(stream)) == ["w1", "w2", "w3"]
        with pytest.raises(RuntimeError):
            stream.end_input()


async def test_iterating_after_the_end_ends_at_once(server: Server) -> None:
    async with an_stt(server) as stt, stt.stream() as stream:
        push(stream, SPEECH.pcm)
        stream.end_input()
        await collected(stream)
        assert await collected(stream) == []


# Closing, at any moment


async def streaming(server: Server, stream: lk.RecognizeStream) -> None:
    push(stream, SPEECH.pcm)
    await until(stream, Kind.INTERIM_TRANSCRIPT)


async def before_connecting(server: Server, stream: lk.RecognizeStream) -> None:
    push(stream, SPEECH.pcm)


async def connecting(server: Server, stream: lk.RecognizeStream) -> None:
    push(stream, SPEECH.pcm)
    await server.until(lambda: server.handshakes)


async def flushing(server: Server, stream: lk.RecognizeStream) -> None:
    await streaming(server, stream)
    stream.flush()


async def draining(server: Server, stream: lk.RecognizeStream) -> None:
    push(stream, SPEECH.pcm)
    stream.end_input()
    await server.wait_for_connection()
    await server.until(lambda: '{"type":"end_audio"}' in server.connections[0].frames)


async def after_the_end(server: Server, stream: lk.RecognizeStream) -> None:
    stream.end_input()
    await collected(stream)


async def retrying(server: Server, stream: lk.RecognizeStream) -> None:
    await server.until(lambda: server.handshakes and server.handshakes[0].status)
    await asyncio.sleep(0.01)


async def after_a_failure(server: Server, stream: lk.RecognizeStream) -> None:
    with pytest.raises(APIError):
        await collected(stream)


async def facing_a_server_that_reads_nothing(server: Server, stream: lk.RecognizeStream) -> None:
    await server.wait_for_connection()
    push(stream, bytes(3_200_000))
    await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("state", "plan"),
    [
        (before_connecting, []),
        (connecting, [faults.Park()]),
        (streaming, []),
        (flushing, [faults.MuteResults(after_samples=9_000)]),
        (draining, [faults.NeverAcknowledge()]),
        (draining, [faults.NeverFinish()]),
        (draining, [faults.SlowRecognition(30.0)]),
        (after_the_end, []),
        (retrying, [faults.Refuse(503)] * 5),
        (after_a_failure, [faults.Refuse(401)]),
        (facing_a_server_that_reads_nothing, [faults.Stall()]),
    ],
    ids=lambda value: getattr(value, "__name__", None) or "-".join(type(f).__name__ for f in value),
)
async def test_closing_is_prompt_and_leaves_nothing(state: Any, plan: list[faults.Entry]) -> None:
    loop = asyncio.get_running_loop()
    async with serve(*plan) as server:
        stt = new_stt(server, drain_timeout_s=60.0)
        retry_slowly = APIConnectOptions(max_retry=3, retry_interval=60.0, timeout=60.0)
        stream = stt.stream(conn_options=retry_slowly)
        await asyncio.wait_for(state(server, stream), PATIENCE_S)
        started = loop.time()
        await stream.aclose()
        assert loop.time() - started < 1.0
        ours = {t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("baseten")}
        assert ours == set()
        if state is not facing_a_server_that_reads_nothing:  # nor can it know
            await server.until(lambda: not any(c.is_open for c in server.connections))
        await stream.aclose()
        await stt.aclose()


async def test_closing_while_another_iterates_ends_the_iteration(server: Server) -> None:
    async with an_stt(server) as stt:
        stream = stt.stream()
        iterating = asyncio.create_task(collected(stream))
        await streaming_started(server)
        await stream.aclose()
        assert isinstance(await asyncio.wait_for(iterating, PATIENCE_S), list)


async def streaming_started(server: Server) -> None:
    await server.wait_for_connection()
    await server.until(lambda: server.connections[0].sent)


async def test_a_stream_nobody_ever_looked_at_can_be_closed(server: Server) -> None:
    async with an_stt(server) as stt:
        stt.stream()
