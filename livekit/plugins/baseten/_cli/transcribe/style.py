"""What a run of `transcribe` has in common for all of its files."""

from __future__ import annotations

from dataclasses import dataclass

from .formats import Format

MICROPHONE = "microphone"  # what it is called where files have names


@dataclass(frozen=True)
class Style:
    """How transcripts are written, and how files are taken.

    Attributes:
        timestamps: Text with the times of each line.
        force: Overwrite what is there.
        jobs: Files at once.
        at_pace_of_speech: Send as if somebody spoke now.
    """

    format: Format
    timestamps: bool = False
    force: bool = False
    jobs: int = 1
    at_pace_of_speech: bool = False
