"""Python programs as processes of their own, without waiting for their imports each time.

The processes are forked off one that has imported what takes long and is in no way ours. What it
imported has seen that process's environment: a program for which it matters needs a real start.
Nor is what a program left to `atexit` done.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import runpy
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

# Below the limit that pytest has: what hangs is named here, and a busy machine has its time.
AT_MOST_S = 250.0
# A pytest in such a process complains that modules were imported before it could rewrite them.
PYTEST = ("-m", "pytest", "-q", "-W", "ignore::pytest.PytestAssertRewriteWarning")

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(
    ["livekit.agents", "livekit.agents.cli", "av", "typer", "rich.progress", "rich.live"]
)


# What LiveKit and the client say where the machine has something else to do.
BUSY = ("slower than realtime", "its audio is sent again", "prediction timed out")


@dataclass
class Ran:
    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines of its standard error, but for what a busy machine adds."""
        return [line for line in self.err.splitlines() if not any(why in line for why in BUSY)]


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
        said = asyncio.gather(self.out.read(), self.err.read())
        out, err = await asyncio.wait_for(said, AT_MOST_S)
        return Ran(await self.status(), out.decode(), err.decode())


@contextlib.asynccontextmanager
async def started(
    *arguments: str | Path,
    cwd: Path | None = None,
    out: int | None = None,
    terminal: int | None = None,
    variables: Mapping[str, str] = {},
) -> AsyncIterator[Running]:
    """A process; it is killed when the block is left.

    Args:
        arguments: As Python takes them: `-m module`, `-c code` or a script, and what follows.
        cwd: The folder that it starts in.
        out: What its standard output goes to, in place of a pipe.
        terminal: What all its output goes to, in place of pipes.
        variables: Of the environment, besides.
    """
    environment = {**os.environ, **variables}
    async with _pipe() as (said, to_said), _pipe() as (complaints, to_complaints):
        ends = (out or to_said, to_complaints) if terminal is None else (terminal, terminal)
        words = list(map(str, arguments))
        process = _FORKED.Process(
            target=_main,
            args=(words, str(cwd or Path.cwd()), environment, *map(_Fd, ends)),
            daemon=True,
        )
        process.start()
        os.close(to_said)
        os.close(to_complaints)
        try:
            yield Running(process, said, complaints)
        finally:
            process.kill()
            process.join()
            process.close()


async def ran(*arguments: str | Path, cwd: Path | None = None, **variables: str) -> Ran:
    """What became of a program that ends by itself; the arguments are those of `started`."""
    async with started(*arguments, cwd=cwd, variables=variables) as running:
        return await running.ran()


class _Fd:
    """A file descriptor that a new process is to have too."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return _inherited, (DupFd(self.number),)


def _inherited(duplicate: Any) -> _Fd:
    return _Fd(duplicate.detach())


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


def _main(words: list[str], cwd: str, environment: Mapping[str, str], out: _Fd, err: _Fd) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    _open_standard_streams(out, err, environment.get("PYTHONIOENCODING", "utf-8"))
    if words[0] in ("-m", "-c"):
        kind, what, *rest = words
        sys.argv = [what if kind == "-m" else kind, *rest]
        sys.path.insert(0, cwd)
    else:
        kind, what = "", words[0]
        sys.argv = words
        sys.path.insert(0, str(Path(what).resolve().parent))
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif kind == "-c":
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(what, run_name="__main__")


def _open_standard_streams(out: _Fd, err: _Fd, encoding: str) -> None:
    """As Python opens them when it starts: those of the server were no pipes."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, fd in enumerate((out, err), 1):
        os.dup2(fd.number, number)
        os.close(fd.number)
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding=encoding, closefd=False)  # noqa: SIM115
