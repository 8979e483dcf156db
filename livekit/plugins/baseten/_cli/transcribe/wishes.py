"""What a run of `transcribe` has in common for all of its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._transcription.formats import Format, Style
from ..._transcription.selection import Selection

MICROPHONE = "microphone"  # what it is called where files have names


@dataclass(frozen=True)
class Wishes:
    """How recordings are taken, and how their transcripts are written.

    Attributes:
        force: Overwrite what is there.
        jobs: Files at once.
        at_pace_of_speech: Send as if somebody spoke now.
    """

    formats: Sequence[Format]
    style: Style
    selection: Selection
    force: bool = False
    jobs: int = 1
    at_pace_of_speech: bool = False
