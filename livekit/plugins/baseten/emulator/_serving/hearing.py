"""The worker of a connection: recognizes what its core queued, one buffer after the other."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from .. import faults
from .._models.core import Core, Job
from .._recognizers.recognizer import Attentive, Ear, Recognizer, Word

if TYPE_CHECKING:
    from .connection import Connection

Event = Literal["opened", "received", "sent", "closed"]
"""What an observer is told of."""


@dataclass(frozen=True)
class Conduct:
    """How a server treats every connection.

    Attributes:
        recognizer: Hears all of them.
        executor: Where a blocking recognizer runs.
        latency_s: Added to every recognition, in seconds.
        delay_s: How long every message is under way, in seconds.
        is_recording: Whether frames, audio and messages are kept for tests to look at.
        changed: Called at whatever happens to a connection.
    """

    recognizer: Recognizer
    executor: Executor
    latency_s: float
    delay_s: float
    is_recording: bool
    changed: Callable[[Connection, Event], None]


class Hearing:
    """One buffer at a time, in order, so that a final never overtakes what was before it.

    Args:
        core: Whose buffers these are.
        plan: What goes wrong on this connection.
        conduct: Who hears, and how slowly.
        recognized: Called when the core has been told of a result.
    """

    def __init__(
        self,
        core: Core,
        plan: Sequence[faults.Fault],
        conduct: Conduct,
        recognized: Callable[[], None],
    ) -> None:
        self._core = core
        self._plan = plan
        self._conduct = conduct
        self._recognized = recognized
        heard_by = conduct.recognizer
        self._ear: Ear | None = heard_by.connected() if isinstance(heard_by, Attentive) else None
        self._recognizer: Recognizer = self._ear or heard_by
        self._work = asyncio.Event()
        self._results = 0
        self._finals = 0

    def wake(self) -> None:
        """There may be a job."""
        self._work.set()

    async def run(self) -> None:
        """Recognize until cancelled."""
        while True:
            job = self._core.next_job(latest_only=self._recognizer.blocking)
            if job is None:
                await self._work.wait()
                self._work.clear()
                continue
            await asyncio.sleep(self._latency_s(job))
            self._finals += job.is_final
            try:
                self._fail_as_planned(job)
                words = await self._words(job)
            except Exception:  # noqa: BLE001 - whatever goes wrong in there is one kind of error frame
                self._core.failed(job, traceback.format_exc(), now_s())
            else:
                self._results += 1
                self._core.recognized(
                    job, words, now_s(), possible_hallucination=self._is_hallucinating()
                )
            self._recognized()

    async def _words(self, job: Job) -> Sequence[Word]:
        if not job.pcm:
            return []  # a commit with nothing to hear is answered all the same
        if not self._recognizer.blocking:
            return self._recognizer.recognize(job.pcm, is_final=job.is_final)
        return await asyncio.get_running_loop().run_in_executor(
            self._conduct.executor,
            lambda: self._recognizer.recognize(job.pcm, is_final=job.is_final),
        )

    def _latency_s(self, job: Job) -> float:
        slow = [fault.seconds for fault in self._plan if isinstance(fault, faults.SlowRecognition)]
        own_s = 0.0
        if self._ear is not None and job.pcm:
            own_s = self._ear.latency_s(job.pcm, is_final=job.is_final)
        return self._conduct.latency_s + sum(slow) + own_s

    def _fail_as_planned(self, job: Job) -> None:
        failing = [f.number for f in self._plan if isinstance(f, faults.FailTranscription)]
        if job.is_final and self._finals in failing:
            raise RuntimeError(f"transcription {self._finals} was planned to fail")

    def _is_hallucinating(self) -> bool:
        return any(
            isinstance(fault, faults.Hallucination) and self._results > fault.after_results
            for fault in self._plan
        )


def now_s() -> float:
    """The wall clock, which the server shows in its messages and uses for nothing else."""
    return datetime.now(timezone.utc).timestamp()
