"""The connections of a stream, one after the other: opened, changed, and judged when they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from livekit.agents import APIError

from .._connection.connection import Connection
from .._connection.connector import Connector, Opened
from .._core.errors import BasetenError, LocalProtocolError, MetadataRefused
from .._core.options import Options
from .._core.recognition import Recognition
from .._core.retries import Blame, Refusals, Worth, asked_wait_s, blame, rule_for, worth
from .._core.session import Patience
from .._core.wire import dialect_for
from .._recording.nothing import NoRecording
from .._recording.recording import Recording
from .._telemetry.stream import StreamTelemetry
from ..log import logger
from .api_errors import to_api_error
from .options_change import Changeover
from .precaution import heard_out


@dataclass(frozen=True)
class Limits:
    """A stream's limits, in seconds: arguments of `STT` that are described there.

    Attributes:
        hold_s: How long what a failed stream had not finished waits for another to go on. 0 where
            none will.
    """

    patience: Patience
    replay_buffer_s: float
    cold_start_timeout_s: float
    hold_s: float


@dataclass(frozen=True)
class Calls:
    """What a stream is called for by its connections.

    Attributes:
        received: Something has come, or the connection has ended.
        taken_over: Another connection carries the stream now.
        worked: A connection that has ended had done its work: the retry budget starts anew.
        change_failed: Changed options could not be had; the call goes on without.
        retry_delays_s: The waits before each retry that a whole budget has.
    """

    received: Callable[[], None]
    taken_over: Callable[[Opened], None]
    worked: Callable[[], None]
    change_failed: Callable[[APIError], None]
    retry_delays_s: Callable[[], list[float]]


class Connections:
    """
    Args:
        connector: Opens them.
        recognition: What they carry.
        recording: Of the call.
        telemetry: Of the call.
        options: Of the first one.
        limits: Of the stream.
        connect_timeout_s: For each handshake.
        calls: Of the stream.
        goes_on: The stream goes on from one that has failed.

    Attributes:
        current: The one that carries the stream, if there is one.
        options: Those of the stream. After a change, those that it is about to use.
        blame: Of the audio, for the last error.
        is_first_outage: No outage is under way that began in a stream before this one.
        retry_after_s: How long the server wants to be left alone.
    """

    def __init__(
        self,
        connector: Connector,
        recognition: Recognition,
        recording: Recording | NoRecording,
        telemetry: StreamTelemetry,
        *,
        options: Options,
        limits: Limits,
        connect_timeout_s: float,
        calls: Calls,
        goes_on: bool,
    ) -> None:
        self._connector = connector
        self._recognition = recognition
        self._recording = recording
        self._telemetry = telemetry
        self._cold_start_timeout_s = limits.cold_start_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._calls = calls
        self._tried = options  # those of the connection
        self._accepted: Options | None = None  # the last that a server has taken
        self._refusals = Refusals()
        self._carried_since_s = 0.0
        self._changeover = Changeover(
            connector,
            connect_timeout_s=connect_timeout_s,
            patience=limits.patience,
            refusals=self._refusals,
            retry_delays_s=calls.retry_delays_s,
            is_pausing=lambda: recognition.is_pausing,
            succeeded=self._changed_over,
            failed=self._change_failed,
            telemetry=telemetry,
        )
        self.current: Connection | None = None
        self.options = options
        self.blame = Blame.NO
        self.is_first_outage = not goes_on
        self.retry_after_s = 0.0

    async def run(self) -> None:
        """Work with one connection, and whatever takes its place, until all is said.

        Raises:
            APIError: It could not be had, or ended before.
        """
        self._telemetry.began_run()
        try:
            await heard_out(self._recognition, self._work_with_one)
        except BasetenError as e:
            raise self._judge(e) from None
        except Exception as e:  # noqa: BLE001
            # After anything but an APIError, LiveKit would not hear the user any more.
            self.blame = Blame.PERHAPS
            logger.exception("unexpected error in the Baseten stream")
            raise to_api_error(LocalProtocolError(f"{type(e).__name__}: {e}")) from None
        finally:
            await self._let_go()

    def use(self, options: Options) -> None:
        """Recognize with ``options`` from the next pause on."""
        self.options = options
        self._recording.changed(options)
        self._apply_options()

    def note_pause(self) -> None:
        """Nobody speaks at this moment: a connection with changed options may take over."""
        self._changeover.note_pause()

    async def _work_with_one(self) -> None:
        """
        Raises:
            BasetenError: It could not be had, or ended before all was said.
        """
        await self._let_go()
        options = self.options
        self._recognition.use(dialect_for(options))
        self._take_over(await self._open(), options)
        self._carried_since_s = _now()
        self._apply_options()
        await self._ended()

    async def _let_go(self) -> None:
        """Close the one at work, and give up a change that is under way."""
        await self._changeover.aclose()
        self._telemetry.detached()
        connection, self.current = self.current, None
        if connection is not None:
            await connection.aclose()

    def _judge(self, error: BasetenError) -> APIError:
        """Draw the consequences of an error that has ended a connection.

        Returns:
            ``error`` as LiveKit is told of it.
        """
        session = None if self.current is None else self.current.session
        was = worth(session, error, lived_s=_now() - self._carried_since_s)
        if was is not Worth.NOTHING:
            self._accepted = self._tried
            self._refusals.clear()
        if was is Worth.WORKED and rule_for(error).gives_back:
            self.is_first_outage = True
            self._calls.worked()
        self.blame = blame(error)
        self._telemetry.judged(error)
        judged = self._refusals.judge(error)
        accepted = self._accepted
        if isinstance(judged, MetadataRefused) and judged.permanent and accepted is not None:
            if self.options != accepted:
                judged = error  # try again, with the options that were accepted before
            self.options = accepted
        self.retry_after_s = asked_wait_s(judged)
        told = to_api_error(judged)
        self._recording.failed(told, recoverable=told.retryable)
        return told

    def _apply_options(self) -> None:
        """Change the connection if it does not have the current options."""
        connection = self.current
        if connection is None or self._recognition.has_input_ended:
            return  # the next connection will have them, or no more audio will come
        if connection.session.dialect.opening() == dialect_for(self.options).opening():
            self._changeover.abandon()
        else:
            self._changeover.begin(self.options)

    async def _open(self) -> Opened:
        new_session = self._recognition.new_session
        patience_s = self._cold_start_timeout_s
        if patience_s and self._accepted is None:
            return await self._connector.open_patiently(new_session, timeout_s=patience_s)
        return await self._connector.open(new_session, timeout_s=self._connect_timeout_s)

    def _take_over(self, opened: Opened, options: Options) -> None:
        """Go on with another connection. The one before stops at once."""
        self._tried = options
        before, self.current = self.current, opened.connection
        if before is not None:
            self._connector.close_later(before)
        received = self._calls.received
        carry(self._recognition, opened, self._recording, self._telemetry, received)
        self._calls.taken_over(opened)

    async def _ended(self) -> None:
        """Wait until the stream is done.

        Raises:
            BasetenError: The connection ended before.
        """
        while not self._recognition.is_done:
            connection = self.current
            assert connection is not None
            await connection.ended()
            if self.current is not connection:
                continue  # changed options have put another one in its place
            self._calls.received()
            if self._recognition.error is not None:
                raise self._recognition.error

    def _changed_over(self, opened: Opened, options: Options) -> None:
        self._recognition.use(opened.connection.session.dialect)
        self._take_over(opened, options)

    def _change_failed(self, error: APIError) -> None:
        logger.warning("the new options could not be applied, the call goes on without: %s", error)
        self._calls.change_failed(error)
        if not error.retryable:
            self.options = self._tried


def carry(
    recognition: Recognition,
    opened: Opened,
    recording: Recording | NoRecording,
    telemetry: StreamTelemetry,
    received: Callable[[], None],
) -> None:
    """Let a connection carry a recognition.

    Args:
        received: Called when something has come, or the connection has ended.
    """
    connection, now = opened.connection, _now()
    recognition.attach(connection.session, now)
    telemetry.attached(connection.session, recognition.sent)
    connection.telemetry.replays(recognition.sent - connection.session.cursor)
    tap = recording.connected(
        open_for_s=now - connection.opened_s,
        handshake_s=connection.handshake_s,
        acquire_s=opened.acquire_s,
        is_reused=opened.is_reused,
    )
    connection.carry(recognition, received, tap)


def _now() -> float:
    return asyncio.get_running_loop().time()
