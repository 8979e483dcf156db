"""A line for each step of `check`, with a tick on a terminal and in plain words in a pipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

Outcome = Literal["ok", "note", "failed"]

_TICKS: dict[Outcome, tuple[str, str]] = {
    "ok": ("\N{CHECK MARK}", "green"),
    "note": ("!", "yellow"),
    "failed": ("\N{BALLOT X}", "bold red"),
}


@dataclass(frozen=True)
class Step:
    name: str
    outcome: Outcome
    detail: str


class Steps:
    """What was done so far, and what is being done now.

    Args:
        console: Where it is shown; `None` shows nothing, for whoever wants the record only.
    """

    def __init__(self, console: Console | None) -> None:
        self._steps: list[Step] = []
        self._console = console
        self._status: Status | None = None

    def doing(self, what: str) -> None:
        """Show what is waited for, until the next step is done. In a pipe nothing is shown."""
        if self._console is None or not self._console.is_terminal:
            return
        shown = Text(what, style="dim")
        shown.truncate(max(10, self._console.width - 4), overflow="ellipsis")
        if self._status is None:
            self._status = self._console.status(shown)
            self._status.start()
        else:
            self._status.update(shown)

    def done(self, name: str, detail: str, outcome: Outcome = "ok") -> None:
        """A step is done, well or not."""
        self.stop()
        self._steps.append(Step(name, outcome, detail))
        if self._console is None:
            return
        if not self._console.is_terminal:
            self._console.print(f"{outcome:<6}  {name:<10}  {detail}")
            return
        row = Table.grid(Column(width=3), Column(width=10), Column(), padding=(0, 1))
        tick, style = _TICKS[outcome]
        row.add_row(Text(tick, style, justify="right"), name, Text(detail))
        self._console.print(row, soft_wrap=False)

    def stop(self) -> None:
        """Nothing is waited for any more."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    @property
    def record(self) -> list[dict[str, str]]:
        return [asdict(step) for step in self._steps]
