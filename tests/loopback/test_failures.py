"""Failures as a user sees them, and what they do not show."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Iterator

import pytest
import trustme
from kit.client import (
    KEY,
    ONE_TRY,
    SPEECH,
    an_stt,
    certified,
    collected,
    errors_of,
    frames,
    new_stt,
    push,
    transcribed,
)

from livekit.agents import (
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
)
from livekit.agents import stt as lk
from livekit.plugins.baseten.emulator import (
    Server,
    faults,
    serve,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize(
    ("status", "retryable"), [(401, False), (403, False), (404, False), (503, True), (429, True)]
)
async def test_a_refused_handshake_is_a_status_error(
    server: Server, status: int, retryable: bool
) -> None:
    server.plan += [faults.Refuse(status)] * 5
    async with an_stt(server) as stt:
        with pytest.raises(APIStatusError, match=str(status)) as e:
            await transcribed(stt, SPEECH.pcm, conn_options=ONE_TRY)
    assert e.value.status_code == status
    assert e.value.retryable is retryable
    assert len(server.handshakes) == 1


async def test_what_will_not_get_better_is_tried_once(server: Server) -> None:
    server.plan += [faults.Refuse(401)] * 5
    async with an_stt(server) as stt:
        errors = errors_of(stt)
        with pytest.raises(APIStatusError):
            await transcribed(stt, SPEECH.pcm)
    assert len(server.handshakes) == 1
    assert [error.recoverable for error in errors] == [False]


async def test_a_handshake_without_an_answer_times_out(server: Server) -> None:
    server.plan.append(faults.Park())
    async with an_stt(server) as stt:
        with pytest.raises(APITimeoutError, match=r"0\.2 s"):
            await transcribed(
                stt, SPEECH.pcm, conn_options=APIConnectOptions(max_retry=0, timeout=0.2)
            )


async def test_handshakes_without_an_answer_use_up_the_budget(server: Server) -> None:
    server.plan += [faults.Park()] * 10
    options = APIConnectOptions(max_retry=2, retry_interval=0.0, timeout=0.1)
    async with an_stt(server) as stt:
        errors = errors_of(stt)
        with pytest.raises(APIError):
            await asyncio.wait_for(transcribed(stt, SPEECH.pcm, conn_options=options), 5.0)
    assert len(server.handshakes) == 3
    assert [error.recoverable for error in errors] == [True, True, False]


async def test_a_stream_that_failed_says_so_to_who_listens_and_not_to_who_pushes(
    server: Server,
) -> None:
    """A FallbackAdapter goes on pushing for a moment after the failure."""
    server.plan.append(faults.Refuse(401))
    async with an_stt(server) as stt, stt.stream() as stream:
        with pytest.raises(APIStatusError):
            await collected(stream)
        stream.push_frame(next(frames(bytes(1024))))
        stream.flush()
        stream.end_input()
        with pytest.raises(APIStatusError):
            await collected(stream)
        await stream.aclose()
        stream.push_frame(next(frames(bytes(1024))))


async def test_a_wrong_key_is_an_error_that_says_where_it_comes_from() -> None:
    async with serve(api_key="the right one") as server, an_stt(server) as stt:
        with pytest.raises(APIStatusError, match="BASETEN_API_KEY") as e:
            await transcribed(stt, SPEECH.pcm)
    assert e.value.status_code == 401


def chain(error: BaseException) -> Iterator[BaseException]:
    """``error`` and every exception that can be reached from it."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            todo += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def everything_shown(error: BaseException) -> str:
    shown = [
        "".join(traceback.format_exception(error)),
        *(f"{each!r} {each} {each.args!r} {vars(each)!r}" for each in chain(error)),
    ]
    return "\n".join(shown)


@contextlib.asynccontextmanager
async def failing(how: str) -> AsyncIterator[str]:
    """A server that fails the way the test asks for; yields its URL."""
    if how == "refused":
        async with serve() as server:
            url = server.url
        yield url
    elif how == "tls":
        async with serve(ssl=certified(trustme.CA())) as server:
            yield server.url
    elif how == "no such host":
        yield "wss://no-such-host.invalid/environments/production/websocket"
    else:
        fault: dict[str, faults.Fault] = {
            "reset": faults.Reset(after_samples=4_000),
            "close": faults.Close(1011, after_samples=4_000),
            "rejected metadata": faults.RejectMetadata(),
            "error": faults.Error(recoverable=False, after_samples=4_000),
            "parked": faults.Park(),
        }
        plan = fault[how] if how in fault else faults.Refuse(int(how))
        async with serve(*[plan] * 10) as server:
            yield server.url


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize(
    "how",
    [
        "401",
        "403",
        "503",
        "refused",
        "tls",
        "reset",
        "close",
        "rejected metadata",
        "error",
        "parked",
        "no such host",
    ],
)
async def test_the_key_is_in_no_error_log_or_repr(
    how: str, retries: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    options = APIConnectOptions(max_retry=retries, retry_interval=0.0, timeout=0.3)
    shown: list[str] = []

    def note(error: lk.STTError) -> None:
        # At once: whoever raises it again changes what can be reached from it.
        shown.extend([repr(error), error.model_dump_json(), everything_shown(error.error)])

    async with failing(how) as url:
        stt = new_stt(url)
        stt.on("error", note)
        stream = stt.stream(conn_options=options)
        push(stream, SPEECH.pcm)
        with pytest.raises(APIError) as e:
            await collected(stream)
        shown += [everything_shown(e.value), f"{stt!r} {stream!r} {vars(stream.options)!r}"]
        await stream.aclose()
        await stt.aclose()
    formatter = logging.Formatter()
    shown += [f"{formatter.format(record)} {vars(record)!r}" for record in caplog.records]
    assert len(shown) >= 5
    assert not [each for each in shown if KEY in each]
