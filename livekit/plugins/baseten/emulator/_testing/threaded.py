"""A server in a thread of its own, with an event loop of its own."""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from .._serving.server import Server

T = TypeVar("T")

WITHIN_S = 10.0


class ServerThread:
    """Runs a server from `start` to `stop`, whatever event loop its user has, if any.

    Args:
        serving: What `serve` returned.
    """

    def __init__(self, serving: AbstractAsyncContextManager[Server]) -> None:
        self._serving = serving
        self._started: Future[tuple[Server, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="baseten_server", daemon=True)

    def start(self) -> Server:
        """Wait until it serves.

        Raises:
            OSError: It cannot, for example because the port is taken.
            Exception: Whatever else keeps it from it, such as a plugin that forbids sockets.
        """
        self._thread.start()
        server, self._loop, self._over = self._started.result(WITHIN_S)
        return server

    def stop(self) -> None:
        """Wait until every connection has ended."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(WITHIN_S)
        if self._thread.is_alive():
            raise RuntimeError(f"the server did not end within {WITHIN_S:g} s")

    def call(self, function: Callable[[], T]) -> T:
        """Call something where the server runs, and wait for what it returns or raises."""
        result: Future[T] = Future()

        def call() -> None:
            try:
                result.set_result(function())
            except (RuntimeError, TypeError, ValueError) as e:
                result.set_exception(e)

        self._loop.call_soon_threadsafe(call)
        return result.result(WITHIN_S)

    def _run(self) -> None:
        try:
            self._serve_in_a_loop()
        except BaseException as e:
            if self._started.done():
                raise
            self._started.set_exception(e)  # raised where `start` waits

    def _serve_in_a_loop(self) -> None:
        _check_that_loops_can_be_made()
        # Whatever event loops a test has chosen for itself, this is asyncio's own.
        loop = asyncio.SelectorEventLoop()
        try:
            loop.run_until_complete(self._serve(loop))
            loop.run_until_complete(_end_the_rest())
        finally:
            loop.close()

    async def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        over = asyncio.Event()
        async with self._serving as server:
            self._started.set_result((server, loop, over))
            await over.wait()


def _check_that_loops_can_be_made() -> None:
    """Open what an event loop opens: one that fails half made would warn when it is thrown away.

    Raises:
        OSError: No file descriptor is free.
        Exception: Sockets are forbidden here.
    """
    with socket.socket():  # where that is forbidden, half a pair would be left
        pass
    ours, theirs = socket.socketpair()
    with ours, theirs, selectors.DefaultSelector():
        pass


async def _end_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
