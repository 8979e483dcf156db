"""The worker of a connection: recognizes what its session queued, one buffer after the other."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence

from .. import faults
from .._models.session import Job, ServerSession
from .._recognizers.recognizer import Attentive, Ear, Recognizer, Word
from ..faults.fault import Conditions
from .conduct import Conduct


class Hearing:
    """One buffer at a time, in order, so that a final never overtakes what was before it.

    Args:
        session: Whose buffers these are.
        conditions: What goes wrong on this connection.
        conduct: Who hears, and how slowly.
        recognized: Called when the session has been told of a result.
    """

    def __init__(
        self,
        session: ServerSession,
        conditions: Conditions,
        conduct: Conduct,
        recognized: Callable[[], None],
    ) -> None:
        self._session = session
        self._conditions = conditions
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
            job = self._session.take_job(latest_only=self._recognizer.blocking)
            if job is None:
                await self._work.wait()
                self._work.clear()
                continue
            self._conditions.struck(faults.SlowRecognition)
            await asyncio.sleep(self._latency_s(job))
            self._finals += job.is_final
            try:
                words = await self._words(job)
            except Exception:  # noqa: BLE001 - whatever goes wrong in there is one kind of error frame
                self._session.failed(job, traceback.format_exc(), self._conduct.now_s())
            else:
                self._results += 1
                self._session.recognized(
                    job,
                    words,
                    self._conduct.now_s(),
                    possible_hallucination=self._hallucinates(),
                )
            self._recognized()

    async def _words(self, job: Job) -> Sequence[Word]:
        if job.is_final and self._finals in self._conditions.failing_finals:
            self._conditions.struck(faults.FailTranscription, number=self._finals)
            raise RuntimeError(f"transcription {self._finals} was planned to fail")
        if not job.pcm:
            return []  # a commit with nothing to hear is answered all the same
        if not self._recognizer.blocking:
            return self._recognizer.recognize(job.pcm, is_final=job.is_final)
        return await asyncio.get_running_loop().run_in_executor(
            self._conduct.executor,
            lambda: self._recognizer.recognize(job.pcm, is_final=job.is_final),
        )

    def _latency_s(self, job: Job) -> float:
        own_s = 0.0
        if self._ear is not None and job.pcm:
            own_s = self._ear.latency_s(job.pcm, is_final=job.is_final)
        return self._conduct.latency_s + self._conditions.recognition_delay_s + own_s

    def _hallucinates(self) -> bool:
        after = self._conditions.hallucinates_after
        if after is None or self._results <= after:
            return False
        self._conditions.struck(faults.Hallucination)
        return True
