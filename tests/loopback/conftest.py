from __future__ import annotations

from collections.abc import Callable

import pytest
from kit.clock import TimelessLoop
from kit.tasks import no_task_outlives_its_test  # noqa: F401


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], TimelessLoop]]:
    """Both ends are in one loop: time limits are for what hangs, and not for a busy machine."""
    return {"timeless": TimelessLoop}
