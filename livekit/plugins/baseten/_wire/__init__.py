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

from typing import TYPE_CHECKING

from ._frames import (
    Alive,
    Dialect,
    EndAudio,
    EndOfUtterance,
    Failure,
    ServerFrame,
    Transcript,
    Unknown,
    Word,
)

if TYPE_CHECKING:
    from .._options import Options

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
]


def dialect_for(options: Options) -> Dialect:
    """How to talk to a deployment with these options.

    Raises:
        ValueError: An option that this model cannot take.
    """
    from .whisper import Whisper

    return Whisper(options)
