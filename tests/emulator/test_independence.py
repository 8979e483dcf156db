"""A mistake in the client must not hide in the emulator, so neither knows the other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import livekit.plugins.baseten.emulator as emulator

PACKAGE = "livekit.plugins.baseten"
HERE = Path(emulator.__file__).parent
FILES = sorted(HERE.glob("**/*.py"))


def imports(file: Path) -> Iterator[str]:
    """Everything a file imports, by absolute name."""
    inside = file.relative_to(HERE).parts[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = [*f"{PACKAGE}.emulator".split("."), *inside]
            base = parents[: len(parents) - node.level + 1] if node.level else []
            yield ".".join([*base, *filter(None, [node.module])])


def test_the_emulator_shares_no_code_with_the_client() -> None:
    assert len(FILES) > 40
    imported = [(file.name, name) for file in FILES for name in imports(file)]
    of_livekit = [(file, name) for file, name in imported if name.startswith("livekit.")]
    assert not [
        (file, name)
        for file, name in of_livekit
        if not name.startswith(f"{PACKAGE}.emulator") and name != "livekit.local_inference"
    ]


# From the bottom up: each imports from those before it and from none behind it.
LAYERS = ("_recognizers", "_models", "faults", "_serving", "_testing", "__init__")


def test_imports_between_folders_go_one_way() -> None:
    inside = f"{PACKAGE}.emulator."
    for file in FILES:
        own = LAYERS.index(file.relative_to(HERE).parts[0].removesuffix(".py"))
        for name in imports(file):
            if name.startswith(inside):
                layer = LAYERS.index(name.removeprefix(inside).split(".")[0])
                assert layer <= own, f"{file.name} imports {name}"


def test_no_modules_import_each_other() -> None:
    """Not for types either: what two modules share stands in a third."""
    graph = {
        ".".join([f"{PACKAGE}.emulator", *file.relative_to(HERE).with_suffix("").parts]): set(
            imports(file)
        )
        for file in FILES
    }
    sorter = TopologicalSorter({name: found & graph.keys() for name, found in graph.items()})
    sorter.prepare()  # raises a CycleError that names them


# A model is a function of what it received, and so is each recognizer that hears no real speech.
PURE = [
    file
    for file in FILES
    if file.parent.name == "_models"
    or file.parent.name == "faults"
    or file.name in {"coded.py", "turns.py", "memory.py"}
]
IMPURE = {"asyncio", "socket", "time", "random", "websockets", "threading", "datetime"}


def test_the_models_do_no_io_and_read_no_clock() -> None:
    for file in PURE:
        found = IMPURE & {imported.partition(".")[0] for imported in imports(file)}
        assert not found, f"{file.name} imports {found}"


def test_files_and_functions_stay_short() -> None:
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        # The faults are a list, and grow by one class each.
        assert len(text.splitlines()) <= 300 or file.parent.name == "faults", file.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = [n for n in node.body if not _is_docstring(n)]
                length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                assert length <= 40, f"{file.name}: {node.name}"


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
