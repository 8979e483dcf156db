from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from kit.harness import leaked_tasks


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    known = frozenset(asyncio.all_tasks())
    yield
    assert not await leaked_tasks(known)
