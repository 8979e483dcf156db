"""One probe after the other, and what they add up to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .probe import Probed, State


@dataclass(frozen=True)
class Change:
    """The state that is over, and how long it lasted."""

    before: State
    lasted: timedelta


@dataclass
class History:
    """
    Attributes:
        first: The first probe.
        since: When the state of the last one began.
        longest_down: How long the deployment was down at a stretch, and from when on.
    """

    results: Counter[State] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    finals_s: list[float] = field(default_factory=list)
    first: Probed | None = None
    last: Probed | None = None
    since: datetime | None = None
    longest_down: tuple[timedelta, datetime] | None = None

    def take(self, probed: Probed) -> Change | None:
        """Add a probe; returns what it changed."""
        before, since = self.last, self.since
        self.first = self.first or probed
        self.last = probed
        self.results[probed.state] += 1
        if probed.reason is not None:
            self.reasons[probed.reason] += 1
        if probed.measured.final_s is not None:
            self.finals_s.append(probed.measured.final_s)
        if before is None or since is None:
            self.since = probed.at
            return None
        if before.state == "down":
            down = (probed.at - since, since)
            self.longest_down = max(self.longest_down or down, down)
        if before.state == probed.state:
            return None
        self.since = probed.at
        return Change(before.state, probed.at - since)


async def watching(
    probe: Callable[[], Awaitable[Probed]],
    told: Callable[[Probed], None],
    stopped: asyncio.Event,
    *,
    every_s: float,
) -> None:
    """Probe until stopped. A probe that is under way then is ended and not told.

    Args:
        probe: Asks once.
        told: Told of each probe, once it is over.
        every_s: From the start of a probe to that of the next, which waits for its end.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.ensure_future(stopped.wait())
    due_s = loop.time()
    try:
        while not stopped.is_set():
            probing = asyncio.ensure_future(probe())
            try:
                await asyncio.wait([probing, stopping], return_when=asyncio.FIRST_COMPLETED)
                if not probing.done():
                    return
                told(probing.result())
            finally:
                probing.cancel()
                await asyncio.wait([probing])
            due_s = max(due_s + every_s, loop.time())
            await asyncio.wait([stopping], timeout=due_s - loop.time())
    finally:
        stopping.cancel()
