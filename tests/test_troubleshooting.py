"""docs/troubleshooting.md has every message that the package can produce, in the code's own words.

In the document and here, "…" stands for what a message is filled with.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from livekit.plugins.baseten import _errors
from livekit.plugins.baseten._errors import BasetenError
from livekit.plugins.baseten._speech import _HANDSHAKE_HINTS, to_api_error

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "livekit" / "plugins" / "baseten"
SOURCES = sorted([*PACKAGE.glob("*.py"), *(PACKAGE / "_wire").glob("*.py")])

SAYS = re.compile(
    r"\w*(Error|Failed|Refused|Lost|TimedOut|Dialect|Frame)|_recover|_give_up_session"
    r"|warn|warning|error|exception|info|__init__"
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
            if {getattr(target, "id", "") for target in targets} & {"hint", "message"}:
                yield node.value


def messages() -> dict[str, str]:
    """Whatever in the code may be a message and has a word of its own, and where it is."""
    found: dict[str, str] = {}
    for source in SOURCES:
        for node in said(ast.parse(source.read_text())):
            text = template(node)
            if re.search(r"\w", text):
                found[text] = f"{source.name}:{node.lineno}"
    return found


MESSAGES = messages()
GUIDE = (ROOT / "docs" / "troubleshooting.md").read_text()
ROWS = re.findall(r"^(?:\| )?(`.+?)(?: \|.*|, an `APIStatusError`.*)$", GUIDE, re.M)
QUOTES = [quote for row in ROWS for quote in re.findall(r"`([^`]+)`", row)]


def quoted(text: str) -> list[str]:
    """What the guide quotes of a message."""
    return [quote for quote in QUOTES if quote.removesuffix("…").strip() in text]


@pytest.mark.parametrize("message", [text for text in MESSAGES if re.search(r"\w \w", text)])
def test_each_message_is_in_the_guide(message: str) -> None:
    assert quoted(message), f"{MESSAGES[message]}: {message}"


@pytest.mark.parametrize("status", _HANDSHAKE_HINTS)
def test_each_refused_handshake_is_in_the_guide(status: int) -> None:
    (quote,) = quoted(_HANDSHAKE_HINTS[status])
    (row,) = [row for row in GUIDE.splitlines() if f"`{quote}`" in row]
    assert f"| HTTP {status}" in row


@pytest.mark.parametrize("quote", QUOTES)
def test_the_guide_quotes_nothing_else(quote: str) -> None:
    assert any(quote in quoted(text) for text in (*MESSAGES, *_HANDSHAKE_HINTS.values())), quote


ERRORS: list[BasetenError] = [
    _errors.LocalProtocolError("cannot open while streaming"),
    _errors.ConnectFailed("ClientConnectorError: no such host"),
    _errors.ConnectTimedOut(10.0),
    _errors.HandshakeRefused(200, "OK"),
    _errors.HandshakeRefused(401, "Unauthorized"),
    _errors.MetadataRefused(1011, "Internal Server Error", sent="{}"),
    _errors.ServerFailed("STREAM_ERROR", "something broke"),
    _errors.SessionLost(1006),
    _errors.SessionLost(1003),
    _errors.DrainTimedOut(5.0, acknowledged=True),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_reaches_the_user_is_in_the_guide(error: BasetenError) -> None:
    message = to_api_error(error).message
    patterns = [
        re.escape(quote).replace("…", ".+") for quote in QUOTES if quote != "…=…: must be …"
    ]
    assert any(re.search(pattern, message) for pattern in patterns), message


def test_the_guide_says_rightly_which_refusals_are_retried() -> None:
    assert "Retried where waiting can help: 408, 429 and 5xx." in GUIDE
    for status in _HANDSHAKE_HINTS:
        error = to_api_error(_errors.HandshakeRefused(status, ""))
        assert error.retryable is (status in (408, 429) or status >= 500)
