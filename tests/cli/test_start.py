"""Help, version and wrong arguments: said at once, without LiveKit, whose import takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kit import python

from livekit.plugins.baseten import __version__
from livekit.plugins.baseten._cli import app

MODULE = "-m livekit.plugins.baseten"
SCRIPT = "-c import livekit.plugins.baseten_cli as c; c.main()"
URL = "--endpoint ws://127.0.0.1:1/websocket"


def started(
    how: str, words: str, *, key: str = "any", folder: Path | None = None, **variables: str
) -> tuple[int, str, str, set[str]]:
    """Status, standard output, the rest of standard error, and what was imported for it."""
    flag, _, what = how.partition(" ")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", flag, what, *words.split()],
        capture_output=True,
        text=True,
        check=False,
        env={"BASETEN_API_KEY": key, "PATH": "", "COLUMNS": "200", **variables},
        cwd=folder,
    )
    lines = done.stderr.splitlines()
    imports = {line.split("|")[-1].strip() for line in lines if line.startswith("import time:")}
    said = "\n".join(line for line in lines if not line.startswith("import time:"))
    return done.returncode, done.stdout, said, imports


def is_quick(imports: set[str]) -> bool:
    slow = {"livekit.agents", "livekit.rtc", "av", "aiohttp", "numpy", "websockets"}
    return bool(imports) and not imports & slow


COMMANDS = [c.callback.__name__ for c in app.registered_commands]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("how", "command"), [(MODULE, ""), *((SCRIPT, command) for command in COMMANDS)]
)
def test_help_is_shown_at_once(how: str, command: str) -> None:
    status, out, _, imports = started(how, f"{command} --help")
    assert status == 0
    assert f"{command} [OPTIONS]".strip() in out
    assert is_quick(imports)


@pytest.mark.parametrize("how", [MODULE, SCRIPT], ids=["module", "script"])
def test_the_version_is_shown_at_once(how: str) -> None:
    status, out, _, imports = started(how, "--version")
    assert (status, out) == (0, f"livekit-plugins-baseten {__version__}\n")
    assert is_quick(imports)
    assert not imports & {"asyncio", "pydantic", "livekit.plugins.baseten._transcription.captions"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("transcribe", "name files to transcribe, or --mic"),
        ("transcribe a.wav", "pass --endpoint, --model-id or --chain-id"),
        (f"transcribe a.wav {URL} --language klingon", "not a language that Whisper knows"),
        ("transcribe a.wav --endpoint https://example.com", "not a WebSocket URL"),
        ("check", "pass --endpoint, --model-id or --chain-id"),
        (f"check {URL} --extra-metadata [", "--extra-metadata: not JSON"),
        ("serve --fault storm", "--fault storm: there is none of this name"),
        ("serve --recognizer script", "needs a --script FILE"),
        ("report", "Missing argument"),
        ("watch --listen ::1:9464", "write it as 127.0.0.1:9464 or [::1]:9464"),
    ],
)
def test_a_wrong_argument_is_named_at_once(words: str, expected: str) -> None:
    status, out, said, imports = started(MODULE, words)
    assert (status, out) == (2, "")
    assert expected in said
    assert is_quick(imports)


def test_a_missing_key_is_named_at_once() -> None:
    status, _, said, imports = started(MODULE, f"check {URL}", key="")
    assert status == 2
    assert "pass --api-key or set BASETEN_API_KEY" in said
    assert is_quick(imports)


def test_variables_come_from_env_files_of_the_folder_unless_they_are_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BASETEN_MODEL_ENDPOINT=ftp://env/")
    _, _, said, _ = started(MODULE, "check", folder=tmp_path)
    assert "ftp://env/" in said
    (tmp_path / ".env.local").write_text("BASETEN_MODEL_ENDPOINT=ftp://local/")
    _, _, said, _ = started(MODULE, "check", folder=tmp_path)
    assert "ftp://local/" in said
    variables = {"BASETEN_MODEL_ENDPOINT": "ftp://set/"}
    _, _, said, _ = started(MODULE, "check", folder=tmp_path, **variables)
    assert "ftp://set/" in said


@pytest.mark.parametrize(
    "program",
    [
        "from livekit.plugins import baseten; from livekit.agents import Plugin",
        "import livekit.plugins.baseten_cli; from livekit.plugins import baseten; baseten.STT; "
        "from livekit.agents import Plugin",
    ],
    ids=["imported", "beside the command line"],
)
async def test_whoever_imports_the_package_gets_a_registered_plugin(program: str) -> None:
    program += (
        '\n(plugin,) = [p for p in Plugin.registered_plugins if p.title.endswith("baseten")]\n'
        "print(plugin.package, baseten.STT.__name__, baseten.SpeechStream.__name__)"
    )
    done = await python.ran("-c", program)
    assert done.out == "livekit.plugins.baseten STT SpeechStream\n"
