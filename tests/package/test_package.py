"""What is shipped, what is public, and who may import whom (docs/design.md)."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib.util
import inspect
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from email.parser import Parser
from pathlib import Path
from typing import get_args

import pytest
from kit.models import MODELS
from paths import PACKAGE, ROOT

from livekit.agents import stt
from livekit.agents.voice.io import AudioInput
from livekit.plugins import baseten
from livekit.plugins.baseten import emulator, testing, transcription
from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import InMemoryConnection, ScriptedServer, serve
from livekit.plugins.baseten.emulator._serving.serve import ServeOptions


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    out = tmp_path_factory.mktemp("wheel")
    # Where the build backend is installed, no environment has to be made for it.
    here = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *here, "-w", str(out)]
    subprocess.run([*command, str(ROOT)], check=True)
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
    # What pytest and the command line begin with is beside the package, which imports LiveKit.
    beside = ("livekit/plugins/baseten_pytest.py", "livekit/plugins/baseten_cli.py")
    ours = ("livekit/plugins/baseten/", *beside)
    assert set(beside) <= set(names)
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
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    added = ran.stdout.split()
    assert "livekit.plugins.baseten.stt" in added
    unwanted = re.compile(
        r"(livekit\.plugins\.baseten\.(emulator|_cli)|websockets|pocketsphinx|typer)\b"
    )
    assert [name for name in added if unwanted.match(name)] == []


# What type checkers look at: the files in `typed/`, by `make lint`

TYPED = ast.parse((ROOT / "tests" / "package" / "typed" / "right.py").read_text())
USED = {node.id for node in ast.walk(TYPED) if isinstance(node, ast.Name)}
USED |= {node.attr for node in ast.walk(TYPED) if isinstance(node, ast.Attribute)}
USED |= {node.name for node in ast.walk(TYPED) if isinstance(node, ast.alias)}
GIVEN = {node.arg for node in ast.walk(TYPED) if isinstance(node, ast.keyword)}

USED_BY_OTHERS = {"use_options", "hand_over", "on_detached"}


def own(kind: type, base: type) -> set[str]:
    """What is public of a class and not of its base, or not as the base has it."""
    return {
        name
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_") and member is not getattr(base, name, None)
    }


def test_type_checkers_see_all_that_is_public() -> None:
    """What is missing belongs into tests/package/typed/right.py."""
    public = {n for module in (baseten, emulator, testing, transcription) for n in module.__all__}
    public |= own(baseten.STT, stt.STT) | own(baseten.SpeechStream, stt.RecognizeStream)
    public |= own(testing.Caller, AudioInput)
    public |= own(ScriptedServer, object) | own(InMemoryConnection, object)
    assert public - USED - USED_BY_OTHERS == set()


@pytest.mark.parametrize("called", [baseten.STT, baseten.STT.transcribe, serve])
def test_type_checkers_see_every_argument(called: Callable[..., object]) -> None:
    """What is missing belongs into tests/package/typed/right.py."""
    parameters = inspect.signature(called).parameters.values()
    assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - GIVEN == set()


def test_tests_run_over_each_model() -> None:
    assert get_args(Model) == MODELS


def test_a_scripted_server_passes_on_what_serve_takes() -> None:
    own = inspect.signature(ScriptedServer).parameters.keys()
    taken = inspect.signature(serve).parameters.keys()
    assert ServeOptions.__annotations__.keys() == taken - own - {"recognizer"}


# Who may import whom


def part(name: str) -> str:
    """The folder of a module of this package, or the module itself where it is in none."""
    return name.split(".")[0]


def modules(*parts: str) -> dict[str, Path]:
    """The modules of these parts of the package, or all of them, by their names in it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__")
        if not parts or part(name) in parts:
            found[name.removesuffix(".")] = path
    return found


MODULES = modules()


@functools.cache
def imported(path: Path) -> tuple[set[str], set[str]]:
    """What a module imports: modules of this package, by their names in it, and other packages."""
    package = path.relative_to(PACKAGE).parts[:-1]
    ours: set[str] = set()
    others: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            others |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            others |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - (node.level - 1)], *(node.module or "").split(".")]
            for alias in node.names:
                module, name = ".".join(filter(None, base)), alias.name
                inner = f"{module}.{name}".removeprefix(".")
                ours.add(inner if inner in MODULES else module)
    assert not [name for name in others if name.startswith("livekit.plugins.baseten")], path
    return ours, {name.split(".")[0] for name in others}


# What each part of the package may import of the others. In the order of this table, imports go
# one way. Any part but the emulator may log.
MAY_IMPORT: dict[str, set[str]] = {
    "log": set(),
    "version": set(),
    "_core": set(),
    "_telemetry": {"_core", "version"},
    "_connection": {"_core", "_telemetry"},
    "_recording": {"_core", "_connection", "version"},
    "_livekit": {"_core", "_telemetry", "_connection", "_recording"},
    "_transcription": {"_core", "_livekit"},
    "stt": {"_core", "_telemetry", "_connection", "_recording", "_livekit", "_transcription"},
    "transcription": {"_transcription"},
    "_plugin": {"version", "_livekit", "stt"},
    "": {"version", "_plugin"},  # what is public
    "_report": {"_core", "_recording", "version"},
    "_evaluation": {"_core", "_livekit", "_transcription", "stt", "_report"},
    "emulator": set(),
    "testing": {"emulator"},
    "_cli": {
        *("_core", "_connection", "_livekit", "_transcription", "stt", "version", "_report"),
        *("_evaluation", "emulator", "_telemetry"),
    },
    "__main__": {"_cli"},
}

# No I/O, no clock, no chance, and nobody who has any of them.
NOT_IN_THE_CORE = {
    "aiohttp",
    "asyncio",
    "datetime",
    "livekit",
    "opentelemetry",
    "os",
    "random",
    "socket",
    "soxr",
    "threading",
    "time",
    "websockets",
}


def test_each_part_is_in_the_table_and_imports_go_one_way() -> None:
    assert {part(name) for name in MODULES} == MAY_IMPORT.keys()
    above: set[str] = set()
    for name, below in MAY_IMPORT.items():
        assert below <= above, name
        above.add(name)


def test_a_part_imports_what_it_may() -> None:
    for module, path in MODULES.items():
        name = part(module)
        allowed = MAY_IMPORT[name] | {name} | ({"log"} if name != "emulator" else set())
        ours, _ = imported(path)
        assert {part(other) for other in ours} <= allowed, module


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither directly nor around others, be it only for a type."""
    graph = {name: imported(path)[0] - {name} for name, path in MODULES.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as e:
        pytest.fail(" <- ".join(e.args[1]))


def test_the_design_shows_who_may_import_whom() -> None:
    section = (ROOT / "docs" / "design.md").read_text().split("## Who may import whom")[1]
    rows = re.findall(r"^\| `(\w+)/?` \| (.*?) ?\|$", section.split("\n## ")[0], re.M)
    shown = {name: set(re.findall(r"`(\w+)/?`", below)) for name, below in rows}
    left_out = {"log", "version", "_plugin", "", "__main__"}
    assert shown == {
        name: below - left_out for name, below in MAY_IMPORT.items() if name not in left_out
    }


def test_the_core_has_no_io_and_no_clock() -> None:
    concurrent = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    for name, path in modules("_core").items():
        assert not imported(path)[1] & NOT_IN_THE_CORE, name
        tree = ast.parse(path.read_text())
        assert not [n.lineno for n in ast.walk(tree) if isinstance(n, concurrent)], name


def test_the_connection_knows_no_livekit() -> None:
    for name, path in modules("_connection").items():
        assert "livekit" not in imported(path)[1], name


def test_aiohttp_is_called_in_one_place() -> None:
    client = {name: path for name, path in MODULES.items() if part(name) != "emulator"}
    users = {name for name, path in client.items() if "aiohttp" in imported(path)[1]}
    users -= {"_connection.socket", "_connection.handshake"}
    for name in users:
        used = {
            node.attr
            for node in ast.walk(ast.parse(client[name].read_text()))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "aiohttp"
        }
        assert used <= {"ClientSession", "ClientTimeout", "TCPConnector"}, name  # to make one


@pytest.mark.parametrize("name", ["_livekit.speech_events", "_livekit.audio"])
def test_what_is_said_to_livekit_is_said_without_a_socket(name: str) -> None:
    ours, others = imported(MODULES[name])
    assert not others & {"aiohttp", "asyncio"}
    assert not [other for other in ours if other.startswith(("_connection", "_core.session"))]
