"""What goes over the wire, as values: no sockets, no clock, no LiveKit.

A *dialect* writes the client's frames and reads the server's; everything above asks it and never
which one it is. Times in here are seconds of *connection time* (see `_timeline`).

=========  ===========================  ==========================  ==========================
dialect    audio                        end of an utterance, forced  end of audio, last reply
=========  ===========================  ==========================  ==========================
whisper    binary, exactly 512 samples  a burst of silence          ``end_audio``, "finished"
qwen3-asr  base64 in ``...append``      ``...commit``               ``...commit``, flagged final
=========  ===========================  ==========================  ==========================
"""

from __future__ import annotations

from ..options import Options
from .frames import (
    Alive,
    Dialect,
    EndAudio,
    EndOfUtterance,
    Failure,
    ServerFrame,
    Transcript,
    Unknown,
    Word,
    mean_confidence,
)
from .qwen3 import Qwen3
from .whisper import Whisper

__all__ = [
    "Alive",
    "Dialect",
    "EndAudio",
    "EndOfUtterance",
    "Failure",
    "ServerFrame",
    "Transcript",
    "Unknown",
    "Word",
    "dialect_for",
    "mean_confidence",
]


def dialect_for(options: Options) -> Dialect:
    """How to talk to a deployment with these options.

    Raises:
        ValueError: An option that this model cannot take.
    """
    return Qwen3(options) if options.model == "qwen3-asr" else Whisper(options)
