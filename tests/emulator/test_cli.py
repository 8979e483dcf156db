"""The command line, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

SERVE = [sys.executable, "-m", "livekit.plugins.baseten", "serve"]
RECORDING = Path(__file__).parents[2] / "examples/audio/sense_and_sensibility_01-0880.wav"


def chunks(recording: Path) -> Iterator[bytes]:
    """A recording in frames of 512 samples, silence filling the last."""
    with wave.open(str(recording)) as file:
        while pcm := file.readframes(512):
            yield pcm.ljust(1024, b"\0")


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
            for chunk in chunks(RECORDING):
                client.send(chunk)
            client.send('{"type":"end_audio"}')
            while json.loads(client.recv()).get("body") != {"status": "finished"}:
                pass
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stderr is not None
        # Not communicate(): it would not see what the readline before it has read ahead.
        out, err = process.stdout.read(), process.stderr.read()
        process.wait(timeout=30)
    assert process.returncode == 0
    assert err == ""
    assert f'baseten.STT(model_endpoint="{url}", api_key="any")' in out
    assert "stream 1  opened\nstream 1  final   good morning\nstream 1  closed  1000\n" in out
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
