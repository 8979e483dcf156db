"""What goes over a connection, told to whoever records the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .._core.errors import BasetenError


class Tap(Protocol):
    """Is told what goes over one connection. Each ``at`` is a time of the event loop's clock."""

    def sent(self, frames: Sequence[str | bytes], start: int, stop: int, at: float) -> None:
        """``frames`` went out, and with them the stream samples ``start`` to ``stop``."""
        ...

    def received(self, text: str, at: float) -> None: ...

    def closed(self, error: BasetenError | None, at: float) -> None:
        """The connection is over. ``error`` says why; None if it was closed with its work done."""
        ...


class Notes:
    """Keeps what goes over a connection that no stream has yet, for the tap of that stream."""

    def __init__(self) -> None:
        self._notes: list[Callable[[Tap], None]] = []

    def tell(self, tap: Tap) -> None:
        """Tell ``tap`` all of it, in order."""
        for note in self._notes:
            note(tap)

    def sent(self, frames: Sequence[str | bytes], start: int, stop: int, at: float) -> None:
        self._notes.append(lambda tap: tap.sent(frames, start, stop, at))

    def received(self, text: str, at: float) -> None:
        self._notes.append(lambda tap: tap.received(text, at))

    def closed(self, error: BasetenError | None, at: float) -> None:
        self._notes.append(lambda tap: tap.closed(error, at))
