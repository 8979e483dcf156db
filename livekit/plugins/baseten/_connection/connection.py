"""One connection at work: moves frames between a session and its socket until either ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from .._core.errors import LocalProtocolError, SessionLost
from .._core.session import ENDED, Session
from .._telemetry.connection import ConnectionTelemetry
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
    @property
    def is_in_a_hurry(self) -> bool:
        """A message may have brought the deadline nearer than the timer looks by itself."""
        ...


class Connection:
    """Runs a `Session` over a `Socket`. `carry` gives it the stream that it works for.

    There is no task: frames are written where they are asked for, and messages taken where the
    socket delivers them. What a socket does not take waits in the journal until it is writable.

    Args:
        session: Opened by this.
        socket: Closed by this.
        telemetry: Of this connection.
        handshake_s: How long it took to open the socket.
    """

    def __init__(
        self,
        session: Session,
        socket: Socket,
        telemetry: ConnectionTelemetry,
        *,
        handshake_s: float,
    ) -> None:
        self.session = session
        self.telemetry = telemetry
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
        self._rest: asyncio.Handle | None = None  # of a long burst, which others interrupt
        self._is_released = False
        telemetry.opened(handshake_s)
        session.start(self.opened_s)
        socket.listen(self)
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
        if self._rest is not None or self._socket.is_full or self._is_released:
            return
        try:
            cursor, now = self.session.cursor, self._loop.time()
            frames = self._driver.take_outgoing(now, _BURST_FRAMES)
            if frames:
                if self._tap is not None:
                    self._tap.sent(frames, cursor, self.session.cursor, now)
                self._socket.send(frames)
                if len(frames) >= _BURST_FRAMES:
                    self._rest = self._loop.call_soon(self._send_rest)
        except Exception as e:  # noqa: BLE001  # the one who pushed audio did nothing wrong
            self._broken(e)

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
        self._is_released = True
        for handle in (self._timer, self._rest):
            if handle is not None:
                handle.cancel()

    def abandon(self) -> None:
        """The event loop is gone: let the peer know at least."""
        self.telemetry.ended(self.session)
        self._socket.abandon()

    async def aclose(self) -> None:
        """Close the connection, within about 50 ms whatever the peer does."""
        self.release()
        if self._tap is not None:
            self._tap.closed(self.session.error, self._loop.time())
        self.telemetry.ended(self.session)
        await self._socket.close()
        self._ended.set()

    # What the socket calls

    def received(self, message: str) -> None:
        if self._is_released or self.session.state in ENDED:
            return
        now = self._loop.time()
        if self._tap is not None:
            self._tap.received(message, now)
        self._happened(self.session.receive, message, now)
        if self._driver.is_in_a_hurry:
            self._arm()

    def lost(self, error: SessionLost) -> None:
        if not self._is_released:
            self._happened(self.session.receive_close, error.code, error.reason)

    def writable(self) -> None:
        if not self._is_released:
            self.wake()

    def _happened(self, what: Callable[..., None], *args: object) -> None:
        try:
            what(*args)
            self._changed()
        except Exception as e:  # noqa: BLE001  # the socket did nothing wrong
            self._broken(e)
        self._heard.set()
        if self.session.state in ENDED:
            self._ended.set()

    def _send_rest(self) -> None:
        self._rest = None
        self.wake()

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
        self._socket.look()
        self._timer = None
        due, now = self._driver.deadline, self._loop.time()
        if due is not None and now >= due:
            self._timer = self._loop.call_later(_CATCH_UP_S, self._overdue)
        else:
            self._arm()

    def _overdue(self) -> None:
        self._timer = None
        self._happened(self._driver.tick, self._loop.time())
        self.wake()


def _nobody() -> None:
    pass
