from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.command import Command
from cli.sound import SPEECH, Gate, coded_file


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Two utterances of two words each, in a lossless file."""
    return coded_file(tmp_path / "talk.flac", SPEECH)


@pytest.fixture
def transcribe() -> Command:
    return Command("transcribe")


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate(passes=0)
    yield gate
    gate.opened.set()
