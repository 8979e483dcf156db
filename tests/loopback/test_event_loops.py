"""One STT in several event loops: one after the other, or each in a thread of its own."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import aiohttp
import pytest
from kit.client import new_stt
from kit.loopback import AT_MOST_S, QUICK, check, push
from kit.models import Spoken

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, utils
from livekit.plugins.baseten import STT
from livekit.plugins.baseten._livekit.http_session import HttpSession
from livekit.plugins.baseten.emulator import Server, coded_speech, faults, serve
from livekit.plugins.baseten.emulator._testing.threaded import ServerThread

SPEECH = coded_speech(6, trailing_samples=8000)


class Elsewhere:
    """A server with an event loop of its own; tests here have as many as they like."""

    def __init__(self, *plan: faults.Entry) -> None:
        self.thread = ServerThread(serve(*plan, model=Spoken.model, aligner=True))
        self.server: Server = self.thread.start()

    def wait(self, predicate: Callable[[Server], object]) -> None:
        """Wait until ``predicate`` holds."""
        until = asyncio.run_coroutine_threadsafe(
            self.server.until(lambda: predicate(self.server)), self.thread._loop
        )
        until.result(AT_MOST_S)

    def connections(self) -> int:
        """How many there have been."""
        return self.thread.call(lambda: len(self.server.connections))


@pytest.fixture
def starts() -> Iterator[Callable[..., Elsewhere]]:
    started: list[Elsewhere] = []

    def start(*plan: faults.Entry) -> Elsewhere:
        started.append(Elsewhere(*plan))
        return started[-1]

    yield start
    for each in started:
        each.thread.stop()


def ran(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What ``coroutine`` returns, in an event loop that nobody complains in."""
    complaints: list[str] = []

    async def run() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
        return await asyncio.wait_for(coroutine, AT_MOST_S)

    result = asyncio.run(run())
    gc.collect()
    assert not complaints
    return result


async def heard(stt: STT) -> None:
    """A call, from its beginning to its end."""
    async with stt.stream(conn_options=QUICK) as stream:
        push(stream, SPEECH.pcm)
        stream.end_input()
        check([event async for event in stream], SPEECH)


def test_what_was_warmed_in_one_loop_is_no_hindrance_in_the_next(
    starts: Callable[..., Elsewhere],
) -> None:
    """As in a prewarm function, which has no loop of its own: `asyncio.run(stt.warm_up())`."""
    elsewhere = starts()
    stt = new_stt(elsewhere.server)
    ran(stt.warm_up())
    elsewhere.wait(lambda server: all(c.close_code is not None for c in server.connections))
    ran(heard(stt))
    ran(heard(stt))
    ran(stt.aclose())
    assert elsewhere.connections() == 3
    elsewhere.wait(lambda server: all(c.close_code is not None for c in server.connections))


# Python complains of such a loop's transports, whatever anybody does about them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_was_closed_without_ado_keeps_no_place_on_the_replica(
    starts: Callable[..., Elsewhere],
) -> None:
    elsewhere = starts()
    stt = new_stt(elsewhere.server)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(stt.warm_up())
    loop.close()
    ran(heard(stt))
    elsewhere.wait(lambda server: all(c.close_code is not None for c in server.connections))
    ran(stt.aclose())
    del loop
    gc.collect()


def test_one_stt_in_four_threads(starts: Callable[..., Elsewhere]) -> None:
    elsewhere = starts()
    stt = new_stt(elsewhere.server)
    together = threading.Barrier(4)

    async def call() -> None:
        await stt.warm_up()
        together.wait(AT_MOST_S)
        await heard(stt)
        together.wait(AT_MOST_S)

    in_threads([lambda: ran(call())] * 4)
    assert elsewhere.connections() == 4, "each loop takes the warm connection of its own"
    ran(stt.aclose())
    elsewhere.wait(lambda server: all(c.close_code is not None for c in server.connections))


def test_closing_reaches_into_every_loop(starts: Callable[..., Elsewhere]) -> None:
    """Warm connections and streams of other threads too; and none of them hangs."""
    elsewhere = starts()
    stt = new_stt(elsewhere.server)
    open_here, closed = threading.Barrier(3), threading.Event()

    async def call() -> None:
        await stt.warm_up()
        async with stt.stream(conn_options=QUICK) as stream:
            push(stream, SPEECH.pcm[:6400])
            await stt.warm_up()
            open_here.wait(AT_MOST_S)
            assert await asyncio.to_thread(closed.wait, AT_MOST_S)
            with pytest.raises(RuntimeError, match="input ended"):
                push(stream, SPEECH.pcm)

    def close() -> None:
        open_here.wait(AT_MOST_S)
        ran(stt.aclose())
        closed.set()

    in_threads([lambda: ran(call()), lambda: ran(call()), close])
    elsewhere.wait(lambda server: all(c.close_code is not None for c in server.connections))


def test_recognize_takes_the_warm_connection(starts: Callable[..., Elsewhere]) -> None:
    """A deployment with room for one would refuse a second."""
    elsewhere = starts(None, *[faults.Refuse(429)] * 5)
    stt = new_stt(elsewhere.server)
    pcm = SPEECH.pcm

    async def warmed_and_recognized() -> str:
        await stt.warm_up()
        once = APIConnectOptions(max_retry=0, timeout=AT_MOST_S)
        event = await stt.recognize(
            rtc.AudioFrame(pcm, 16_000, 1, len(pcm) // 2), conn_options=once
        )
        await stt.aclose()
        return event.alternatives[0].text

    assert ran(warmed_and_recognized()) == SPEECH.text


def test_an_http_session_of_another_loop_is_named(starts: Callable[..., Elsewhere]) -> None:
    elsewhere = starts()

    async def made() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    loop = asyncio.new_event_loop()
    http = loop.run_until_complete(made())
    stt = new_stt(elsewhere.server, http_session=http)
    with pytest.raises(APIConnectionError, match=r"http_session.*another event loop"):
        ran(heard(stt))
    loop.run_until_complete(http.close())
    loop.close()


def test_the_session_of_a_job_is_left_alone_in_a_thread_of_the_job(
    starts: Callable[..., Elsewhere],
) -> None:
    """`asyncio.to_thread` takes the job's context along, and with it LiveKit's HTTP session."""
    elsewhere = starts()
    stt = new_stt(elsewhere.server)

    async def job() -> None:
        async with utils.http_context.open():
            await stt.warm_up()
            await asyncio.to_thread(lambda: ran(heard(stt)))
            await heard(stt)
            await stt.aclose()

    ran(job())
    assert elsewhere.connections() == 2


def in_threads(calls: list[Callable[[], object]]) -> None:
    """Run ``calls`` at once.

    Raises:
        Exception: What the first of them raised that failed.
    """
    failed: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as e:  # noqa: BLE001  # raised again where the test runs
            failed.append(e)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * AT_MOST_S)
        assert not thread.is_alive()
    if failed:
        raise failed[0]


async def test_a_session_made_here_keeps_no_handshake_from_waiting_for_a_model_to_wake() -> None:
    """aiohttp would end it after five minutes, whatever `cold_start_timeout` says."""
    sessions = HttpSession(None, "wss://example.com/websocket")
    try:
        assert sessions.current().timeout.total is None
    finally:
        await sessions.aclose()
