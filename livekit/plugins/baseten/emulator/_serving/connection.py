"""One accepted connection: a session on one side, a WebSocket on the other, faults in between.

Three coroutines share it, and none of them decides anything about the protocol: one reads frames
into the session, one recognizes what it queued (`Hearing`), one writes what it wants said. A timer
tells the session the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from .. import faults
from .._models.message import Message
from .._models.session import REFUSED, Closing, ServerSession
from ..faults.fault import Conditions, Fault
from ..faults.rewriting import Rewriter
from .conduct import Conduct, Event
from .hearing import Hearing

RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, for no time: closing sends RST in place of FIN


class Connection:
    """What happened on a connection, and the means to make something happen to it.

    Attributes:
        headers: The request's headers, names in lower case.
        frames: Everything received, in order.
        frame_sizes: The sizes of the binary frames among them, in bytes.
        sent: Every text sent, in order.
        last_sent: The last of them, kept even where nothing else is.
        is_open: Whether the WebSocket is open.
        close_code: How it ended: the code of whoever closed first, 1006 without a close frame.
        close_reason: The reason that came with it.
    """

    def __init__(
        self,
        websocket: ServerConnection,
        session: ServerSession,
        plan: Sequence[Fault],
        conditions: Conditions,
        conduct: Conduct,
        headers: dict[str, str],
        changed: Callable[[Connection, Event], None],
    ) -> None:
        self.headers = headers
        self.frames: list[str | bytes] = []
        self.frame_sizes: list[int] = []
        self.sent: list[str] = []
        self.last_sent: str | None = None
        self.is_open = True
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._websocket = websocket
        self._session = session
        self._plan = list(plan)
        self._conditions = conditions
        self._conduct = conduct
        self._changed = changed
        self._outbox: deque[tuple[float, str | bytes]] = deque()
        self._closing: Closing | None = None
        self._is_stalled = False
        self._is_muted = False
        self._to_write = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._hearing = Hearing(session, conditions, conduct, self._pump)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The first message as it was sent, `None` before it came or where it was refused."""
        return self._session.metadata

    @property
    def audio(self) -> bytes:
        """All audio that was accepted, in one piece."""
        return bytes(self._session.audio)

    @property
    def received_samples(self) -> int:
        return self._session.received_samples

    # What a test can do to it.

    async def send(self, text: str) -> None:
        """Send any text, between the messages of the server's own making."""
        await self._send(text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, after what is waiting to be sent, and wait until it is closed."""
        self.end(code, reason)
        await self._websocket.wait_closed()

    def end(self, code: int, reason: str = "") -> None:
        """Close it after what is waiting to be sent, without waiting for that."""
        self._closing = Closing(code, reason)
        self._to_write.set()

    def post(self, payload: str | bytes) -> None:
        """Send something after what is waiting to be sent, without waiting for that."""
        due_s = asyncio.get_running_loop().time() + self._conduct.delay_s
        self._outbox.append((due_s, payload))
        self._to_write.set()

    def post_error(self, error_type: str, message: str, *, recoverable: bool) -> None:
        """Send an error in the words of the dialect, without waiting for that."""
        said = self._session.error(
            error_type, message, recoverable=recoverable, now_s=self._conduct.now_s()
        )
        self._say(said)

    def reset(self) -> None:
        """Reset the TCP connection: no close frame, and what was under way is lost."""
        self.close_code, self.close_reason = 1006, ""
        sock: socket.socket | None = self._websocket.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # gone already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._websocket.transport.abort()

    def stall(self) -> None:
        """Read and answer nothing any more, pings included, while TCP stays up."""
        self._is_stalled = True
        self._websocket.transport.pause_reading()

    @property
    def is_stalled(self) -> bool:
        return self._is_stalled

    def mute(self) -> None:
        """Read on and answer pings, but send no message of any kind any more."""
        self._is_muted = True

    def rewrite(self, rewriter: Rewriter) -> None:
        """Let every message from now on go through this, too."""
        self._conditions.rewriters.append(rewriter)

    def inflict(self, fault: Fault) -> None:
        """Let a fault strike this connection too, its samples counted from here.

        Raises:
            ValueError: It is one that strikes before there is audio.
        """
        if fault.is_of_the_start:
            raise ValueError(f"{fault} strikes at the start of a connection, and this one is open")
        self._conditions.take(fault.delayed(self._session.received_samples))
        self._plan.append(fault)
        if self._session.is_introduced:
            self._strike()

    @property
    def plan(self) -> list[Fault]:
        """Everything that goes wrong with it, or did."""
        return list(self._plan)

    @property
    def pending(self) -> list[Fault]:
        """The faults that wait for their occasion: a count of samples, a message to change."""
        return list(self._conditions.waiting)

    # What the server does with it.

    async def run(self) -> None:
        """Serve it until it is closed, whoever closes it."""
        self._changed(self, "opened")
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._hearing.run())]
        try:
            if self._conditions.first_close is not None:
                self.end(*self._conditions.first_close)
            with contextlib.suppress(ConnectionClosed):
                await self._read()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ended()

    def _ended(self) -> None:
        self.is_open = False
        self._set_timer()
        if self.close_code is None:
            self.close_code = self._websocket.protocol.close_code
            self.close_reason = self._websocket.protocol.close_reason
        self._changed(self, "closed")

    async def _read(self) -> None:
        while not self._is_stalled:
            await asyncio.sleep(self._conditions.read_delay_s)
            frame = await self._websocket.recv()
            if self._is_stalled:
                # Taking this frame may have made websockets read on, as it does with a short queue.
                self._websocket.transport.pause_reading()
                break
            if self._closing is not None:
                continue  # taken and dropped, until the client has answered the close frame
            if self._conduct.is_recording:
                self.frames.append(frame)
                if isinstance(frame, bytes):
                    self.frame_sizes.append(len(frame))
            self._received(frame)
            self._changed(self, "received")
        await self._websocket.wait_closed()

    def _received(self, frame: str | bytes) -> None:
        if self._conditions.waiting:
            self._note_occasions(frame)
        if self._conditions.refuses_metadata and not self._session.is_introduced:
            self.end(REFUSED.code, REFUSED.reason)
            return
        if not (self._conditions.ignores_end and self._session.is_end_of_audio(frame)):
            self._session.received(frame, self._conduct.now_s())
        if not self._conduct.is_recording:
            self._session.audio.clear()
        self._pump()
        if self._session.is_introduced:
            self._strike()

    def _note_occasions(self, frame: str | bytes) -> None:
        """A frame is what some faults wait for."""
        self._conditions.struck(faults.SlowReading)
        self._conditions.struck(faults.RejectMetadata)
        if self._session.is_end_of_audio(frame):
            self._conditions.struck(faults.NeverAcknowledge)
            self._conditions.struck(faults.NeverFinish)

    def _pump(self) -> None:
        """Take over what the session has to say, and wake whom it concerns."""
        for message in self._session.outgoing():
            self._say(message)
        if self._closing is None:
            self._closing = self._session.closing
        self._to_write.set()
        self._hearing.wake()
        self._set_timer()

    def _set_timer(self) -> None:
        """Tell the session when what it waits for is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.is_open and self._session.due_s is not None:
            in_s = max(0.0, self._session.due_s - self._conduct.now_s())
            self._timer = asyncio.get_running_loop().call_later(in_s, self._expire)

    def _expire(self) -> None:
        self._session.expired(self._conduct.now_s())
        self._pump()

    def _say(self, message: Message) -> None:
        messages = [copy.deepcopy(message)]  # rewriters change them in place
        for rewriter in self._conditions.rewriters:
            messages = [new for old in messages for new in rewriter(old)]
        for rewritten in messages:
            self.post(json.dumps(rewritten, ensure_ascii=False, separators=(",", ":")))

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._to_write.wait()
                self._to_write.clear()
                while self._outbox:
                    await asyncio.sleep(max(0.0, self._outbox[0][0] - loop.time()))
                    _, payload = self._outbox.popleft()
                    if not (self._is_muted or self._is_stalled):
                        await self._send(payload)
                if self._closing is not None and not self._is_stalled:
                    self.close_code, self.close_reason = self._closing.code, self._closing.reason
                    await self._websocket.close(self._closing.code, self._closing.reason)
                    return

    async def _send(self, payload: str | bytes) -> None:
        await self._websocket.send(payload)
        if isinstance(payload, str):
            self.last_sent = payload
            if self._conduct.is_recording:
                self.sent.append(payload)
        self._changed(self, "sent")

    def _strike(self) -> None:
        received = self._session.received_samples
        for fault in [f for f in self._conditions.strikes if received >= f.after_samples]:
            self._conditions.strikes.remove(fault)
            self._conditions.waiting.remove(fault)
            fault.strike(self)
