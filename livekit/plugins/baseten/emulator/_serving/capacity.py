"""Who may use the recognizer next, where recognizing takes time and connections share it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False)
class _Waiter:
    holder: object
    is_final: Callable[[], bool]
    admitted: asyncio.Future[None]


class Capacity:
    """So many buffers are recognized at once, and one place among them is for finals alone.

    A final comes before every partial that waits, and waits for none that is under way. Among
    finals whoever came first is first; among partials whoever has had no turn for the longest.

    Args:
        places: How many buffers at once. With a single place a final waits for what is under way.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._kept_for_finals = 1 if places > 1 else 0
        self._waiting: list[_Waiter] = []
        self._served: dict[object, int] = {}
        self._admissions = 0

    async def enter(self, holder: object, is_final: Callable[[], bool]) -> None:
        """Wait for a place.

        Args:
            holder: Who asks, a connection.
            is_final: Whether it has a final to recognize; asked again whenever a place is free.
        """
        waiter = _Waiter(holder, is_final, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self.look()
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:  # let in at the very moment
                self.leave()
            raise

    def leave(self) -> None:
        """A place is free again."""
        self._free += 1
        self.look()

    def forget(self, holder: object) -> None:
        """It will not ask again."""
        self._served.pop(holder, None)

    def look(self) -> None:
        """Let in whoever may go in now: a place is free, or a partial's buffer became a final."""
        while self._free and (waiter := self._next()) is not None:
            self._waiting.remove(waiter)
            self._admissions += 1
            self._served[waiter.holder] = self._admissions
            self._free -= 1
            waiter.admitted.set_result(None)

    def _next(self) -> _Waiter | None:
        for waiter in self._waiting:
            if waiter.is_final():
                return waiter
        if self._free <= self._kept_for_finals or not self._waiting:
            return None
        return min(self._waiting, key=lambda waiter: self._served.get(waiter.holder, 0))
