"""What is shipped, and who may import whom (docs/design.md)."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest
from paths import PACKAGE, ROOT

from livekit.plugins import baseten

EMULATOR = PACKAGE / "emulator"

CORE = PACKAGE / "_core"

# No I/O, no clock, no chance, and nobody who has any of them.
NOT_IN_THE_CORE = {
    "aiohttp",
    "asyncio",
    "datetime",
    "livekit",
    "os",
    "random",
    "socket",
    "soxr",
    "threading",
    "time",
    "websockets",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    out = tmp_path_factory.mktemp("wheel")
    # Where the build backend is installed, no environment has to be made for it.
    here = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *here, "-w", str(out)]
    subprocess.run([*command, str(ROOT)], check=True, timeout=110)
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_the_wheel_leaves_the_namespace_to_livekit(wheel: zipfile.ZipFile) -> None:
    """A package file there would hide livekit-agents and every other plugin."""
    names = wheel.namelist()
    assert "livekit/__init__.py" not in names
    assert "livekit/plugins/__init__.py" not in names
    roots = {name.split("/")[0] for name in names}
    assert roots == {"livekit", f"livekit_plugins_baseten-{baseten.__version__}.dist-info"}
    # The pytest plugin is beside the package, so that pytest can start without LiveKit Agents.
    ours = ("livekit/plugins/baseten/", "livekit/plugins/baseten_pytest.py")
    assert all(name.startswith(ours) for name in names if "info/" not in name)


def test_the_wheel_has_types_licence_and_all_modules(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "livekit/plugins/baseten/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    for module in PACKAGE.rglob("*.py"):
        assert str(module.relative_to(ROOT)) in names
    assert "livekit/plugins/baseten/_cli/check/sentence.wav" in names
    for part in (PACKAGE / "_report").glob("*.*"):
        assert str(part.relative_to(ROOT)) in names


def test_the_metadata_is_that_of_this_version(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Version"] == baseten.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    required = metadata.get_all("Requires-Dist") or []
    assert not any(
        re.match(r"(websockets|pocketsphinx|sounddevice)\b(?!.*extra)", r) for r in required
    )


def test_the_public_names_are_those_of_the_readme() -> None:
    sentence = re.search(r"It exports (.+?);", (ROOT / "README.md").read_text(), re.S)
    assert sentence is not None
    assert sorted(re.findall(r"`(\w+)`", sentence[1])) == sorted(baseten.__all__)
    assert all(hasattr(baseten, name) for name in baseten.__all__)


def test_importing_the_package_imports_no_more_than_it_needs() -> None:
    program = (
        "import sys, livekit.agents\n"
        "before = set(sys.modules)\n"
        "import livekit.plugins.baseten\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    added = ran.stdout.split()
    assert "livekit.plugins.baseten.stt" in added
    unwanted = re.compile(
        r"(livekit\.plugins\.baseten\.(emulator|_cli)|websockets|pocketsphinx|typer)\b"
    )
    assert [name for name in added if unwanted.match(name)] == []


# Who may import whom


def modules(*names: str) -> Iterator[Path]:
    """The client's modules of these names, or all of them."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(EMULATOR):
            continue
        if not names or path.relative_to(PACKAGE).parts[0].removesuffix(".py") in names:
            yield path


def imported(path: Path) -> Iterator[str]:
    """What a module imports, ours by its name in the package: ``.`` and ``_timeline``."""
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield node.module or ""
            else:
                base = package[: len(package) - (node.level - 1)]
                names = [node.module] if node.module else [alias.name for alias in node.names]
                yield from ("." + ".".join([*base, name]) for name in names if name)


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path) if not name.startswith(".")}


@pytest.mark.parametrize("path", [*modules("_core")], ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_has_no_io_and_no_clock(path: Path) -> None:
    assert not roots(path) & NOT_IN_THE_CORE
    ours = [name for name in imported(path) if name[0] == "."]
    assert all(name.startswith("._core.") or name == ".log" for name in ours)
    tree = ast.parse(path.read_text())
    concurrent = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, concurrent)]


def test_aiohttp_is_called_in_one_place() -> None:
    users = {path.stem: path for path in modules() if "aiohttp" in roots(path)}
    assert users.keys() == {"socket", "connector", "stt"}
    for name in ("connector", "stt"):
        used = {
            node.attr
            for node in ast.walk(ast.parse(users[name].read_text()))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "aiohttp"
        }
        assert used <= {"ClientSession", "ClientTimeout", "TCPConnector"}, name  # to make one


def test_the_connection_knows_no_livekit_and_the_speech_no_socket() -> None:
    for path in modules("_connection"):
        assert "livekit" not in roots(path) or path.stem == "connector", path.name
    for name in ("speech_events", "audio"):
        path = PACKAGE / "_livekit" / f"{name}.py"
        assert not roots(path) & {"aiohttp", "asyncio"}, path.name
        ours = {name for name in imported(path) if name[0] == "."}
        assert not any(name.startswith(("._connection", "._core.session")) for name in ours), name


def test_client_and_emulator_share_no_code() -> None:
    for path in EMULATOR.rglob("*.py"):
        for name in imported(path):
            assert not name.startswith(".") or name.startswith(".emulator"), path.name
            assert not name.startswith("livekit.plugins"), path.name
    for path in modules():
        if not path.is_relative_to(PACKAGE / "_cli") and path.stem != "testing":
            assert not any(name.startswith(".emulator") for name in imported(path)), path.name
