"""`evaluate`, against a local Baseten that reads its words out of the sound."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli.command import Command
from cli.sound import SPEECH, TEXT, coded_file
from typer.testing import CliRunner

from livekit.plugins.baseten._cli import app
from livekit.plugins.baseten.emulator import CodedRecognizer, serve


@pytest.fixture
def evaluate() -> Command:
    return Command("evaluate")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """One that is heard as its text says, and one of which a word is wrong and one missing."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, text in (("right", TEXT), ("wrong", "w1001 <b> w1002\nw1003 & nobody")):
        coded_file(folder / f"{name}.wav", SPEECH)
        (folder / f"{name}.txt").write_text(text)
    return folder


async def test_settings_are_compared_in_a_table_in_json_and_on_a_page(
    evaluate: Command, recordings: Path, tmp_path: Path
) -> None:
    figures, page = tmp_path / "out.json", tmp_path / "out.html"
    async with serve(recognizer=CodedRecognizer(word_samples=None)) as server:
        done = await evaluate(
            recordings,
            *("--vary", "vad_min_silence_duration_ms=100,200", "--fast"),
            *("--json", figures, "-o", page),
            url=server.url,
            COLUMNS="60",  # a pipe is as wide as its lines are
        )
        sent = [connection.metadata or {} for connection in server.connections]
    silences = {m["streaming_vad_config"]["min_silence_duration_ms"] for m in sent}
    assert (done.status, done.err) == (0, f"{page}\n")
    assert silences == {100, 200}
    lines = done.out.splitlines()
    assert re.match(r"setting +wrong +missed +false +in silence +taken back", lines[0])
    assert re.match(r"vad_min_silence_duration_ms=100 +\d+\.\d% +0 +0", lines[1])
    assert "Take vad_min_silence_duration_ms=100." in done.out
    settings = json.loads(figures.read_text())["settings"]
    assert [setting["name"] for setting in settings] == [
        "vad_min_silence_duration_ms=100",
        "vad_min_silence_duration_ms=200",
    ]
    right, wrong = settings[0]["results"]
    assert (right["heard"], right["substitutions"] + right["deletions"]) == (
        "w1001 w1002 w1003 w1004",
        0,
    )
    assert wrong["deletions"] + wrong["substitutions"] == 1
    text = page.read_text(encoding="utf-8")
    assert text.count("<audio") == 2
    assert "w1001 &lt;b&gt; w1002" in text  # what is said there is text, and nothing else
    assert "http" not in text.replace("http-equiv", "")


async def test_what_cannot_be_heard_is_named_and_the_others_are_measured(
    evaluate: Command, recordings: Path
) -> None:
    (recordings / "wrong.wav").write_bytes(b"no sound at all")
    async with serve(recognizer=CodedRecognizer(word_samples=None)) as server:
        done = await evaluate(recordings, "--fast", "--json", "-", url=server.url)
    assert done.status == 1
    assert done.err.startswith("wrong: not heard: ")
    (setting,) = json.loads(done.out)["settings"]
    assert (setting["failures"], setting["error_rate"]) == (1, 0.0)


@pytest.mark.parametrize(
    ("value", "says"),
    [("loudness=1,2", "loudness=1: these are no arguments of STT"), ("vad_threshold=7", "must be")],
)
async def test_what_stt_does_not_take_is_not_varied(
    evaluate: Command, recordings: Path, value: str, says: str
) -> None:
    done = await evaluate(recordings, "--vary", value, url="ws://127.0.0.1:9/")
    assert done.status == 2
    assert says in done.err


def test_what_cannot_be_compared_is_said_before_anything_is_heard(
    recordings: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, says in (
        ([str(recordings), "--vary", "vad_threshold"], "NAME=VALUE,VALUE"),
        ([str(tmp_path / "empty")], "no .txt beside a recording"),
    ):
        done = CliRunner().invoke(app, ["evaluate", *arguments])
        assert done.exit_code == 2
        assert says in " ".join(done.stderr.replace("│", " ").split())
