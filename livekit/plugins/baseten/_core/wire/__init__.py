"""What goes over the wire, as values: no sockets, no clock, no LiveKit.

A *dialect* writes the client's frames and reads the server's. The rest of the package asks the
dialect and does not know which one it is. Times are seconds of *connection time* (see `clocks`).

=========  ===========================  ==========================  ==========================
dialect    audio                        forced end of utterance     end of audio, last reply
=========  ===========================  ==========================  ==========================
whisper    binary, exactly 512 samples  a burst of silence          ``end_audio``, "finished"
qwen3-asr  base64 in ``...append``      ``...commit``               ``...commit``, flagged final
=========  ===========================  ==========================  ==========================
"""

from __future__ import annotations

from collections.abc import Callable

from ..options import Model, Options
from .frames import (
    Alive,
    Dialect,
    EndAudio,
    EndOfUtterance,
    Failure,
    ServerFrame,
    ServerWord,
    Transcript,
    Unknown,
    mean_confidence,
)
from .qwen3 import Qwen3
from .whisper import Whisper

# Here is where a dialect is listed. Its name stands in `Model`, too.
DIALECTS: dict[Model, Callable[[Options], Dialect]] = {"whisper": Whisper, "qwen3-asr": Qwen3}

__all__ = [
    "DIALECTS",
    "Alive",
    "Dialect",
    "EndAudio",
    "EndOfUtterance",
    "Failure",
    "ServerFrame",
    "ServerWord",
    "Transcript",
    "Unknown",
    "dialect_for",
    "is_audio",
    "mean_confidence",
]


def dialect_for(options: Options) -> Dialect:
    """How to talk to a deployment with these options.

    Raises:
        ValueError: An option that this model cannot take.
    """
    return DIALECTS[options.model](options)


def is_audio(frame: str | bytes) -> bool:
    """``frame``, of any dialect, is one of audio."""
    return isinstance(frame, bytes) or frame.startswith(_AUDIO_HEADS)


_AUDIO_HEADS = tuple(
    dialect.audio_head
    for dialect in (DIALECTS[model](Options.create(model)) for model in DIALECTS)
    if dialect.audio_head is not None
)
