"""The calls of a folder on one page: what it says, what it survives, what it never does."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from report.recordings import HEADER, HOSTILE, KEY, a_call, event, said
from typer.testing import CliRunner, Result

from livekit.plugins.baseten._cli import app
from livekit.plugins.baseten._recording.files import Tape
from livekit.plugins.baseten._report import Day, figures_of, make_pages, read
from livekit.plugins.baseten._report.figures import Figures, Finding

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
QUIET = "baseten-0123456789ab"  # as `a_call` names its calls


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def a_quiet_call(path: Path, **header: Any) -> Path:
    """One final without a delay worth a word, and nothing that stands out."""
    tape = Tape(path, {**HEADER, **header}, 0.0, KEY)
    tape.pushed(bytes(64_000), 2.0)
    final = event("final_transcript", 1, "good day", start=0.5, end=1.5, delay_s=0.3)
    said(tape, final, 1.8)
    tape.line("end", {}, 2.0)
    tape.close()
    return path.with_name(path.name + ".jsonl")


class Read(HTMLParser):
    """Every tag of a page, and all that is read on it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._inside = ""
        self.feed(page.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._inside, []).append(data)

    @property
    def links(self) -> list[str]:
        return [attributes["href"] for tag, attributes in self.tags if tag == "a"]

    @property
    def text(self) -> str:
        unseen = ("script", "style")
        return " ".join(t for tag, texts in self.texts.items() if tag not in unseen for t in texts)


def test_a_folder_is_a_page_of_all_calls_and_one_of_each(tmp_path: Path) -> None:
    a_quiet_call(tmp_path / "a")
    a_call(tmp_path / "b")
    done = run(tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == str(tmp_path / "index.html")
    assert "! 1 of 2 calls lost audio: 0.50 s in all" in done.stdout
    assert "- 1 of 2 calls lost 1 connection; 2.00 s of audio were sent again." in done.stdout
    page = Read(tmp_path / "index.html")
    assert "1 of 2 calls lost audio" in page.text
    assert list(dict.fromkeys(page.links)) == ["./b.html", "./a.html"]  # the worst first
    assert all((tmp_path / link).is_file() for link in page.links)
    if os.name == "posix":
        assert all(p.stat().st_mode & 0o077 == 0 for p in tmp_path.glob("*.html"))
    # The page of a call plays what is beside it, and leads back.
    call = Read(tmp_path / "b.html")
    assert call.links == ["index.html"]
    assert ("audio", {"id": "audio", "preload": "auto", "src": "b.wav"}) in call.tags


def test_a_day_on_which_nothing_went_wrong_is_said_to_be_one(tmp_path: Path) -> None:
    a_quiet_call(tmp_path / "a")
    done = run(tmp_path)
    assert "- No audio was lost, no call failed, and no final was slow.\n" in done.stdout


def test_figures_as_json_have_no_word_that_was_said(tmp_path: Path) -> None:
    a_call(tmp_path / "b")
    a_quiet_call(tmp_path / "a")
    (tmp_path / "c.jsonl").write_text("no recording\n")
    done = run(tmp_path, "--json")
    told = json.loads(done.stdout)
    assert told["page"] == str(tmp_path / "index.html")
    assert told["final_delay_s"] == {
        "count": 4,
        "median": 0.3,
        "p90": 0.5,
        "p99": 0.5,
        "slowest": 0.5,
    }
    assert [(call["file"], call["lost_s"]) for call in told["calls"]] == [
        ("b.jsonl", 0.5),
        ("a.jsonl", 0.0),
    ]
    assert told["calls"][0]["findings"] == ["lost", "cut"]
    assert [one["file"] for one in told["unreadable"]] == ["c.jsonl"]
    assert "good" not in done.stdout
    assert "three" not in done.stdout
    (one,) = json.loads(run(tmp_path / "b.jsonl", "--json").stdout)["calls"]
    assert one == {**told["calls"][0]}


def broken(folder: Path) -> dict[str, str]:
    """Files of which no page can be made, and what is said of each."""
    newer = json.dumps({"kind": "call", "version": 99, "package": "9.0"})
    older = json.dumps({"version": 0, "session": "x", "events": []})
    (folder / "newer.jsonl").write_text(newer + "\n")
    (folder / "older.jsonl").write_text(older + "\n")
    (folder / "empty.jsonl").write_text("")
    (folder / "binary.jsonl").write_bytes(bytes(range(256)))
    (folder / "folder.jsonl").mkdir()
    a_quiet_call(folder / "impossible")
    header, rest = (folder / "impossible.jsonl").read_text().split("\n", 1)
    header = json.dumps({**json.loads(header), "audio": "\0.wav"})
    (folder / "impossible.jsonl").write_text(f"{header}\n{rest}")
    return {
        "newer.jsonl": "recorded by a newer version of this package (9.0); upgrade it",
        "older.jsonl": "not a recorded call",
        "empty.jsonl": "not a recorded call",
        "binary.jsonl": "not a recorded call",
        "folder.jsonl": "cannot be read: Is a directory",
        "impossible.jsonl": "not a recorded call",
    }


async def test_what_is_broken_is_named_and_costs_the_others_nothing(tmp_path: Path) -> None:
    """As a command with several processes: so many recordings are shared out."""
    told = broken(tmp_path)
    for number in range(12):
        a_quiet_call(tmp_path / f"call{number:02}")
    cut = a_call(tmp_path / "cut")
    cut.write_bytes(cut.read_bytes()[:3000])
    cut.with_suffix(".wav").unlink()
    # The kit's processes may have no children.
    command = [sys.executable, "-m", "livekit.plugins.baseten", "report", str(tmp_path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(tmp_path / n) for n in sorted(told)]
    page = Read(tmp_path / "index.html")
    for name, why in told.items():
        assert any(f"{name}: {why}" in line for line in lines), why
        assert why in page.text
    assert len(set(page.links)) == 13
    assert done.stdout.startswith("13 calls, ")
    assert "Of 1 of 13 calls the recording was cut off" in done.stdout
    assert "6 files could not be read" in done.stdout


def test_numbers_that_no_call_has_spoil_no_figures(tmp_path: Path) -> None:
    lines = a_quiet_call(tmp_path / "a", started="9999-12-31T23:59:59-14:00").read_text()
    lines = lines.replace('"delay_s":0.3', f'"delay_s":1{"0" * 400}')
    for wrong in ({"at": 1e300}, {"at": 1.0, "samples": 10**400}, {"at": 1.0, "samples": 10**30}):
        lines += json.dumps({"kind": "lost", "samples": 1, **wrong}) + "\n"
    (tmp_path / "a.jsonl").write_text(lines)
    (told,) = json.loads(run(tmp_path, "--json").stdout)["calls"]
    assert told["lost_s"] == 0
    assert told["duration_s"] == 2.0
    assert told["final_delay_s"]["slowest"] == pytest.approx(0.3, abs=0.1)
    assert told["began"] is None


def test_a_call_of_which_no_page_can_be_made_is_named(tmp_path: Path) -> None:
    class Full(ThreadPoolExecutor):
        """Has no memory left for one of the calls."""

        def submit(self, made: Any, task: Any) -> Any:  # type: ignore[override]
            future = super().submit(made, task)
            if task.recording.name == "a.jsonl":
                future.result()
                future = Future()
                future.set_exception(MemoryError("out of it"))
            return future

    recordings = [a_quiet_call(tmp_path / name) for name in ("a", "b")]
    with Full(1) as executor:
        day = make_pages(
            recordings,
            tmp_path / "index.html",
            name="calls",
            executor=executor,
            on_progress=lambda _: None,
        )
    assert [call.file for call in day.calls] == ["b.jsonl"]
    assert [(one.file, one.why) for one in day.unread] == [
        (
            "a.jsonl",
            "no page can be made of it (MemoryError: out of it); please report this",
        )
    ]


@pytest.mark.parametrize(
    ("files", "arguments", "status", "told"),
    [
        ({}, (), 1, "calls: a folder, and no recording in it"),
        ({"a.jsonl": "?"}, (), 1, "no recording in it can be read"),
        ({}, ("--day", "2026-11-21"), 1, "no recording of 2026-11-21 in it"),
        ({}, ("--day", "21.11."), 2, "--day 21.11.: not a day; write it as 2026-11-21"),
        ({"a.jsonl": "?"}, ("-o", "calls/a.jsonl/x"), 1, "cannot be made: Not a directory"),
    ],
)
def test_a_folder_of_which_there_is_no_page_is_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    arguments: tuple[str, ...],
    status: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("calls").mkdir()
    for name, text in files.items():
        Path("calls", name).write_text(text)
    done = run("calls", *arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    assert told in done.stderr.splitlines()[-1]
    assert not Path("calls", "index.html").exists()


def test_a_day_is_chosen_among_those_in_a_folder(tmp_path: Path) -> None:
    for day in ("2026-11-20", "2026-11-21", "2026-11-22"):
        a_quiet_call(tmp_path / day, started=f"{day}T23:59:59.000Z")
    assert run(tmp_path, "--day", "2026-11-21").stdout.startswith("1 call, 2026-11-21, 23:59 to")
    assert run(tmp_path / "2026-11-20.jsonl", "--day", "2026-11-20").exit_code == 2


def test_pages_can_be_elsewhere_and_find_the_sound(tmp_path: Path) -> None:
    (tmp_path / "the calls").mkdir()
    a_quiet_call(tmp_path / "the calls" / "a b#1")
    assert run(tmp_path / "the calls", "-o", tmp_path / "out").exit_code == 0
    (link,) = set(Read(tmp_path / "out" / "index.html").links)
    call = Read(tmp_path / "out" / unquote(link))
    (sound,) = [attributes["src"] for tag, attributes in call.tags if tag == "audio"]
    assert (tmp_path / "out" / unquote(sound)).resolve() == tmp_path / "the calls" / "a b#1.wav"
    assert list((tmp_path / "the calls").glob("*.html")) == []


def test_a_page_is_made_anew_where_the_recording_has_grown(tmp_path: Path) -> None:
    """And left alone where it has not: it may be one with the sound in it."""
    recording = a_quiet_call(tmp_path / "a")
    page, index = tmp_path / "a.html", tmp_path / "index.html"
    run(recording)
    os.utime(recording, ns=(0, page.stat().st_mtime_ns - 1))
    with_sound = page.read_text()
    run(tmp_path)
    assert page.read_text() == with_sound
    os.utime(recording, ns=(0, page.stat().st_mtime_ns))
    run(tmp_path)
    assert "a.wav" in page.read_text()
    page.write_text(page.read_text().replace('content="livekit-plugins-baseten ', 'content="x '))
    run(tmp_path)
    assert 'content="livekit-plugins-baseten ' in page.read_text()
    index.write_text("<p>somebody's own</p>")
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "there is another page of this name; --output names another" in done.stderr
    assert index.read_text() == "<p>somebody's own</p>"


def test_nothing_that_was_said_or_named_is_markup(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)> \x1b[31m&\"'"
    tape = Tape(tmp_path / name, {**HEADER, "id": HOSTILE}, 0.0, KEY)
    tape.pushed(bytes(64_000), 2.0)
    final = event("final_transcript", 1, HOSTILE, start=0.5, end=1.5)
    final.alternatives[0].metadata = {"possible_hallucination": True}
    said(tape, final, 1.8)
    tape.line("error", {"message": f"\x1b[2J{HOSTILE}", "recoverable": False}, 1.9)
    tape.close()
    (tmp_path / f"{name[1:]}.jsonl").write_text("?")
    done = run(tmp_path)
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout + done.stderr
    page = Read(tmp_path / "index.html")
    assert HOSTILE in page.text
    assert {tag for tag, _ in page.tags}.isdisjoint({"img", "iframe", "link", "base", "object"})
    assert not any(attr.startswith("on") for _, attrs in page.tags for attr in attrs)
    assert not any("style" in attrs for _, attrs in page.tags)
    (link,) = set(page.links)
    assert (tmp_path / unquote(link)).is_file()
    # Its policy lets run what is in it, and loads nothing.
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    for tag in ("style", "script"):
        digest = b64encode(hashlib.sha256("".join(page.texts[tag]).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


# What stands out, in words


def calls(count: int, tmp_path: Path) -> list[Figures]:
    """One a minute, in all of which nothing stands out."""
    one = figures_of(read(a_quiet_call(tmp_path / "a")), "a.html")
    return [replace(one, began=NOON + timedelta(minutes=i)) for i in range(count)]


def test_what_stands_out_says_when_it_was_if_it_was_at_once(tmp_path: Path) -> None:
    many = calls(100, tmp_path)
    for i in (20, 60, 61, 62, 63, 64, 99):
        slow = Finding("slow", 3.0 + i / 100, "a final 3 s after its last word")
        many[i] = replace(many[i], delays_s=[0.3, 3.0 + i / 100], findings=[slow])
    (said,) = Day(many).statements()
    assert said.said == (
        "7 of 100 calls waited more than 2 s for 7 finals; the slowest came 3.99 s after its last "
        "word. 5 of them began between 13:00 and 13:05."
    )
    assert said.is_bad
    assert [call.began for call in said.worst] == [
        NOON + timedelta(minutes=i) for i in (99, 64, 63)
    ]
    several = [many[i] for i in (*range(62), 99)]  # and in between, nothing
    (said,) = Day(several).statements()
    assert "began between" not in said.said


def test_errors_are_told_by_the_most_frequent(tmp_path: Path) -> None:
    many = calls(9, tmp_path)
    for i, why in enumerate(["out of memory", "wrong key", "wrong key"]):
        many[i] = replace(many[i], errors=[why], findings=[Finding("failed", 1, why)])
    (said,) = Day(many).statements()
    assert said.said == "3 of 9 calls ended with an error. Most often, 2 times: wrong key"


def test_each_call_is_found_in_the_figures_of_its_page(tmp_path: Path) -> None:
    """What the folder's page says of a call is what the call's own page says."""
    recording = a_call(tmp_path / "call")
    run(tmp_path)
    own = (tmp_path / "call.html").read_text()
    found = re.search(r'<script type="application/json" id="call">(.*?)</script>', own, re.S)
    assert found is not None
    summary = {item["name"]: item for item in json.loads(found[1])["summary"]}
    _, table = (tmp_path / "index.html").read_text().split('<section id="calls"')
    cells = re.findall(r"<td[^>]*>(.*?)</td>", table, re.S)
    told = ("Duration", "Utterances", "Final delay, median", "Sent again", "Lost")
    duration, _, delay, again, lost = (summary[name]["value"] for name in told)
    assert [cells[i] for i in (1, 3, 7, 8)] == [duration, delay, again, lost]
    assert figures_of(read(recording)).lost_connections == 1
