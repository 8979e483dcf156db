"""`report`: a recorded call as one page of HTML."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ..console import err, fail, out


def report(
    file: Annotated[
        Path,
        typer.Argument(
            help="A recording: the .jsonl that STT(record=...) wrote, or the .wav beside it.",
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
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Make one page of HTML of a recorded call: to look at, to listen to, to send along.

    Everything is in the page: the audio, what was heard and when, and what went over the wire.

    The key is not in it; the call is: whoever has the page can hear it.

        report calls/2026-11-21T15-49-18Z-baseten-ab12cd34ef56.jsonl

    Exit status: 0 made, also of a recording that was cut off; 1 not; 2 wrong arguments.
    """
    if file.is_dir():
        fail(_which(file))
    from ..._report import NotARecording, page, read

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
    except OSError as e:
        fail(f"{target}: cannot be written: {e.strerror or e}")
    out.print(str(target))
    if show and not webbrowser.open(target.resolve().as_uri()):
        err.print("there is no browser here to open it in")


def write(page: str, target: Path) -> None:
    """Write a page, as private as the recording is where it is a new file.

    Raises:
        OSError: It cannot be written.
    """
    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(file, "w", encoding="utf-8", newline="\n") as written:
        written.write(page)


def _which(folder: Path) -> str:
    recordings = sorted(folder.glob("*.jsonl"))
    if not recordings:
        return f"{folder}: a folder, and no recording in it"
    return f"{folder}: a folder; name one of its recordings, such as the last, {recordings[-1]}"
