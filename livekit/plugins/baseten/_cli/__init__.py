"""The command line: `python -m livekit.plugins.baseten`, a module or a folder for each command."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from ..version import __version__
from . import console
from .check.command import check
from .evaluate.command import evaluate
from .report.command import report
from .serve.command import ServeCommand, serve
from .transcribe.command import transcribe
from .watch.command import watch

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(check)
app.command()(evaluate)
app.command()(report)
app.command(cls=ServeCommand)(serve)
app.command()(transcribe)
app.command()(watch)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        console.out.print(f"livekit-plugins-baseten {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Which one it is."),
    ] = False,
) -> None:
    """Speech-to-text on Baseten, from the command line."""


def main(name: str) -> None:
    """Do what the arguments of this process say, and end it.

    Args:
        name: What the command is called in its help.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a substitute for what its code page lacks
            stream.reconfigure(errors="replace")
    _read_environment()
    try:
        app(prog_name=name)
    except OSError as e:  # of a file that a command reads, it has said so itself
        console.stop_writing()
        print(f"cannot write: {(e.strerror or str(e)).lower()}", file=sys.stderr)
        sys.exit(1)


def _read_environment() -> None:
    """Take variables that are not set from `.env.local`, then `.env`, as LiveKit's tools do."""
    for name in (".env.local", ".env"):
        if os.path.isfile(name):
            from dotenv import load_dotenv

            load_dotenv(name)
