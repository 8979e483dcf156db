"""`end_input()` ends a stream with all that could be had or with the error; `aclose()` at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable

import pytest
from kit.loopback import Listener, calling, check, client, only, push, serve

from livekit.agents import APIConnectOptions, APIError, APITimeoutError
from livekit.agents.stt import SpeechEventType as Kind
from livekit.plugins.baseten._core.session import Patience
from livekit.plugins.baseten._livekit import options_change as _changeover
from livekit.plugins.baseten.emulator import Server, coded_speech, faults

pytestmark = pytest.mark.usefixtures("model")  # over both dialects

SPEECH = coded_speech(20, first_word=1001)  # its last word is cut off by the end

BRIEFLY = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=0.2)


async def finish(listener: Listener) -> None:
    listener.stream.end_input()
    check(await listener.ended(), SPEECH)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more time is given to a server for being owed much: these are all there at once."""
    monkeypatch.setattr(Patience, "MAX_OWED_S", 0.5)


# The end of the input


async def test_the_end_during_a_reconnection() -> None:
    plan = [faults.Reset(30_000), faults.Refuse(503), faults.Refuse(503)]
    async with serve(*plan) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        await server.until(lambda: len(server.handshakes) == 2)
        await finish(listener)


async def test_the_end_while_the_handshake_is_parked() -> None:
    async with serve(faults.Park()) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        await server.until(lambda: server.handshakes)
        listener.stream.end_input()
        server.wake()
        check(await listener.ended(), SPEECH)


async def test_the_end_while_the_handshake_is_parked_for_ever() -> None:
    async with serve(*[faults.Park()] * 9) as server, calling(server, BRIEFLY) as listener:
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        with pytest.raises(APIError) as raised:
            await listener.ended()
        assert isinstance(raised.value.__cause__, APITimeoutError)
        assert len(server.handshakes) == 2


async def test_the_end_while_a_reconnection_is_parked_for_ever() -> None:
    plan = [faults.Reset(30_000), *[faults.Park()] * 9]
    async with serve(*plan) as server, calling(server, BRIEFLY) as listener:
        listener.push(SPEECH.pcm)
        await server.until(lambda: len(server.handshakes) == 2)
        listener.stream.end_input()
        with pytest.raises(APIError):
            await listener.ended()


@pytest.mark.parametrize("is_parked", [False, True])
async def test_the_end_while_options_change(
    is_parked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_changeover, "_COALESCE_S", 0.0)
    plan = [None, faults.Park() if is_parked else None]
    async with serve(*plan) as server, calling(server) as listener:
        listener.push(SPEECH.pcm)
        await server.wait_for_connection()
        listener.stt.update_options(language="de")
        await server.until(lambda: len(server.handshakes) == 2)
        await finish(listener)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "silence",
    [faults.NeverFinish(), faults.Mute(90_000), faults.Stall(90_000), faults.NeverAcknowledge()],
    ids=lambda fault: type(fault).__name__,
)
async def test_the_end_with_a_server_that_falls_silent_once(silence: faults.Fault) -> None:
    async with serve(silence) as server, calling(server, drain_timeout_s=0.3) as listener:
        listener.push(SPEECH.pcm)
        await finish(listener)
        assert len(server.connections) <= 2


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "silence",
    [faults.NeverFinish(), faults.Mute(1), faults.Stall(1), faults.NeverAcknowledge()],
    ids=lambda fault: type(fault).__name__,
)
async def test_the_end_with_a_server_that_is_silent_each_time(silence: faults.Fault) -> None:
    """With everything, or with an error, or with the last interim in place of what never came."""
    plan = [silence] * 9
    async with serve(*plan) as server, calling(server, BRIEFLY, drain_timeout_s=0.3) as listener:
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        try:
            events = await listener.ended()
        except APIError:
            assert len(server.connections) <= 1 + 2 * BRIEFLY.max_retry
        else:
            last = [event for event in events if event.type is Kind.FINAL_TRANSCRIPT][-1]
            if "is_promoted_interim" not in (last.alternatives[0].metadata or {}):
                check(events, SPEECH)
            words = SPEECH.text.split()
            assert words[: len(listener.said())] == listener.said()
            assert len(listener.said()) >= len(words) - 2  # interims come every half second


@pytest.mark.usefixtures("soon")
async def test_the_end_with_a_model_that_is_too_slow_each_time_is_an_error() -> None:
    """Nothing was shown and nothing came: that somebody spoke is known all the same."""
    async with (
        serve(latency_s=600.0) as server,
        calling(server, BRIEFLY, drain_timeout_s=0.3) as listener,
    ):
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        with pytest.raises(APIError, match="no last result"):
            await listener.ended()


async def test_the_end_of_a_stream_that_never_heard_anything() -> None:
    async with serve() as server, calling(server) as listener:
        listener.stream.end_input()
        assert await listener.ended() == []


@only("whisper", because="the last final of Qwen3-ASR is the answer to the end itself")
async def test_the_end_when_all_has_been_said_and_the_connection_is_lost() -> None:
    speech = coded_speech(5, first_word=1001)
    async with serve(faults.NeverFinish()) as server, calling(server) as listener:
        listener.push(speech.pcm)
        listener.stream.end_input()
        await listener.until_said(speech)
        server.connections[0].reset()
        check(await listener.ended(), speech)


async def test_a_mute_start_of_speech_gets_its_end_when_the_stream_fails() -> None:
    plan = [faults.Reset(30_000), *[faults.Refuse(503)] * 9]
    async with serve(*plan) as server, calling(server, BRIEFLY) as listener:
        listener.push(SPEECH.pcm)
        with pytest.raises(APIError):
            await listener.ended()
        kinds = [event.type.name for event in listener.events]
        assert kinds.count("START_OF_SPEECH") == kinds.count("END_OF_SPEECH") == 1


# Closing, at any moment

Moment = Callable[[Server], bool]

MOMENTS: dict[str, tuple[list[faults.Entry], Moment]] = {
    "before anything": ([], lambda server: True),
    "parked": ([faults.Park()], lambda server: bool(server.handshakes)),
    "streaming": ([], lambda server: _received(server) > 30_000),
    "stalled": ([faults.Stall(20_000)], lambda server: _received(server) >= 20_000),
    "backing off": (
        [faults.Reset(20_000), *[faults.Refuse(503)] * 9],
        lambda server: len(server.handshakes) > 1,
    ),
    "parked again": (
        [faults.Reset(20_000), faults.Park()],
        lambda server: len(server.handshakes) > 1,
    ),
}


def _received(server: Server) -> int:
    return server.connections[-1].received_samples if server.connections else 0


@contextlib.asynccontextmanager
async def promptly(what: str) -> AsyncIterator[None]:
    """A tenth of a second, and as much again four times for a busy machine."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    yield
    took_s = loop.time() - begun_s
    assert took_s < 0.5, f"{what} took {took_s:.2f} s"
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith("baseten-")]
    assert {task.get_name() for task in left} <= {"baseten-close"}, f"{what} left {left}"


@pytest.mark.parametrize("ends_input", [False, True])
@pytest.mark.parametrize("moment", list(MOMENTS))
async def test_closing_is_prompt_and_leaves_nothing(moment: str, ends_input: bool) -> None:
    plan, has_come = MOMENTS[moment]
    async with serve(*plan) as server:
        async with client(server) as stt:
            stream = stt.stream(conn_options=APIConnectOptions(max_retry=9, retry_interval=5.0))
            push(stream, SPEECH.pcm)
            if ends_input:
                stream.end_input()
            await server.until(lambda: has_come(server))
            async with promptly("closing the stream"):
                await stream.aclose()
        gc.collect()  # what was left open would warn
        await server.until(lambda: not any(c.is_open for c in server.connections if _ends(c)))


def _ends(connection: object) -> bool:
    return not getattr(connection, "_is_stalled", False)


@pytest.mark.parametrize("plan", [[None, None], [None, faults.Park()]], ids=["ready", "parked"])
async def test_closing_while_options_change(
    plan: list[faults.Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_changeover, "_COALESCE_S", 0.0)
    async with serve(*plan) as server, client(server) as stt:
        stream = stt.stream()
        push(stream, SPEECH.pcm)  # without a pause
        await server.until(lambda: _received(server) > 20_000)
        stt.update_options(language="de")
        await server.until(lambda: len(server.handshakes) == 2)
        async with promptly("closing the stream"):
            await stream.aclose()


async def test_closing_while_a_cold_start_is_waited_for() -> None:
    async with serve(faults.Park()) as server, client(server, cold_start_timeout=60.0) as stt:
        stream = stt.stream()
        await server.until(lambda: server.handshakes)
        async with promptly("closing the stream"):
            await stream.aclose()


async def test_closing_the_stt_closes_its_streams_and_what_prewarm_opened() -> None:
    async with serve(None, faults.Park()) as server, client(server) as stt:
        stream = stt.stream()
        push(stream, SPEECH.pcm)
        await server.wait_for_connection()
        stt.prewarm()
        await server.until(lambda: len(server.handshakes) == 2)
        async with promptly("closing the STT"):
            await stt.aclose()
        await server.until(lambda: not any(c.is_open for c in server.connections))
