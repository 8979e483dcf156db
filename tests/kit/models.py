"""The models of tests that run over each. LiveKit is not imported here: `tests/conftest.py` would
wait for it before the workers start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from livekit.plugins.baseten._core.options import Model

MODELS: tuple[Model, ...] = ("whisper", "qwen3-asr")


class Spoken:
    """Which dialect `serve` and `client` speak where a test does not say."""

    model: Model = "whisper"
