"""Who is heard next where connections share a model that takes its time."""

from __future__ import annotations

import asyncio
import contextlib

from livekit.plugins.baseten.emulator._serving.capacity import Capacity


class Asking:
    """Connections that ask for a place, and the order in which they get one."""

    def __init__(self, places: int) -> None:
        self.capacity = Capacity(places)
        self.admitted: list[str] = []
        self.finals: set[str] = set()

    async def ask(self, name: str, *, is_final: bool = False) -> asyncio.Task[None]:
        async def wait() -> None:
            await self.capacity.enter(name, lambda: name in self.finals)
            self.admitted.append(name)

        if is_final:
            self.finals.add(name)
        task = asyncio.create_task(wait())
        await settled()
        return task


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_final_waits_neither_for_partials_in_line_nor_for_one_under_way() -> None:
    asking = Asking(2)
    for name in ("a", "b", "c"):
        await asking.ask(name)
    await asking.ask("d", is_final=True)
    assert asking.admitted == ["a", "d"]
    asking.capacity.leave()  # one place is kept for finals, and "a" or "d" has the other
    await settled()
    assert asking.admitted == ["a", "d"]
    asking.capacity.leave()
    await settled()
    assert asking.admitted == ["a", "d", "b"]


async def test_partials_take_turns_however_many_a_connection_asks_for() -> None:
    asking = Asking(1)
    for name in ("a", "b", "a"):
        await asking.ask(name)
    await asking.ask("c")
    for _ in range(3):
        asking.capacity.leave()
        await settled()
    assert asking.admitted == ["a", "b", "c", "a"]


async def test_a_partial_in_line_that_became_a_final_goes_first() -> None:
    asking = Asking(1)
    for name in ("a", "b", "c"):
        await asking.ask(name)
    asking.finals.add("c")
    asking.capacity.leave()
    await settled()
    assert asking.admitted == ["a", "c"]


async def test_a_connection_that_ends_in_line_or_at_the_door_takes_no_place() -> None:
    asking = Asking(1)
    await asking.ask("a")
    in_line, _ = await asking.ask("b"), await asking.ask("c")
    in_line.cancel()
    await settled()
    at_the_door = await asking.ask("d")
    asking.capacity.leave()  # c is in
    await settled()
    asking.capacity.leave()  # d is let in
    at_the_door.cancel()  # and ends before it takes a step
    with contextlib.suppress(asyncio.CancelledError):
        await at_the_door
    await asking.ask("e")
    assert asking.admitted == ["a", "c", "e"]
