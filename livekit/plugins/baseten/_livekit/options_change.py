"""From one connection to another with other options, without a gap: make before break.

The new connection is opened and has taken its metadata while the old one works on. It takes over
when nobody speaks, or after a while in any case: the audio since the last final is sent again on it
then, so that the words under way come once all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from livekit.agents import APIError

from .._connection.connector import Connector, Opened
from .._connection.timeout import timeout
from .._core.errors import BasetenError
from .._core.options import Options
from .._core.retries import Refusals
from .._core.session import Patience, Session
from .._core.wire import dialect_for
from .._telemetry.stream import StreamTelemetry
from .api_errors import to_api_error

# Several calls of `update_options` within this time change the connection once.
_COALESCE_S = 0.1

# A change waits at most this long for a pause in the speech.
_PAUSE_WITHIN_S = 5.0


class Changeover:
    """
    Args:
        connector: Opens the new connection.
        connect_timeout_s: For its handshake, and again for the server to take its metadata.
        patience: Of its session.
        refusals: Of the stream.
        retry_delays_s: How long to wait before each further attempt.
        is_pausing: Whether nobody speaks.
        succeeded: Called with the new connection, which has to be carried on from there.
        failed: Called with the last error instead; the old connection works on.
        telemetry: Of the stream.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        connect_timeout_s: float,
        patience: Patience,
        refusals: Refusals,
        retry_delays_s: Callable[[], list[float]],
        is_pausing: Callable[[], bool],
        succeeded: Callable[[Opened, Options], None],
        failed: Callable[[APIError], None],
        telemetry: StreamTelemetry,
    ) -> None:
        self._connector = connector
        self._connect_timeout_s = connect_timeout_s
        self._patience = patience
        self._refusals = refusals
        self._retry_delays_s = retry_delays_s
        self._is_pausing = is_pausing
        self._succeeded = succeeded
        self._failed = failed
        self._telemetry = telemetry
        self._task: asyncio.Task[None] | None = None
        self._paused = asyncio.Event()

    def begin(self, options: Options) -> None:
        """Change to ``options``. A change that is under way is abandoned."""
        self.abandon()
        self._task = asyncio.create_task(self._run(options), name="baseten-options")

    def abandon(self) -> None:
        """Give up the change that is under way, if there is one."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def aclose(self) -> None:
        """Give up the change that is under way, and wait until its task has ended."""
        task = self._task
        self.abandon()
        if task is not None:
            await asyncio.wait({task})

    def note_pause(self) -> None:
        """Nobody speaks at this moment: a connection that is ready may take over."""
        self._paused.set()

    async def _run(self, options: Options) -> None:
        await asyncio.sleep(_COALESCE_S)
        with self._telemetry.changeover() as change:
            for delay_s in (*self._retry_delays_s(), None):
                try:
                    self._succeeded(await self._ready(options), options)
                    change.outcome = "done"
                    return
                except BasetenError as e:
                    error = to_api_error(self._refusals.judge(e))
                if delay_s is None or not error.retryable:
                    change.outcome = "failed"
                    self._failed(error)
                    return
                await asyncio.sleep(delay_s)

    async def _ready(self, options: Options) -> Opened:
        """Open a connection with ``options``. Returns at the moment at which it may take over."""
        dialect = dialect_for(options)
        opened = await self._connector.open(
            lambda: Session(dialect, self._patience), timeout_s=self._connect_timeout_s
        )
        await self._connector.prove(opened.connection, timeout_s=self._connect_timeout_s)
        try:
            await self._pause()
            if opened.connection.session.error is not None:
                raise opened.connection.session.error
        except (BasetenError, asyncio.CancelledError):
            self._connector.close_later(opened.connection)
            raise
        return opened

    async def _pause(self) -> None:
        self._paused.clear()
        if not self._is_pausing():
            with contextlib.suppress(asyncio.TimeoutError):
                async with timeout(_PAUSE_WITHIN_S):
                    await self._paused.wait()
