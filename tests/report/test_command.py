"""The command `report`: once as a process of its own, for the rest in this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kit import python
from report.recordings import a_call
from typer.testing import CliRunner, Result

from livekit.plugins.baseten._cli import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


async def test_the_page_is_beside_the_recording_and_its_name_is_printed(tmp_path: Path) -> None:
    call = a_call(tmp_path / "call")
    done = await python.ran("-m", "livekit.plugins.baseten", "report", call)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{tmp_path / 'call.html'}\n"
    made = (tmp_path / "call.html").read_text(encoding="utf-8")
    assert made.startswith("<!doctype html>")
    if os.name == "posix":
        assert (tmp_path / "call.html").stat().st_mode & 0o077 == 0


def test_output_names_the_page(tmp_path: Path) -> None:
    recording = a_call(tmp_path / "call")
    done = run(recording.with_suffix(".wav"), "-o", tmp_path / "there.html")
    assert done.exit_code == 0
    assert (tmp_path / "there.html").is_file()
    assert not (tmp_path / "call.html").exists()


def test_a_recording_that_was_cut_off_makes_a_page_and_a_line(tmp_path: Path) -> None:
    recording = a_call(tmp_path / "call")
    recording.write_bytes(recording.read_bytes()[:3000])
    done = run(recording)
    assert done.exit_code == 0
    assert (tmp_path / "call.html").is_file()
    (line,) = done.stderr.splitlines()
    assert "cut off before the call ended" in line


@pytest.mark.parametrize(
    ("name", "status", "told"),
    [
        ("missing.jsonl", 1, "missing.jsonl: cannot be read: No such file or directory"),
        ("notes.jsonl", 1, "notes.jsonl: not a recorded call"),
        ("empty", 1, "empty: a folder, and no recording in it"),
    ],
)
def test_what_is_no_recording_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, status: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.jsonl").write_text("hello\n")
    (tmp_path / "empty").mkdir()
    done = run(name)
    assert (done.exit_code, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    assert told in line


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    done = run(a_call(tmp_path / "call"), "-o", tmp_path / "nowhere" / "page.html")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "page.html: cannot be written: No such file or directory" in line


@pytest.mark.parametrize("suffix", [".jsonl", ".wav"])
def test_the_recording_is_not_written_over(tmp_path: Path, suffix: str) -> None:
    recording = a_call(tmp_path / "call")
    threatened = recording.with_suffix(suffix)
    before = threatened.read_bytes()
    done = run(recording, "-o", threatened)
    assert done.exit_code == 2
    assert threatened.read_bytes() == before
