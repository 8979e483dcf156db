"""The command line: `python -m livekit.plugins.baseten`, a module for each command."""

from __future__ import annotations

import typer

from .serve import serve

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Speech-to-text on Baseten, from the command line.",
)
app.command()(serve)


@app.callback()
def _main() -> None:
    """Keeps `serve` a command of its own while it is the only one."""
