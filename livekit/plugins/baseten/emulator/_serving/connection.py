"""One accepted connection: a core on one side, a WebSocket on the other, faults in between.

Three coroutines share it, and none of them decides anything about the protocol: one reads frames
into the core, one recognizes what the core queued (`Hearing`), one writes what the core wants said.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import socket
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from .. import faults
from .._models.core import Closing, Core, Message
from ..faults import AtTheStart, Fault, Strike
from . import rewriting as rewriting
from .hearing import Conduct, Hearing, now_s

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
        core: Core,
        plan: Sequence[Fault],
        conduct: Conduct,
        headers: dict[str, str],
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
        self._core = core
        self._plan = list(plan)
        self._strikes = [fault for fault in plan if isinstance(fault, Strike)]
        self._rewriters = [f.rewriter() for f in plan if isinstance(f, rewriting.Rewriting)]
        self._conduct = conduct
        self._outbox: deque[tuple[float, str | bytes]] = deque()
        self._closing: Closing | None = None
        self._is_stalled = False
        self._is_muted = False
        self._to_write = asyncio.Event()
        self._hearing = Hearing(core, self._plan, conduct, self._pump)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The first message as it was sent, `None` before it came or where it was refused."""
        return self._core.metadata

    @property
    def audio(self) -> bytes:
        """All audio that was accepted, in one piece."""
        return bytes(self._core.audio)

    @property
    def received_samples(self) -> int:
        return self._core.received_samples

    # What a test can do to it.

    async def send(self, text: str) -> None:
        """Send any text, between the messages of the server's own making."""
        await self._send(text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, after what is waiting to be sent, and wait until it is closed."""
        self._closing = Closing(code, reason)
        self._to_write.set()
        await self._websocket.wait_closed()

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

    def inflict(self, fault: Fault) -> None:
        """Let a fault strike this connection too, its samples counted from here.

        Raises:
            ValueError: It is one that strikes before there is audio.
        """
        if isinstance(fault, AtTheStart):
            raise ValueError(f"{fault} strikes at the start of a connection, and this one is open")
        if isinstance(fault, Strike):
            at = self._core.received_samples + fault.after_samples
            self._strikes.append(replace(fault, after_samples=at))
            if self._core.is_introduced:
                self._strike()
        elif isinstance(fault, rewriting.Rewriting):
            self._rewriters.append(fault.rewriter())
        self._plan.append(fault)

    @property
    def plan(self) -> list[Fault]:
        """Everything that goes wrong with it, or did."""
        return list(self._plan)

    @property
    def pending(self) -> list[Fault]:
        """The faults that wait for their count of samples."""
        return list(self._strikes)

    # What the server does with it.

    async def run(self) -> None:
        """Serve it until it is closed, whoever closes it."""
        self._conduct.changed(self, "opened")
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._hearing.run())]
        try:
            for fault in self._plan:
                if isinstance(fault, faults.CloseBeforeMetadata):
                    self._closing = Closing(fault.code, fault.reason)
                    self._to_write.set()
            with contextlib.suppress(ConnectionClosed):
                await self._read()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ended()

    def _ended(self) -> None:
        self.is_open = False
        if self.close_code is None:
            self.close_code = self._websocket.protocol.close_code
            self.close_reason = self._websocket.protocol.close_reason
        self._conduct.changed(self, "closed")

    async def _read(self) -> None:
        while not self._is_stalled:
            slow = [fault.seconds for fault in self._plan if isinstance(fault, faults.SlowReading)]
            await asyncio.sleep(sum(slow))
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
            self._conduct.changed(self, "received")
        await self._websocket.wait_closed()

    def _received(self, frame: str | bytes) -> None:
        if not self._core.is_introduced and self._has(faults.RejectMetadata):
            self._closing = Closing(1011, "Internal Server Error (in model/chainlet).")
            self._to_write.set()
            return
        if not (self._has(faults.NeverAcknowledge) and _is_end_of_audio(frame)):
            self._core.received(frame, now_s())
        if not self._conduct.is_recording:
            self._core.audio.clear()
        self._pump()
        if self._core.is_introduced:
            self._strike()

    def _pump(self) -> None:
        """Take over what the core has to say, and wake whom it concerns."""
        for message in self._core.outgoing():
            self._say(message)
        if self._closing is None:
            self._closing = self._core.closing
        self._to_write.set()
        self._hearing.wake()

    def _say(self, message: Message) -> None:
        messages = [copy.deepcopy(message)]  # rewriters change them in place
        for rewriter in self._rewriters:
            messages = [new for old in messages for new in rewriter(old)]
        for rewritten in messages:
            self._post(json.dumps(rewritten, ensure_ascii=False, separators=(",", ":")))

    def _post(self, payload: str | bytes) -> None:
        due_s = asyncio.get_running_loop().time() + self._conduct.delay_s
        self._outbox.append((due_s, payload))
        self._to_write.set()

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
        self._conduct.changed(self, "sent")

    # Faults.

    def _has(self, kind: type[Fault]) -> bool:
        return any(isinstance(fault, kind) for fault in self._plan)

    def _strike(self) -> None:
        for fault in list(self._strikes):
            if self._core.received_samples >= fault.after_samples:
                self._strikes.remove(fault)
                self._struck(fault)

    def _struck(self, fault: Strike) -> None:
        if isinstance(fault, faults.Reset):
            self.reset()
        elif isinstance(fault, faults.Stall):
            self.stall()
        elif isinstance(fault, faults.Mute):
            self.mute()
        elif isinstance(fault, faults.MuteResults):
            self._rewriters.append(rewriting.without_results)
        elif isinstance(fault, faults.Garbage):
            self._post(fault.payload)
        elif isinstance(fault, faults.Close):
            self._closing = Closing(fault.code, fault.reason)
        elif isinstance(fault, faults.Error):
            recoverable = fault.recoverable
            self._say(
                self._core.error(
                    fault.error_type, fault.message, recoverable=recoverable, now_s=now_s()
                )
            )
            if fault.then_close is not None:
                self._closing = Closing(fault.then_close)
        self._to_write.set()


def _is_end_of_audio(frame: str | bytes) -> bool:
    return isinstance(frame, str) and ("end_audio" in frame or "input_audio_buffer.commit" in frame)
