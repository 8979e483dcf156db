"""The dialects that can be spoken, and the session that speaks each."""

from __future__ import annotations

import uuid
from typing import Literal, get_args

from .qwen3 import Qwen3Session
from .session import ServerSession
from .speakers import Diarizer
from .transcribing import Runtime
from .voice import VoiceDetectorFactory
from .whisper import WhisperSession

Dialect = Literal["whisper", "qwen3-asr"]


def check_model(model: str, *, diarizer: bool | Diarizer = False, runtime: str = "current") -> None:
    """
    Raises:
        ValueError: There is no such model, or it has not what is asked for.
    """
    if model not in get_args(Dialect):
        raise ValueError(f"model={model!r}: there are {' and '.join(map(repr, get_args(Dialect)))}")
    if model != "whisper" and (diarizer or runtime != "current"):
        asked = f"diarizer={diarizer!r}" if diarizer else f"runtime={runtime!r}"
        raise ValueError(f"{asked}: of Whisper's runtime; {model} has none")


def session_of(
    model: Dialect,
    *,
    voice_detector: VoiceDetectorFactory,
    runtime: str,
    diarizer: bool | Diarizer,
    aligner: bool | None,
    word_step_s: float,
    finishes: bool = True,
) -> ServerSession:
    """A session for one connection. Whisper comes with an aligner, Qwen3-ASR where it is asked."""
    match model:
        case "whisper":
            return WhisperSession(
                detector=voice_detector,
                stream_id=str(uuid.uuid4()),
                version=runtime,
                diarizer=(Diarizer() if diarizer is True else diarizer) or None,
                runtime=Runtime(has_aligner=aligner is not False, word_step_s=word_step_s),
                finishes=finishes,
            )
        case "qwen3-asr":
            return Qwen3Session(detector=voice_detector, aligner=bool(aligner), finishes=finishes)
