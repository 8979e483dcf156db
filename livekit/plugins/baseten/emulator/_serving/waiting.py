"""Waiting until something is so."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable

LOOK_AGAIN_S = 0.05  # for what no frame changes


async def wait_until(
    predicate: Callable[[], object], changed: asyncio.Event, timeout_s: float
) -> None:
    """Look at every change, again and again between them, and once more when the time is over.

    Raises:
        asyncio.TimeoutError: It is not so.
        TypeError: ``predicate`` is no plain function.
    """
    if not callable(predicate):
        raise TypeError(f"until({predicate!r}): a function is needed, as in until(lambda: ...)")
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + timeout_s
    while not _is_so(predicate()):
        left_s = ends_s - loop.time()
        if left_s <= 0:
            raise asyncio.TimeoutError(f"still not so after {timeout_s:g} s")
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(changed.wait(), min(left_s, LOOK_AGAIN_S))
        changed.clear()


def _is_so(told: object) -> bool:
    if inspect.iscoroutine(told):
        told.close()  # it would be said of it that it was never awaited
    if inspect.isawaitable(told):
        raise TypeError("until(...): a plain function is needed; what a coroutine says is not seen")
    return bool(told)
