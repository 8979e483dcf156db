"""Opens connections to the deployment, at once or with patience, and keeps one ready."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import aiohttp

from .._core.endpoint import Endpoint
from .._core.errors import BasetenError, ConnectTimedOut
from .._core.retries import asked_wait_s, retry_delay_s, rule_for
from .._core.session import Session
from .._telemetry.deployment import Telemetry
from ..log import logger
from .connection import Connection
from .loops import PerLoop
from .ready import Ready
from .socket import Socket
from .timeout import timeout

T = TypeVar("T")

_PROGRESS_EVERY_S = 10.0

_WAKING_RETRY_S = 2.0


@dataclass(frozen=True)
class Opened:
    """
    Attributes:
        acquire_s: From the request for a connection to having it.
        is_reused: It was opened before it was asked for.
    """

    connection: Connection
    acquire_s: float
    is_reused: bool


class Connector:
    """Of one `STT`, whatever event loops it is used in.

    Args:
        endpoint: Where, and with which key.
        http_session: Asked for the HTTP session of each connection.
        ping_interval_s: See `Socket.open`.
        telemetry: Of the deployment.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        http_session: Callable[[], aiohttp.ClientSession],
        *,
        ping_interval_s: float,
        telemetry: Telemetry,
    ) -> None:
        self._endpoint = endpoint
        self._http_session = http_session
        self._ping_interval_s = ping_interval_s
        self._telemetry = telemetry
        self._numbers: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
        self._ready = PerLoop(Ready, close=Ready.aclose, abandon=Ready.abandon)

    @property
    def has_one_ready(self) -> bool:
        """A connection is kept ready in this event loop, or is about to be."""
        return self._ready.here().is_kept

    async def open(self, new_session: Callable[[], Session], *, timeout_s: float) -> Opened:
        """The connection kept ready if it fits, or a new one.

        Raises:
            BasetenError: Of the kinds that `Socket.open` names.
        """
        started_s = _now()
        session = new_session()
        ready = await self._ready.here().taken(session, timeout_s)
        if ready is not None:
            ready.telemetry.reused()
        left_s = max(timeout_s - (_now() - started_s), 0.001)
        with _timed_out_after(timeout_s):
            connection = ready or await self._open_new(session, timeout_s=left_s)
        return Opened(connection, _now() - started_s, is_reused=ready is not None)

    async def open_patiently(
        self, new_session: Callable[[], Session], *, timeout_s: float
    ) -> Opened:
        """As `open`, for a model that may be asleep: waits, and tries again what a waking model
        refuses, for ``timeout_s`` in all. Says so every ten seconds.

        Raises:
            BasetenError: The last failure when time is up, or one that would repeat itself.
        """
        started_s = _now()
        opened = await _patiently(
            lambda left_s: self.open(new_session, timeout_s=left_s), timeout_s
        )
        return Opened(opened.connection, _now() - started_s, opened.is_reused)

    def prepare(self, new_session: Callable[[], Session], *, timeout_s: float) -> None:
        """Open a connection now that the next `open` of the same options takes over.

        Does nothing while there is one. Whether it succeeds, that `open` will see.
        """
        ready = self._ready.here()
        if not ready.is_kept:
            opening = self._open_new(new_session(), timeout_s=timeout_s)
            ready.keep(asyncio.create_task(opening, name="baseten-prewarm"))

    async def warmed(self, new_session: Callable[[], Session], *, timeout_s: float) -> float:
        """Wait until the model has answered once, and keep that connection for the next `open`.

        Returns:
            How long it took, in seconds.

        Raises:
            BasetenError: It did not within ``timeout_s``, or never would.
        """
        started_s = _now()
        connection = await _patiently(
            lambda left_s: self._open_proven(new_session, timeout_s=left_s), timeout_s
        )
        kept = asyncio.create_task(_as_it_is(connection), name="baseten-prewarm")
        self._ready.here().keep(kept)
        return _now() - started_s

    async def prove(self, connection: Connection, *, timeout_s: float) -> None:
        """Wait until the server has taken the metadata; a connection of which it has not is closed.

        Raises:
            BasetenError: It did not within ``timeout_s``, or the connection ended before.
        """
        try:
            async with timeout(timeout_s):
                await connection.proven()
        except asyncio.TimeoutError:
            self.close_later(connection)
            raise ConnectTimedOut(timeout_s) from None
        except (BasetenError, asyncio.CancelledError):
            self.close_later(connection)
            raise

    def close_later(self, connection: Connection) -> None:
        """Close ``connection`` in the background."""
        self._ready.here().close_later(connection)

    async def aclose(self) -> None:
        """Close the connections kept ready, and wait for those that are being closed."""
        await self._ready.aclose()

    async def _open_proven(
        self, new_session: Callable[[], Session], *, timeout_s: float
    ) -> Connection:
        started_s = _now()
        connection = (await self.open(new_session, timeout_s=timeout_s)).connection
        left_s = max(timeout_s - (_now() - started_s), 0.001)
        await self.prove(connection, timeout_s=left_s)
        return connection

    async def _open_new(self, session: Session, *, timeout_s: float) -> Connection:
        """A connection that nobody opened before, for ``session``.

        Raises:
            BasetenError: Of the kinds that `Socket.open` names, or what asking for the HTTP session
                raised.
        """
        asked_s = _now()
        telemetry = self._telemetry.connection()
        try:
            socket = await Socket.open(
                self._http_session(),
                self._endpoint.url,
                self._endpoint.headers,
                timeout_s=timeout_s,
                ping_interval_s=self._ping_interval_s,
            )
        except BasetenError as e:
            telemetry.failed(e)
            raise
        except BaseException:
            telemetry.abandoned()
            raise
        if stream_id := session.dialect.stream_id:
            session.number = next(self._numbers[stream_id])
        return Connection(session, socket, telemetry, handshake_s=_now() - asked_s)


@contextlib.contextmanager
def _timed_out_after(timeout_s: float) -> Iterator[None]:
    """An error names the time that was asked for, not what was left of it for the last step."""
    try:
        yield
    except ConnectTimedOut:
        raise ConnectTimedOut(timeout_s) from None


async def _patiently(attempt: Callable[[float], Awaitable[T]], timeout_s: float) -> T:
    """What ``attempt`` comes to in the end: tried again for what a waking model refuses.
    Says every ten seconds that it waits.

    Args:
        attempt: Given the seconds that are left.
        timeout_s: In all.

    Raises:
        BasetenError: The last failure when time is up, or one that would repeat itself.
    """
    started_s, attempts = _now(), 0
    progress = asyncio.create_task(_report_progress(timeout_s), name="baseten-waking")
    try:
        while True:
            left_s = timeout_s - (_now() - started_s)
            try:
                with _timed_out_after(timeout_s):
                    return await attempt(max(left_s, 0.001))
            except BasetenError as e:
                delay_s = _delay_s(e, attempts)
                if not rule_for(e).may_be_waking or _now() + delay_s >= started_s + timeout_s:
                    raise
            attempts += 1
            await asyncio.sleep(delay_s)
    finally:
        progress.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _delay_s(error: BasetenError, attempt: int) -> float:
    return retry_delay_s(
        attempt,
        retry_interval_s=_WAKING_RETRY_S,
        uniform=random.uniform,
        retry_after_s=asked_wait_s(error),
    )


async def _as_it_is(connection: Connection) -> Connection:
    return connection


async def _report_progress(timeout_s: float) -> None:
    waited_s = 0.0
    while True:
        await asyncio.sleep(_PROGRESS_EVERY_S)
        waited_s += _PROGRESS_EVERY_S
        logger.info(
            "waiting for the Baseten model to wake: %.0f s of at most %.0f s", waited_s, timeout_s
        )
