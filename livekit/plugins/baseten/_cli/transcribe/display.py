"""What is seen while files are being transcribed: progress and interims, where there is a terminal.

Standard output carries transcripts and nothing else; standard error everything else. Where both
are one terminal, all goes through the same console, so that the live lines stay at the bottom.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import re
import sys
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from ..console import err, stop_writing

# The file that the task under way is about, for what is logged meanwhile.
about: contextvars.ContextVar[str] = contextvars.ContextVar("about", default="")


class Display:
    """For a pipe or a file: whole lines, and nothing that moves.

    Attributes:
        unwritable: Why standard output takes no more; "" while it does.
    """

    is_live = False
    unwritable = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Whatever moves, moves in the block."""
        yield

    def started(self, index: int, name: str, duration_s: float | None) -> None:
        """Work on a file has begun. ``duration_s`` is None where it is not known."""

    def progressed(self, index: int, done_s: float) -> None:
        """So much of it is done."""

    def interim(self, text: str) -> None:
        """What is being said, as far as it is understood; "" takes it back."""

    def ended(self, index: int) -> None:
        """Work on a file is over."""

    def write(self, text: str) -> None:
        """Whole lines of transcript.

        Raises:
            BrokenPipeError: Nobody reads them any more.
        """
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as e:
            self.unwritable = (e.strerror or str(e)).lower()
            stop_writing()

    def note(self, line: str) -> None:
        """One line to whoever sits there."""
        err.print(" ".join(line.split()))


class LiveDisplay(Display):
    """For a terminal: the transcript above, what is under way below.

    Args:
        console: The terminal.
        total: How many files there are.
    """

    is_live = True

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._ended = 0
        self._interim = ""
        self._tasks: dict[int, TaskID] = {}
        name = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self._progress = Progress(
            TextColumn("{task.description}", table_column=name, markup=False),
            BarColumn(bar_width=max(8, min(30, console.width // 3))),
            _Times(),
            console=console,
            expand=True,
        )
        self._live = Live(
            get_renderable=self._picture,
            console=console,
            transient=True,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with self._live:
            yield

    def started(self, index: int, name: str, duration_s: float | None) -> None:
        self._tasks[index] = self._progress.add_task(name, total=duration_s)

    def progressed(self, index: int, done_s: float) -> None:
        self._progress.update(self._tasks[index], completed=done_s)

    def interim(self, text: str) -> None:
        self._interim = text

    def ended(self, index: int) -> None:
        self._ended += 1
        self._interim = ""
        if (task := self._tasks.pop(index, None)) is not None:
            self._progress.remove_task(task)

    def write(self, text: str) -> None:
        self._interim = ""
        if self._console.stderr:
            super().write(text)  # standard output is elsewhere
        else:
            self._console.print(Text(text), end="")

    def note(self, line: str) -> None:
        if err.is_terminal:
            self._console.print(Text(" ".join(line.split())))
        else:
            super().note(line)

    def _picture(self) -> RenderableType:
        lines: list[RenderableType] = []
        if self._interim:
            lines.append(Text(tail(self._interim, self._console.width - 1), style="dim"))
        if self._tasks:
            lines.append(self._progress)
        if self._total > 1:
            lines.append(Text(f"{self._ended} of {self._total} files", style="dim"))
        return Group(*lines)


class _Times(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f" / {clock(task.total)}"
        pace = "" if not task.speed else f" {task.speed:4.1f}x"
        return Text(f"{clock(task.completed)}{total}{pace}", style="dim")


def display(total: int) -> Display:
    """The one for where this process's output goes; a live one has to be `running`."""
    if sys.stdout.isatty():
        return LiveDisplay(Console(highlight=False, markup=False), total)
    if sys.stderr.isatty():
        return LiveDisplay(Console(highlight=False, markup=False, stderr=True), total)
    return Display()


def clock(seconds: float) -> str:
    minutes, s = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{s:02}" if minutes >= 60 else f"{minutes}:{s:02}"


def tail(text: str, columns: int) -> str:
    """The end of ``text``, which is where it changes, in one line."""
    if cell_len(text) <= columns:
        return text
    end = text[-columns:]
    while cell_len(end) > columns - 2:
        end = end[1:]
    return "… " + end.lstrip()


def show_log(shown: Display) -> None:
    """Have warnings of this package and of LiveKit shown as notes, with the file they are about."""
    handler = _Notes(shown)
    for name, level in (("livekit", logging.WARNING), ("livekit.plugins.baseten", logging.INFO)):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("livekit").addHandler(handler)
    logging.getLogger("livekit").propagate = False


class _Notes(logging.Handler):
    def __init__(self, shown: Display) -> None:
        super().__init__()
        self._shown = shown

    def emit(self, record: logging.LogRecord) -> None:
        message = re.sub(r"(\d\.\d)\d+ ?s\b", r"\1 s", record.getMessage())
        name = about.get()
        self._shown.note(f"{name}: {message}" if name else message)
