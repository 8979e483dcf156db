"""What a server does with all of its connections alike, and what it tells of each."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from .._recognizers.recognizer import Recognizer

Event = Literal["opened", "received", "sent", "closed"]
"""What an observer is told of a connection."""


@dataclass(frozen=True)
class Conduct:
    """How a server treats every connection.

    Attributes:
        recognizer: Hears all of them.
        executor: Where a blocking recognizer runs.
        latency_s: Added to every recognition, in seconds.
        delay_s: How long every message is under way, in seconds.
        is_recording: Whether frames, audio and messages are kept for tests to look at.
    """

    recognizer: Recognizer
    executor: Executor
    latency_s: float
    delay_s: float
    is_recording: bool


def now_s() -> float:
    """The wall clock, which the server shows in its messages and uses for nothing else."""
    return datetime.now(timezone.utc).timestamp()
