"""All recorded calls of a folder: their pages, and what stands out, in a few lines."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import date
from pathlib import Path
from textwrap import shorten

from rich.text import Text

from ....baseten_cli import begin_worker
from ..._report import (
    CannotWrite,
    Day,
    Figures,
    clock,
    make_pages,
    many,
    recordings_in,
    seconds,
    spread,
)
from ..._report import (
    as_json as figures,
)
from ..console import err, fail, out

# Fewer are done before another process has begun.
_FEW = 12
_WORST = 10
_NAMED = 10
_LONGEST = 70


def reported(folder: Path, output: str | None, day: date | None, *, as_json: bool) -> Path:
    """Make the pages of a folder's calls, and say what stands out; returns the page of all.

    Ends with status 1 if there is no call, or a page cannot be written.
    """
    try:
        recordings = recordings_in(folder, day)
    except OSError as e:
        fail(f"{folder}: cannot be read: {e.strerror or e}")
    if not recordings:
        when = "" if day is None else f" of {day}"
        fail(f"{folder}: a folder, and no recording{when} in it")
    index = _index(folder, output)
    name = folder.resolve().name
    made = _made(recordings, index, name if day is None else f"{name}, {day}")
    for one in made.unread[:_NAMED]:
        err.print(_plain(f"{folder / one.file}: {one.why}"))
    if more := made.unread[_NAMED:]:
        err.print(f"and {many(len(more), 'file')} more that could not be read")
    if not made.calls:
        fail(f"{folder}: no recording in it can be read, so there is no page")
    if as_json:
        out.print(json.dumps({"page": str(index), **figures(made)}, ensure_ascii=False, indent=2))
    else:
        _print(made, index)
    return index


def _index(folder: Path, output: str | None) -> Path:
    if output is None:
        return folder / "index.html"
    target = Path(output)
    is_file = target.suffix.lower() in (".html", ".htm") and not target.is_dir()
    index = target if is_file else target / "index.html"
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        fail(f"{index.parent}: cannot be made: {e.strerror or e}")
    return index


def _made(recordings: Sequence[Path], index: Path, name: str) -> Day:
    executor = _executor(len(recordings))
    try:
        with err.status("Making the pages") as status:
            return make_pages(
                recordings,
                index,
                name=name,
                executor=executor,
                on_progress=lambda done: status.update(
                    f"Making the pages: {done} of {len(recordings)}"
                ),
            )
    except CannotWrite as e:
        fail(str(e))
    finally:  # whatever it was, nothing more is begun
        executor.shutdown(cancel_futures=True)


def _executor(count: int) -> Executor:
    if count <= _FEW:
        return ThreadPoolExecutor(1)
    # Not forked: the progress is drawn by a thread.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        min(os.cpu_count() or 1, count // _FEW + 1), context, initializer=begin_worker
    )


def _print(day: Day, index: Path) -> None:
    audio, finals = clock(day.total(lambda call: call.audio_s)), day.total(lambda call: call.finals)
    when = f", {day.span()}" if day.span() else ""
    out.print(f"{many(len(day.calls), 'call')}{when}: {audio} of audio, {finals:.0f} finals\n")
    for what, ordered_s in (
        ("final, after the last word", day.delays_s),
        ("first interim, after the first word", day.first_interims_s),
        ("final, after flush()", day.flushes_s),
    ):
        if ordered_s:
            out.print(f"  {what:<36}{_spread(ordered_s)}")
    out.print()
    for one in day.statements():
        mark, style = ("!", "bold red") if one.is_bad else ("-", "")
        shown = Text.assemble((f"{mark} ", style), (_plain(one.said), style))
        out.print(shown, soft_wrap=not out.is_terminal)
    worst = [call for call in day.calls if call.findings][:_WORST]
    if worst:
        out.print("\nThe worst first:")
    for call in worst:
        out.print(f"  {_line(call)}")
    out.print(f"\n{index}")


def _spread(ordered_s: Sequence[float]) -> str:
    return "   ".join(f"{name} {seconds(value):>6}" for name, value in spread(ordered_s).items())


def _line(call: Figures) -> str:
    when = "" if call.began is None else f"{call.began:%H:%M:%S}  "
    # Without what was said: a terminal's lines end up in logs.
    said = [shorten(found.said.partition(": “")[0], _LONGEST) for found in call.findings]
    return _plain(f"{when}{'; '.join(said)}  {call.page}")


def _plain(text: str) -> str:
    """Without what a terminal would take for more than text."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
