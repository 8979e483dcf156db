"""The command line, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.client import connect

SERVE = [sys.executable, "-m", "livekit.plugins.baseten", "serve"]
LOUD = np.full(512, 1000, "<i2").tobytes()


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and the first line it prints."""
    process = subprocess.Popen(
        [*SERVE, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_serve_says_how_to_use_it_and_what_happens_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    script = tmp_path / "lines.txt"
    script.write_text("good morning\n", encoding="utf-8")
    with serving("--recognizer", "script", "--script", str(script)) as (process, line):
        url = line.split()[3].removesuffix(".")
        with connect(url, additional_headers={"Authorization": "Api-Key any"}) as client:
            client.send("{}")
            client.send('{"type":"health_check"}')
            assert json.loads(client.recv())["body"] == {"healthy": True}
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stderr is not None
        # Not communicate(): it would not see what the readline before it has read ahead.
        out, err = process.stdout.read(), process.stderr.read()
        process.wait(timeout=30)
    assert process.returncode == 0
    assert err == ""
    assert f'baseten.STT(model_endpoint="{url}", api_key="any")' in out
    assert "stream 1  opened\nstream 1  closed  1000\n" in out
    assert out.endswith("Stopped.\n")


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*SERVE, "--port", str(port)], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}" in line


WITHOUT_EXTRA = """
import sys
sys.modules[{missing!r}] = None
from livekit.plugins.baseten._cli import app
app(["serve", "--port", "0"])
"""


@pytest.mark.parametrize("missing", ["websockets.asyncio.server", "pocketsphinx"])
def test_a_missing_extra_is_one_line_that_says_what_to_install(missing: str) -> None:
    code = WITHOUT_EXTRA.format(missing=missing)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert 'pip install "livekit-plugins-baseten[emulator]"' in line


def test_a_script_needs_a_file() -> None:
    done = subprocess.run(
        [*SERVE, "--recognizer", "script"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "--script" in done.stderr
