"""Time that passes only while everybody waits: the pace of speech, on any machine.

An `AgentSession` takes audio at the pace of speech and decides by the clock. In a `TimelessLoop`
work takes no time, and a wait is over as soon as nobody has anything else to do. So a call of half
a minute takes as long as its work, and what comes of it is the same however busy the machine is.

The clocks of `time` go with the loop while it runs. LiveKit keeps some of them when it is imported,
so this module has to come first: `tests/conftest.py` sees to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

# Who is not in the loop, such as the kernel, has a moment to say something before time goes on.
_TIMES_FASTER = 100
_SHORTEST_WAIT_S = 0.001

# A thread that was asked for something has more than that.
_TIMES_SLOWER = 20


class _Clock:
    """One of the clocks of `time`, in seconds. It never goes back."""

    def __init__(self, real: Callable[[], float]) -> None:
        self._real = real
        self._ahead_s = 0.0
        self._stands_at_s: float | None = None

    def __call__(self) -> float:
        if self._stands_at_s is not None:
            return self._stands_at_s
        return self._real() + self._ahead_s

    def in_ns(self) -> int:
        return round(self() * 1e9)

    def stop(self) -> None:
        self._stands_at_s = self()

    def advance(self, seconds: float) -> None:
        assert self._stands_at_s is not None
        self._stands_at_s += seconds

    def go_on(self) -> None:
        self._ahead_s = max(self._ahead_s, self() - self._real())
        self._stands_at_s = None


_clocks = {name: _Clock(getattr(time, name)) for name in ("time", "monotonic", "perf_counter")}
for _name, _clock in _clocks.items():
    setattr(time, _name, _clock)
    setattr(time, f"{_name}_ns", _clock.in_ns)


@contextlib.contextmanager
def _standing_still() -> Iterator[None]:
    for clock in _clocks.values():
        clock.stop()
    try:
        yield
    finally:
        for clock in _clocks.values():
            clock.go_on()


class TimelessLoop(asyncio.SelectorEventLoop):
    """It waits for sockets, and for what executors do; of other threads it knows nothing."""

    def __init__(self) -> None:
        self._jobs = 0
        super().__init__(_Selector(lambda: self._jobs > 0))

    def run_forever(self) -> None:
        with _standing_still():
            super().run_forever()

    def time(self) -> float:
        return _clocks["monotonic"]()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._jobs += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._done)
        return future

    def _done(self, _: asyncio.Future[Any]) -> None:
        self._jobs -= 1


class _Selector(selectors.DefaultSelector):
    def __init__(self, is_working: Callable[[], bool]) -> None:
        super().__init__()
        self._is_working = is_working
        self._owed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if ready or timeout <= 0:
            return ready
        if self._is_working():
            ready = super().select(timeout * _TIMES_SLOWER)
        else:
            self._owed_s += timeout / _TIMES_FASTER
            if self._owed_s >= _SHORTEST_WAIT_S:
                ready = super().select(self._owed_s)
                self._owed_s = 0.0
        if not ready:
            for clock in _clocks.values():
                clock.advance(timeout)
        return ready


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, in a `TimelessLoop`."""
    with contextlib.closing(TimelessLoop()) as loop:
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(main)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
