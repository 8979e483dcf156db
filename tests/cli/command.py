"""The command line as a process of its own, against a deployment."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from kit.python import Ran, Running, started


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
        self,
        *arguments: str | Path,
        url: str = "",
        out: int | None = None,
        terminal: int | None = None,
        **variables: str,
    ) -> AsyncIterator[Running]:
        """A process; it is killed when the block is left.

        Args:
            url: Of the deployment.
            out: What its standard output goes to, in place of a pipe.
            terminal: What all its output goes to, in place of pipes.
            variables: Of the environment, besides.
        """
        words = ("-m", "livekit.plugins.baseten", self._name, *arguments)
        environment = {
            "BASETEN_MODEL_ENDPOINT": url,
            "BASETEN_API_KEY": "any",
            "COLUMNS": "100",
            "TERM": "xterm",
            **variables,
        }
        async with started(*words, out=out, terminal=terminal, variables=environment) as running:
            yield running
