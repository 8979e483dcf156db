from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from kit.clock import TimelessLoop
from kit.tasks import leaked_tasks, tasks


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], TimelessLoop]]:
    """Both ends are in one loop: time limits are for what hangs, and not for a busy machine."""
    return {"timeless": TimelessLoop}


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    """What a test starts ends with it, or it leaks in every call."""
    known = tasks()
    yield
    assert not await leaked_tasks(known)
