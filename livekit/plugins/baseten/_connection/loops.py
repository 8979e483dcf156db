"""What belongs to one event loop, where there may be several, one after the other or at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# One that is too busy does it when its turn comes; nobody waits for it any longer.
_ELSEWHERE_S = 1.0


def is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whoever calls is called by ``loop``."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def run_in(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, None]]
) -> bool:
    """Run ``work`` in ``loop``, and wait for it; for another loop's only a second.

    Returns:
        Whether ``loop`` can run it. One that has ended cannot.
    """
    if loop is asyncio.get_running_loop():
        await work()
    elif loop.is_running():
        there = asyncio.run_coroutine_threadsafe(work(), loop)
        await asyncio.wait({asyncio.wrap_future(there)}, timeout=_ELSEWHERE_S)
    else:
        return False
    return True


class PerLoop(Generic[T]):
    """One of a kind for each event loop, closed at the latest when its loop ends.

    Args:
        make: Called in the loop that asks first.
        close: Called in the loop that it was made in.
        abandon: Called instead where that loop is gone.
    """

    def __init__(
        self,
        make: Callable[[], T],
        *,
        close: Callable[[T], Awaitable[None]],
        abandon: Callable[[T], None],
    ) -> None:
        self._make, self._close, self._abandon = make, close, abandon
        self._made: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None, None]]] = {}

    def here(self) -> T:
        """The running loop's, made if need be."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            self._drop_ended()
            value = self._make()
            # A loop that ends closes the generators that it ran, once it has cancelled its tasks.
            life = _closed_at_its_end(value, self._close)
            with contextlib.suppress(StopIteration):
                life.__anext__().send(None)  # up to its `yield`, for which it does not wait
            made = self._made[loop] = value, life
        return made[0]

    async def aclose(self) -> None:
        """Close those of all loops. Each is made anew when it is asked for again."""
        self._drop_ended()
        for loop, (value, life) in list(self._made.items()):
            self._made.pop(loop, None)  # another thread may close it too; it closes once
            if not await run_in(loop, life.aclose):
                self._abandon(value)

    def _drop_ended(self) -> None:
        for loop in list(self._made):
            if loop.is_closed() and (made := self._made.pop(loop, None)) is not None:
                self._abandon(made[0])


async def _closed_at_its_end(
    value: T, close: Callable[[T], Awaitable[None]]
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close(value)
