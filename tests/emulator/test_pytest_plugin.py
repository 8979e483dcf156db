"""The plugin in test runs of its own, as a user's project has them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from livekit.plugins.baseten import emulator

# A run in this process forgets what it has imported, and numpy cannot be imported twice.
assert emulator.__all__

pytest_plugins = "pytester"

CLIENT = """
import json
import pytest
from websockets.sync.client import connect
from livekit.plugins.baseten.emulator import faults, utterance

KEY = "key-4711"

def say(server):
    headers = {"Authorization": f"Api-Key {KEY}"}
    with connect(server.url, additional_headers=headers, compression=None) as socket:
        socket.send("{}" if server.model == "whisper" else '{"whisper_params": {}}')
        sound = utterance(0.512) + bytes(1024 * 20)
        for at in range(0, len(sound), 1024):
            socket.send(sound[at : at + 1024])
        message = json.loads(socket.recv(timeout=10))
        return message["segments"][0]["text"]
"""


def run(pytester: pytest.Pytester, *arguments: str, **files: str) -> pytest.RunResult:
    pytester.makepyfile(**{name: CLIENT + text for name, text in files.items()})
    if "no:asyncio" not in arguments:
        arguments += ("-o", "asyncio_default_fixture_loop_scope=function")
    # In this process, because each other one would import LiveKit Agents first.
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def test_it_is_installed_where_pytest_looks() -> None:
    (plugin,) = [
        each
        for each in entry_points(group="pytest11")
        if each.dist is not None and each.dist.name == "livekit-plugins-baseten"
    ]
    assert plugin.value == "livekit.plugins.baseten_pytest"


def test_pytest_starts_without_what_the_fixtures_need() -> None:
    program = "import sys, livekit.plugins.baseten_pytest; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"asyncio", "livekit.agents", "livekit.plugins.baseten", "numpy", "websockets"}
    assert not heavy & set(ran.stdout.split())


STRICT = """
import pytest
from livekit.plugins import baseten
from livekit import rtc
from livekit.agents import stt

{mark}
async def test_a_stream_is_heard(baseten_server):
    baseten_server.hear("a table for two")
    sound = utterance() + bytes(32000)
    async with baseten.STT(model_endpoint=baseten_server.url, api_key="any") as ears:
        async with ears.stream() as stream:
            stream.push_frame(rtc.AudioFrame(sound, 16000, 1, len(sound) // 2))
            stream.end_input()
            finals = [
                event.alternatives[0].text
                async for event in stream
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
            ]
    assert finals == ["a table for two"]
    await baseten_server.until(lambda: not baseten_server.connections[0].is_open)
"""


@pytest.mark.parametrize(
    ("mark", "arguments"),
    [
        ("", ("-o", "asyncio_mode=auto")),
        ("@pytest.mark.asyncio", ("-o", "asyncio_mode=strict")),
        ("@pytest.mark.anyio", ("-p", "no:asyncio", "-k", "not trio")),
    ],
    ids=["pytest-asyncio auto", "pytest-asyncio strict", "anyio"],
)
def test_it_serves_every_kind_of_async_test(
    pytester: pytest.Pytester, mark: str, arguments: tuple[str, ...]
) -> None:
    if "anyio" in mark:
        pytester.makeconftest(
            "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
        )
    ran = run(pytester, "-W", "error", *arguments, test_it=STRICT.format(mark=mark))
    ran.assert_outcomes(passed=1)


def test_a_marker_says_how_it_is_served_and_a_factory_serves_more(
    pytester: pytest.Pytester,
) -> None:
    text = """
def test_plain(baseten_server):
    baseten_server.hear("hello")
    assert say(baseten_server) == "hello"

@pytest.mark.baseten_server(faults.Refuse(503), api_key=KEY)
def test_marked(baseten_server):
    with pytest.raises(Exception, match="503"):
        say(baseten_server)
    baseten_server.hear("hello")
    assert say(baseten_server) == "hello"
    baseten_server.assert_struck()

@pytest.mark.baseten_server(model="qwen3-asr")
def test_another_model(baseten_server):
    assert baseten_server.model == "qwen3-asr"

def test_two_of_them(baseten_serve):
    main, fallback = baseten_serve(faults.Refuse(500)), baseten_serve()
    assert main.url != fallback.url
    fallback.hear("hello")
    assert say(fallback) == "hello"
    assert main.connections == []
"""
    run(pytester, "--strict-markers", "-W", "error", test_it=text).assert_outcomes(passed=4)


def test_a_marker_that_is_wrong_is_told_in_a_line(pytester: pytest.Pytester) -> None:
    text = """
@pytest.mark.baseten_server(model="qwen")
def test_model(baseten_server):
    pass

@pytest.mark.baseten_server(modle="qwen3-asr")
def test_option(baseten_server):
    pass
"""
    ran = run(pytester, test_it=text)
    ran.assert_outcomes(errors=2)
    ran.stdout.fnmatch_lines(
        [
            "@pytest.mark.baseten_server(...): model='qwen': there are 'whisper' and 'qwen3-asr'",
            "@pytest.mark.baseten_server(...): *unexpected keyword argument 'modle'*",
        ]
    )
    assert "baseten_pytest.py" not in ran.stdout.str()


def test_a_marker_that_is_about_nothing_is_told_in_a_line(pytester: pytest.Pytester) -> None:
    text = """
@pytest.mark.baseten_server(None, faults.Reset)
def test_class(baseten_server):
    pass

@pytest.mark.baseten_server("resett@3000")
def test_words(baseten_server):
    pass

@pytest.mark.baseten_server(faults.Reset())
def test_without_the_fixture():
    pass
"""
    ran = run(pytester, test_it=text)
    ran.assert_outcomes(errors=3)
    ran.stdout.fnmatch_lines(
        [
            "@pytest.mark.baseten_server(...): faults.Reset is a class *",
            "@pytest.mark.baseten_server(...): resett@3000: there is none of this name; *",
            "*has no effect: the test does not use the fixture `baseten_server`",
        ]
    )
    assert "baseten_pytest.py" not in ran.stdout.str()


FORBIDDEN = """
import socket
import pytest

@pytest.fixture(autouse=True)
def no_sockets(monkeypatch):
    class Forbidden(socket.socket):  # as pytest-socket does
        def __new__(cls, *args, **kwargs):
            raise RuntimeError("a test tried to use socket.socket")
    monkeypatch.setattr(socket, "socket", Forbidden)
"""

EXHAUSTED = """
import os, pytest, resource

@pytest.fixture(autouse=True)
def no_descriptors():
    from livekit.plugins.baseten.emulator import ScriptedServer  # imports open files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
"""


@pytest.mark.parametrize(
    ("conftest", "cause"),
    [(FORBIDDEN, "a test tried to use socket.socket"), (EXHAUSTED, "*Too many open files*")],
    ids=["sockets are forbidden", "no descriptor is free"],
)
def test_a_server_that_cannot_start_fails_with_the_cause(
    pytester: pytest.Pytester, conftest: str, cause: str
) -> None:
    pytest.importorskip("resource")
    pytester.makeconftest(conftest)
    # Without pytest-asyncio: it would make an event loop itself.
    ran = run(
        pytester, "-W", "error", "-p", "no:asyncio", test_it="def test_it(baseten_server): ..."
    )
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines([f"baseten_server cannot be started: {cause}"])
    assert "Traceback" not in ran.stdout.str()


def test_a_test_that_fails_shows_what_was_received_and_no_key(pytester: pytest.Pytester) -> None:
    text = """
def test_it(baseten_server):
    baseten_server.hear("a table for two")
    baseten_server.hear("at eight")
    assert say(baseten_server) == "something else"

def test_it_once(baseten_server):
    baseten_server.assert_heard("hello")
"""
    ran = run(pytester, "-v", test_it=text)
    ran.assert_outcomes(failed=2)
    ran.stdout.fnmatch_lines(
        [
            "*- baseten_server -*",
            "whisper at ws://*, handshakes: [[]101]",
            "connection 1: * s of audio",
            "utterance 1: 'a table for two'",
            "not heard: 'at eight'",
        ]
    )
    said = ran.stdout.str()
    assert said.count("- baseten_server -") == 1  # the other failure has it in its assertion
    assert "heard [], expected ['hello']" in said
    assert "key-4711" not in said


def test_without_the_extra_a_run_is_as_before_and_the_fixture_says_what_to_do(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest("import sys\nsys.modules['websockets'] = None")
    pytester.makepyfile(
        """
        def test_other():
            pass

        def test_it(baseten_server):
            pass
        """
    )
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error")
    ran.assert_outcomes(passed=1, errors=1)
    ran.stdout.fnmatch_lines(
        ['*need websockets: pip install "livekit-plugins-baseten[[]emulator]"']
    )
    assert "Traceback" not in ran.stdout.str()
    assert "baseten_pytest.py" not in ran.stdout.str()
