"""The loopback endpoint: upgrades, refusals, and the list of what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl as tls
from collections.abc import AsyncIterator, Callable
from weakref import WeakKeyDictionary, WeakSet

import websockets.asyncio.server as ws
from websockets.http11 import Request, Response

from .._models.session import ServerSession
from ..faults.fault import Conditions, Fault
from ..faults.plan import Plan, Planned
from .conduct import Conduct, Event
from .connection import Connection
from .handshake import GIVEN_UP, Handshake, refusal, response
from .waiting import wait_until

# What websockets has to say. At DEBUG it would show the handshake, and with it the client's key.
logger = logging.getLogger("livekit.plugins.baseten.emulator")
logger.setLevel(logging.INFO)

PATH = "/environments/production/websocket"
MAX_MESSAGE_BYTES = 100 * 2**20  # as on Baseten
CLOSING_GRACE_S = 0.25  # for clients that answer a close frame; the others are cut off
CLOSE_TIMEOUT_S = 5.0


class Server:
    """A Baseten on this machine, as `serve` yields it.

    Attributes:
        url: Where it is, ``ws://127.0.0.1:PORT/environments/production/websocket``.
        plan: What goes wrong from the next handshake on, one entry each. Append to it at will.
        handshakes: Every upgrade that was asked for, oldest first, refused ones included.
        connections: Every upgrade that was accepted, oldest first; they stay here when they end.
    """

    def __init__(
        self,
        plan: tuple[Planned, ...],
        session: Callable[[Conditions], ServerSession],
        conduct: Conduct,
        api_key: str | None,
        observer: Callable[[Connection, Event], None] | None,
        handshake_observer: Callable[[Handshake], None] | None,
    ) -> None:
        self.url = ""
        self.plan = Plan(plan)
        self.handshakes: list[Handshake] = []
        self.connections: list[Connection] = []
        self._session = session
        self._conduct = conduct
        self._api_key = api_key
        self._observer = observer
        self._handshake_observer = handshake_observer
        self._conditions: list[Conditions] = []
        self._gate = asyncio.Event()
        self._is_closing = False
        self._watchers: set[Callable[[], None]] = set()
        self._sockets: WeakSet[ws.ServerConnection] = WeakSet()
        self._accepted: WeakKeyDictionary[ws.ServerConnection, tuple[Handshake, Conditions]] = (
            WeakKeyDictionary()
        )

    def wake(self) -> None:
        """Let every handshake go on that is parked."""
        self._gate.set()
        self._gate = asyncio.Event()

    async def until(self, predicate: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Wait until something is so, looking again at every change on any connection, and often.

        Args:
            predicate: Looks at this server, or at anything that changes with it.
            timeout_s: How long to wait, in seconds.

        Raises:
            TimeoutError: It has not become so.
            TypeError: ``predicate`` is no plain function.
        """
        changed = asyncio.Event()
        self.watch(changed.set)
        try:
            await wait_until(predicate, changed, timeout_s)
        except asyncio.TimeoutError as e:
            raise TimeoutError(f"{e}: {self}") from None
        finally:
            self.unwatch(changed.set)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call something at every change on any connection, in the server's event loop."""
        self._watchers.add(changed)

    def unwatch(self, changed: Callable[[], None]) -> None:
        self._watchers.discard(changed)

    @property
    def pending(self) -> list[Fault]:
        """The faults of handshakes and connections so far that have had no occasion to strike."""
        return [fault for each in list(self._conditions) for fault in each.waiting]

    async def wait_for_connection(self, n: int = 1, timeout_s: float = 10.0) -> Connection:
        """The n-th connection, counted from 1, once it is there."""
        await self.until(lambda: len(self.connections) >= n, timeout_s)
        return self.connections[n - 1]

    def __repr__(self) -> str:
        statuses = [handshake.status for handshake in self.handshakes]
        last = self.connections[-1].sent[-3:] if self.connections else []
        return f"<Server {self.url} handshakes={statuses} last sent={last}>"

    @contextlib.asynccontextmanager
    async def running(
        self, host: str, port: int, ssl: tls.SSLContext | None
    ) -> AsyncIterator[None]:
        """Serve until the block is left; then every connection ends within moments."""
        sockets, given_up = self._sockets, self._given_up

        class Tracked(ws.ServerConnection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                sockets.add(self)
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                given_up(self)
                super().connection_lost(exc)

        listener = await ws.serve(
            self._accept,
            host,
            port,
            ssl=ssl,
            create_connection=Tracked,
            process_request=self._answer,
            process_response=self._answered,
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MAX_MESSAGE_BYTES,
            logger=logger,
        )
        bound = listener.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'wss' if ssl else 'ws'}://{shown}:{bound}{PATH}"
        try:
            yield
        finally:
            await self._close(listener)

    async def _close(self, listener: ws.Server) -> None:
        self._is_closing = True
        self.wake()
        for connection in self.connections:
            if connection.is_open and connection.is_stalled:
                connection.reset()  # it would not hear its client answer a close frame
        listener.close()
        try:
            await asyncio.wait_for(listener.wait_closed(), CLOSING_GRACE_S)
        except asyncio.TimeoutError:
            for socket in list(self._sockets):
                socket.transport.abort()
            await listener.wait_closed()

    # The handshake.

    async def _answer(self, socket: ws.ServerConnection, request: Request) -> Response | None:
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        handshake = Handshake(request.path, headers)
        if self._conduct.is_recording:
            self.handshakes.append(handshake)
        conditions = Conditions()
        handshake.plan = self._next_plan()
        for fault in handshake.plan:
            conditions.take(fault)
        if self._conduct.is_recording:
            self._conditions.append(conditions)
        self._accepted[socket] = (handshake, conditions)
        self._handshake_changed(handshake)
        await self._park(conditions)
        if handshake.status is GIVEN_UP:
            # There is nobody to answer, and websockets before 17 fails where one tries.
            raise asyncio.CancelledError
        if self._is_closing:
            return response(503, '{"error":"shutting down"}')
        return refusal(handshake, conditions, self._api_key)

    def _next_plan(self) -> tuple[Fault, ...]:
        entry = self.plan.popleft() if self.plan else None
        if entry is None:
            return ()
        return entry if isinstance(entry, tuple) else (entry,)

    async def _park(self, conditions: Conditions) -> None:
        gate = self._gate
        for seconds in conditions.parkings_s:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(gate.wait(), seconds)

    def _answered(self, socket: ws.ServerConnection, request: Request, answer: Response) -> None:
        if socket in self._accepted:
            handshake, _ = self._accepted[socket]
            if handshake.status is None:
                handshake.status = answer.status_code
                self._handshake_changed(handshake)

    def _given_up(self, socket: ws.ServerConnection) -> None:
        if socket in self._accepted and self._accepted[socket][0].status is None:
            handshake, _ = self._accepted[socket]
            handshake.status = GIVEN_UP
            self._handshake_changed(handshake)

    async def _accept(self, socket: ws.ServerConnection) -> None:
        handshake, conditions = self._accepted.pop(socket)
        connection = Connection(
            socket,
            self._session(conditions),
            handshake.plan,
            conditions,
            self._conduct,
            handshake.headers,
            self._connection_changed,
        )
        self.connections.append(connection)
        await connection.run()
        if not self._conduct.is_recording:
            self.connections.remove(connection)

    # Changes.

    def _handshake_changed(self, handshake: Handshake) -> None:
        if self._handshake_observer is not None:
            self._handshake_observer(handshake)
        self._changed()

    def _connection_changed(self, connection: Connection, event: Event) -> None:
        if self._observer is not None:
            self._observer(connection, event)
        self._changed()

    def _changed(self) -> None:
        for changed in tuple(self._watchers):  # which other threads may add to
            changed()
