"""One question to a deployment, and what became of it. Nothing it does makes this raise or hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from ..check import sentence
from ..check.checkup import Checkup, Wrong
from ..check.diagnosis import DEGRADED, Measured, Reason

State = Literal["up", "degraded", "down"]
STATES: tuple[State, ...] = ("up", "degraded", "down")

_END_WITHIN_S = 5.0  # for what was given up


@dataclass(frozen=True)
class Probed:
    """
    Attributes:
        at: When it began, UTC.
        took_s: How long it took.
        reason: Why the deployment is not up; `None` if it is.
        why: The same in a line that says what to do.
        words: How many were heard of those that were spoken.
    """

    at: datetime
    took_s: float
    reason: Reason | None = None
    why: str = ""
    words: int = 0
    measured: Measured = field(default_factory=Measured)

    @property
    def state(self) -> State:
        if self.reason is None:
            return "up"
        return "degraded" if self.reason in DEGRADED else "down"


async def probe(checkup: Callable[[], Checkup], *, within_s: float) -> Probed:
    """Ask once, and give up after a time.

    Args:
        checkup: Makes one.
        within_s: How long it may take.
    """
    loop, at = asyncio.get_running_loop(), datetime.now(timezone.utc)
    began_s = loop.time()
    asked = checkup()
    asking = asyncio.create_task(asked.run(), name="baseten-probe")
    try:
        await asyncio.wait([asking], timeout=within_s)
        reason, why = _outcome(asking, within_s)
    finally:
        asking.cancel()
        await asyncio.wait([asking], timeout=_END_WITHIN_S)
    return Probed(
        at=at,
        took_s=loop.time() - began_s,
        reason=reason,
        why=why,
        words=sentence.words_heard(asked.hearing.text or ""),
        measured=asked.measured,
    )


def _outcome(asking: asyncio.Task[None], within_s: float) -> tuple[Reason | None, str]:
    if not asking.done():
        return "hung", f"it was given up after {within_s:g} s"
    error = asking.exception()
    if error is None:
        return None, ""
    if isinstance(error, Wrong):
        return error.reason, str(error)
    return "other", f"unexpected {type(error).__name__}: please report this"
