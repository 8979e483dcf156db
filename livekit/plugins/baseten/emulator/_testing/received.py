"""What came over a connection, to be looked at from any thread."""

from __future__ import annotations

import json
from typing import Any

from .._recognizers.recognizer import SAMPLE_RATE_HZ
from .._serving.connection import Connection

KINDS = frozenset(
    {"end_audio", "health_check", "input_audio_buffer.append", "input_audio_buffer.commit"}
)
"""What clients send after the metadata, in either dialect."""


class Received:
    """A connection as a test may look at it while the server goes on in another thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def metadata(self) -> dict[str, Any]:
        """What the client sent first, empty if it sent nothing of the kind."""
        return self._connection.metadata or {}

    def asked(self, name: str) -> object:
        """A setting of the metadata, wherever it is in there; `None` if it was not sent.

        Args:
            name: As on the wire: ``audio_language``, ``min_silence_duration_ms``.
        """
        return _found(self.metadata, name)

    @property
    def audio(self) -> bytes:
        """All of it: 16-bit little-endian mono samples, silence and what came again included."""
        return self._connection.audio

    @property
    def seconds(self) -> float:
        """Of audio that came."""
        return self._connection.received_samples / SAMPLE_RATE_HZ

    def messages(self, kind: str) -> list[dict[str, Any]]:
        """The JSON messages of a type that came: ``health_check``, ``end_audio``.

        Raises:
            ValueError: No client sends messages of this type.
        """
        if kind not in KINDS:
            raise ValueError(f"messages({kind!r}): there are {', '.join(sorted(KINDS))}")
        texts = [frame for frame in list(self._connection.frames) if isinstance(frame, str)]
        read = [json.loads(text) for text in texts if kind in text]
        return [message for message in read if message.get("type") == kind]

    @property
    def is_open(self) -> bool:
        return self._connection.is_open

    @property
    def close_code(self) -> int | None:
        """How it ended, 1006 without a close frame; `None` while it is open."""
        return self._connection.close_code

    def __repr__(self) -> str:
        state = "open" if self.is_open else f"closed {self.close_code}"
        lines = [f"{state}, {self.seconds:.2f} s of audio"]
        lines += [f"  asked for {name}: {value}" for name, value in self.metadata.items()]
        return "\n".join(lines)


def _found(settings: object, name: str) -> object:
    if not isinstance(settings, dict):
        return None
    if name in settings:
        return settings[name]
    inner = (_found(value, name) for value in settings.values())
    return next((value for value in inner if value is not None), None)
