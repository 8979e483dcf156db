"""The models that can be served: which core speaks for which."""

from __future__ import annotations

import uuid
from typing import Literal, get_args

from .core import Core
from .qwen3 import Qwen3
from .voice import VoiceDetectorFactory
from .whisper import Whisper

Model = Literal["whisper", "qwen3-asr"]


def check_model(model: str) -> None:
    """
    Raises:
        ValueError: There is no such model.
    """
    if model not in get_args(Model):
        raise ValueError(f"model={model!r}: there are {' and '.join(map(repr, get_args(Model)))}")


def core_of(
    model: Model,
    *,
    voice_detector: VoiceDetectorFactory,
    runtime: str,
    diarizer: bool,
    aligner: bool | None,
    finishes: bool = True,
) -> Core:
    """A core for one connection. An aligner comes with Whisper, and on request with Qwen3-ASR."""
    if model == "qwen3-asr":
        return Qwen3(detector=voice_detector, aligner=bool(aligner), finishes=finishes)
    return Whisper(
        detector=voice_detector,
        stream_id=str(uuid.uuid4()),
        runtime=runtime,
        diarizer=diarizer,
        aligner=aligner is not False,
        finishes=finishes,
    )
