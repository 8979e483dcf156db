"""What one connection tells, from the request for it to its end."""

from __future__ import annotations

from .._core.errors import BasetenError
from .._core.session import Session
from . import instruments
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

    def failed(self, error: BasetenError) -> None:
        """There is no connection."""
        instruments.connection_failures.add(1, self._with_reason(error))

    def opened(self, handshake_s: float) -> None:
        self._is_open = True
        instruments.connections_opened.add(1, self._attributes)
        instruments.handshake_time.record(handshake_s, self._attributes)
        instruments.connections_alive.add(self._labels, 1)

    def reused(self) -> None:
        """It is given to somebody who asks for one now."""
        instruments.connections_reused.add(1, self._attributes)

    def ended(self, session: Session) -> None:
        """It is over; whoever says so again is not heard."""
        if not self._is_open:
            return
        self._is_open = False
        instruments.connections_alive.add(self._labels, -1)
        if session.error is not None:
            instruments.connection_losses.add(1, self._with_reason(session.error))

    def _with_reason(self, error: BasetenError) -> dict[str, str]:
        return {**self._attributes, "error.type": reason_of(error)}
