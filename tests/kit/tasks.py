"""Tasks that outlive what started them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest


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


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    """What a test starts ends with it, or it leaks in every call. For a folder's conftest."""
    known = tasks()
    yield
    assert not await leaked_tasks(known)
