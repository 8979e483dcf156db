"""The pages of a folder: one of each call, made side by side, and one of all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import quote

from .day import Day, Unread
from .day_page import day_page
from .figures import Figures, figures_of
from .page import Surroundings, page
from .reading import NotARecording, header_of, read
from .standalone import MAKER, maker

_HEAD_BYTES = 2_000  # of a page, in which it says what made it


class CannotWrite(Exception):
    """A page; says which, and why."""


@dataclass(frozen=True)
class _Task:
    recording: Path
    page: Path
    among: Surroundings


def recordings_in(folder: Path, day: date | None = None) -> list[Path]:
    """What may be recordings, in the order of their names.

    Args:
        day: In UTC, on which they began. What cannot be read is among them all the same.

    Raises:
        OSError: The folder cannot be read.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".jsonl")
    return found if day is None else [path for path in found if _may_be_of(path, day)]


def make_pages(
    recordings: Sequence[Path],
    index: Path,
    *,
    name: str,
    executor: Executor,
    on_progress: Callable[[int], None],
) -> Day:
    """Make the page of each recording and, beside them, the one of all.

    A page is left as it is if it is newer than its recording and of this version of the package. A
    recording of which none can be made is among those unread, and costs the others nothing.

    Args:
        recordings: All of one folder.
        index: The page of all.
        name: What the folder is called.
        executor: What makes the pages of calls; its functions are of this module.
        on_progress: Told how many recordings are done.

    Raises:
        CannotWrite: A page; the others are made or not.
    """
    _keep_what_is_not_ours(index)
    tasks = [_task(recording, index) for recording in recordings]
    futures = {executor.submit(_made, task): task for task in tasks}
    day = Day([])
    for done, future in enumerate(as_completed(futures), start=1):
        result = _result(futures[future], future)
        if isinstance(result, Unread):
            day.unread.append(result)
        else:
            day.calls.append(result)
        on_progress(done)
    day = Day(day.calls, sorted(day.unread, key=lambda one: one.file))
    if day.calls:
        write(day_page(day, name=name), index)
    return day


def write(page: str, target: Path) -> None:
    """Write a page, as private as the recording is where it is a new file.

    Raises:
        CannotWrite: It is not written.
    """
    try:
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(file, "w", encoding="utf-8", newline="\n") as written:
            written.write(page)
    except OSError as e:
        raise CannotWrite(f"{target}: cannot be written: {e.strerror or e}") from None


def _may_be_of(path: Path, day: date) -> bool:
    try:
        return header_of(path).started.startswith(day.isoformat())
    except (NotARecording, OSError):
        return True


def _task(recording: Path, index: Path) -> _Task:
    page = index.with_name(recording.with_suffix(".html").name)
    if page == index:
        page = index.with_name(f"{recording.stem}-call.html")
    return _Task(
        recording, page, Surroundings(quote(index.name), _url(recording.parent, page.parent))
    )


def _url(folder: Path, seen_from: Path) -> str:
    """Of a folder, relative where it can be, with a slash at its end; "" for the same one."""
    if folder.resolve() == seen_from.resolve():
        return ""
    try:
        return quote(Path(os.path.relpath(folder, seen_from)).as_posix()) + "/"
    except ValueError:  # another drive, on Windows
        return folder.resolve().as_uri() + "/"


def _keep_what_is_not_ours(index: Path) -> None:
    if index.is_file() and MAKER not in _head(index):
        raise CannotWrite(f"{index}: there is another page of this name; --output names another")


def _head(page: Path) -> str:
    try:
        with page.open("rb") as file:
            return file.read(_HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


# For each recording, in a process of its own if there are many


def _made(task: _Task) -> Figures | Unread:
    """
    Raises:
        CannotWrite: The page. Whatever else is raised is about the recording.
    """
    try:
        recorded = read(task.recording)
    except NotARecording as e:
        return Unread(task.recording.name, str(e).removeprefix(f"{task.recording}: "))
    except OSError as e:
        return Unread(task.recording.name, f"cannot be read: {e.strerror or e}")
    figures = figures_of(recorded, task.page.name)
    if not _is_up_to_date(task):
        write(page(recorded, task.among), task.page)
    return figures


def _is_up_to_date(task: _Task) -> bool:
    try:
        made_ns = task.page.stat().st_mtime_ns
    except OSError:
        return False
    is_newer = made_ns > task.recording.stat().st_mtime_ns
    return is_newer and f'content="{maker()}"' in _head(task.page)


def _result(task: _Task, future: Future[Figures | Unread]) -> Figures | Unread:
    error = future.exception()
    if isinstance(error, CannotWrite):
        raise error
    if error is not None:
        return Unread(
            task.recording.name,
            f"no page can be made of it ({type(error).__name__}: {error}); please report this",
        )
    return future.result()
