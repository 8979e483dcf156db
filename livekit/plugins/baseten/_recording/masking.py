"""What a server sent, without the words in it."""

from __future__ import annotations

import json
from typing import Any

MASKED = "…"

# Text under these names is never what somebody said.
_TOLD = {
    "type",
    "message_type",
    "language",
    "language_code",
    "speaker",
    "status",
    "trace_id",
    "stream_id",
    "error_type",
    "error",
    "message",
}


def without_words(text: str) -> str:
    """A frame of the server's, each text in it masked that may have been said."""
    try:
        return json.dumps(_masked(json.loads(text)), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return MASKED


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, name) for inner in value]
    return MASKED if isinstance(value, str) and value and name not in _TOLD else value
