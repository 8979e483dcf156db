"""The command line: `python -m livekit.plugins.baseten`, a module or a folder for each command."""

from __future__ import annotations

import typer

from .check.command import check
from .report.command import report
from .serve.command import ServeCommand, serve
from .transcribe.command import transcribe

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Speech-to-text on Baseten, from the command line.",
)
app.command()(check)
app.command()(report)
app.command(cls=ServeCommand)(serve)
app.command()(transcribe)
