"""docs/troubleshooting.md has every message that the package can produce, in the code's own words.

In the document and here, "…" stands for what a message is filled with.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from paths import PACKAGE, ROOT

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError
from livekit.plugins import baseten
from livekit.plugins.baseten._core import errors as _errors
from livekit.plugins.baseten._core.errors import BasetenError
from livekit.plugins.baseten._livekit.api_errors import _HANDSHAKE_HINTS, to_api_error
from livekit.plugins.baseten.emulator import coded_speech, faults, serve

PARTS = (
    *("_core", "_connection", "_livekit", "_recording", "_report"),
    *("_cli/report", "_cli/watch"),
)
SOURCES = sorted(
    [*PACKAGE.glob("*.py"), *(p for part in PARTS for p in (PACKAGE / part).rglob("*.py"))]
)

SAYS = re.compile(
    r"\w*(Error|Failed|Refused|Lost|TimedOut|Dialect|Frame)|_recover|_ask_again|_go_on_without_result|_give_up_session|_unreachable"
    r"|warn|warning|error|exception|info|__init__|fail|NotARecording|CannotWrite|Unread|BadParameter"
)
FILLED = re.compile(r"%[-+.\d]*[sdfgr]")


def template(node: ast.expr) -> str:
    """A string as it is written, what it is filled with left open; "…" for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return FILLED.sub("…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    return template(node.body) if isinstance(node, ast.IfExp) else "…"


def said(tree: ast.Module) -> Iterator[ast.expr]:
    """Whatever in a module may become a message: raised, logged, or put together to be."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if SAYS.fullmatch(name):
                yield from node.args
        elif isinstance(node, ast.FunctionDef) and node.name in ("__str__", "_plainly"):
            yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value)
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if {getattr(target, "id", "") for target in targets} & {"hint", "message", "why"}:
                yield node.value


@functools.cache
def messages() -> dict[str, str]:
    """Whatever in the code may be a message and has a word of its own, and where it is."""
    found: dict[str, str] = {}
    for source in SOURCES:
        for node in said(ast.parse(source.read_text())):
            text = template(node)
            if re.search(r"\w", text):
                found[text] = f"{source.name}:{node.lineno}"
    return found


GUIDE = (ROOT / "docs" / "troubleshooting.md").read_text()
ROWS = re.findall(r"^(?:\| )?(`.+?)(?: \|.*|, an `APIStatusError`.*)$", GUIDE, re.M)
QUOTES = [quote for row in ROWS for quote in re.findall(r"`([^`]+)`", row)]


# As a message reads when it is filled; the rows for any value out of range match anything.
PATTERNS = [
    re.escape(quote).replace("…", ".+") for quote in QUOTES if not quote.startswith("…=…: must be")
]


def quoted(text: str) -> list[str]:
    """What the guide quotes of a message."""
    return [quote for quote in QUOTES if quote.removesuffix("…").strip() in text]


def test_each_message_is_in_the_guide() -> None:
    sentences = {text: at for text, at in messages().items() if re.search(r"\w \w", text)}
    assert len(sentences) > 50
    assert not {at: text for text, at in sentences.items() if not quoted(text)}


def test_each_refused_handshake_is_in_the_guide() -> None:
    for status, hint in _HANDSHAKE_HINTS.items():
        (quote,) = quoted(hint)
        (row,) = [row for row in GUIDE.splitlines() if f"`{quote}`" in row]
        assert f"| HTTP {status}" in row


def test_the_guide_quotes_nothing_else() -> None:
    told = {quote for text in (*messages(), *_HANDSHAKE_HINTS.values()) for quote in quoted(text)}
    assert not set(QUOTES) - told


ERRORS: list[BasetenError] = [
    _errors.LocalProtocolError("cannot open while streaming"),
    _errors.ConnectFailed("ClientConnectorError: no such host"),
    _errors.ConnectTimedOut(10.0),
    _errors.HandshakeRefused(200),
    _errors.HandshakeRefused(401),
    _errors.MetadataRefused(1011, "Internal Server Error", sent="{}"),
    _errors.ServerFailed("STREAM_ERROR", "something broke"),
    _errors.SessionLost(1006),
    _errors.SessionLost(1003),
    _errors.DrainTimedOut(5.0, acknowledged=True),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_reaches_the_user_is_in_the_guide(error: BasetenError) -> None:
    message = to_api_error(error).message
    assert any(re.search(pattern, message) for pattern in PATTERNS), message


def test_the_guide_says_rightly_which_refusals_are_retried() -> None:
    assert "Retried where waiting can help: 408, 429 and 5xx." in GUIDE
    for status in _HANDSHAKE_HINTS:
        error = to_api_error(_errors.HandshakeRefused(status))
        assert error.retryable is (status in (408, 429) or status >= 500)


# What a user sees, caused at the local Baseten.

SPEECH = coded_speech(4, trailing_samples=8_000)
V2 = faults.Garbage('{"type": "session.created"}')
CAUSES: dict[str, tuple[str, dict[str, Any], tuple[faults.Entry, ...]]] = {
    "wrong key": ("the API key is missing or invalid", {}, (faults.Refuse(401),)),
    "wrong path": ("no such model, deployment or environment", {}, (faults.Refuse(404),)),
    "not streaming": ("the URL answers plain HTTP", {}, (faults.Refuse(200),)),
    "asleep": ("no answer to the WebSocket handshake", {}, (faults.Park(),) * 2),
    "old runtime": (
        "closed the connection before taking any audio",
        {},
        (faults.RejectMetadata(),) * 2,
    ),
    "Qwen3-ASR": ("does not speak Whisper's protocol", {"model": "qwen3-asr"}, ()),
    "version 2": ("speaks the unified speech-to-text protocol v2", {}, (V2,)),
    "no WebSockets": ("the deployment takes no WebSockets", {}, (faults.Close(1003),)),
    "gives up": ("STREAM_ERROR: something broke", {}, (faults.Error(then_close=1000),) * 2),
    "cut": ("connection lost: cut off without a close frame", {}, (faults.Reset(8_000),)),
    "fails once": ("reports a problem and goes on", {}, (faults.FailTranscription(),)),
    "nonsense": ("skipping messages that cannot be read: not JSON", {}, (faults.Garbage(),)),
}


@pytest.mark.parametrize("cause", CAUSES)
async def test_what_a_user_sees_is_in_the_guide(
    cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected, options, plan = CAUSES[cause]
    seen: list[str] = []
    async with (
        serve(*plan, **options) as server,
        baseten.STT(model_endpoint=server.url, api_key="any") as speech_to_text,
    ):
        speech_to_text.on("error", lambda event: seen.append(event.error.message))
        patience = APIConnectOptions(max_retry=1, retry_interval=0.05, timeout=0.3)
        async with speech_to_text.stream(conn_options=patience) as stream:
            stream.push_frame(rtc.AudioFrame(SPEECH.pcm, 16_000, 1, len(SPEECH.pcm) // 2))
            stream.end_input()
            with contextlib.suppress(APIError):
                async for _ in stream:
                    pass
    seen += [r.getMessage() for r in caplog.records if r.name == "livekit.plugins.baseten"]
    (message, *_) = [message for message in seen if expected in message] or [""]
    assert message, seen
    assert any(re.search(pattern, message) for pattern in PATTERNS), message
