"""Where transcripts go: to the terminal in the order of the arguments, or into files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from .formats import Format


class Unwritable(Exception):
    """A transcript that cannot be put where it belongs; the message says why."""


class InOrder:
    """Several transcripts on one stream, each whole, in the order of the arguments.

    The first that is not complete yet is written as it comes; those after it wait for it.

    Args:
        write: Puts whole lines out.
        count: How many there will be.
    """

    def __init__(self, write: Callable[[str], None], count: int) -> None:
        self._write = write
        self._waiting = [""] * count
        self._done = [False] * count
        self._current = 0
        self._is_empty = True

    def add(self, index: int, text: str) -> None:
        self._waiting[index] += text
        if index == self._current:
            self._put_out(index)

    def done(self, index: int) -> None:
        """No more comes of this one."""
        self._done[index] = True
        while self._current < len(self._done) and self._done[self._current]:
            self._current += 1
            if self._current < len(self._done):
                self._put_out(self._current)

    def stopped(self) -> None:
        """No more comes of any: those that are complete need not wait for others."""
        for index, is_done in enumerate(self._done):
            if is_done:
                self._put_out(index)

    def _put_out(self, index: int) -> None:
        text, self._waiting[index] = self._waiting[index], ""
        if self._is_empty:
            text = text.removeprefix("\n")  # that kept it apart from the one before
        if text:
            self._write(text)
            self._is_empty = False


def destinations(inputs: Sequence[Path], output: Path | None, format: Format) -> list[Path | None]:
    """The file for each input's transcript; None is standard output.

    Raises:
        ValueError: It cannot be as asked for; the message says what to do.
    """
    if output is None:
        if len(inputs) > 1 and format in (Format.srt, Format.vtt):
            raise ValueError(
                f"{format.value} of several files would be one after the other: name a folder for "
                "them with --output"
            )
        return [None] * len(inputs)
    if len(inputs) == 1 and not _is_folder(output):
        return [output]
    if output.is_file():
        raise ValueError(f"--output {output} is a file: for several transcripts name a folder")
    names: dict[Path, Path] = {}
    for path in inputs:
        destination = output / path.with_suffix(format.suffix).name
        if destination in names:
            raise ValueError(
                f"{names[destination]} and {path} would both be {destination}: "
                "transcribe them into different folders"
            )
        names[destination] = path
    return [*names]


def format_of(output: Path | None) -> Format:
    """The format that a file's name says; text, if it says none."""
    suffix = output.suffix.lower() if output is not None and not _is_folder(output) else ""
    return next((format for format in Format if format.suffix == suffix), Format.text)


def prepare(destination: Path, source: Path | None, *, force: bool) -> None:
    """See to it that a transcript can be written there, before anything is spent on it.

    Args:
        source: The recording, if it is a file.
        force: Overwrite what is there.

    Raises:
        Unwritable: Something would be lost by it, or there can be no such file.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise Unwritable(f"cannot make the folder {destination.parent}: {_why(e)}") from None
    if destination.exists():
        if source is not None and destination.samefile(source):
            raise Unwritable("the transcript would overwrite the recording: name another --output")
        if not force:
            raise Unwritable(f"{destination} is there already: --force overwrites it")
    if not os.access(destination.parent, os.W_OK):
        raise Unwritable(f"cannot write into {destination.parent}: permission denied")


def put(destination: Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        Unwritable: It cannot be written.
    """
    beside = destination.with_name(f".{destination.name}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, destination)
    except OSError as e:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise Unwritable(f"cannot write {destination}: {_why(e)}") from None


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _is_folder(output: Path) -> bool:
    return output.is_dir()
