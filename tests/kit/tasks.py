"""Tasks that outlive what started them."""

from __future__ import annotations

import asyncio
from typing import Any


def tasks() -> frozenset[asyncio.Task[Any]]:
    """Those that run now, but for the caller's and the test framework's own."""
    running = asyncio.all_tasks() - {asyncio.current_task()}
    return frozenset(t for t in running if t is not None and "pytest_asyncio" not in repr(t))


async def leaked_tasks(known: frozenset[asyncio.Task[Any]] = frozenset()) -> list[str]:
    """Tasks that are still there, after those that are about to end have had their turn."""
    for _ in range(100):
        left = tasks() - known
        if not left:
            return []
        await asyncio.sleep(0.01)
    return sorted(str(task.get_coro()) for task in left)
