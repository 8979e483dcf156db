"""Coroutines that hardly ever wait: run where they are called, a task only for one that does."""

from __future__ import annotations

import types
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
    return _rest(coroutine, awaited)


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """What ``yield from`` would do with a coroutine that has got as far as ``awaited``."""
    try:
        while True:
            try:
                sent = yield awaited
            except BaseException as thrown:  # noqa: BLE001  # a cancellation: it is the coroutine's
                awaited = coroutine.throw(thrown)
            else:
                awaited = coroutine.send(sent)
    except StopIteration:
        return
