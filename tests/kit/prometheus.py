"""Debian's Prometheus, on loopback: it scrapes one process and is asked what it has seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

AT_MOST_S = 100.0  # for what takes moments; a machine may be busy
_LOOK_EVERY_S = 0.25

CONFIGURATION = """
global: {{scrape_interval: {every}, evaluation_interval: {every}}}
rule_files: {rules}
scrape_configs: [{{job_name: agents, static_configs: [{{targets: ["{target}"]}}]}}]
"""


def prometheus() -> str:
    """Its path. Where it has to be there, a test without it fails."""
    path = shutil.which("prometheus")
    if path is None:
        why = "no Prometheus is installed; on Debian: apt-get install prometheus"
        if os.environ.get("CI") or os.environ.get("REQUIRE_PROMETHEUS"):
            pytest.fail(why)
        pytest.skip(why)
    return path


class Prometheus:
    def __init__(self, http: aiohttp.ClientSession, url: str, process: Process) -> None:
        self._http = http
        self._url = url
        self._process = process

    async def result(self, expression: str) -> list[dict[str, Any]]:
        """What an expression comes to now: one sample for each series.

        Raises:
            ValueError: It is no expression.
        """
        found: list[dict[str, Any]] = (await self._asked("query", query=expression))["result"]
        return found

    async def course(self, expression: str, *, start_s: float, stop_s: float, step_s: float) -> Any:
        """What it came to over time."""
        times = {"start": f"{start_s:.3f}", "end": f"{stop_s:.3f}", "step": f"{step_s:g}"}
        return (await self._asked("query_range", query=expression, **times))["result"]

    async def rules(self) -> list[dict[str, Any]]:
        return [rule for group in (await self._asked("rules"))["groups"] for rule in group["rules"]]

    async def _asked(self, what: str, **parameters: str) -> Any:
        async with self._http.get(f"{self._url}/api/v1/{what}", params=parameters) as answer:
            said = await answer.json()
        if said["status"] != "success":
            raise ValueError(f"{parameters}: {said['error']}")
        return said["data"]

    async def _until_ready(self) -> None:
        while True:
            assert self._process.returncode is None, "Prometheus has ended"
            with contextlib.suppress(aiohttp.ClientError):
                async with self._http.get(f"{self._url}/-/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(_LOOK_EVERY_S)


@contextlib.asynccontextmanager
async def scraping(
    metrics_url: str, folder: Path, *rules: Path, every: str = "500ms"
) -> AsyncIterator[Prometheus]:
    """
    Args:
        metrics_url: Of the process.
        folder: For what it keeps.
        rules: Files of alerts.
        every: How often it scrapes.
    """
    path = prometheus()
    configuration = folder / "prometheus.yml"
    target = urlsplit(metrics_url).netloc
    named = json.dumps([str(rule) for rule in rules])
    configuration.write_text(CONFIGURATION.format(every=every, rules=named, target=target))
    address = f"127.0.0.1:{_free_port()}"
    command = [path, f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address={address}", "--log.level=error"]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stderr=DEVNULL)
    try:
        async with aiohttp.ClientSession() as http:
            server = Prometheus(http, f"http://{address}", process)
            await asyncio.wait_for(server._until_ready(), AT_MOST_S)
            yield server
    finally:
        process.terminate()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
