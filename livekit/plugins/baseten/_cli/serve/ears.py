"""Who hears for the server, as its options say."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..console import fail

if TYPE_CHECKING:
    from ...emulator import Recognizer

NOISE_FLOOR = 300  # of 32767: what a quiet room is below, as 16-bit samples
DEFAULT_MODEL = "tiny.en"


class RecognizerName(str, enum.Enum):
    whisper = "whisper"
    sphinx = "sphinx"
    script = "script"
    coded = "coded"


@dataclass(frozen=True)
class Ears:
    """What was asked for.

    Attributes:
        name: Which recognizer; `None` is the best that there is here.
        script: What it says, where it goes by a script.
        whisper_model: Which Whisper; `None` is the smallest.
        device: Where Whisper runs.
    """

    name: RecognizerName | None = None
    script: Path | None = None
    whisper_model: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def mistake(self) -> str | None:
        """What is wrong with it."""
        if self.name is RecognizerName.script and self.script is None:
            return "--recognizer script needs a --script FILE"
        if self.script is not None and self.name is not RecognizerName.script:
            return "--script is for --recognizer script"
        is_whisper = self.name in (None, RecognizerName.whisper)
        if not is_whisper and (self.whisper_model is not None or self.device != "auto"):
            return "--whisper-model and --device are for --recognizer whisper"
        return None

    @contextlib.contextmanager
    def recognizer(self) -> Iterator[tuple[Recognizer, str]]:
        """The recognizer, and a line that says which it is.

        Raises:
            ImportError: It is not installed; the message says what to install.
            typer.Exit: Whisper has no weights. Where they may come from has been said.
        """
        from ... import emulator

        model = self.whisper_model or DEFAULT_MODEL
        if self.name is RecognizerName.coded:
            coded = emulator.CodedRecognizer(word_samples=None)
            yield coded, "Reads words that are coded into the audio."
        elif self.name is RecognizerName.script:
            assert self.script is not None
            lines = _lines_of(self.script)
            script = emulator.ScriptRecognizer(lines, is_cyclic=True, floor=NOISE_FLOOR)
            yield script, f"Says the lines of {self.script.name}, whatever it hears."
        elif self.name is RecognizerName.sphinx:
            with emulator.SphinxRecognizer() as sphinx:
                yield sphinx, "Hears with pocketsphinx, far less well than Whisper."
        elif self.name is None and self.whisper_model is None:
            found, line = emulator.real_recognizer(model, device=self.device)
            with found:
                yield found, line
        else:
            try:
                whisper = emulator.WhisperRecognizer(model, device=self.device)
            except (emulator.WeightsMissing, ValueError) as e:  # ValueError: no such device
                fail(str(e))
            with whisper:
                yield whisper, f"Hears with {whisper.description}."


def _lines_of(script: Path) -> list[str]:
    """
    Raises:
        typer.Exit: There is none to say. Why has been said.
    """
    try:
        lines = script.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        fail(f"--script {script}: no text in UTF-8", status=2)
    if not lines:
        fail(f"--script {script}: no line in it to say", status=2)
    return lines
