"""The connection kept ready for the next stream, and those that nobody waits for to be closed."""

from __future__ import annotations

import asyncio

from .._core.errors import ConnectTimedOut
from .._core.session import Session, State
from .connection import Connection

# It holds a place on a replica: not for ever.
_KEPT_S = 60.0


class Ready:
    """Of the running event loop: a connection works in no other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Task[Connection] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def is_kept(self) -> bool:
        """There is one, or there is about to be."""
        return self._ready is not None

    def keep(self, opening: asyncio.Task[Connection]) -> None:
        """The next stream takes this connection, if that is within a minute."""
        self._ready = opening
        opening.add_done_callback(self._kept)

    async def taken(self, session: Session, timeout_s: float) -> Connection | None:
        """The connection kept ready, if it talks as ``session`` would and still lives.

        Raises:
            ConnectTimedOut: It is being opened, and that took longer.
        """
        opening = self._ready
        if opening is None:
            return None
        # One that is still parked will come sooner than a new one behind it.
        await asyncio.wait({opening}, timeout=timeout_s)
        if not opening.done():
            raise ConnectTimedOut(timeout_s)
        if self._ready is not opening:
            return None  # another stream was quicker
        connection = opening.result() if _has_succeeded(opening) else None
        fits = (
            connection is not None
            and connection.session.state is State.WAITING
            and connection.session.dialect.opening() == session.dialect.opening()
        )
        if not fits:
            self._drop_ready()
            return None
        self._ready = None
        if self._expiry is not None:
            self._expiry.cancel()
        return connection

    def close_later(self, connection: Connection) -> None:
        """Close ``connection`` without making anybody wait."""
        connection.release()
        task = asyncio.create_task(connection.aclose(), name="baseten-close")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def aclose(self) -> None:
        """Close the connection kept ready, and wait for those that are being closed."""
        self._drop_ready()
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)

    def abandon(self) -> None:
        """The loop is gone: give back what can be given back without it."""
        opening, self._ready = self._ready, None
        if opening is not None and _has_succeeded(opening):
            opening.result().abandon()

    def _kept(self, opening: asyncio.Task[Connection]) -> None:
        if opening is not self._ready or opening.cancelled():
            return
        if opening.exception() is not None:  # the next one who asks will find out for himself
            self._ready = None
            return
        self._expiry = self._loop.call_later(_KEPT_S, self._drop_ready)

    def _drop_ready(self) -> None:
        opening, self._ready = self._ready, None
        if self._expiry is not None:
            self._expiry.cancel()
        if opening is None:
            return
        if not opening.done():
            opening.cancel()
        elif _has_succeeded(opening):
            self.close_later(opening.result())


def _has_succeeded(opening: asyncio.Task[Connection]) -> bool:
    return opening.done() and not opening.cancelled() and opening.exception() is None
