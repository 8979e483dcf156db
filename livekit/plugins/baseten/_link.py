"""One connection at work: moves frames between a session and its socket until either ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ._errors import LocalProtocolError, SessionLost
from ._session import ENDED, Session
from ._transport import Connection
from .log import logger

# Frames sent in one go before others get their turn on the event loop: a second of audio.
_BURST_FRAMES = 32

# A deadline that is noticed late was not missed by the server but by this process, too busy to
# read: whatever came meanwhile is read first.
_CATCH_UP_S = 0.05


class Driver(Protocol):
    """What has frames to send and deadlines to keep: a `Session`, or the recognition it serves."""

    def outgoing(self, now: float, limit: int) -> list[str | bytes]: ...
    def expired(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...

    @property
    def has_events(self) -> bool:
        """Something happened that whoever is told of changes has to hear."""
        ...


class Link:
    """Runs a `Session` over a `Connection`. Whose stream it is, it learns with `carry`.

    Args:
        session: Opened by this.
        connection: Closed by this.
    """

    def __init__(self, session: Session, connection: Connection) -> None:
        self.session = session
        self._connection = connection
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._driver: Driver = session
        self._changed: Callable[[], None] = _nobody
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Event()
        self._ended = asyncio.Event()
        session.opened(self._loop.time())
        self._tasks = [
            asyncio.create_task(self._read(), name="baseten-read"),
            asyncio.create_task(self._write(), name="baseten-write"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._stopped)

    def carry(self, driver: Driver, changed: Callable[[], None]) -> None:
        """A stream takes over: ``driver`` it asks what to do, and it tells ``changed``."""
        self._driver, self._changed = driver, changed
        self.wake()

    def wake(self) -> None:
        """There may be something to send, or a new deadline."""
        self._wake.set()

    async def ended(self) -> None:
        """Wait until the session is over, one way or the other."""
        await self._ended.wait()

    async def proven(self) -> None:
        """Wait until the server has taken the metadata, as far as it ever says so.

        Raises:
            BasetenError: It did not, or the connection ended before.
        """
        session = self.session
        while session.dialect.can_probe and not session.is_proven:
            if session.error is not None:
                raise session.error
            self._heard.clear()
            await self._heard.wait()

    def release(self) -> None:
        """Stop here and now: nothing is read or sent any more, and nobody is told anything."""
        self._changed = _nobody
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """Close the connection. Prompt, whatever the peer does."""
        self.release()
        # Both may have failed: gathering retrieves what each has to say.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()
        self._ended.set()

    async def _read(self) -> None:
        session = self.session
        while session.state not in ENDED:
            # Never with a timeout: cancelling the read would overwrite the close code with 1006.
            try:
                text = await self._connection.receive()
            except SessionLost as lost:
                session.disconnected(lost.code, lost.reason)
            else:
                session.received(text, self._loop.time())
            self._heard.set()
            self._changed()
            self._wake.set()
        self._ended.set()

    async def _write(self) -> None:
        session = self.session
        while session.state not in ENDED:
            self._wake.clear()  # before taking: what comes while a send is stuck sets it again
            frames = self._driver.outgoing(self._loop.time(), _BURST_FRAMES)
            try:
                for frame in frames:
                    await self._connection.send(frame)
            except SessionLost:
                return  # the server may have said why: the reader will find out
            if self._driver.has_events:
                self._changed()
            self._arm()
            if len(frames) >= _BURST_FRAMES:
                await asyncio.sleep(0)
            else:
                await self._wake.wait()
        self._ended.set()

    def _stopped(self, task: asyncio.Task[None]) -> None:
        """A defect here must not leave a stream waiting for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("unexpected error in a Baseten connection", exc_info=error)
            self.session.failed(LocalProtocolError(f"{type(error).__name__}: {error}"))
            self._heard.set()
            self._ended.set()

    def _arm(self) -> None:
        """Have the next deadline kept. One timer serves many: it only ever fires early."""
        due = self._driver.deadline()
        if due is None:
            return
        soonest = max(due, self._loop.time() + _CATCH_UP_S)
        if self._timer is not None and self._timer.when() <= soonest:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._due)

    def _due(self) -> None:
        self._timer = None
        due, now = self._driver.deadline(), self._loop.time()
        if due is not None and now >= due:
            self._timer = self._loop.call_later(_CATCH_UP_S, self._overdue)
        else:
            self._arm()

    def _overdue(self) -> None:
        self._timer = None
        self._driver.expired(self._loop.time())
        self._changed()
        self._wake.set()
        self._arm()
        if self.session.state in ENDED:
            self._heard.set()
            self._ended.set()


def _nobody() -> None:
    pass
