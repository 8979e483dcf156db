"""Writes JSON frames, with the user's own fields laid over them."""

from __future__ import annotations

import json
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

    Raises:
        ValueError: ``extra_metadata`` made it something that cannot be sent.
    """

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata
        self.text = _sendable(metadata)
        asked = metadata["whisper_params"].get("audio_language")
        self.language = to_standard(asked if isinstance(asked, str) else "")

    def described(self) -> str:
        """The metadata in one line, without the prompt: it may quote the conversation."""
        shown = self._metadata
        prompt = shown["whisper_params"].get("prompt")
        if prompt:
            hidden = {"whisper_params": {"prompt": f"({len(prompt)} characters)"}}
            shown = merged(shown, hidden)
        return json.dumps(shown, ensure_ascii=False)


def _sendable(metadata: Mapping[str, Any]) -> str:
    for block in ("whisper_params", "streaming_params", "streaming_vad_config"):
        if not isinstance(metadata[block], dict):
            raise ValueError(f"extra_metadata: {block} must be a mapping")
    try:
        return json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as e:
        raise ValueError(f"extra_metadata: cannot be sent as JSON: {e}") from None
