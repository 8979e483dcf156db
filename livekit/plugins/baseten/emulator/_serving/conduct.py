"""What a server does with all of its connections alike, and what it tells of each."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from .._recognizers.recognizer import Recognizer
from .capacity import Capacity

Event = Literal["opened", "received", "sent", "closed"]
"""What an observer is told of a connection."""


@dataclass(frozen=True)
class Conduct:
    """How a server treats every connection.

    Attributes:
        recognizer: Hears all of them.
        executor: Where a blocking recognizer runs.
        capacity: Which connection may use it next.
        latency_s: Added to every recognition, in seconds.
        delay_s: How long every message is under way, in seconds.
        is_recording: Whether frames, audio and messages are kept for tests to look at.
        loop_began_s: The time of day at which the event loop's clock was 0, in seconds.
    """

    recognizer: Recognizer
    executor: Executor
    capacity: Capacity
    latency_s: float
    delay_s: float
    is_recording: bool
    loop_began_s: float = field(default_factory=lambda: _time_of_day_s() - _loop_time_s())

    def now_s(self) -> float:
        """The time of day, which goes on as the event loop's clock does."""
        return self.loop_began_s + _loop_time_s()


def _time_of_day_s() -> float:
    return datetime.now(timezone.utc).timestamp()


def _loop_time_s() -> float:
    return asyncio.get_running_loop().time()
