"""Pictures of a comparison, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from .hearing import Heard
from .scores import Score, middle

_COLUMNS = 600
_WIDTH, _HEIGHT = 720, 260  # of the picture of all settings
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 16, 24, 40


def wave(heard: Heard, end_s: float) -> str:
    """The outline of a clip's sound, from 0 to ``end_s``."""
    columns = max(1, min(_COLUMNS, len(heard.pcm)))
    parts = np.array_split(np.abs(heard.pcm.astype(np.int32)), columns)
    bounds = [float(part.max(initial=0)) for part in parts]
    share = heard.duration_s / end_s
    # Quiet speech shows: the square root, as loudness is heard.
    heights = [max(0.5, 20 * (level / 32768) ** 0.5) for level in bounds]
    step = 1000 * share / columns
    bars = "".join(f"M{i * step:.1f} {20 - h:.1f}V{20 + h:.1f}" for i, h in enumerate(heights))
    return (
        '<svg class="wave" viewBox="0 0 1000 40" preserveAspectRatio="none">'
        f'<path d="{bars}"/></svg>'
    )


def lane(heard: Heard, end_s: float, number: int) -> str:
    """What was heard where, and when it came: bars for finals, ticks for what came."""
    scale = 1000 / end_s
    finals = "".join(
        f'<rect x="{f.segment.start_s * scale:.1f}" y="4" height="8" rx="2" '
        f'width="{max(2.0, (f.segment.end_s - f.segment.start_s) * scale):.1f}"/>'
        for f in heard.finals
    )
    ticks = "".join(
        f'<path class="{one.kind}" d="M{min(998.0, one.came_s * scale):.1f} '
        f'{0 if one.kind == "final" else 5}V16"/>'
        for one in heard.shown
    )
    return (
        f'<svg class="lane s{number % 6}" viewBox="0 0 1000 16" preserveAspectRatio="none">'
        f"{finals}{ticks}</svg>"
    )


def scatter(scores: Sequence[Score]) -> str:
    """Each setting by its wrong words and the delay of its finals: down and left is better."""
    points = [
        (number, score, rate, delay_s)
        for number, score in enumerate(scores)
        if (rate := score.error_rate) is not None
        and (delay_s := middle(score.final_delays_s)) is not None
    ]
    if not points:
        return ""
    most = max(0.01, *(rate for _, _, rate, _ in points)) * 1.15
    latest_s = max(0.1, *(delay_s for *_, delay_s in points)) * 1.15
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    dots = "".join(
        f'<circle class="s{number % 6}" cx="{_LEFT + delay_s / latest_s * width:.1f}" '
        f'cy="{_TOP + height - rate / most * height:.1f}" r="7">'
        f"<title>{escape(score.variant.name)}</title></circle>"
        for number, score, rate, delay_s in points
    )
    return (
        f'<svg class="scatter" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'aria-label="Settings by wrong words and delay">'
        f"{_axes(most, latest_s)}{dots}</svg>"
    )


def _axes(most: float, latest_s: float) -> str:
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    lines = []
    for quarter in range(5):
        y = _TOP + height - quarter / 4 * height
        x = _LEFT + quarter / 4 * width
        lines.append(
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{_LEFT + width}"/>'
            f'<text class="axis" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{most * quarter / 4:.1%}</text>"
            f'<text class="axis" x="{x:.1f}" y="{_TOP + height + 16}" text-anchor="middle">'
            f"{latest_s * quarter / 4:.2f} s</text>"
        )
    lines.append(
        f'<text class="axis" x="{_LEFT + width / 2:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">'
        "final after the last word, median; wrong words upwards</text>"
    )
    return "".join(lines)
