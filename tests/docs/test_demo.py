"""`make demo`, as somebody sees it who runs it in a pipe; and that it can fail."""

from __future__ import annotations

import importlib.util
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kit import python
from paths import ROOT

from livekit.plugins.baseten.emulator import ScriptRecognizer

DEMO = ROOT / "examples" / "demo.py"


@pytest.mark.alone
async def test_the_demo_shows_interims_finals_and_turns_and_ends_by_itself() -> None:
    ran = await python.ran(DEMO)
    text = ran.out
    assert (ran.status, ran.complaints) == (0, [])
    stream, agent = text.split("AgentSession(", 1)
    interims = re.findall(r"^  interim  (.+)", stream, re.MULTILINE)
    assert len(interims) >= 5
    assert len(set(interims)) >= 5  # they change
    final = re.search(r"^  final    .+  \(([\d.]+) to ([\d.]+) s .+ ([\d.]+) s after", stream, re.M)
    assert final is not None
    assert 0 <= float(final[1]) < float(final[2]) < 7.2
    assert float(final[3]) < 5
    assert re.search(r"^  turn     .+  \(committed [\d.]+ s after its last word\)$", agent, re.M)
    summary = re.search(r"Finals: (\d+) of 22 words\. User turns: (\d+), with (\d+) of", agent)
    assert summary is not None
    assert int(summary[1]) >= 20  # it hears with Whisper
    assert int(summary[2]) >= 1
    assert "And Mr. John Dashwood had then leisure" in stream  # capitals and all
    assert "\x1b" not in text  # no terminal, no control characters


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[ModuleType]:
    """The demo's module, with half a second of silence to speak."""
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.RECORDING = tmp_path / "silence.wav"
    module.TURN_WITHIN_S = 0.1
    with wave.open(str(module.RECORDING), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(bytes(16_000))
    yield module


class Deaf(ScriptRecognizer):
    """Hears nothing, whatever is said."""

    def __init__(self) -> None:
        super().__init__([])

    def __enter__(self) -> Deaf:
        return self

    def __exit__(self, *_: object) -> None:
        pass


async def test_the_demo_fails_where_the_words_do_not_come(
    demo: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.real_recognizer = lambda: (Deaf(), "Hears nothing.")
    assert await demo.main() == 1
    assert "Not good. Finals: 0 of 22 words. User turns: 0" in capsys.readouterr().out


def test_words_count_as_often_as_they_are_spoken(demo: Any) -> None:
    assert demo.wanted("to to to to and Mr. John") == 5  # "to" is spoken twice
    assert demo.wanted(demo.SPOKEN) == 22
    assert demo.wanted("") == 0


def test_the_demo_says_what_is_spoken(demo: Any) -> None:
    table = (ROOT / "examples" / "audio" / "README.md").read_text()
    assert f"| {demo.SPOKEN} |" in table
