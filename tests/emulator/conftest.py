from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from livekit.plugins.baseten.emulator import InMemoryConnection

FRAME_BYTES = 1024


class Driven(InMemoryConnection):
    """A connection in memory that takes audio of any length and gives messages, not texts."""

    def heard(self, pcm: bytes) -> list[dict[str, Any]]:
        """Send audio in frames of 512 samples, and take what is said to it."""
        assert len(pcm) % FRAME_BYTES == 0
        for at in range(0, len(pcm), FRAME_BYTES):
            self.received(pcm[at : at + FRAME_BYTES])
        return self.said()

    def told(self, **control: Any) -> list[dict[str, Any]]:
        self.received(json.dumps(control))
        return self.said()

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.outgoing()]

    def end(self) -> list[dict[str, Any]]:
        return self.told(type="end_audio")


@pytest.fixture
def connected() -> Callable[..., Any]:
    """Makes a connection in memory, its metadata given and accepted."""

    def connect(
        metadata: dict[str, Any] | None = None, *, since_s: float = 0.0, **options: Any
    ) -> Driven:
        connection = Driven(**options)
        connection.received(json.dumps(metadata or {}), now_s=since_s)
        assert connection.closing is None
        return connection

    return connect
