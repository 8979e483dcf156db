"""`check`: what it says of deployments that are right, and of those that are not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import trustme
from rich.console import Console
from typer.testing import CliRunner

from livekit.plugins import baseten
from livekit.plugins.baseten._cli import app
from livekit.plugins.baseten._cli.check import sentence
from livekit.plugins.baseten._cli.check.checkup import Checkup, Wrong
from livekit.plugins.baseten._cli.check.diagnosis import (
    Measured,
    notes,
    unsuitable,
    where_to_look,
)
from livekit.plugins.baseten._cli.check.steps import Steps
from livekit.plugins.baseten._core.endpoint import Endpoint
from livekit.plugins.baseten._core.options import Options
from livekit.plugins.baseten.emulator import ScriptRecognizer, Server, SileroDetector, faults, serve

KEY = "k3y-that-nobody-sees"
SPOKEN = "He was not an ill-disposed young man."
ENVIRONMENT = {"BASETEN_API_KEY": KEY, "BASETEN_MODEL_ENDPOINT": ""}
GOOD = Measured(round_trip_s=0.03, connect_s=0.2, first_interim_s=0.4, final_s=0.6, flush_s=0.2)


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert KEY not in self.out + self.err
        assert "Traceback" not in self.err

    @property
    def line(self) -> str:
        """The one line that says what is wrong."""
        (line,) = self.err.splitlines()
        return line


def serving(*plan: faults.Entry, says: Sequence[str] = (SPOKEN,), **options: Any) -> Any:
    options.setdefault("api_key", KEY)
    return serve(
        *plan,
        recognizer=ScriptRecognizer(says, is_cyclic=True, floor=300),
        voice_detector=SileroDetector,
        **options,
    )


async def checked(url: str | None, *options: str, **environment: str) -> Ran:
    """What ends before anything is spoken is run in this process: starting one takes longer."""
    endpoint = ["--endpoint", url] if url else []
    done = await asyncio.to_thread(
        CliRunner().invoke,
        app,
        ["check", *endpoint, *options],
        env=ENVIRONMENT | environment,
    )
    return Ran(done.exit_code, done.stdout, done.stderr)


# What is wrong with a deployment


async def test_a_wrong_key() -> None:
    async with serving(api_key="another") as server:
        ran = await checked(server.url)
    assert ran.status == 1
    assert "failed  key         HTTP 401\n" in ran.out
    assert "check --api-key or BASETEN_API_KEY" in ran.line


async def test_a_key_that_may_not_use_the_deployment() -> None:
    async with serving(faults.Refuse(403)) as server:
        ran = await checked(server.url)
    assert ran.status == 1
    assert "may not use this deployment" in ran.line


async def test_no_such_model_shows_where_it_was_looked_for() -> None:
    async with serving(faults.Refuse(404)) as server:
        ran = await checked(server.url)
    assert ran.status == 1
    assert "no such model" in ran.line
    assert ran.line.endswith(server.url)


async def test_a_path_that_is_no_websocket() -> None:
    async with serving() as server:
        ran = await checked(server.url.replace("/websocket", "/predict"))
    assert ran.status == 1
    assert "does not end in /websocket" in ran.line


async def test_a_model_that_is_full_is_waited_for_and_then_named() -> None:
    async with serving(*[faults.Refuse(429)] * 50) as server:
        ran = await checked(server.url, "--wait", "0.5")
        assert len(server.handshakes) >= 1
    assert ran.status == 1
    assert "at its capacity" in ran.line
    assert "--wait 600" in ran.line
    assert "more replicas" in ran.line


async def test_a_model_that_sleeps_on() -> None:
    async with serving(faults.Park()) as server:
        ran = await checked(server.url, "--wait", "0.5")
    assert ran.status == 1
    assert "failed  handshake   no answer within 0.5 s\n" in ran.out
    assert "A model that sleeps" in ran.line
    assert "--wait 600" in ran.line


async def test_a_model_that_answers_plain_http() -> None:
    async with plain_http() as url:
        ran = await checked(url)
    assert ran.status == 1
    assert "plain HTTP" in ran.line
    assert "(Streaming)" in ran.line


@asynccontextmanager
async def plain_http() -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():  # the connection before it only looked whether there is one
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/environments/production/websocket"


async def test_a_model_without_websockets() -> None:
    async with serving(*[faults.CloseBeforeMetadata(1003)] * 50) as server:
        ran = await checked(server.url, "--wait", "0.5")
    assert ran.status == 1
    assert "takes no WebSockets" in ran.line


@pytest.mark.parametrize(
    ("runtime", "refused"),
    [
        ("0.5", {"whisper_sampling_params"}),
        ("0.4", {"whisper_sampling_params", "language_options"}),
        ("0.3", {"whisper_sampling_params", "language_options", "show_word_timestamps"}),
    ],
)
async def test_an_old_runtime_is_asked_which_field_it_refuses(
    runtime: str, refused: set[str]
) -> None:
    extra = {
        "whisper_params": {
            "language_options": ["en", "de"],
            "whisper_sampling_params": {"beam_width": 2},
        }
    }
    async with serving(runtime=runtime) as server:
        ran = await checked(server.url, "--extra-metadata", json.dumps(extra))
    assert ran.status == 1
    assert "failed  metadata    refused with code 1011\n" in ran.out
    assert set(re.findall(r"\b\w+_\w+\.(\w+)", ran.line)) == refused
    assert "newer version" in ran.line


async def test_an_unknown_field_at_the_top() -> None:
    async with serving() as server:
        ran = await checked(server.url, "--extra-metadata", '{"asr_options": {}}')
    assert ran.status == 1
    assert "refuses asr_options:" in ran.line


async def test_a_deployment_that_refuses_whatever_it_is_told() -> None:
    async with serving(*[faults.RejectMetadata()] * 50) as server:
        ran = await checked(server.url)
    assert ran.status == 1
    assert "whatever its metadata" in ran.line


async def test_qwen_where_whisper_was_expected() -> None:
    async with serving(model="qwen3-asr") as server:
        ran = await checked(server.url)
    assert ran.status == 1
    assert "failed  protocol" in ran.out
    assert '--model "qwen3-asr"' in ran.line


async def test_whisper_where_qwen_was_expected() -> None:
    async with serving() as server:
        ran = await checked(server.url, "--model", "qwen3-asr")
    assert ran.status == 1
    assert "failed  protocol" in ran.out
    assert "Is it Whisper?" in ran.line


async def test_a_certificate_that_does_not_verify() -> None:
    async with serving(ssl=certified(trustme.CA())) as server:
        ran = await checked(server.url)
    assert ran.status == 1
    assert "failed  TLS" in ran.out
    assert "does not verify" in ran.line
    assert "SSL_CERT_FILE" in ran.line


async def test_tls_where_there_is_none() -> None:
    async with serving() as server:
        ran = await checked(server.url.replace("ws://", "wss://"))
    assert ran.status == 1
    assert "failed  TLS" in ran.out
    assert "check the port" in ran.line


async def test_a_host_that_is_not_there_and_a_port_that_nobody_listens_on() -> None:
    ran = await checked("wss://nobody.invalid/websocket")
    assert ran.status == 1
    assert "no host nobody.invalid" in ran.line
    async with serving() as server:
        url = server.url
    ran = await checked(url)
    assert ran.status == 1
    assert "cannot be reached" in ran.line


# What is wrong with the arguments


@pytest.mark.parametrize(
    ("url", "options", "environment", "told"),
    [
        (None, (), {}, "BASETEN_MODEL_ENDPOINT"),
        ("ws://198.51.100.7/websocket", (), {}, "unencrypted"),
        ("https://example.com/v1", (), {}, "one looks like wss://"),
        ("wss://example.com/websocket", (), {"BASETEN_API_KEY": ""}, "set BASETEN_API_KEY"),
        ("wss://example.com/websocket", (), {"BASETEN_API_KEY": "two words"}, "copied whole"),
        ("wss://example.com/websocket", ("--extra-metadata", "{"), {}, "not JSON"),
        ("wss://example.com/websocket", ("--extra-metadata", "[]"), {}, "not a JSON object"),
        (None, ("--model-id", "not/an/id"), {}, "--model-id"),
    ],
)
async def test_arguments_that_cannot_be_right(
    url: str | None, options: Sequence[str], environment: dict[str, str], told: str
) -> None:
    ran = await checked(url, *options, **environment)
    assert ran.status == 2
    assert ran.out == ""
    assert told in ran.line


async def test_an_identifier_on_the_command_line_wins_over_the_environment() -> None:
    async with serving() as server:
        ran = await checked(None, "--model-id", "not/an/id", BASETEN_MODEL_ENDPOINT=server.url)
        assert server.handshakes == []
    assert "--model-id" in ran.line


async def test_a_failure_for_machines() -> None:
    async with serving(api_key="another") as server:
        ran = await checked(None, "--json", BASETEN_MODEL_ENDPOINT=server.url)
    report = json.loads(ran.out)
    assert ran.status == 1
    assert report["is_right"] is False
    assert report["wrong"] == ran.line
    assert report["url"] == server.url
    assert report["steps"][-1] == {"name": "key", "outcome": "failed", "detail": "HTTP 401"}


# What speaks and listens takes its time, at the pace of speech: all of these run at once, some as
# the command in a process of its own, and where that would tell nothing more, what it runs


@dataclass(frozen=True)
class Long:
    """A check that gets as far as the sentence."""

    plan: tuple[faults.Entry, ...] = ()
    options: tuple[str, ...] = ()
    serving: dict[str, Any] = field(default_factory=dict)
    says: tuple[str, ...] = (SPOKEN,)
    extra_metadata: dict[str, Any] = field(default_factory=dict)
    answer_within_s: float = 10.0


COMMANDS = {
    "right": Long(),
    "qwen": Long(options=("--model", "qwen3-asr", "--json"), serving={"model": "qwen3-asr"}),
}
NO_PARTIALS = {"streaming_params": {"enable_partial_transcripts": False}}
NO_PATIENCE = {"streaming_vad_config": {"min_silence_duration_ms": 0}}
CHECKUPS = {
    "woken": Long((faults.Park(3.5),)),
    "chance": Long((faults.CloseBeforeMetadata(1011),)),
    "deaf": Long((faults.MuteResults(),), answer_within_s=2.0),
    "no aligner": Long(serving={"aligner": False}, answer_within_s=2.0),
    "no partials": Long(extra_metadata=NO_PARTIALS),
    "in pieces": Long(
        extra_metadata=NO_PATIENCE, says=("He was not", "an ill-disposed young man.")
    ),
    "other words": Long(says=("guten Morgen",)),
    "cut": Long((faults.Reset(after_samples=16_000),)),
    "failing": Long((faults.Error(after_samples=16_000),)),
}


@dataclass(frozen=True)
class Examined:
    """What a checkup has found."""

    wrong: str
    report: dict[str, Any]

    def step(self, name: str) -> tuple[str, str]:
        """The last step of a name: its outcome, and what is told of it."""
        found = [step for step in self.report["steps"] if step["name"] == name]
        return found[-1]["outcome"], found[-1]["detail"]


@dataclass(frozen=True)
class Results:
    ran: dict[str, Ran]
    examined: dict[str, Examined]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    authority = trustme.CA()
    known = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(known))
    return asyncio.run(all_of_them(certified(authority), known))


async def all_of_them(context: ssl.SSLContext, authority: Path) -> Results:
    async def run(long: Long) -> Ran:
        async with serving(*long.plan, says=long.says, ssl=context, **long.serving) as server:
            return await in_a_process(server, authority, *long.options)

    async def examine(long: Long) -> Examined:
        async with serving(*long.plan, says=long.says, **long.serving) as server:
            return await examined(server, long.extra_metadata, long.answer_within_s)

    running = asyncio.gather(*map(run, COMMANDS.values()))
    examining = asyncio.gather(*map(examine, CHECKUPS.values()))
    return Results(
        dict(zip(COMMANDS, await running, strict=True)),
        dict(zip(CHECKUPS, await examining, strict=True)),
    )


async def in_a_process(server: Server, authority: Path, *options: str) -> Ran:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "livekit.plugins.baseten", "check", "--endpoint", server.url, *options),
        env=os.environ | ENVIRONMENT | {"SSL_CERT_FILE": str(authority)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def examined(
    server: Server, extra_metadata: dict[str, Any], answer_within_s: float
) -> Examined:
    checkup = Checkup(
        lambda: baseten.STT(model_endpoint=server.url, api_key=KEY, extra_metadata=extra_metadata),
        Endpoint(server.url, KEY),
        Options.create("whisper", extra_metadata=extra_metadata),
        Steps(None),
        wait_s=30.0,
        answer_within_s=answer_within_s,
    )
    wrong = ""
    try:
        await checkup.run()
    except Wrong as e:
        wrong = str(e)
    return Examined(wrong, checkup.report())


def certified(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_each_step_of_a_deployment_that_works(results: Results) -> None:
    right = results.ran["right"]
    steps = ["network", "TLS", "handshake", "key", "metadata", "speaking", "hearing", "interims"]
    told = [line.split() for line in right.out.splitlines()]
    assert [words[1] for words in told if words[:1] == ["ok"]] == steps
    assert "certificate by trustme" in right.out
    assert f'"{SPOKEN}"' in right.out
    for name in ("round trip", "connecting", "first interim", "last word", "flush()"):
        assert name in right.out
    # What it then thinks of the speed is the machine's.
    if right.status == 0:
        assert right.err == ""
        assert "Right for a voice agent." in right.out
    else:
        assert right.line.startswith("Not right for a voice agent: it is slow")


def test_qwen_for_machines(results: Results) -> None:
    report = json.loads(results.ran["qwen"].out)
    assert report["heard"] == SPOKEN
    assert report["interims"] > 0
    assert all(report["measured"][name] > 0 for name in ("first_interim_s", "final_s", "flush_s"))
    assert report["is_right"] is (not unsuitable(Measured(**report["measured"])))
    assert results.ran["qwen"].status == (0 if report["is_right"] else 1)


def test_a_model_that_sends_no_transcript(results: Results) -> None:
    assert results.examined["deaf"].step("hearing") == ("failed", "nothing")
    assert "no transcript came within 2 s" in results.examined["deaf"].wrong


def test_the_final_is_measured_from_the_last_word(results: Results) -> None:
    """The server waits for 0.35 s of silence, of which some is in the recording."""
    assert results.examined["chance"].report["measured"]["final_s"] > 0.3


def test_one_refusal_of_the_metadata_may_be_chance(results: Results) -> None:
    chance = results.examined["chance"]
    assert chance.step("metadata") == ("ok", "accepted")
    assert chance.report["heard"] == SPOKEN


def test_a_model_that_wakes_is_waited_for_and_measured_awake(results: Results) -> None:
    woken = results.examined["woken"]
    assert [step["outcome"] for step in woken.report["steps"] if step["name"] == "handshake"] == [
        "note",
        "ok",
    ]
    measured = woken.report["measured"]
    assert measured["woke_s"] >= 3.5
    assert measured["connect_s"] < measured["woke_s"]


def test_what_the_server_reports_of_its_trouble_is_told(results: Results) -> None:
    assert "enable_word_timestamp" in results.examined["no aligner"].wrong
    assert "show_word_timestamps=False" in results.examined["no aligner"].wrong


def test_a_model_without_partials(results: Results) -> None:
    assert results.examined["no partials"].step("interims") == ("failed", "none")
    assert "no partial transcripts" in results.examined["no partials"].wrong


def test_a_model_that_hears_something_else(results: Results) -> None:
    assert results.examined["other words"].step("hearing") == ("failed", '"guten Morgen"')
    assert sentence.TEXT in results.examined["other words"].wrong


def test_a_sentence_that_comes_in_pieces_is_put_together(results: Results) -> None:
    assert results.examined["in pieces"].report["heard"] == SPOKEN


def test_a_connection_that_is_cut(results: Results) -> None:
    assert results.examined["cut"].step("connection") == ("failed", "lost with code 1006")
    assert "logs" in results.examined["cut"].wrong


def test_a_server_that_gives_up(results: Results) -> None:
    assert "something broke" in results.examined["failing"].wrong


# What is made of what was measured


def measured(**changed: float | None) -> Measured:
    return Measured(**{**vars(GOOD), **changed})


def test_what_suits_a_voice_agent() -> None:
    assert unsuitable(GOOD) == {}
    assert notes(GOOD) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"round_trip_s": 0.25}, "far away"),
        ({"first_interim_s": None}, "no partial transcripts"),
        ({"first_interim_s": 2.5}, "the first interim took 2.50 s"),
        ({"final_s": 3.0}, "the final took 3.00 s"),
        ({"flush_s": 1.0}, "the answer to flush() took 1.00 s"),
    ],
)
def test_what_does_not_suit_one(changed: dict[str, float | None], told: str) -> None:
    (why,) = unsuitable(measured(**changed)).values()
    assert told in why


def test_what_the_distance_takes_is_not_held_against_the_model() -> None:
    (why,) = unsuitable(measured(round_trip_s=0.3, final_s=1.7, flush_s=0.9)).values()
    assert "far away" in why
    assert "slow" not in why


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "give it a faster GPU"),
        ({"late_s": 0.6, "is_here": True}, "this machine is busy, and was 0.60 s late"),
        ({"is_here": True}, "it runs on this machine"),
    ],
)
def test_a_gpu_is_blamed_only_where_it_can_be_one(changed: dict[str, Any], told: str) -> None:
    (why,) = unsuitable(measured(final_s=3.0, **changed)).values()
    assert told in why
    assert ("GPU, or fewer calls" in why) is (not changed)


def test_a_busy_machine_is_named_where_no_answer_came_in_time() -> None:
    assert "logs on Baseten" in where_to_look(measured(flush_s=None))
    told = where_to_look(measured(flush_s=None, late_s=0.6))
    assert "this machine is busy, and was 0.60 s late" in told
    assert "Baseten" not in told


def test_what_is_worth_knowing_of_a_deployment_that_is_right() -> None:
    assert "minimum of 1 replica" in notes(measured(woke_s=90.0))[0]
    assert "prewarm()" in notes(measured(connect_s=1.5))[0]


@pytest.mark.parametrize(
    ("heard", "is_alike"),
    [
        (SPOKEN, True),
        ("he was not until exposed young man", True),
        ("He was not an ill disposed young man, he was not an ill disposed", True),
        ("", False),
        ("guten Morgen", False),
        ("man young disposed ill an not was he", False),
    ],
)
def test_the_sentence_is_recognized_loosely(heard: str, is_alike: bool) -> None:
    assert (sentence.likeness(heard) >= 0.5) is is_alike


def test_a_terminal_is_shown_ticks_and_long_lines_in_columns() -> None:
    screen = Console(file=StringIO(), force_terminal=True, width=40, color_system=None)
    steps = Steps(screen)
    steps.doing("waiting")
    steps.done("network", "a detail that does not fit into a single line")
    steps.done("key", "HTTP 401", "failed")
    assert isinstance(screen.file, StringIO)
    lines = [line.rstrip() for line in screen.file.getvalue().splitlines()]
    shown = "\n".join(lines)
    assert "  \N{CHECK MARK} network    a detail that does not" in shown
    assert "\n               fit into a single" in shown
    assert "  \N{BALLOT X} key        HTTP 401" in shown
