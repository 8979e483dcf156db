"""Recordings, and what is said in them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_AUDIO_COLUMNS = ("audio", "path", "file", "filename", "wav")
_TEXT_COLUMNS = ("text", "reference", "transcript", "transcription", "sentence")


@dataclass(frozen=True)
class Clip:
    """A recording.

    Attributes:
        name: What it is called in tables.
        path: Where it is: anything that FFmpeg reads.
        reference: What is said in it, an utterance in a line; empty where nobody speaks.
    """

    name: str
    path: Path
    reference: str

    @property
    def utterances(self) -> list[str]:
        return [line for line in map(str.strip, self.reference.splitlines()) if line]


def clips_of(source: Path) -> list[Clip]:
    """The clips of a folder, in which a text lies beside each recording, or of a CSV.

    Raises:
        ValueError: There are none, or it cannot be told which they are.
    """
    clips = _of_folder(source) if source.is_dir() else _of_table(source)
    if not clips:
        raise ValueError(f"{source}: no .txt beside a recording of the same name")
    return clips


def _of_folder(folder: Path) -> list[Clip]:
    clips = []
    for text in sorted(folder.rglob("*.txt")):
        recordings = [p for p in sorted(text.parent.glob("*")) if _belong(text, p)]
        if len(recordings) > 1:
            both = " and ".join(path.name for path in recordings[:2])
            raise ValueError(f"{text}: which recording is it of, {both}?")
        for path in recordings:
            name = str(path.relative_to(folder).with_suffix(""))
            clips.append(Clip(name, path, text.read_text(encoding="utf-8")))
    return clips


def _belong(text: Path, path: Path) -> bool:
    return path.stem == text.stem and path != text and path.is_file()


def _of_table(table: Path) -> list[Clip]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            dialect = csv.Sniffer().sniff(file.readline(), ",;\t")
            file.seek(0)
            rows = csv.DictReader(file, dialect=dialect)
            names = rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
            audio, text = (
                _column(table, names, _AUDIO_COLUMNS),
                _column(table, names, _TEXT_COLUMNS),
            )
            return [_of_row(table, row[audio], row[text]) for row in rows if row[audio]]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise ValueError(f"{table}: neither a folder nor a CSV: {e}") from None


def _column(table: Path, names: Sequence[str], known: tuple[str, ...]) -> str:
    for name in known:
        if name in names:
            return name
    raise ValueError(f"{table}: none of its columns is called {', '.join(known)}")


def _of_row(table: Path, audio: str, text: str | None) -> Clip:
    return Clip(Path(audio).stem, table.parent / audio, text or "")
