from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from kit.clock import TimelessLoop
from kit.tasks import no_task_outlives_its_test  # noqa: F401

from livekit.plugins.baseten.emulator import Server, serve


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], TimelessLoop]]:
    """Both ends are in one loop: time limits are for what hangs, and not for a busy machine."""
    return {"timeless": TimelessLoop}


@pytest.fixture
async def nothing_is_left() -> AsyncIterator[None]:
    """No task, no complaint of the loop's, nothing for the garbage collector to warn about."""
    problems: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    before = asyncio.all_tasks()
    yield
    left: set[asyncio.Task[Any]] = set()
    for _ in range(100):
        left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0.01)
    gc.collect()
    assert not left
    assert not problems


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serve(word_step_s=0) as running:
        yield running
