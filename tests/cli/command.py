"""The command line as a process of its own, without waiting for its imports each time.

The processes are forked off one that has imported what takes long and is in no way ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

AT_MOST_S = 60.0

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["livekit.agents", "av", "typer", "rich.progress", "rich.live"])


@dataclass
class Ran:
    status: int
    out: str
    err: str


class Fd:
    """A file descriptor that a new process is to have too."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return _inherited, (DupFd(self.number),)


def _inherited(duplicate: Any) -> Fd:
    return Fd(duplicate.detach())


class Running:
    """
    Attributes:
        out: Its standard output, unless that is a terminal.
        err: Its standard error, unless that is a terminal.
    """

    def __init__(
        self, process: ForkServerProcess, out: asyncio.StreamReader, err: asyncio.StreamReader
    ) -> None:
        self.out = out
        self.err = err
        self._process = process

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    async def status(self) -> int:
        """Its exit status, once it has ended."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), AT_MOST_S)
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    async def ran(self) -> Ran:
        """What became of it, once it has ended."""
        out, err = await asyncio.gather(self.out.read(), self.err.read())
        return Ran(await self.status(), out.decode(), err.decode())


class Command:
    """
    Args:
        name: Which of the commands.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, *arguments: str | Path, **options: Any) -> Ran:
        async with self.started(*arguments, **options) as running:
            return await running.ran()

    @contextlib.asynccontextmanager
    async def started(
        self, *arguments: str | Path, url: str = "", terminal: int | None = None, **variables: str
    ) -> AsyncIterator[Running]:
        """A process; it is killed when the block is left.

        Args:
            url: Of the deployment.
            terminal: What its output goes to, in place of pipes.
            variables: Of the environment, besides.
        """
        environment = {
            "BASETEN_MODEL_ENDPOINT": url,
            "BASETEN_API_KEY": "any",
            "COLUMNS": "100",
            "TERM": "xterm",
            **variables,
        }
        words = [self._name, *map(str, arguments)]
        async with _pipe() as (out, to_out), _pipe() as (err, to_err):
            both = (to_out, to_err) if terminal is None else (terminal, terminal)
            process = _FORKED.Process(
                target=_main, args=(words, environment, *map(Fd, both)), daemon=True
            )
            process.start()
            os.close(to_out)
            os.close(to_err)
            try:
                yield Running(process, out, err)
            finally:
                process.kill()
                process.join()
                process.close()


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A pipe's end to read from, and the one to write to, which is to be closed."""
    read, write = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb")
    )
    try:
        yield reader, write
    finally:
        transport.close()
        await asyncio.sleep(0)  # until it is


def _main(words: list[str], environment: Mapping[str, str], out: Fd, err: Fd) -> None:
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["livekit-baseten", *words]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, fd in enumerate((out, err), 1):
        os.dup2(fd.number, number)
        os.close(fd.number)
    # As Python opens them when it starts: those of the server were no pipes.
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding=encoding, closefd=False)  # noqa: SIM115
    from livekit.plugins.baseten_cli import main

    main()
