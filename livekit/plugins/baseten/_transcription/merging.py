"""The segments of several channels in the order in which they were said."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from .transcript import Segment


class InTime:
    """Holds a segment back until no channel can have anything that was said before it.

    Args:
        channels: How many there are.
    """

    def __init__(self, channels: int) -> None:
        self._reached_s = [0.0] * channels
        self._waiting: list[tuple[float, int, int, Segment]] = []
        self._count = 0

    def said(self, channel: int, segment: Segment) -> None:
        self._count += 1  # so that no two of them are alike
        heapq.heappush(self._waiting, (segment.start_s, channel, self._count, segment))

    def reached(self, channel: int, position_s: float) -> None:
        """What comes of this channel from now on begins here or later, in seconds."""
        self._reached_s[channel] = max(self._reached_s[channel], position_s)

    def due(self) -> Iterator[Segment]:
        """The segments that need not wait any more. Each is handed out once."""
        while self._waiting and (
            len(self._reached_s) == 1 or self._waiting[0][0] <= min(self._reached_s)
        ):
            yield heapq.heappop(self._waiting)[-1]

    def rest(self) -> Iterator[Segment]:
        """All that wait."""
        while self._waiting:
            yield heapq.heappop(self._waiting)[-1]
