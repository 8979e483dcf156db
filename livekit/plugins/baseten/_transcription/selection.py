"""Which part of a recording is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# "mix" makes one of all, "split" takes each for a speaker; a number is that channel, from 1.
Channels = Literal["mix", "split"] | int


@dataclass(frozen=True)
class Selection:
    """
    Attributes:
        track: Of a file with several sound tracks, from 1; None for FFmpeg's choice.
        start_s: Seconds from the start of the file.
        duration_s: Seconds; None for all that comes.

    Raises:
        ValueError: One of them is out of range; the message names it.
    """

    track: int | None = None
    channels: Channels = "mix"
    start_s: float = 0.0
    duration_s: float | None = None

    def __post_init__(self) -> None:
        if self.track is not None and not (isinstance(self.track, int) and self.track >= 1):
            raise ValueError(f"track={self.track!r}: must be at least 1")
        if self.channels not in ("mix", "split") and not (
            isinstance(self.channels, int) and self.channels >= 1
        ):
            raise ValueError(
                f'channels={self.channels!r}: must be "mix", "split" or the number of one, from 1'
            )
        if not 0 <= self.start_s < float("inf"):
            raise ValueError(f"start_s={self.start_s!r}: must be a number of seconds, at least 0")
        if self.duration_s is not None and not 0 < self.duration_s < float("inf"):
            raise ValueError(f"duration_s={self.duration_s!r}: must be a number of seconds above 0")
