"""`watch`: what it says and shows of a deployment that goes wrong and comes back."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from io import StringIO
from pathlib import Path
from typing import Any

import kit.clock
import pytest
from cli.command import Command
from kit.python import Running
from paths import ROOT
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from livekit.plugins.baseten._cli.check.diagnosis import REASONS, Measured
from livekit.plugins.baseten._cli.watch.exposition import Exposition, Seen, exposed
from livekit.plugins.baseten._cli.watch.printed import Printed
from livekit.plugins.baseten._cli.watch.probe import Probed, probe
from livekit.plugins.baseten._cli.watch.running import Watched, until
from livekit.plugins.baseten._cli.watch.watching import Change, History, watching
from livekit.plugins.baseten._core.endpoint import Endpoint
from livekit.plugins.baseten.emulator import ScriptRecognizer, faults, serve

KEY = "k3y-that-nobody-sees"
SPOKEN = "He was not an ill-disposed young man."
PREFIX = "lk_agents_baseten_probe"
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
Figures = dict[str, float]


def serving(*plan: faults.Entry, **options: Any) -> Any:
    recognizer = ScriptRecognizer([SPOKEN], is_cyclic=True, floor=300)
    return serve(*plan, recognizer=recognizer, api_key=KEY, **options)


def watched(url: str, *, every_s: float = 60.0, wait_s: float = 2.0) -> Watched:
    return Watched(Endpoint(url, KEY), "whisper", {}, every_s, wait_s)


def scraped(url: str) -> Figures:
    """By name; of what has a label, those that are not 0, as `name{label}`."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        text = answer.read().decode()
    figures: Figures = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.pop("server_address") == "127.0.0.1"
            assert sample.labels.pop("model_name") == "whisper"
            (label,) = sample.labels.values() or ("",)
            if not label:
                figures[sample.name.removeprefix(PREFIX)] = sample.value
            elif sample.value:
                figures[f"{sample.name.removeprefix(PREFIX)}{{{label}}}"] = sample.value
    return figures


class Scraping(Printed):
    """Asks for the figures after each probe, as Prometheus may."""

    def __init__(self, stopped: asyncio.Event, url: str, count: int) -> None:
        self.screen = StringIO()
        super().__init__(Console(file=self.screen, soft_wrap=True, width=500), as_json=False)
        self.scrapes: list[Figures] = []
        self._stopped, self._url, self._count = stopped, url, count

    def probed(self, probed: Probed, change: Change | None) -> None:
        super().probed(probed, change)
        self.scrapes.append(scraped(self._url))
        if len(self.scrapes) == self._count:
            self._stopped.set()


PLAN: dict[str, faults.Entry] = {
    "up": None,
    "key": faults.Refuse(401),
    "no_transcript": faults.MuteResults(),
    "slow": faults.SlowRecognition(0.8),
    "up again": None,
    "lost": faults.Reset(after_samples=16_000),
    "no_answer": faults.Park(),
}


async def a_bad_day() -> tuple[list[Figures], list[str]]:
    """A watch of a deployment to which something else happens before each probe."""
    exposition, history, stopped = Exposition("127.0.0.1", "whisper"), History(), asyncio.Event()
    with exposed(exposition, "127.0.0.1", 0) as url:
        before = scraped(url)
        printed = Scraping(stopped, url, len(PLAN))
        async with serving(*PLAN.values()) as server:
            await until(stopped, watched(server.url), exposition, history, printed)
            assert len(server.handshakes) == len(PLAN)
    printed.ends(history)
    return [before, *printed.scrapes], printed.screen.getvalue().splitlines()


@pytest.fixture(scope="module")
def bad_day() -> tuple[list[Figures], list[str]]:
    return kit.clock.run(a_bad_day())


def test_what_prometheus_sees_of_faults_while_it_is_watched(
    bad_day: tuple[list[Figures], list[str]],
) -> None:
    (before, *scrapes), _ = bad_day
    assert before == {}
    seen = dict(zip(PLAN, scrapes, strict=True))
    assert [figures["_up"] for figures in scrapes] == [1, 0, 0, 1, 1, 0, 0]
    up = seen["up"]
    assert up["_words_heard"] == up["_words_spoken"] == 8
    assert 0.3 < up["_final_delay_seconds"] < 1.5
    assert all(f"_{name}_seconds" in up for name in ("handshake", "first_interim", "flush_delay"))
    for reason in ("key", "no_transcript", "slow", "lost", "no_answer"):
        assert {n for n in seen[reason] if n.startswith("_failing{")} == {f"_failing{{{reason}}}"}
    assert not any(name.startswith("_failing{") for name in (*up, *seen["up again"]))
    # What was not measured is not there: an old delay would pass for one of now.
    assert "_final_delay_seconds" not in seen["key"]
    assert "_handshake_seconds" not in seen["key"]
    assert seen["slow"]["_final_delay_seconds"] > up["_final_delay_seconds"]
    # When it was last heard stays while it is not.
    success = "_last_success_timestamp_seconds"
    assert up[success] == seen["key"][success] == seen["no_transcript"][success] > 0
    assert up[success] < seen["slow"][success] < seen["up again"][success] == seen["lost"][success]
    last = seen["no_answer"]
    assert [last[f"s_total{{{state}}}"] for state in ("up", "degraded", "down")] == [2, 1, 4]


def test_a_line_for_each_probe_and_a_new_state_stands_out(
    bad_day: tuple[list[Figures], list[str]],
) -> None:
    _, lines = bad_day
    probes = [line for line in lines if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  ", line)]
    states = ["up", "DOWN", "down", "DEGRADED", "UP", "DOWN", "down"]
    assert [line.split()[1] for line in probes] == states
    assert "8 of 8 words; handshake 0." in probes[0]
    assert "key: the API key is missing or invalid: check --api-key" in probes[1].replace(
        "Baseten refused the connection with HTTP 401: ", ""
    )
    assert "(was up for " in probes[1]
    assert "(was" not in probes[2]
    assert "Stopped after 7 probes in " in "\n".join(lines)
    assert "2 up, 1 degraded, 4 down (" in "\n".join(lines)
    assert not any(KEY in line for line in lines)


def test_a_reason_is_explained_once_while_it_stays() -> None:
    screen = StringIO()
    printed = Printed(Console(file=screen, soft_wrap=True), as_json=False)
    for _ in range(2):
        printed.probed(Probed(NOON, 1.0, "full", "The model is full."), None)
    assert screen.getvalue().splitlines() == [
        "2026-11-21T12:00:00Z  down      full: The model is full.",
        "2026-11-21T12:00:00Z  down      full",
    ]


async def test_a_probe_that_hangs_is_given_up() -> None:
    async with serving(faults.Park()) as server:
        probed = await probe(watched(server.url, wait_s=20.0).checkup, within_s=0.5)
        assert (probed.state, probed.reason) == ("down", "hung")
        assert server.handshakes


def test_probes_come_at_their_times_and_never_two_at_once() -> None:
    async def began_at(every_s: float, *took_s: float) -> list[float]:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        first_s, began, left = loop.time(), list[float](), list(took_s)
        under_way = 0

        async def probe() -> Probed:
            nonlocal under_way
            under_way += 1
            assert under_way == 1
            began.append(loop.time() - first_s)
            await asyncio.sleep(left.pop(0))
            under_way -= 1
            return Probed(NOON, 0.0)

        def told(_: Probed) -> None:
            if not left:
                stopped.set()

        await watching(probe, told, stopped, every_s=every_s)
        return began

    in_time = kit.clock.run(began_at(60.0, 8, 8, 90, 8, 8))
    assert in_time == pytest.approx([0, 60, 120, 210, 270])
    at_once = kit.clock.run(began_at(0.01, 8, 8, 8))
    assert at_once == pytest.approx([0, 8, 16])


def test_what_has_been_is_added_up() -> None:
    history = History()
    minutes = [("up", 0), ("down", 1), ("down", 2), ("up", 5), ("down", 6), ("up", 7)]
    changes = []
    for state, minute in minutes:
        reason: Any = None if state == "up" else "full"
        at = NOON + timedelta(minutes=minute)
        changes.append(history.take(Probed(at, 1.0, reason, measured=Measured(final_s=0.5))))
    assert changes[3] == Change("down", timedelta(minutes=4))
    assert [change is not None for change in changes] == [False, True, False, True, True, True]
    assert history.longest_down == (timedelta(minutes=4), NOON + timedelta(minutes=1))
    assert (history.results["up"], history.reasons["full"]) == (3, 3)


def test_every_reason_is_a_series_from_the_first_probe_on() -> None:
    exposition = Exposition("127.0.0.1", "whisper")
    exposition.seen = Seen(Probed(NOON, 1.0))
    (failing,) = [m for m in exposition.collect() if m.name.endswith("_failing")]
    assert {sample.labels["reason"] for sample in failing.samples} == set(REASONS)


# As a process


async def lines_until(running: Running, wanted: Callable[[str], bool]) -> list[str]:
    lines: list[str] = []
    while True:
        line = (await asyncio.wait_for(running.out.readline(), 60)).decode()
        assert line, "".join(lines)
        lines.append(line.rstrip("\n"))
        if wanted(line):
            return lines


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL at which nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{held.getsockname()[1]}/environments/production/websocket"


async def test_nothing_that_is_down_ends_it_and_a_signal_does(nobody: str) -> None:
    options = ("--every", "0.05", "--listen", "127.0.0.1:0", "--wait", "1")
    async with Command("watch").started(*options, url=nobody) as running:
        head = await lines_until(running, lambda line: line.startswith("For Prometheus"))
        await lines_until(running, lambda line: "down" in line)
        figures = await asyncio.to_thread(scraped, head[-1].split()[-1])
        assert figures["_failing{network}"] == 1
        assert figures["_last_success_timestamp_seconds"] == 0
        running.send_signal(signal.SIGTERM)
        ran = await running.ran()
    assert (ran.status, ran.err) == (0, "")
    assert re.search(
        r"Stopped after \d+ probes? in .*: 0 up, 0 degraded, \d+ down \(network", ran.out
    )


async def test_a_signal_does_not_wait_for_the_probe_under_way() -> None:
    async with (
        serving(faults.Park()) as server,
        Command("watch").started(
            "--json", "--wait", "600", url=server.url, BASETEN_API_KEY=KEY
        ) as running,
    ):
        await server.until(lambda: server.handshakes)
        running.send_signal(signal.SIGINT)
        ran = await running.ran()
    assert ran.status == 0
    first, last = map(json.loads, ran.out.splitlines())
    assert first["watching"] == server.url
    assert last["summary"]["probes"] == {}


async def test_a_port_that_is_taken_is_a_line_at_once(nobody: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = await Command("watch")("--listen", listen, url=nobody)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == f"cannot listen on {listen}: Address already in use\n"


# The rules for on-call people

RULES = re.search(
    r"^```yaml\n(groups:.*?)^```$",
    (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8"),
    re.M | re.S,
)


def test_the_alert_rules_ask_for_figures_that_there_are() -> None:
    assert RULES is not None
    exposition = Exposition("127.0.0.1", "whisper")
    measured = Measured(0.1, 0.2, None, 0.3, 0.4, 0.5)
    exposition.seen = Seen(Probed(NOON, 1.0, measured=measured))
    names = {sample.name for metric in exposition.collect() for sample in metric.samples}
    asked = set(re.findall(rf"{PREFIX}\w+", RULES[1]))
    assert len(asked) >= 2
    assert asked <= names


PROMTOOL = shutil.which("promtool")
TESTS = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - series: 'lk_agents_baseten_probe_last_success_timestamp_seconds{server_address="good"}'
    values: '0+60x30'
  - series: 'lk_agents_baseten_probe_last_success_timestamp_seconds{server_address="gone"}'
    values: '0+60x10 600x20'
  - series: 'lk_agents_baseten_probe_final_delay_seconds{server_address="good"}'
    values: '0.5x14 3 0.5x15'
  - series: 'lk_agents_baseten_probe_final_delay_seconds{server_address="slow"}'
    values: '0.5x9 2x20'
  alert_rule_test:
  - {eval_time: 12m, alertname: BasetenDown, exp_alerts: []}
  - eval_time: 25m
    alertname: BasetenDown
    exp_alerts: [{exp_labels: {severity: page, server_address: gone}}]
  - {eval_time: 14m, alertname: BasetenSlow, exp_alerts: []}
  - eval_time: 29m
    alertname: BasetenSlow
    exp_alerts: [{exp_labels: {severity: ticket, server_address: slow}}]
- interval: 1m
  input_series: []
  alert_rule_test:
  - {eval_time: 5m, alertname: BasetenDown, exp_alerts: [{exp_labels: {severity: page}}]}
"""


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is Debian's prometheus")
def test_the_alert_rules_fire_when_they_should(tmp_path: Path) -> None:
    assert RULES is not None
    # What is said is for people; the labels are what is tested.
    (tmp_path / "rules.yml").write_text(
        re.sub(r"(?m)^ +annotations:\n(?: {8,}.*\n)+", "", RULES[1])
    )
    (tmp_path / "whole.yml").write_text(RULES[1])
    (tmp_path / "tests.yml").write_text(TESTS)
    for command in (["check", "rules", "whole.yml"], ["test", "rules", "tests.yml"]):
        done = subprocess.run(
            [str(PROMTOOL), *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
