"""`report`: a recorded call as one page of HTML, or all calls of a folder on one."""

from __future__ import annotations

import json
import os
import webbrowser
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from ..console import err, fail, out


def report(
    recording: Annotated[
        Path,
        typer.Argument(
            help="A recording: the .jsonl that STT(record=...) wrote, or the .wav beside it. Or "
            "the folder with all of them.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="A file or a folder for the page; beside the recording if left out.",
        ),
    ] = None,
    day: Annotated[
        str | None,
        typer.Option(
            metavar="2026-11-21",
            help="Of a folder, the calls alone that began on this day, in UTC.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print figures as one JSON object in place of lines.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Make one page of HTML of a recorded call: to look at, to listen to, to send along.

    Everything is in the page: the audio, what was heard and when, and what went over the wire.

    Of a folder, make the page of each call, and index.html: what stands out, the worst first.

    These pages play the audio from the recordings.

    The key is in no page; the calls are: whoever has a page can read them.

        report calls/2026-11-21T15-49-18Z-baseten-ab12cd34ef56.jsonl
        report calls/ --open
        report calls/ --day 2026-11-21 -o report/

    Exit status: 0 made, also of a recording that was cut off; 1 not; 2 wrong arguments.
    """
    if recording.is_dir():
        from .folder import reported

        page = reported(recording, output, _parsed(day), as_json=as_json)
    elif day is not None:
        fail("--day: it chooses among the recordings of a folder, and this is none", status=2)
    else:
        page = _of_one(recording, output, as_json=as_json)
    if show and not webbrowser.open(page.resolve().as_uri()):
        err.print("there is no browser here to open it in")


def _of_one(file: Path, output: str | None, *, as_json: bool) -> Path:
    """The page of a call, made."""
    from ..._report import CannotWrite, Day, NotARecording, figures_of, page, read, write
    from ..._report import as_json as figures

    try:
        recorded = read(file)
    except NotARecording as e:
        fail(str(e))
    except OSError as e:
        fail(f"{file}: cannot be read: {e.strerror or e}")
    target = beside = recorded.path.with_suffix(".html")
    if output is not None:
        is_folder = output.endswith(("/", os.sep)) or Path(output).is_dir()
        target = Path(output) / beside.name if is_folder else Path(output)
    if target.resolve() in [recorded.path.with_suffix(s).resolve() for s in (".jsonl", ".wav")]:
        fail(f"{target}: this is the recording; the page needs another name", status=2)
    if not recorded.is_whole:
        err.print(f"{file}: cut off before the call ended; the page has what there is")
    if recorded.pcm is None:
        err.print(f"{file}: there is no audio beside it; the page is without sound")
    with err.status("Making the page"):  # ten seconds for an hour
        made = page(recorded)
    try:
        if output is not None and target.parent == Path(output):
            target.parent.mkdir(parents=True, exist_ok=True)
        write(made, target)
    except CannotWrite as e:
        fail(str(e))
    except OSError as e:
        fail(f"{target}: cannot be written: {e.strerror or e}")
    if as_json:
        told = figures(Day([figures_of(recorded, target.name)]))
        out.print(json.dumps({"page": str(target), **told}, ensure_ascii=False, indent=2))
    else:
        out.print(str(target))
    return target


def _parsed(day: str | None) -> date | None:
    try:
        return None if day is None else date.fromisoformat(day)
    except ValueError:
        fail(f"--day {day}: not a day; write it as 2026-11-21", status=2)
