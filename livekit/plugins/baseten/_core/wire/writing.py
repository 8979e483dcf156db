"""Writes JSON frames, with the user's own fields laid over them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from ..clocks import SAMPLE_RATE_HZ
from ..options import Options
from .languages import to_standard


def compact(raw: Mapping[str, Any]) -> str:
    return json.dumps(raw, ensure_ascii=False, separators=(",", ":"))


def metadata(options: Options, whisper_params: Mapping[str, Any]) -> dict[str, Any]:
    """The first frame of a connection.

    Args:
        options: Those that are sent as they are, in any dialect, and the user's own fields, which
            are laid over all.
        whisper_params: Of the dialect.
    """
    blocks = {
        "whisper_params": whisper_params,
        "streaming_params": {"encoding": "pcm_s16le", "sample_rate": SAMPLE_RATE_HZ},
    }
    return merged(merged(blocks, options.sent()), options.extra_metadata)


def merged(metadata: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``metadata`` with ``extra`` laid over it, objects field by field."""
    out = dict(metadata)
    for key, value in extra.items():
        under = out.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            out[key] = merged(under, value)
        else:
            out[key] = value
    return out


class Introduction:
    """The first frame of a connection, and what both dialects have to know of it.

    Args:
        metadata: The blocks of `whisper_params`, `streaming_params` and `streaming_vad_config`.
        extra: What of it is the user's ``extra_metadata``.

    Raises:
        ValueError: ``extra_metadata`` made it something that cannot be sent.
    """

    def __init__(self, metadata: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        self._metadata = metadata
        self._extra = extra
        self.text = _sendable(metadata)
        asked = metadata["whisper_params"].get("audio_language")
        self.language = to_standard(asked if isinstance(asked, str) else "")
        self.stream_id = _uuid(metadata.get("stream_id"))

    def numbered(self, number: int) -> str:
        """The frame for one of several connections, which all have names of their own.

        Two that were open at once under one name would disturb each other at the server.
        """
        if not (number and self.stream_id):
            return self.text
        own = str(uuid.uuid5(uuid.UUID(self.stream_id), str(number)))
        return compact({**self._metadata, "stream_id": own})

    def described(self) -> str:
        """The metadata in one line, for an error: names, and values that say nothing of anybody.

        A prompt, keyterms and the fields of ``extra_metadata`` may name people.
        """
        shown: dict[str, Any] = {}
        for name, block in self._metadata.items():
            extra = self._extra.get(name)
            if name in _BLOCKS and isinstance(block, Mapping):
                given = extra if isinstance(extra, Mapping) else {}
                shown[name] = {
                    field: _HIDDEN if field in given else _shown(field, value)
                    for field, value in block.items()
                }
            else:
                shown[name] = _HIDDEN
        return json.dumps(shown, ensure_ascii=False)


def _uuid(given: Any) -> str:
    """A chain takes no other name: "" for that."""
    try:
        return str(uuid.UUID(given))
    except (AttributeError, TypeError, ValueError):
        return ""


# Fields that are shown as they are, besides numbers, switches and nothing.
_HARMLESS = frozenset(
    {"audio_language", "language_options", "encoding", "output_language", "diarization_granularity"}
)
_HIDDEN = "(not shown)"
_BLOCKS = ("whisper_params", "streaming_params", "streaming_vad_config")


def _shown(field: str, value: Any) -> Any:
    if field in _HARMLESS:
        return value
    if isinstance(value, str) and value:
        return f"({len(value)} characters)"
    return _HIDDEN if isinstance(value, (list, tuple, Mapping)) and value else value


def _sendable(metadata: Mapping[str, Any]) -> str:
    for block in _BLOCKS:
        if not isinstance(metadata[block], dict):
            raise ValueError(f"extra_metadata: {block} must be a mapping")
    try:
        text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()
        return text
    except (TypeError, ValueError, RecursionError) as e:
        raise ValueError(f"extra_metadata: cannot be sent as JSON: {e}") from None
