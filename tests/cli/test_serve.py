"""`serve`, as a process of its own: what it prints, shows and breaks."""

from __future__ import annotations

import base64
import errno
import fcntl
import inspect
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from cli.command import Command
from kit import python
from paths import AUDIO
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from livekit.plugins.baseten._cli import app
from livekit.plugins.baseten._cli.serve.ears import Ears
from livekit.plugins.baseten.emulator import (
    ScriptRecognizer,
    SphinxRecognizer,
    coded_speech,
    faults,
)
from livekit.plugins.baseten.emulator._recognizers.recognizer import transcript_of
from livekit.plugins.baseten.emulator._recognizers.turn_taking import TurnTaking
from livekit.plugins.baseten.emulator.faults.plan import Plan
from livekit.plugins.baseten.emulator.faults.spelling import BadFault, described, listing, parsed

SERVE = [sys.executable, "-m", "livekit.plugins.baseten", "serve"]
RECORDING = AUDIO / "sense_and_sensibility_01-0880.wav"


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
            client.send('{"whisper_params":{}}')
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
        process.wait()
    assert process.returncode == 0
    assert err == ""
    assert f'baseten.STT(model_endpoint="{url}", api_key="any")' in out
    assert "stream 1  opened\nstream 1  final   good morning\nstream 1  closed  1000\n" in out
    assert out.endswith("Stopped.\n")


WITHOUT_EXTRA = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
from livekit.plugins.baseten._cli import app
app(["serve", "--port", "0"])
"""


@pytest.mark.parametrize(
    "missing", [("websockets.asyncio.server",), ("pocketsphinx", "faster_whisper")]
)
async def test_a_missing_extra_is_one_line_that_says_what_to_install(
    missing: tuple[str, ...],
) -> None:
    done = await python.ran("-c", WITHOUT_EXTRA.format(missing=missing))
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert 'pip install "livekit-plugins-baseten[emulator]"' in line


# What ends before anything is served needs no process of its own


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "--recognizer", "coded", "--port", str(port)])
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line == f"cannot listen on 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}"


@pytest.mark.parametrize(
    ("content", "why"), [(b"RIFF\xa4", "no text in UTF-8"), (b"", "no line in it to say")]
)
def test_a_script_that_says_nothing_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    script = tmp_path / "script.txt"
    script.write_bytes(content)
    arguments = ["serve", "--recognizer", "script", "--script", str(script), "--port", "0"]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stderr) == (2, f"--script {script}: {why}\n")


def test_it_hears_with_whisper_and_says_so() -> None:
    with serving() as (process, _):
        assert process.stdout is not None
        assert re.match(r"Hears with Whisper tiny\.en on \w+ in \w+\.", process.stdout.readline())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--recognizer", "whisper"], 'pip install "livekit-plugins-baseten[whisper]"'),
        (["--whisper-model", "base"], 'pip install "livekit-plugins-baseten[whisper]"'),
    ],
)
def test_a_whisper_that_was_asked_for_by_name_is_not_replaced(
    options: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    done = CliRunner().invoke(app, ["serve", "--port", "0", *options])
    assert done.exit_code == 1
    assert says in done.stderr


def test_where_there_is_no_whisper_pocketsphinx_hears_and_why_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with Ears().recognizer() as (recognizer, line):
        assert isinstance(recognizer, SphinxRecognizer)
    assert line.startswith("Hears with pocketsphinx, far less well than Whisper: faster-whisper is")


def test_weights_that_nobody_has_are_one_line() -> None:
    done = CliRunner().invoke(app, ["serve", "--whisper-model", "tiny-en"])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "'tiny-en' is neither a folder nor a Whisper model; there are tiny.en" in line


def test_options_of_whisper_are_for_whisper() -> None:
    done = CliRunner().invoke(app, ["serve", "--recognizer", "coded", "--device", "cpu"])
    assert done.exit_code == 2
    assert "--device" in done.stderr


def test_a_script_needs_a_file() -> None:
    done = CliRunner().invoke(app, ["serve", "--recognizer", "script"])
    assert done.exit_code == 2
    assert "--script" in done.stderr


def test_a_runtime_is_a_version() -> None:
    done = CliRunner().invoke(app, ["serve", "--runtime", "old"])
    assert done.exit_code == 2
    assert "a version such as 0.4" in done.stderr


def test_a_fault_that_there_is_not_is_one_line_with_those_that_there_are() -> None:
    done = CliRunner().invoke(app, ["serve", "--fault", "rest@16000"])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert "rest@16000" in line
    assert "refuse, park, close-before-metadata" in line


async def test_the_help_lists_each_fault_with_what_it_does() -> None:
    done = await Command("serve")("--help", COLUMNS="160")
    assert done.status == 0
    for usage, meaning in listing():
        assert usage in done.out
        assert meaning.split()[0] in done.out


# Faults in words


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("none", None),
        ("reset", faults.Reset()),
        ("reset@16000", faults.Reset(after_samples=16_000)),
        ("refuse:503", faults.Refuse(503)),
        ('refuse:503,{"a": 1, "b": 2}', faults.Refuse(503, '{"a": 1, "b": 2}')),
        ("park", faults.Park()),
        ("park:2.5", faults.Park(2.5)),
        ("close:1012,restart@8000", faults.Close(1012, "restart", 8000)),
        (
            "error:STREAM_ERROR,oops,true,1011@5",
            faults.Error("STREAM_ERROR", "oops", True, 5, 1011),
        ),
        ("error-shape:body.error", faults.ErrorShape("body.error")),
        ("duplicate+reset@9", (faults.Duplicate(), faults.Reset(9))),
    ],
)
def test_a_fault_in_words(text: str, entry: faults.Entry) -> None:
    assert parsed(text) == entry


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is none of this name"),
        ("after@3", "there is none of this name"),
        ("rewrite", "there is none of this name"),
        ("refuse", "written refuse:STATUS[,BODY]"),
        ("refuse:often", "'often' is not a whole number"),
        ("refuse@16000", "written refuse:STATUS[,BODY]"),
        ("reset:16000", "written reset[@SAMPLES]"),
        ("reset@", "'' is not a whole number"),
        ("reset@-1", "out of range"),
        ("park:nan", "out of range"),
        ("close:1006", "1006 cannot be sent"),
        ("error:a,b,yes", "'yes' is not true or false"),
        ("error-shape:there", "not one of message, error, body.message, body.error"),
        ("reset+duplicate+rest", "rest: there is none"),
    ],
)
def test_what_is_wrong_with_a_fault_and_what_is_right(text: str, told: str) -> None:
    with pytest.raises(BadFault, match=re.escape(told)) as caught:
        parsed(text)
    assert len(str(caught.value).splitlines()) == 1


def test_each_fault_that_can_be_written_can_be() -> None:
    kinds = {
        kind
        for kind in vars(faults).values()
        if inspect.isclass(kind) and issubclass(kind, faults.Fault) and is_dataclass(kind)
    }
    written = {re.split(r"[:\[]", usage)[0].replace("-", "") for usage, _ in listing()}
    assert {kind.__name__.lower() for kind in kinds} - written == {"rewrite"}


@pytest.mark.parametrize("text", ["reset@16000", "refuse:503", "park:2.5", "close:1012@8000"])
def test_a_fault_is_shown_as_it_is_written(text: str) -> None:
    fault = parsed(text)
    assert isinstance(fault, faults.Fault)
    assert described(fault) == text


def test_a_plan_that_begins_again() -> None:
    plan = Plan([None, faults.Duplicate()], is_repeated=True)
    assert [plan.popleft() for _ in range(5)] == [
        None,
        faults.Duplicate(),
        None,
        faults.Duplicate(),
        None,
    ]


# What it does with its clients


SPEECH = coded_speech(8, trailing_samples=16_000)


class Caller:
    """A client of either model, without any code of the package's own."""

    def __init__(self, client: ClientConnection, model: str) -> None:
        self._client = client
        self._is_whisper = model == "whisper"
        client.send('{"whisper_params":{}}')

    def say(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), 1024):
            frame = pcm[at : at + 1024].ljust(1024, b"\0")
            if self._is_whisper:
                self._client.send(frame)
            else:
                audio = base64.b64encode(frame).decode()
                self._client.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    def words(self) -> str:
        """The finals up to the last."""
        end = "end_audio" if self._is_whisper else "input_audio_buffer.commit"
        self._client.send(json.dumps({"type": end}))
        texts = []
        while True:
            message = json.loads(self._client.recv())
            if message.get("is_final"):
                texts.append(" ".join(segment["text"] for segment in message["segments"]))
            is_finished = message.get("body") == {"status": "finished"}
            if is_finished or message.get("is_end_of_audio_flush"):
                return " ".join(filter(None, texts))

    def close_code(self) -> int | None:
        """How the server ends it."""
        try:
            while True:
                self._client.recv()
        except ConnectionClosed:
            return self._client.protocol.close_code


@contextmanager
def calling(url: str, model: str, key: str = "any") -> Iterator[Caller]:
    with connect(url, additional_headers={"Authorization": f"Api-Key {key}"}) as client:
        yield Caller(client, model)


@pytest.mark.parametrize("model", ["whisper", "qwen3-asr"])
def test_each_connection_gets_its_own_fault(model: str) -> None:
    options = ["--fault", "refuse:503", "--fault", "close:1012@16000", "--fault", "none"]
    options += ["--repeat", "--recognizer", "coded", "--model", model]
    with serving(*options) as (process, line):
        url = line.split()[3].removesuffix(".")
        for _ in range(2):
            with pytest.raises(InvalidStatus, match="503"), calling(url, model):
                pass
            with calling(url, model) as caller:
                caller.say(SPEECH.pcm[:32_768])
                assert caller.close_code() == 1012
            with calling(url, model) as caller:
                caller.say(SPEECH.pcm)
                assert caller.words() == SPEECH.text
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        out = process.stdout.read()
    assert out.count("handshake  refused 503\n") == 2
    assert "stream 1  opened (close:1012@16000)\n" in out
    assert "stream 1  closed  1012\n" in out
    assert "stream 2  opened\n" in out
    assert f"stream 4  final   {SPEECH.text}\n" in out


def test_a_terminal_shows_the_streams_as_they_go_and_leaves_the_last_table() -> None:
    options = ["--recognizer", "coded", "--api-key", "s3cret", "--fault", "duplicate", "--repeat"]
    with on_a_terminal(*options) as (process, terminal):
        url = terminal.until(r"Serving whisper on (\S+)\.")[1]
        with pytest.raises(InvalidStatus, match="401"), calling(url, "whisper", "wrong"):
            pass
        terminal.until(r"-\s+0:00\s+0\.0 s\s+refused 401")
        with calling(url, "whisper", "s3cret") as caller:
            terminal.until(r"1\s+0:0\d\s+0\.0 s\s+listening\s+duplicate")
            caller.say(SPEECH.pcm)
            terminal.until(rf"3\.\d s\s+listening\s+{SPEECH.text}")
            caller.words()
        terminal.until(r"closed 1000")
        process.send_signal(signal.SIGINT)
        terminal.until(r"under way: 0 .*streams: 1 .*finals: 2\s+Stopped\.")
        assert process.wait() == 0
    assert "s3cret" not in terminal.text
    assert "wrong" not in terminal.text


class Terminal:
    """What a program has written to a terminal, its colours and movements left out."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.text = ""

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until there is something that was not there the last time."""
        for _ in range(300):  # a minute of a view that is shown anew five times a second
            if found := re.search(pattern, self.text, re.S):
                self.text = self.text[found.end() :]
                return found
            ready, _, _ = select.select([self._descriptor], [], [], 30)
            assert ready, f"no {pattern!r} in {self.text[-500:]!r}"
            text = os.read(self._descriptor, 65_536).decode(errors="replace")
            self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        pytest.fail(f"no {pattern!r} in {self.text[-500:]!r}")


@contextmanager
def on_a_terminal(*options: str) -> Iterator[tuple[subprocess.Popen[bytes], Terminal]]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    process = subprocess.Popen(
        [*SERVE, "--port", "0", *options],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
    )
    os.close(theirs)
    with process:
        try:
            yield process, Terminal(ours)
        finally:
            process.kill()
            os.close(ours)


def test_speakers_take_turns_and_a_script_names_them() -> None:
    ear = TurnTaking(ScriptRecognizer(["Ann: hello there", "and on", "Bob: hi"])).connected()
    sound = coded_speech(2).pcm
    heard = [transcript_of(ear.recognize(sound, is_final=True)).words for _ in range(3)]
    assert [[(word.text, word.speaker) for word in words] for words in heard] == [
        [("hello", "Ann"), ("there", "Ann")],
        [("and", "SPEAKER_01"), ("on", "SPEAKER_01")],
        [("hi", "Bob")],
    ]
