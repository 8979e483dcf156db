"""Where on the page things are: seconds along one axis, from what was pushed when.

A call as it was spoken is shown in the time it took, with gaps where no audio came. Audio that was
pushed faster than it can be spoken, a file for example, is shown in its own time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._core.clocks import SAMPLE_RATE_HZ
from .reading import Line, Pushed, Sent

# Pushes that come this much off the pace of speech begin a segment of their own.
_JITTER_S = 0.06

# Faster than this, and nobody was speaking.
_FASTEST_PACE = 1.5


@dataclass
class Segment:
    """Audio from ``start`` to ``stop``, in stream samples, on the axis from ``x0`` to ``x1``."""

    start: int
    stop: int
    x0: float
    x1: float


class Axis:
    """
    Args:
        lines: Of the recording, in order.
        samples: How much audio there is; the rest of what the lines tell of was cut off.

    Attributes:
        is_live: Audio came at the pace of speech.
    """

    def __init__(self, lines: Sequence[Line], samples: int | None) -> None:
        pushed = [line for line in lines if isinstance(line, Pushed) and line.stop > line.start]
        told = max((line.stop for line in pushed), default=0)
        self.samples = told if samples is None else max(told, samples)
        span_s = pushed[-1].at - pushed[0].since if pushed else 0.0
        self.is_live = told / SAMPLE_RATE_HZ <= max(1.0, span_s * _FASTEST_PACE)
        if self.is_live:
            self.segments = _segments(pushed)
            self._extend_to(self.samples)
        else:
            self.segments = [Segment(0, self.samples, 0.0, self.samples / SAMPLE_RATE_HZ)]
        self._starts = [segment.start for segment in self.segments]
        sent = [line for line in lines if isinstance(line, Sent)]
        times = [at_s for line in sent for at_s in (line.since, line.at)]
        reached = [sample for line in sent for sample in (line.start, line.stop)]
        self._sent_at = np.maximum.accumulate(times or [0.0])
        self._sent_x = np.maximum.accumulate(reached or [0]) / SAMPLE_RATE_HZ
        last = lines[-1].at if lines else 0.0
        end = self.segments[-1].x1 if self.segments else 0.0
        self.end = max(end, last) if self.is_live else end

    def of_sample(self, sample: float) -> float:
        if not self.segments:
            return 0.0
        segment = self.segments[max(0, bisect_right(self._starts, sample) - 1)]
        length = max(1, segment.stop - segment.start)
        share = min(1.0, max(0.0, (sample - segment.start) / length))
        return segment.x0 + share * (segment.x1 - segment.x0)

    def of_end(self, sample: float) -> float:
        """As `of_sample`, for an end: before a gap and not after it."""
        return self.of_sample(sample - 1)

    def of_time(self, at_s: float) -> float:
        """
        Args:
            at_s: Seconds since the recording began. Where audio came faster than speech, what has
                been sent by then says where it belongs.
        """
        if self.is_live:
            return min(max(0.0, at_s), self.end)
        return float(np.interp(at_s, self._sent_at, self._sent_x))

    def _extend_to(self, samples: int) -> None:
        """Audio behind the last line of a recording that was cut off."""
        last = self.segments[-1] if self.segments else Segment(0, 0, 0.0, 0.0)
        if samples > last.stop:
            x1 = last.x1 + (samples - last.stop) / SAMPLE_RATE_HZ
            self.segments.append(Segment(last.stop, samples, last.x1, x1))


def _segments(pushed: Sequence[Pushed]) -> list[Segment]:
    segments: list[Segment] = []
    for line in pushed:
        last = segments[-1] if segments else None
        if last is not None and line.start < last.stop:
            continue  # no writer makes such lines
        if last is not None and line.start == last.stop:
            expected = last.x0 + (line.stop - last.start) / SAMPLE_RATE_HZ
            if abs(line.at - expected) <= _JITTER_S:
                last.stop, last.x1 = line.stop, line.at
                continue
        x0 = max(line.since, last.x1 if last is not None else 0.0)
        segments.append(Segment(line.start, line.stop, x0, max(x0, line.at)))
    return segments
