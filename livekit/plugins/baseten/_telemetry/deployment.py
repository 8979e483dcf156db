"""What the calls of one `STT` tell, which all is of one deployment."""

from __future__ import annotations

from urllib.parse import urlsplit

from .._core.recognition import Recognition
from .connection import ConnectionTelemetry
from .instruments import Labels
from .stream import StreamTelemetry


class Telemetry:
    """
    Args:
        model: What is deployed.
        url: Where; only its host is told.
    """

    def __init__(self, model: str, url: str) -> None:
        self._labels: Labels = (
            ("model_name", model),
            ("model_provider", "Baseten"),
            ("server.address", urlsplit(url).hostname or ""),
        )

    def connection(self) -> ConnectionTelemetry:
        """A connection is asked for now."""
        return ConnectionTelemetry(self._labels)

    def stream(self, recognition: Recognition) -> StreamTelemetry:
        """A stream, or a call of `recognize()`, begins."""
        return StreamTelemetry(self._labels, recognition)
