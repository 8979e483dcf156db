"""What this package relies on of LiveKit beyond its public interface, asked of LiveKit.

A release of LiveKit that changes one of these fails here, before calls show it in some other way.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from kit.client import new_stt
from paths import PACKAGE

from livekit.agents import (
    AgentSession,
    APIConnectionError,
    APIConnectOptions,
    APIError,
    LanguageCode,
    stt,
)
from livekit.agents.voice import audio_recognition
from livekit.plugins.baseten._livekit.base import (
    BaseStream,
    is_closing,
    running_pipeline,
    running_session,
)

FINAL = stt.SpeechEvent(
    stt.SpeechEventType.FINAL_TRANSCRIPT,
    "1",
    [stt.SpeechData(language=LanguageCode("en"), text="one")],
)
OPTIONS = APIConnectOptions(max_retry=2, retry_interval=0.001, timeout=10.0)


class Plain(stt.RecognizeStream):
    """LiveKit's own stream; ``run`` is what a plugin adds."""

    def __init__(self, recognizer: stt.STT, run: Callable[[], Awaitable[None]]) -> None:
        self.runs = 0
        self._act = run
        super().__init__(stt=recognizer, conn_options=OPTIONS, sample_rate=16_000)

    async def _run(self) -> None:
        self.runs += 1
        await self._act()


async def wait() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise APIConnectionError("cut")


@pytest.fixture
async def recognizer() -> AsyncIterator[stt.STT]:
    async with new_stt() as made:
        yield made


async def test_input_ch_is_closed_when_the_input_has_ended(recognizer: stt.STT) -> None:
    async with Plain(recognizer, wait) as stream:
        assert not stream._input_ch.closed
        stream.end_input()
        assert stream._input_ch.closed


async def test_what_event_ch_is_sent_is_what_a_stream_yields(recognizer: stt.STT) -> None:
    async with Plain(recognizer, wait) as stream:
        assert not stream._event_ch.closed
        stream._event_ch.send_nowait(FINAL)
        assert await anext(stream) is FINAL
    assert stream._event_ch.closed


async def test_the_checks_raise_when_the_input_has_ended_or_the_stream_has(
    recognizer: stt.STT,
) -> None:
    stream = Plain(recognizer, wait)
    stream._check_input_not_ended()
    stream._check_not_closed()
    stream._input_ch.close()
    with pytest.raises(RuntimeError, match="input ended"):
        stream._check_input_not_ended()
    await stream.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        stream._check_not_closed()


async def test_task_runs_main_task_and_has_its_error(recognizer: stt.STT) -> None:
    class Ended(Plain):
        async def _main_task(self) -> None:
            raise APIError("over")

    stream = Ended(recognizer, wait)
    assert isinstance(stream._task, asyncio.Task)
    await asyncio.wait({stream._task})
    assert isinstance(stream._task.exception(), APIError)
    with pytest.raises(APIError, match="over"):
        await anext(stream)
    await stream.aclose()


async def test_metrics_task_ends_with_the_events(recognizer: stt.STT) -> None:
    async def nothing() -> None:
        pass

    stream = Plain(recognizer, nothing)
    assert isinstance(stream._metrics_task, asyncio.Task)
    await asyncio.wait_for(asyncio.shield(stream._metrics_task), 10)
    await stream.aclose()


async def test_num_retries_is_the_budget_that_was_spent(recognizer: stt.STT) -> None:
    stream = Plain(recognizer, fail)
    await asyncio.wait({stream._task})
    assert stream.runs == 3
    assert stream._num_retries == OPTIONS.max_retry
    await stream.aclose()


async def test_a_budget_that_is_set_back_is_a_whole_one(recognizer: stt.STT) -> None:
    async def fail_five_times() -> None:
        if stream.runs <= 5:
            stream._num_retries = 0
        raise APIConnectionError("cut")

    stream = Plain(recognizer, fail_five_times)
    await asyncio.wait({stream._task})
    assert stream.runs == 5 + OPTIONS.max_retry
    await stream.aclose()


async def test_conn_options_are_asked_for_the_wait_before_each_retry(recognizer: stt.STT) -> None:
    asked: list[int] = []

    class Asked(APIConnectOptions):
        def _interval_for_retry(self, num_retries: int) -> float:
            asked.append(num_retries)
            return 0.0

    stream = Plain(recognizer, fail)
    stream._conn_options = Asked(max_retry=2)
    await asyncio.wait({stream._task})
    assert asked == [0, 1]
    await stream.aclose()


async def test_emit_error_reaches_whoever_listens_for_errors(recognizer: stt.STT) -> None:
    heard: list[Any] = []
    recognizer.on("error", heard.append)
    async with Plain(recognizer, wait) as stream:
        stream._emit_error(APIError("once"), recoverable=True)
    assert [(event.error.message, event.recoverable) for event in heard] == [("once", True)]


async def test_report_connection_acquired_reaches_the_metrics(recognizer: stt.STT) -> None:
    heard: list[Any] = []
    recognizer.on("metrics_collected", heard.append)
    async with Plain(recognizer, wait) as stream:
        stream._report_connection_acquired(0.25, True)
    assert [(m.acquire_time, m.connection_reused) for m in heard] == [(0.25, True)]


def private_members() -> set[str]:
    """Of LiveKit's stream: its methods, and what its constructor sets."""
    tree = ast.parse(inspect.getsource(stt.RecognizeStream))
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in own | set(vars(stt.RecognizeStream)) if name.startswith("_")}


def test_no_other_module_uses_a_private_member_of_livekits_stream() -> None:
    private = {name for name in private_members() if not name.startswith("__")}
    assert {"_input_ch", "_num_retries", "_check_not_closed"} <= private
    hooks = {"_run", "_main_task", "_recognize_impl"}  # which are there to be overridden
    path = PACKAGE / "_livekit" / "stream.py"
    used = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
    assert used & private <= hooks
    assert not vars(BaseStream).keys() & private - {"_abc_impl"}  # nothing of it is hidden


async def test_a_sessions_streams_are_opened_in_the_task_of_its_pipeline() -> None:
    seen: list[object] = []

    async def node(*_: Any) -> AsyncIterator[stt.SpeechEvent]:
        seen.append(running_pipeline())
        seen.append(await asyncio.create_task(_running_pipeline()))
        yield FINAL

    assert running_pipeline() is None
    pipeline = audio_recognition._STTPipeline(node, is_closing=lambda: bool(seen))
    assert not is_closing(pipeline)
    await anext(pipeline.event_ch)
    assert seen == [pipeline, None]
    assert is_closing(pipeline)
    await pipeline.aclose()


async def test_a_sessions_streams_know_their_session() -> None:
    session: AgentSession = AgentSession(vad=None)
    seen: list[object] = []

    async def node(*_: Any) -> AsyncIterator[stt.SpeechEvent]:
        seen.append(running_session())
        seen.append(await asyncio.create_task(_running_session()))
        yield FINAL

    assert running_session() is None
    # As `AudioRecognition` makes it.
    pipeline = audio_recognition._STTPipeline(node, is_closing=session._is_closing)
    await anext(pipeline.event_ch)
    assert seen == [session, session]
    await pipeline.aclose()


async def _running_session() -> object:
    return running_session()


async def _running_pipeline() -> object:
    """In a task that a session's starts, as an adapter's is."""
    return running_pipeline()
