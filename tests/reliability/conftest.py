from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from kit.loopback import MODELS, Spoken

from livekit.plugins.baseten._core.options import Model


@pytest.fixture(params=MODELS, autouse=True)
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Whose dialect is spoken: every test runs over each, but for those that are `only` for one."""
    name: Model = request.param
    monkeypatch.setattr(Spoken, "model", name)
    return name


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """What a test starts ends with it, or it leaks in every call."""
    yield
    for _ in range(100):  # for those that end by themselves in a moment
        left = [task for task in asyncio.all_tasks() if "pytest_asyncio" not in repr(task)]
        if not left:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"left behind: {left}")
