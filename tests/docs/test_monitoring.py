"""What docs/monitoring.md says, held against the code and against the real tools."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from kit import python
from kit.prometheus import AT_MOST_S, Prometheus, prometheus, scraping
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from paths import EXAMPLES, PACKAGE, ROOT

from livekit.plugins.baseten._telemetry import reasons

DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()
MONITORING = EXAMPLES / "monitoring"
ALERTS = MONITORING / "alerts.yml"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
TARGETS = [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
]

# Grafana's variables, as it fills them in for a scrape every half second.
FILLED_IN = {"$__rate_interval": "10s", "$model": ".*", "$deployment": ".*"}


def test_each_metric_is_in_the_table() -> None:
    source = (PACKAGE / "_telemetry" / "instruments.py").read_text()
    made = set(re.findall(r'(?:\{_PREFIX\}\.|_delay\(\s*")([a-z_.]+)"', source))
    section = DOCUMENT.split("## What there is")[1].split("`error.type` is")[0]
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", section, re.M)) == made


def test_each_reason_is_in_the_table() -> None:
    table = DOCUMENT.split("`error.type` is one of a few:")[1].split("\n## ")[0]
    named = {name for row in re.findall(r"^\| (.+?) \|", table, re.M) for name in row.split(", ")}
    assert {f"`{reason}`" for reason in reasons.WORDS} <= named


def test_each_alert_is_explained() -> None:
    table = DOCUMENT.split("## What to be called for")[1].split("\n## ")[0]
    alerts = re.findall(r"alert: (\w+)", ALERTS.read_text())
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == alerts


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """What its schema asks of the panels: unique numbers, places that do not overlap, units."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        places = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not places & taken, panel["title"]
        taken |= places
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


# What follows the lines that switch it on: a call.
CALL = """

import asyncio
from livekit import rtc
from livekit.plugins import baseten
from livekit.plugins.baseten.emulator import coded_speech, serve

async def call():
    pcm = coded_speech(4, trailing_samples=9600, first_word=1001).pcm
    async with serve() as server, baseten.STT(model_endpoint=server.url, api_key="any") as stt:
        async with stt.stream() as stream:
            stream.push_frame(rtc.AudioFrame(pcm, 16000, 1, len(pcm) // 2))
            stream.end_input()
            print(*[event.type.value async for event in stream])

asyncio.run(call())
"""


def switched_on(how: str) -> str:
    (block,) = re.findall(rf"<!-- run: {how} -->\n```python\n(.+?)```", DOCUMENT, re.S)
    return str(block) + CALL


async def test_a_collector_is_told_by_the_lines_for_it() -> None:
    told: list[str] = []

    async def export(request: web.Request) -> web.Response:
        body = await request.read()
        sent = ExportMetricsServiceRequest.FromString(body)
        told.extend(
            m.name for r in sent.resource_metrics for s in r.scope_metrics for m in s.metrics
        )
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/metrics", export)
    async with TestServer(app) as collector:
        ran = await python.ran(
            "-c",
            switched_on("otlp") + "metrics.get_meter_provider().shutdown()",
            OTEL_EXPORTER_OTLP_ENDPOINT=str(collector.make_url("")),
        )
    assert (ran.status, ran.err) == (0, "")
    assert {"lk.agents.baseten.final.delay", "lk.agents.baseten.audio.sent"} <= set(told)


async def test_a_prometheus_is_told_by_the_lines_for_it() -> None:
    lines = switched_on("prometheus").replace("start_http_server(9464)", "start_http_server(0)")
    ran = await python.ran("-c", lines + "print(prometheus_client.generate_latest().decode())")
    assert (ran.status, ran.err) == (0, "")
    assert "lk_agents_baseten_final_delay_seconds_count{" in ran.out


def filled_in(expression: str) -> str:
    for variable, value in FILLED_IN.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


async def test_prometheus_sees_it_and_answers_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """A worker whose calls go wrong in every way, scraped and asked."""
    prometheus()  # or nothing has to be started
    worker = python.started(MONITORING / "rehearsal.py", "--port", "0", "--seconds", "250")
    async with worker as running:
        url = (await asyncio.wait_for(running.out.readline(), AT_MOST_S)).decode().strip()
        async with scraping(url, tmp_path, ALERTS) as server:
            try:
                await asyncio.wait_for(_all_answered(server), AT_MOST_S)
                await asyncio.wait_for(_all_evaluated(server), AT_MOST_S)
            finally:
                running.send_signal(2)
                await running.status()


async def _all_answered(server: Prometheus) -> None:
    """Each query has a number for some series, zeros and nothing-divided-by-nothing left out."""
    unanswered = {expression: title for title, expression in TARGETS}
    while unanswered:
        for expression in list(unanswered):
            samples = await server.result(filled_in(expression))
            if any(float(sample["value"][1]) > 0 for sample in samples):
                del unanswered[expression]
        await asyncio.sleep(0.5)


async def _all_evaluated(server: Prometheus) -> None:
    """Each rule is one that Prometheus can evaluate, and those of what went wrong say so."""
    at_once = {"BasetenAudioLost", "BasetenRefused", "BasetenUnreadable"}
    while True:
        rules = await server.rules()
        assert not [rule["lastError"] for rule in rules if rule.get("lastError")]
        assert len(rules) == len(re.findall("alert:", ALERTS.read_text()))
        if at_once <= {rule["name"] for rule in rules if rule["state"] == "firing"}:
            return
        await asyncio.sleep(0.5)
