"""What one connection tells, from the request for it to its end."""

from __future__ import annotations

from .._core.clocks import SAMPLE_RATE_HZ
from .._core.errors import BasetenError
from .._core.session import Session
from . import instruments, spans
from .instruments import Labels
from .reasons import reason_of


class ConnectionTelemetry:
    """
    Args:
        labels: Of the deployment.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._attributes = dict(labels)
        self._is_open = False
        self._span = spans.begun("connection", labels)

    def failed(self, error: BasetenError) -> None:
        """There is no connection."""
        reason = reason_of(error)
        instruments.connection_failures.add(1, {**self._attributes, "error.type": reason})
        spans.mark_failed(self._span, reason)
        self._span.end()

    def abandoned(self) -> None:
        """Nobody waits for it any more."""
        self._span.add_event("abandoned")
        self._span.end()

    def opened(self, handshake_s: float) -> None:
        self._is_open = True
        instruments.connections_opened.add(1, self._attributes)
        instruments.handshake_time.record(handshake_s, self._attributes)
        instruments.connections_alive.add(self._labels, 1)
        self._span.add_event("opened")

    def reused(self) -> None:
        """It is given to somebody who asks for one now."""
        instruments.connections_reused.add(1, self._attributes)
        self._span.add_event("taken over ready")

    def replays(self, samples: int) -> None:
        """It carries a stream of which so many samples were sent on another one before."""
        if samples > 0:
            self._span.add_event("replay", {"audio_s": samples / SAMPLE_RATE_HZ})

    def ended(self, session: Session) -> None:
        """It is over; whoever says so again is not heard."""
        if not self._is_open:
            return
        self._is_open = False
        instruments.connections_alive.add(self._labels, -1)
        if session.error is None:
            self._span.add_event("closed")
        else:
            reason = reason_of(session.error)
            instruments.connection_losses.add(1, {**self._attributes, "error.type": reason})
            self._span.add_event("lost", {"error.type": reason})
            spans.mark_failed(self._span, reason)
        self._span.end()
