"""The worker of a connection: recognizes what its session queued, one buffer after the other."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import traceback
from collections.abc import Callable, Iterator

from .. import faults
from .._models.session import Job, ServerSession
from .._recognizers.recognizer import Attentive, Ear, Heard, Recognizer, heard_by
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
        shared = conduct.recognizer
        self._ear: Ear | None = shared.connected() if isinstance(shared, Attentive) else None
        self._recognizer: Recognizer = self._ear or shared
        self._work = asyncio.Event()
        self._results = 0
        self._finals = 0

    def wake(self) -> None:
        """There may be a job."""
        self._work.set()
        self._conduct.capacity.look()

    async def run(self) -> None:
        """Recognize until cancelled."""
        recognize = self._recognize_in_turn if self._recognizer.blocking else self._recognize
        try:
            while True:
                if self._session.next_job() is None:
                    await self._work.wait()
                    self._work.clear()
                    continue
                await recognize()
                self._recognized()
        finally:
            self._conduct.capacity.forget(self)

    async def _recognize(self) -> None:
        job = self._session.take_job()
        if job is not None:
            await self._delay(job)
            with self._told(job):
                self._tell(job, self._heard(job, fails=self._takes_failure(job)))

    async def _recognize_in_turn(self) -> None:
        """Wait for a place, and recognize the latest buffer that there is by then."""
        capacity, loop = self._conduct.capacity, asyncio.get_running_loop()
        if (job := self._session.next_job(latest_only=True)) is not None:
            await self._delay(job)
        await capacity.enter(self, self._has_final)
        job = self._session.take_job(latest_only=True)
        if job is None:  # the session has ended meanwhile
            capacity.leave()
            return
        heard = functools.partial(self._heard, job, fails=self._takes_failure(job))
        work = loop.run_in_executor(self._conduct.executor, heard)
        # The place is taken until the thread is done, whether or not anybody waits for it.
        work.add_done_callback(lambda _: capacity.leave())
        with self._told(job):
            self._tell(job, await asyncio.shield(work))

    def _has_final(self) -> bool:
        job = self._session.next_job(latest_only=True)
        return job is not None and job.is_final

    @contextlib.contextmanager
    def _told(self, job: Job) -> Iterator[None]:
        """Whatever goes wrong with a recognition is one kind of error frame."""
        try:
            yield
        except Exception:  # noqa: BLE001
            self._session.failed(job, traceback.format_exc(), self._conduct.now_s())

    def _tell(self, job: Job, heard: Heard) -> None:
        self._results += 1
        self._session.recognized(
            job, heard, self._conduct.now_s(), possible_hallucination=self._hallucinates()
        )

    def _takes_failure(self, job: Job) -> bool:
        """Count a final; whether it was planned to fail."""
        self._finals += job.is_final
        if not job.is_final or self._finals not in self._conditions.failing_finals:
            return False
        self._conditions.struck(faults.FailTranscription, number=self._finals)
        return True

    def _heard(self, job: Job, *, fails: bool) -> Heard:
        if fails:
            raise RuntimeError("this transcription was planned to fail")
        if not job.pcm:
            return []  # a commit with nothing to hear is answered all the same
        options = self._session.decoding(job)
        return heard_by(self._recognizer, job.pcm, options, is_final=job.is_final)

    async def _delay(self, job: Job) -> None:
        self._conditions.struck(faults.SlowRecognition)
        own_s = 0.0
        if self._ear is not None and job.pcm:
            own_s = self._ear.latency_s(job.pcm, is_final=job.is_final)
        planned_s = self._conduct.latency_s + self._conditions.recognition_delay_s
        await asyncio.sleep(planned_s + own_s)

    def _hallucinates(self) -> bool:
        after = self._conditions.hallucinates_after
        if after is None or self._results <= after:
            return False
        self._conditions.struck(faults.Hallucination)
        return True
