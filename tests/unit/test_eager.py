"""Coroutines that are run where they are called, and the rest of those that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from livekit.plugins.baseten._connection.eager import started


class Diary:
    """A coroutine that waits for events and notes how far it has come."""

    def __init__(self, *waits: asyncio.Event) -> None:
        self.pages: list[str] = []
        self._waits = waits

    async def written(self) -> None:
        self.pages.append("begun")
        for number, event in enumerate(self._waits):
            try:
                await event.wait()
            except asyncio.CancelledError:
                self.pages.append("cancelled")
                raise
            self.pages.append(f"waited {number}")
        self.pages.append("done")


async def awaited(rest: Awaitable[None] | None) -> None:
    assert rest is not None
    await rest


async def test_what_does_not_wait_is_done_at_once() -> None:
    diary = Diary()
    assert started(diary.written()) is None
    assert diary.pages == ["begun", "done"]


async def test_what_waits_goes_on_where_it_is_awaited() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    diary = Diary(first, second)
    task = asyncio.create_task(awaited(started(diary.written())))
    assert diary.pages == ["begun"]
    first.set()
    await asyncio.sleep(0)
    second.set()
    await task
    assert diary.pages == ["begun", "waited 0", "waited 1", "done"]


async def test_a_turn_of_the_loop_is_a_wait_too() -> None:
    pages = []

    async def patient() -> None:
        await asyncio.sleep(0)
        pages.append("done")

    rest = started(patient())
    assert pages == []
    await awaited(rest)
    assert pages == ["done"]


async def test_the_rest_can_be_cancelled() -> None:
    diary = Diary(asyncio.Event())
    task = asyncio.create_task(awaited(started(diary.written())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert diary.pages == ["begun", "cancelled"]


@pytest.mark.parametrize("turns", [0, 1])
async def test_what_it_raises_comes_out(turns: int) -> None:
    async def failing() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        await awaited(started(failing()))
