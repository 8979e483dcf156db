from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from kit.tasks import leaked_tasks, tasks


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    """What a test starts ends with it, or it leaks in every call."""
    known = tasks()
    yield
    assert not await leaked_tasks(known)
