"""`transcribe` where output, names and arguments are not what they should be: a line, no traceback,
and what was heard is kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cli.command import Command
from cli.sound import TEXT

from livekit.plugins.baseten.emulator import ScriptRecognizer, Server, serve


@pytest.fixture
async def baseten() -> AsyncIterator[Server]:
    async with serve(word_step_s=0) as server:
        yield server


def copied(folder: Path, names: list[bytes], talk: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / os.fsdecode(name) for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(talk, path)
    return paths


async def test_what_a_code_page_lacks_costs_no_transcript(
    transcribe: Command, talk: Path, tmp_path: Path
) -> None:
    recognizer = ScriptRecognizer(["\u266a la la \u266a", "the end"])
    async with serve(recognizer=recognizer) as server:
        ran = await transcribe(talk, url=server.url, PYTHONIOENCODING="cp1252")
    assert (ran.status, ran.out, ran.err) == (0, "? la la ?\nthe end\n", "")
    recognizer = ScriptRecognizer(["\u266a la la \u266a", "the end"])
    async with serve(recognizer=recognizer) as server:
        song = tmp_path / "song.txt"
        ran = await transcribe(talk, "-o", song, url=server.url, PYTHONIOENCODING="cp1252")
    assert ran.status == 0
    assert song.read_text(encoding="utf-8") == "\u266a la la \u266a\nthe end\n"


def the_one_in(folder: Path) -> Path:
    (kept,) = folder.glob("*/talk.txt")
    return kept


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
async def test_a_disk_that_is_full_keeps_what_was_heard(
    transcribe: Command, baseten: Server, talk: Path, tmp_path: Path
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        ran = await transcribe(talk, url=baseten.url, out=full, TMPDIR=str(tmp_path))
    finally:
        os.close(full)
    assert ran.status == 1
    (line,) = ran.err.splitlines()
    assert "cannot write to standard output: no space left on device" in line
    kept = the_one_in(tmp_path)
    assert line.endswith(f"What was heard is in {kept}")
    assert kept.read_text() == TEXT


async def test_names_of_any_bytes_and_length_are_written(
    transcribe: Command, baseten: Server, talk: Path, tmp_path: Path
) -> None:
    names = [b"caf\xe9.flac", b"x" * 250 + b".flac"]
    try:
        recordings = copied(tmp_path / "in", names, talk)
    except OSError:
        pytest.skip("this file system has other names")
    ran = await transcribe(*recordings, "--output-dir", tmp_path / "out", url=baseten.url)
    assert (ran.status, ran.err) == (0, "")
    written = {os.fsencode(path.name): path.read_text() for path in (tmp_path / "out").iterdir()}
    assert written == {name.replace(b".flac", b".txt"): TEXT for name in names}


async def test_a_name_that_comes_again_does_not_stop_the_others(
    transcribe: Command, baseten: Server, talk: Path, tmp_path: Path
) -> None:
    first, second, third = copied(
        tmp_path / "in", [b"a/talk.flac", b"b/talk.flac", b"b/walk.flac"], talk
    )
    out = tmp_path / "out"
    ran = await transcribe(first, second, third, "--output-dir", out, "-f", "tsv", url=baseten.url)
    assert ran.status == 1
    (line,) = ran.err.splitlines()
    assert line.startswith(f"{second}: {out}/talk.tsv is that of {first}")
    assert sorted(path.name for path in out.iterdir()) == ["talk.tsv", "walk.tsv"]


async def test_a_folder_that_is_not_there_is_made_and_each_format_is_a_file(
    transcribe: Command, baseten: Server, talk: Path, tmp_path: Path
) -> None:
    ran = await transcribe(talk, "-o", f"{tmp_path}/new/", "-f", "all", url=baseten.url)
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {f"talk.{suffix}" for suffix in ("txt", "json", "srt", "vtt", "tsv")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prompt", "bad\udcff"], "--prompt: must be text that can be sent as UTF-8"),
        (["--keyterm", "bad\udcff"], "--keyterm: must be text that can be sent as UTF-8"),
        (["--language", "\udcff"], "not a language that Whisper knows"),
        (["--endpoint", "ws://127.0.0.1:99999/websocket"], "not a URL"),
        (["--endpoint", "wss://a.example/websocket", "--model-id", "abc"], "only one of them"),
        (["--model-id", "abc", "--chain-id", "abc"], "--model-id and --chain-id: only one"),
    ],
)
async def test_an_argument_that_cannot_be_is_a_line(
    transcribe: Command, talk: Path, arguments: list[str], said: str
) -> None:
    ran = await transcribe(talk, *arguments, url="wss://nowhere.invalid/websocket")
    assert (ran.status, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert said in line


async def test_tls_where_there_is_none_is_said(
    transcribe: Command, baseten: Server, talk: Path
) -> None:
    url = baseten.url.replace("ws://", "wss://")
    ran = await transcribe(talk, url=url)
    assert ran.status == 1
    last = ran.err.splitlines()[-1]
    port = url.split(":")[2].split("/")[0]
    assert f"port {port}: closed in the TLS handshake: is it ws:// there?" in last


async def test_an_option_without_effect_is_a_note(
    transcribe: Command, baseten: Server, talk: Path
) -> None:
    ran = await transcribe(talk, "--diarize", "--max-lines", "1", url=baseten.url)
    assert (ran.status, ran.out) == (0, TEXT)
    assert ran.err.splitlines() == [
        "--max-lines has no effect here",
        "--diarize: no speaker came; only a chain with a diarizer tells them apart",
    ]
