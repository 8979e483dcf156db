"""What is used of LiveKit's streams and sessions beyond their public interface: here only.

`tests/loopback/test_livekit_base.py` asks of LiveKit what is relied on here, one test for each
member, so that a release that changes one of them shows which.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from livekit.agents import AgentSession, APIConnectOptions, APIError, stt
from livekit.agents.voice import audio_recognition

from .._core.clocks import SAMPLE_RATE_HZ
from .._core.retries import retry_delay_s

# What a session opens its streams with, one after the other. Without it, as another release of
# LiveKit may be, no stream goes on from another on its own.
_running_pipeline = getattr(audio_recognition, "_STTPipelineContextVar", None)


def running_pipeline() -> object | None:
    """The pipeline of an `AgentSession`, in the task that opens its streams; None elsewhere.

    Whatever else the session starts has the pipeline in its context, too: an adapter's streams, of
    which some are only there to find out whether a deployment is back.
    """
    pipeline: object = None if _running_pipeline is None else _running_pipeline.get(None)
    if pipeline is None or getattr(pipeline, "_pump_task", None) is not asyncio.current_task():
        return None
    return pipeline


def running_session() -> AgentSession | None:
    """The session that the running task works for, as far as speech-to-text goes.

    Tasks that its pipeline's streams have started work for it, too: those of adapters.
    """
    pipeline = None if _running_pipeline is None else _running_pipeline.get(None)
    session = getattr(getattr(pipeline, "_is_closing", None), "__self__", None)
    return session if isinstance(session, AgentSession) else None


def is_sessions_own(stream: object, pipeline: object) -> bool:
    """``stream`` was opened by LiveKit's own `stt_node`, which fails as soon as it does.

    A node of the user's own may have other plans.
    """
    return getattr(pipeline, "_recognize_stream", None) is stream


def is_closing(pipeline: object) -> bool:
    """The session of ``pipeline`` opens no more streams."""
    return bool(getattr(pipeline, "_is_closing", lambda: True)())


@dataclass(frozen=True)
class Retries(APIConnectOptions):
    """LiveKit's retries, with waits of random length: calls that were cut at once do not all come
    back at once.
    """

    retry_after_s: Callable[[], float] = lambda: 0.0
    are_later: Callable[[], bool] = lambda: False

    def _interval_for_retry(self, num_retries: int) -> float:
        return retry_delay_s(
            num_retries,
            retry_interval_s=self.retry_interval,
            uniform=random.uniform,
            retry_after_s=self.retry_after_s(),
            is_later=self.are_later(),
        )


class BaseStream(stt.RecognizeStream):
    """
    Args:
        retry_after_s: Asked, before a retry, how long the server wants to be left alone.
        are_later: Asked, before a retry, whether the outage began in another stream.
    """

    def __init__(
        self,
        *,
        stt: stt.STT,
        conn_options: APIConnectOptions,
        retry_after_s: Callable[[], float],
        are_later: Callable[[], bool],
    ) -> None:
        super().__init__(
            stt=stt,
            conn_options=Retries(
                max_retry=conn_options.max_retry,
                retry_interval=conn_options.retry_interval,
                # LiveKit gives the retry budget back after an attempt that lasted longer than this,
                # because it must have connected. A handshake that timed out lasted as long and did
                # not. So LiveKit never does it, and `_give_budget_back` does.
                timeout=math.inf,
                retry_after_s=retry_after_s,
                are_later=are_later,
            ),
            sample_rate=SAMPLE_RATE_HZ,
        )
        self._takes_audio = True  # until the input or the stream has ended

    @property
    def _has_failed(self) -> bool:
        task = self._task
        return task.done() and not task.cancelled() and task.exception() is not None

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the stream was opened in, and works in."""
        return self._task.get_loop()

    @property
    def _input_has_ended(self) -> bool:
        return self._input_ch.closed

    def _check_open(self) -> None:
        """
        Raises:
            RuntimeError: The input has ended, or the stream is closed.
        """
        if self._input_ch.closed or self._event_ch.closed:
            self._check_input_not_ended()
            self._check_not_closed()

    def _end_input(self) -> None:
        self._takes_audio = False
        self._input_ch.close()

    def _emit_event(self, event: stt.SpeechEvent) -> None:
        self._event_ch.send_nowait(event)

    @property
    def _takes_events(self) -> bool:
        return not self._event_ch.closed

    def _emit_recoverable(self, error: APIError) -> None:
        """Tell whoever listens for errors of one after which the stream goes on."""
        self._emit_error(error, recoverable=True)

    def _emit_acquired(self, acquire_s: float, *, is_reused: bool) -> None:
        self._report_connection_acquired(acquire_s, is_reused)

    def _give_budget_back(self) -> None:
        self._num_retries = 0

    def _retry_delays_s(self) -> list[float]:
        """The waits before each retry that a whole budget has."""
        retries = range(self._conn_options.max_retry)
        return [self._conn_options._interval_for_retry(n) for n in retries]

    async def aclose(self) -> None:
        """Close the stream now, whatever is under way. Returns within 100 ms."""
        self._end_input()
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=0.05)
        # The usage of the last seconds is in the channel by now; let the metrics have it.
        await asyncio.wait({self._metrics_task}, timeout=0.05)
        await super().aclose()
