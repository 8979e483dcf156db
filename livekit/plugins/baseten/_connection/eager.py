"""Runs coroutines that hardly ever wait in place, without a task for each."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator
from typing import Any


def started(coroutine: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """Run ``coroutine`` up to its first wait.

    Returns:
        None if it is done. Else the rest of it, which has to be awaited, once.

    Raises:
        Exception: Whatever it raises before it waits.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    return _Rest(coroutine, awaited)


class _Rest:
    """What ``yield from`` would do with a coroutine that has got as far as ``awaited``."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine, awaited = self._coroutine, self._awaited
        try:
            while True:
                try:
                    sent = yield awaited
                except BaseException as thrown:  # noqa: BLE001  # a cancellation: it is for it
                    awaited = coroutine.throw(thrown)
                else:
                    awaited = coroutine.send(sent)
        except StopIteration:
            return
