"""What is public is in `typed/`, where `make lint` has two type checkers look at it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from livekit.agents import stt
from livekit.agents.voice.io import AudioInput
from livekit.plugins import baseten
from livekit.plugins.baseten import emulator, testing, transcription
from livekit.plugins.baseten.emulator import InMemoryConnection, ScriptedServer, serve
from livekit.plugins.baseten.emulator._testing.scripted import ServeOptions

RIGHT = ast.parse(Path(__file__).with_name("typed").joinpath("right.py").read_text())

NAMES = {node.id for node in ast.walk(RIGHT) if isinstance(node, ast.Name)}
ATTRIBUTES = {node.attr for node in ast.walk(RIGHT) if isinstance(node, ast.Attribute)}
KEYWORDS = {node.arg for node in ast.walk(RIGHT) if isinstance(node, ast.keyword)}


def own_methods(kind: type, base: type = object) -> set[str]:
    """What is public of a class and not of its base, or not as the base has it."""
    return {
        name
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_") and member is not getattr(base, name, None)
    }


@pytest.mark.parametrize("module", [baseten, emulator, testing, transcription])
def test_every_public_name_is_used(module: object) -> None:
    used = NAMES | ATTRIBUTES | {"Word"}
    assert set(vars(module)["__all__"]) <= used


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (baseten.STT, stt.STT),
        (baseten.SpeechStream, stt.RecognizeStream),
        (testing.Caller, AudioInput),
        (ScriptedServer, object),
        (InMemoryConnection, object),
    ],
)
def test_every_public_method_is_used(kind: type, base: type) -> None:
    called_by_others = {"use_options", "on_detached"}
    assert own_methods(kind, base) <= ATTRIBUTES | called_by_others


@pytest.mark.parametrize("called", [baseten.STT, baseten.STT.transcribe, serve])
def test_every_argument_is_given(called: Callable[..., object]) -> None:
    parameters = inspect.signature(called).parameters.values()
    assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} <= KEYWORDS


def test_a_scripted_server_passes_on_what_serve_takes() -> None:
    own = inspect.signature(ScriptedServer).parameters.keys()
    taken = inspect.signature(serve).parameters.keys()
    assert ServeOptions.__annotations__.keys() == taken - own - {"recognizer"}
