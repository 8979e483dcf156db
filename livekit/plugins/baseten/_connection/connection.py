"""One connection at work: moves frames between a session and its socket until either ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol

from .._core.errors import LocalProtocolError, SessionLost
from .._core.session import ENDED, Session
from ..log import logger
from .socket import Socket
from .tap import Notes, Tap

# Frames sent in one go before others get their turn on the event loop: a second of audio.
_BURST_FRAMES = 32

# A timer asks at least this often what is due. So sending audio, which sets deadlines too, need not
# ask: none of those is nearer than this, or than the shortest wait that the user allows.
_LOOK_EVERY_S = 1.0

# If this process was too busy to notice a deadline in time, it has not read what the server sent
# either. So before a deadline counts as missed, there is so much time to read.
_CATCH_UP_S = 0.05


class Driver(Protocol):
    """What has frames to send and deadlines to keep: a `Session`, or the recognition it serves."""

    def take_outgoing(self, now: float, limit: int) -> list[str | bytes]: ...
    def tick(self, now: float) -> None: ...
    @property
    def deadline(self) -> float | None: ...


class Connection:
    """Runs a `Session` over a `Socket`. `carry` gives it the stream that it works for.

    Frames are written where they are asked for, without a task or a turn of the event loop in
    between. Only a socket that takes no more makes a task of the rest.

    Args:
        session: Opened by this.
        socket: Closed by this.
        handshake_s: How long it took to open the socket.
    """

    def __init__(self, session: Session, socket: Socket, *, handshake_s: float) -> None:
        self.session = session
        self.handshake_s = handshake_s
        self._socket = socket
        self._timer: asyncio.TimerHandle | None = None
        self._driver: Driver = session
        self._changed: Callable[[], None] = _nobody
        self._loop = asyncio.get_running_loop()
        self.opened_s = self._loop.time()
        self._notes = Notes()
        self._tap: Tap | None = self._notes
        self._look_every_s = min(_LOOK_EVERY_S, session.patience.least_s)
        self._heard = asyncio.Event()
        self._ended = asyncio.Event()
        self._is_blocked = False  # by a full socket, or for good by a lost one
        self._writing: asyncio.Task[None] | None = None  # waits for a full socket
        session.start(self.opened_s)
        self._reading = self._task(self._read(), "baseten-read")
        self.wake()

    def carry(self, driver: Driver, changed: Callable[[], None], tap: Tap | None) -> None:
        """Carry a stream from now on.

        Args:
            driver: Is asked what to send and what is due.
            changed: Called after something was received, or has become due.
            tap: Is told what goes over the connection, and what went over it so far.
        """
        self._driver, self._changed = driver, changed
        self._tap = tap
        if tap is not None:
            self._notes.tell(tap)
        self._notes = Notes()
        self.wake()

    def wake(self) -> None:
        """Send what there is to send, and keep the next deadline."""
        self.send()
        self._arm()

    def send(self) -> None:
        """Send what there is to send, if the socket takes it; all that is due after a push."""
        if self._is_blocked:
            return
        try:
            rest = self._write()
        except SessionLost:
            self._is_blocked = True  # for good; the reader will find out why, if the server said
        except Exception as e:  # noqa: BLE001  # the one who pushed audio did nothing wrong
            self._is_blocked = True
            self._broken(e)
        else:
            if rest is not None:
                self._is_blocked = True
                self._writing = self._task(self._write_on(rest), "baseten-write")

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
        """Read and send nothing more from this moment on, and call nobody."""
        self._changed = _nobody
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def abandon(self) -> None:
        """The event loop is gone: let the peer know at least."""
        self._socket.abandon()

    async def aclose(self) -> None:
        """Close the connection, within about 50 ms whatever the peer does."""
        self.release()
        # Both may have failed. Gathering retrieves both errors, so that asyncio reports none.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tap is not None:
            self._tap.closed(self.session.error, self._loop.time())
        await self._socket.close()
        self._ended.set()

    async def _read(self) -> None:
        session = self.session
        while session.state not in ENDED:
            # Never with a timeout: cancelling the read would overwrite the close code with 1006.
            try:
                text = await self._socket.receive()
            except SessionLost as lost:
                session.receive_close(lost.code, lost.reason)
            else:
                now = self._loop.time()
                if self._tap is not None:
                    self._tap.received(text, now)
                session.receive(text, now)
            self._heard.set()
            self._changed()
            self.wake()
        self._ended.set()

    def _write(self) -> Awaitable[None] | None:
        """Send what is ready, or a good part of it.

        Returns:
            What to wait for before the rest is sent; None if there is no rest.
        """
        cursor, now = self.session.cursor, self._loop.time()
        frames = self._driver.take_outgoing(now, _BURST_FRAMES)
        if not frames:
            return None
        if self._tap is not None:
            self._tap.sent(frames, cursor, self.session.cursor, now)
        rest = self._socket.send(frames)
        return _OTHERS_TURN if rest is None and len(frames) >= _BURST_FRAMES else rest

    async def _write_on(self, rest: Awaitable[None] | None) -> None:
        """Send all that there is, as fast as the socket takes it."""
        try:
            while rest is not None:
                await rest
                rest = self._write()
        except SessionLost:
            return
        self._is_blocked = False
        self._arm()

    @property
    def _tasks(self) -> list[asyncio.Task[None]]:
        return [self._reading] if self._writing is None else [self._reading, self._writing]

    def _task(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._stopped)
        return task

    def _stopped(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        """End the session after a defect of this package, or the stream would wait for ever."""
        logger.error("unexpected error in a Baseten connection", exc_info=error)
        self.session.fail(LocalProtocolError(f"{type(error).__name__}: {error}"))
        self._heard.set()
        self._ended.set()

    def _arm(self) -> None:
        """Set the timer for the next deadline. It may fire early, and is set again then."""
        due, now = self._driver.deadline, self._loop.time()
        at = now + self._look_every_s
        if due is not None:
            at = min(at, due)
        if self._timer is not None:
            if self._timer.when() <= max(at, now + _CATCH_UP_S):
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        due, now = self._driver.deadline, self._loop.time()
        if due is not None and now >= due:
            self._timer = self._loop.call_later(_CATCH_UP_S, self._overdue)
        else:
            self._arm()

    def _overdue(self) -> None:
        self._timer = None
        self._driver.tick(self._loop.time())
        self._changed()
        self.wake()
        if self.session.state in ENDED:
            self._heard.set()
            self._ended.set()


class _Turn:
    """Waits for one turn of the event loop, in which others may run."""

    def __await__(self) -> Generator[Any, None, None]:
        yield


_OTHERS_TURN = _Turn()


def _nobody() -> None:
    pass
