"""What the documents say, held against the code: programs run, tables compared, links followed.

A Python block runs as a script of its own, against the local Baseten. `<!-- run: agent -->` before
it starts its entrypoint and waits for a user turn, `<!-- run: pytest -->` runs it as a test file.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest
from kit import python
from paths import ROOT

from livekit.agents.types import NOT_GIVEN
from livekit.plugins import baseten
from livekit.plugins.baseten._core.attached import Outcome
from livekit.plugins.baseten._core.errors import (
    ConnectFailed,
    ConnectTimedOut,
    DrainTimedOut,
    HandshakeRefused,
    LocalProtocolError,
    MetadataRefused,
    ServerFailed,
    SessionLost,
    WrongDialect,
)
from livekit.plugins.baseten._core.options import Model, Options, Sent
from livekit.plugins.baseten._core.retries import RULES, rule_for
from livekit.plugins.baseten._core.session import TRANSITIONS, State
from livekit.plugins.baseten._livekit.api_errors import to_api_error
from livekit.plugins.baseten._livekit.continuation import Fate
from livekit.plugins.baseten.emulator import Server, faults

DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
README = (ROOT / "README.md").read_text()
RECORDING = ROOT / "examples" / "audio" / "sense_and_sensibility_01-0870.wav"
PLACEHOLDER = re.compile(r"wss://model-XXXXXXXX\.api\.baseten\.co[\w/]*")


@dataclass
class Block:
    document: str
    line: int
    language: str
    marker: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(*languages: str) -> Iterator[Block]:
    fence = re.compile(r"(?:<!-- run: (\w+) -->\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)
    for document in DOCUMENTS:
        text = document.read_text()
        for found in fence.finditer(text):
            if found[2] in languages:
                line = text[: found.start(2)].count("\n") + 1
                yield Block(document.name, line, found[2], found[1] or "", found[3])


PYTHON_BLOCKS = list(blocks("python"))
SHELL_BLOCKS = list(blocks("console", "sh", "bash", "shell"))


# The user is a recording, and there is no LLM and no voice: those are in LiveKit's cloud.
AGENT = """

import asyncio
from types import SimpleNamespace
from demo import RECORDING, Recording

class Call(AgentSession):
    def __init__(self, *, llm, tts, **options):
        assert "/" in llm and "/" in tts
        super().__init__(**options)
        calls.append(self)

    async def start(self, agent, *, room):
        self.input.audio = Recording(RECORDING, silence_after_s=5.0)
        agent.on_user_turn_completed = self.heard
        self.turn = asyncio.Future()
        await super().start(agent)

    async def heard(self, turn_ctx, new_message):
        self.turn.set_result(new_message.text_content)

async def call():
    await entrypoint(SimpleNamespace(room=None))
    print(await asyncio.wait_for(calls[0].turn, 30))
    await calls[0].aclose()
    await calls[0].stt.aclose()

calls = []
AgentSession = Call
asyncio.run(call())
"""


PROGRAMS = [
    # An agent listens in real time, with a real recognizer.
    pytest.param(block, marks=pytest.mark.alone if block.marker == "agent" else (), id=str(block))
    for block in PYTHON_BLOCKS
    if block.document != "monitoring.md"  # see test_monitoring.py
]


@pytest.mark.parametrize("block", PROGRAMS)
async def test_each_program_runs(block: Block, server: Server, tmp_path: Path) -> None:
    program = PLACEHOLDER.sub(server.url, block.text)
    script = tmp_path / "test_program.py"
    script.write_text(program + (AGENT if block.marker == "agent" else ""))
    shutil.copy(RECORDING, tmp_path / "recording.wav")
    command = [str(script)]
    if block.marker == "pytest":
        (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
        command = [*python.PYTEST, "-c", str(tmp_path / "pytest.ini"), str(script)]
    ran = await python.ran(
        *command,
        cwd=tmp_path,
        BASETEN_MODEL_ENDPOINT=server.url,
        BASETEN_API_KEY="any",
        PYTHONPATH=str(ROOT / "examples"),
    )
    assert ran.status == 0, f"{ran.out}\n{ran.err}"
    if block.marker == "pytest":
        assert "1 passed" in ran.out
    else:
        assert "john dashwood" in ran.out.lower()
        assert ran.complaints == []


def test_programs_use_public_names_only() -> None:
    for block in PYTHON_BLOCKS:
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom):
                assert node.module is not None, str(block)
                assert not any(part.startswith("_") for part in node.module.split(".")), str(block)


def shell_commands() -> Iterator[tuple[str, str]]:
    for block in SHELL_BLOCKS:
        for line in block.text.splitlines():
            command = line.split("  #")[0].removeprefix("$ ").strip()
            if command:
                yield str(block), command
    for document in DOCUMENTS:
        for command in re.findall(r"`((?:make|python|pip) [^`]+)`", document.read_text()):
            yield document.name, command


def test_each_command_exists() -> None:
    commands = list(shell_commands())
    assert len(commands) > 50
    for where, command in commands:
        check_command(where, command)


def check_command(where: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words[1:]) <= set(targets), where
    elif words[:3] == ["python", "-m", "livekit.plugins.baseten"]:
        assert words[3] in command_names() | {"--help"}, where
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file(), where
    elif words[:2] == ["pip", "install"]:
        extras = re.findall(r"\[(\w+)\]", command)
        declared = re.search(r"\[project\.optional-dependencies\](.*?)^\[", PYPROJECT, re.M | re.S)
        assert declared is not None
        assert all(re.search(rf"^{extra} = ", declared[1], re.M) for extra in extras), where
    else:
        pytest.fail(f"{where}: what is {command!r}?")


def command_names() -> set[str]:
    from livekit.plugins.baseten._cli import app

    return {c.name or c.callback.__name__ for c in app.registered_commands}  # type: ignore[union-attr]


PYPROJECT = (ROOT / "pyproject.toml").read_text()


def parameter_table() -> dict[str, str]:
    section = README.split("## Parameters of `baseten.STT`")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.M))


def effective_default(name: str, parameter: inspect.Parameter) -> Any:
    """What is used where the argument is not given; `NOT_GIVEN` where nothing is."""
    if parameter.default is not NOT_GIVEN:
        return parameter.default
    value = getattr(Options.create("whisper"), name, None)
    return NOT_GIVEN if value is None else value


def test_the_parameter_table_is_the_constructor() -> None:
    parameters = dict(inspect.signature(baseten.STT.__init__).parameters)
    del parameters["self"]
    table = parameter_table()
    assert list(table) == list(parameters)  # the same ones in the same order
    for name, parameter in parameters.items():
        default = effective_default(name, parameter)
        if default is NOT_GIVEN:
            assert table[name] == "not sent", name
        else:
            assert ast.literal_eval(table[name].strip("`")) == default, name


def test_the_qwen3_defaults_are_in_the_table() -> None:
    options = Options.create("qwen3-asr")
    assert f"Qwen3-ASR: {options.vad_min_silence_duration_ms} |" in README
    assert f"Qwen3-ASR: {options.vad_speech_pad_ms} |" in README
    assert not options.show_word_timestamps
    assert "Qwen3-ASR: off" in README


def test_the_table_names_every_model() -> None:
    (row,) = re.findall(r"^\| `model` .*$", README, re.M)
    assert [name for name in get_args(Model) if f'`"{name}"`' not in row] == []


def test_the_protocol_tells_of_each_field_that_is_sent() -> None:
    """What is missing belongs into a table of docs/protocol.md, with where it is known from."""
    protocol = (ROOT / "docs" / "protocol.md").read_text()
    told = set(re.findall(r"`[\w.]*?(\w+)`", protocol))
    known = [marker for field in Options.model_fields.values() for marker in field.metadata]
    sent = [marker.path[-1] for marker in known if isinstance(marker, Sent)]
    assert sent
    assert [name for name in sent if name not in told] == []


def test_the_test_kit_tells_of_each_fault() -> None:
    """What is missing belongs into the table of docs/testing.md."""
    table = (ROOT / "docs" / "testing.md").read_text().split("## Faults")[1].split("\n## ")[0]
    kinds = [
        kind
        for kind in vars(faults).values()
        if inspect.isclass(kind) and issubclass(kind, faults.Fault) and is_dataclass(kind)
    ]
    assert kinds
    assert [kind.__name__ for kind in kinds if f"`{kind.__name__}(" not in table] == []


def test_the_commands_have_a_row_and_a_section() -> None:
    """What is missing belongs into docs/command_line.md; a section may be elsewhere."""
    document = (ROOT / "docs" / "command_line.md").read_text()
    linked = re.findall(r"^\| \[`(\w+)`\]\(", document, re.M)
    assert sorted(linked) == sorted(command_names())


def test_the_guide_names_each_folder_of_tests() -> None:
    table = CONTRIBUTING.split("## Where tests go")[1].split("\n## ")[0]
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/*.py")}
    assert set(re.findall(r"`tests/(\w+)/`", table)) == folders


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 429, 500, 503])
def test_the_errors_table_says_rightly_what_is_retried(status: int) -> None:
    section = README.split("## What errors mean")[1].split("\n## ")[0]
    shown = "5xx" if status >= 500 else str(status)
    (row,) = [row for row in section.splitlines() if row.startswith("| HTTP") and shown in row]
    assert ("retried" in row) is to_api_error(HandshakeRefused(status)).retryable


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_link_leads_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if target.startswith("https://"):
                continue
            path, _, anchor = target.partition("#")
            destination = document.parent / path if path else document
            assert destination.exists(), f"{document.name}: {target}"
            assert not anchor or anchor in anchors(destination), f"{document.name}: {target}"


def test_what_the_code_cites_is_there() -> None:
    """Comments name sections of the documents: `docs/protocol.md, invalid metadata`."""
    cited = re.compile(r"docs/(\w+)\.md`?(?:\s*[,(]\s*#?\s*([a-z][a-z0-9 -]+?))?(?=[`),.:;]|\s\()")
    for source in (ROOT / "livekit").rglob("*.py"):
        text = re.sub(r"\n\s*#?\s*", " ", source.read_text())
        for document, section in cited.findall(text):
            path = ROOT / "docs" / f"{document}.md"
            assert path.is_file(), f"{source.name} cites {document}"
            if section and section not in ("in short", "as in"):
                headings = [a.replace("-", " ") for a in anchors(path)]
                first = section.split(" and ")[0]
                assert any(first in heading for heading in headings), f"{source.name}: {section}"


def test_the_design_has_every_state_and_move() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    for state in State:
        assert state.name in design
    rows = re.findall(r"^\| (\w+) \| `(\w+)\(.*?\)`.*? \| (\w+) \|$", design, re.M)
    told = {(state, to) for state, _, to in rows}
    assert told == {(state.name, to.name) for (state, _), to in TRANSITIONS.items()}


# One for each rule, by the row of the table that it has to be.
ERRORS = (
    HandshakeRefused(503),
    HandshakeRefused(499),
    HandshakeRefused(404),
    ConnectTimedOut(1.0),
    ConnectFailed("", permanent=True),
    ConnectFailed(""),
    MetadataRefused(1011, "", sent="", permanent=True),
    MetadataRefused(1011, "", sent=""),
    ServerFailed("", "", permanent=True),
    ServerFailed("", ""),
    DrainTimedOut(1.0, acknowledged=False),
    SessionLost(1002),
    SessionLost(1006),
    WrongDialect(""),
    LocalProtocolError(""),
)


def test_the_design_has_every_rule_for_retries() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    section = design.split("## Errors and retries")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \| `(\w+)` \| (yes|no) \| (.*?) ?\|$", section, re.M)
    for row, rule, error in zip(rows, RULES, ERRORS, strict=True):
        assert rule_for(error) is rule
        told, gives_back = to_api_error(error), "if it worked" in row[4]
        assert row[:3] == (rule.what, type(error).__name__, type(told).__name__)
        assert (row[3] == "yes", gives_back) == (rule.is_retried, rule.gives_back), rule.what
        assert told.retryable is rule.is_retried


def test_the_design_names_each_outcome_of_a_session() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    lifetimes = design.split("## Two lifetimes")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z]+) \| (.+?) \|", lifetimes, re.M)
    assert [name for name, _ in rows] == [outcome.name for outcome in Outcome]


def test_the_design_names_each_fate_of_the_work_of_a_stream() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    section = design.split("## A stream that fails")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z]+) \| (.+?) \|", section, re.M)
    assert [name for name, _ in rows] == [fate.name for fate in Fate]


def test_the_design_names_every_module_and_no_other() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    package = ROOT / "livekit" / "plugins" / "baseten"
    folders = ("_livekit", "_connection", "_core")
    modules = {path.stem for folder in folders for path in (package / folder).glob("*.py")}
    parts = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    picture = design.split("## The picture")[1].split("\n## ")[0]
    table = "".join(re.findall(r"^\| (.+?) \|", picture, re.M))
    named = set(re.findall(r"`(\w+/?)`", table))
    public = {"stt", "testing", "transcription", "baseten_pytest", "baseten_cli"}
    assert named == modules - {"__init__"} | parts | {"wire/"} | public


def test_the_changelog_begins_with_the_dated_release_of_this_version() -> None:
    """Above it is at most what comes next; pyproject.toml takes the version from the package."""
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    releases = [
        re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", heading)
        for heading in headings[headings[0] == "[Unreleased]" :]
    ]
    dated = [(found[1], date.fromisoformat(found[2])) for found in releases if found]
    assert len(dated) == len(releases), headings
    assert dated[0][0] == baseten.__version__
    assert dated == sorted(dated, key=lambda release: release[1], reverse=True)
    project = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in project
    assert 'path = "livekit/plugins/baseten/version.py"' in project


@pytest.mark.parametrize("variable", ["BASETEN_MODEL_ENDPOINT", "BASETEN_API_KEY"])
def test_the_example_environment_has_what_the_plugin_reads(variable: str) -> None:
    assert re.search(rf"^{variable}=", (ROOT / ".env.example").read_text(), re.M)


def test_the_continuous_integration_runs_what_the_makefile_has() -> None:
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    called = re.findall(r"^make (\w+)$", run.read_text(), re.M)
    assert called == ["setup", "lint", "test", "demo"]
    assert set(called) <= targets
