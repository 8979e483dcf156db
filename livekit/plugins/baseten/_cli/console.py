"""What every command prints through, and how one ends that cannot go on."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer
from rich.console import Console

out = Console(soft_wrap=True, highlight=False, markup=False)
err = Console(soft_wrap=True, highlight=False, markup=False, stderr=True)


def fail(why: str, *, status: int = 1) -> NoReturn:
    """End with one line that says what is wrong and what to do, without a traceback."""
    err.print(why, soft_wrap=not err.is_terminal)  # a terminal breaks lines between words
    raise typer.Exit(status)


def stop_writing() -> None:
    """Standard output takes no more: let Python's own flush at the end find nobody either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
