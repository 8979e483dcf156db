"""Where transcripts go: to the terminal in the order of the arguments, or into files."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ..._transcription.formats import Format

STDIN = "-"


class Unwritable(Exception):
    """A transcript that cannot be put where it belongs; the message says why."""


@dataclass(frozen=True)
class Target:
    """Where the transcript of one recording goes.

    Attributes:
        files: The file for each format; without any it goes to standard output.
        clash: Why it can go nowhere.
    """

    files: Mapping[Format, Path] = field(default_factory=dict)
    clash: str = ""


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


def formats_of(given: Sequence[str], output: str | None) -> list[Format]:
    """The formats that are asked for: by name, else by what the output's name ends in.

    Args:
        given: Names, several in one with commas between; ``all`` is each.

    Raises:
        ValueError: There is no such format; the message says what there is.
    """
    names = [name.strip().lower() for text in given for name in text.split(",") if name.strip()]
    if not names:
        return [_format_of_name(output)]
    known = {**{format.value: [format] for format in Format}, "txt": [Format.text]}
    known["all"] = list(Format)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"--format {unknown[0]}: there is none; use {', '.join(known)}")
    return list(dict.fromkeys(format for name in names for format in known[name]))


def _format_of_name(output: str | None) -> Format:
    suffix = "" if output is None or _is_folder(output) else Path(output).suffix.lower()
    if not suffix:
        return Format.text
    for format in Format:
        if format.suffix == suffix:
            return format
    known = ", ".join(format.suffix for format in Format)
    raise ValueError(f"--output {output}: {suffix} is none of {known}; say which with --format")


def targets(
    inputs: Sequence[str], formats: Sequence[Format], *, output: str | None, folder: str | None
) -> list[Target]:
    """Where each input's transcript goes.

    Raises:
        ValueError: It cannot be as asked for; the message says what to do.
    """
    if output is not None and folder is not None:
        raise ValueError("--output and --output-dir: one of them is enough")
    if output is None and folder is None:
        _check_standard_output(inputs, formats)
        return [Target() for _ in inputs]
    if output is not None and _is_device(output) and len(inputs) == len(formats) == 1:
        return [Target({formats[0]: Path(output)})]
    if output is not None and not _is_folder(output):
        if len(inputs) == 1 and len(formats) == 1:
            return [Target({formats[0]: Path(output)})]
        several = "several formats" if len(inputs) == 1 else "several transcripts"
        is_file = Path(output).suffix.lower() in {format.suffix for format in Format}
        if is_file or Path(output).is_file():
            raise ValueError(
                f"--output {output} is a file: for {several} name a folder with --output-dir"
            )
    return _in_folder(inputs, formats, Path(folder or output or ""))


def _in_folder(inputs: Sequence[str], formats: Sequence[Format], folder: Path) -> list[Target]:
    taken: dict[Path, str] = {}
    out = []
    for name in inputs:
        files = {format: folder / f"{stem_of(name)}{format.suffix}" for format in formats}
        if path := next((path for path in files.values() if path in taken), None):
            why = f"{path} is that of {taken[path]}: transcribe it into another folder"
            out.append(Target(clash=why))
            continue
        taken.update(dict.fromkeys(files.values(), name))
        out.append(Target(files))
    return out


def _check_standard_output(inputs: Sequence[str], formats: Sequence[Format]) -> None:
    if len(formats) > 1:
        raise ValueError("several formats would be one after the other: name an --output-dir")
    if len(inputs) > 1 and formats[0] in (Format.srt, Format.vtt, Format.tsv):
        raise ValueError(
            f"{formats[0].value} of several files would be one after the other: name an "
            "--output-dir"
        )


def stem_of(name: str) -> str:
    """What a recording is called without its suffix."""
    if name == STDIN:
        return "stdin"
    if name.lower().startswith(("http://", "https://")):
        return PurePosixPath(unquote(urlsplit(name).path)).stem or "audio"
    return Path(name).stem


def prepare(destination: Path, source: str | None, *, force: bool) -> None:
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
    try:
        is_there = destination.exists()
        if is_there and source is not None and destination.samefile(source):
            raise Unwritable("the transcript would overwrite the recording: name another --output")
    except OSError as e:
        raise Unwritable(f"cannot write {destination}: {_why(e)}") from None
    if is_there and not force and not _is_device(destination):
        raise Unwritable(f"{destination} is there already: --force overwrites it")
    if not _is_device(destination) and not os.access(destination.parent, os.W_OK):
        raise Unwritable(f"cannot write into {destination.parent}: permission denied")


def put(destination: Path, text: str) -> None:
    """Write a file, whole or not at all; where that fails, what was heard is kept elsewhere.

    Raises:
        Unwritable: It cannot be written; the message says where the text is.
    """
    try:
        _write(destination, text)
    except OSError as e:
        raise Unwritable(
            f"cannot write {destination}: {_why(e)}. {kept(destination.name, text)}"
        ) from None


def kept(name: str, text: str) -> str:
    """Keep what could not be put where it belongs; says where it is."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="livekit-baseten-"))
        path = folder / name
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as e:
        return f"It could not be kept elsewhere either: {_why(e)}"
    return f"What was heard is in {path}"


def _write(destination: Path, text: str) -> None:
    if _is_device(destination):  # a pipe, a terminal: nothing to put in its place
        destination.write_text(text, encoding="utf-8", newline="\n")
        return
    # A short name of its own: the destination's may be as long as a name can be.
    beside = destination.with_name(f".{secrets.token_hex(4)}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, destination)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _is_device(path: str | Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
