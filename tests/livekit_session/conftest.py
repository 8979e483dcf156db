from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from livekit_session.harness import MODELS, Model, leaked_tasks


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    """Every test that asks for it runs over both dialects, unless it says which."""
    chosen: Model = request.param
    return chosen


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    known = frozenset(asyncio.all_tasks())
    yield
    assert not await leaked_tasks(known)
