"""What is made of a recording: whole, cut off, or none at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from paths import ROOT
from report.recordings import RATE_HZ, a_call, tone

from livekit.plugins.baseten._report import NotARecording, read
from livekit.plugins.baseten._report import reading as _reading


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def call(tmp_path: Path) -> Path:
    return a_call(tmp_path / "call")


def test_all_that_was_written_is_read(call: Path) -> None:
    recorded = read(call)
    assert recorded.is_whole
    assert not recorded.unreadable
    assert len(recorded.lines) == len(lines_of(call)) - 1  # all but the header
    assert recorded.pcm is not None
    assert len(recorded.pcm) == 8 * RATE_HZ
    assert np.array_equal(recorded.pcm[:320], tone(0.02))


def test_the_audio_names_the_recording_too(call: Path) -> None:
    assert read(call.with_suffix(".wav")).path == call


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_call_that_was_cut_off_is_read_up_to_there(call: Path, share: float) -> None:
    whole = read(call)
    data = call.read_bytes()
    call.write_bytes(data[: int(len(data) * share)])
    recorded = read(call)
    assert not recorded.is_whole
    assert not recorded.unreadable  # the line that was being written is no surprise
    assert 0 < len(recorded.lines) < len(whole.lines)
    assert set(map(str, recorded.lines)) <= set(map(str, whole.lines))


def test_audio_whose_header_fell_behind_is_read_to_its_end(call: Path) -> None:
    wav = call.with_suffix(".wav")
    data = bytearray(wav.read_bytes())
    data[40:44] = bytes(4)  # as long as nothing
    wav.write_bytes(data[:-1])  # in the middle of a sample
    pcm = read(call).pcm
    assert pcm is not None
    assert len(pcm) == 8 * RATE_HZ - 1


def test_without_its_audio_a_recording_is_read_all_the_same(call: Path) -> None:
    call.with_suffix(".wav").unlink()
    assert read(call).pcm is None


def test_the_audio_is_sought_beside_the_recording_only(call: Path, tmp_path: Path) -> None:
    """Whoever sends a recording does not choose which file of the reader's goes into the page."""
    (tmp_path / "elsewhere").mkdir()
    header, *rest = lines_of(call)
    elsewhere = tmp_path / "elsewhere" / "call.jsonl"
    told = {**json.loads(header), "audio": str(call.with_suffix(".wav"))}
    elsewhere.write_text("\n".join([json.dumps(told), *rest, ""]))
    assert read(elsewhere).pcm is None


def test_a_damaged_line_is_named_and_the_others_are_read(call: Path) -> None:
    lines = lines_of(call)
    lines[3] = lines[3][:-5]
    lines[5] = json.dumps({**json.loads(lines[5]), "at": "soon"})
    call.write_text("\n".join([*lines, ""]))
    recorded = read(call)
    assert recorded.unreadable == [4, 6]
    assert len(recorded.lines) == len(lines) - 3


def test_what_a_later_version_adds_is_passed_over(call: Path) -> None:
    lines = lines_of(call)
    lines.insert(2, json.dumps({"at": 0.1, "kind": "weather", "is_fine": True}))
    lines[3] = json.dumps({**json.loads(lines[3]), "colour": "blue"})
    call.write_text("\n".join([*lines, ""]))
    recorded = read(call)
    assert not recorded.unreadable
    assert len(recorded.lines) == len(lines) - 2


def test_a_format_that_is_not_known_yet_is_refused(call: Path) -> None:
    header, *rest = lines_of(call)
    told = {**json.loads(header), "version": 2, "package": "9.1.0"}
    call.write_text("\n".join([json.dumps(told), *rest, ""]))
    with pytest.raises(NotARecording, match=r"newer version of this package \(9\.1\.0\)"):
        read(call)


@pytest.mark.parametrize("content", [b"", b"# Readme\n", b"\xff\xfe\x00", b"[1, 2]\n", b"{}\n"])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    other = tmp_path / "notes.jsonl"
    other.write_bytes(content)
    with pytest.raises(NotARecording, match=r"notes\.jsonl: not a recorded call"):
        read(other)


def test_the_format_is_described_as_it_is_read() -> None:
    document = (ROOT / "docs" / "reports.md").read_text()
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| (.*?) \|", document.split("## The format")[1], re.M
    )
    described = {
        kind: set(re.findall(r"`(\w+)`", has))
        for kinds, has in rows
        for kind in re.findall(r"`(\w+)`", kinds)
    }
    union, _ = get_args(_reading.AnyLine)
    models = {
        kind: model
        for model in (_reading.Header, *get_args(union))
        for kind in get_args(model.model_fields["kind"].annotation)
    }
    assert described.keys() == models.keys()
    for kind, fields in described.items():
        read_here = models[kind].model_fields.keys() - {"kind", "at"}
        assert fields <= read_here, kind
        assert kind == "event" or fields == read_here, kind
