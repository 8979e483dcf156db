"""A time limit that never swallows a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(
    timeout_s: float,
    work: Coroutine[Any, Any, T],
    *,
    discard: Callable[[T], Awaitable[object]] | None = None,
) -> T:
    """Run ``work`` for at most ``timeout_s``.

    `asyncio.wait_for` before Python 3.12 returns normally when it is cancelled in the instant in
    which the work is done; who cancelled it then waits for ever (python/cpython#86296).

    Args:
        discard: Closes what the work made if nobody is left to have it.

    Raises:
        asyncio.TimeoutError: Time is up; the work was cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            await _stopped(task)
    except asyncio.CancelledError:
        await _stopped(task)
        if discard is not None and _has_result(task):
            await discard(task.result())
        raise
    if task.cancelled():
        raise asyncio.TimeoutError
    return task.result()


async def _stopped(task: asyncio.Task[T]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _has_result(task: asyncio.Task[T]) -> bool:
    return not task.cancelled() and task.exception() is None
