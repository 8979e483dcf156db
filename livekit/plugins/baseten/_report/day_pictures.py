"""Pictures of the calls of a folder, as SVG."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from html import escape
from urllib.parse import quote

from .call import SLOW_S, quantile
from .figures import Figures
from .wording import many, seconds

# Delays of a tenth of a second matter where delays are short. The last bar has the rest.
_EDGES_S = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_BAR, _BARS_HEIGHT, _TOP, _BELOW = 30, 130, 16, 22

_WIDTH, _HEIGHT, _LEFT, _RIGHT = 1100, 230, 52, 14
_LEAST_S, _MOST_S = 0.1, 10.0
_TICKS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200)
)
_MOST_STEPS = 11


def histogram(ordered_s: Sequence[float], name: str) -> str:
    """How many delays there are of which length, as bars and as a table."""
    counts = [0] * len(_EDGES_S)
    for delay_s in ordered_s:
        counts[max(0, bisect_right(_EDGES_S, delay_s) - 1)] += 1
    scale = _BARS_HEIGHT / max(counts)
    base = _TOP + _BARS_HEIGHT
    bars = "".join(
        f'<g class="{"late" if edge_s >= SLOW_S else "prompt"}">'
        f"<title>{_between(i)}: {count}</title>"
        f'<rect x="{i * _BAR + 2}" width="{_BAR - 4}" y="{base - count * scale:.1f}" '
        f'height="{count * scale:.1f}"/>'
        + (
            f'<text x="{(i + 0.5) * _BAR}" y="{base - count * scale - 4:.1f}">{count}</text>'
            if count
            else ""
        )
        + "</g>"
        for i, (edge_s, count) in enumerate(zip(_EDGES_S, counts, strict=True))
    )
    labels = "".join(
        f'<text x="{i * _BAR}" y="{base + 15}">{edge_s:g}</text>'
        for i, edge_s in enumerate(_EDGES_S)
    )
    width = _BAR * len(_EDGES_S)
    middle, most = quantile(ordered_s, 0.5), quantile(ordered_s, 0.9)
    told = f"half of {len(ordered_s)} within {seconds(middle)}, 90 % within {seconds(most)}"
    rows = "".join(
        f'<tr><th scope="row">{_between(i)}</th><td>{count}</td></tr>'
        for i, count in enumerate(counts)
        if count
    )
    return (
        f'<p class="note">{escape(told)}</p>'
        f'<svg class="bars" viewBox="-12 0 {width + 24} {base + _BELOW}" role="img" '
        f'aria-label="{escape(name)}: {escape(told)}">{bars}'
        f'<path class="grid" d="M0 {base}H{width}"/>'
        f'<g class="axis">{labels}<text x="{width}" y="{base + 15}">s</text></g></svg>'
        f"<details><summary>In numbers</summary><table><tbody>{rows}</tbody></table></details>"
    )


def _between(bar: int) -> str:
    edge_s = _EDGES_S[bar]
    if bar + 1 == len(_EDGES_S):
        return f"{edge_s:g} s or more"
    return f"{edge_s:g} to {_EDGES_S[bar + 1]:g} s"


def over_time(calls: Sequence[Figures]) -> str:
    """Each call when it began and how slow it got; nothing for fewer than two."""
    timed = [(call, call.began) for call in calls if call.began is not None]
    if len(timed) < 2:
        return ""
    first, last = min(at for _, at in timed), max(at for _, at in timed)
    span = max(last - first, timedelta(seconds=1))
    most_s = max([_MOST_S, *(call.slowest_s or 0.0 for call, _ in timed)])

    def x(at: datetime) -> float:
        return _LEFT + (at - first) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(delay_s: float) -> float:
        share = math.log(max(delay_s, _LEAST_S) / _LEAST_S) / math.log(most_s / _LEAST_S)
        return _TOP + (1 - share) * (_HEIGHT - _TOP - _BELOW)

    grid = "".join(
        f'<path class="{"limit" if tick_s == SLOW_S else "grid"}" '
        f'd="M{_LEFT} {y(tick_s):.1f}H{_WIDTH - _RIGHT}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{y(tick_s) + 4:.1f}">{tick_s:g} s</text>'
        for tick_s in _TICKS_S
        if tick_s <= most_s
    )
    times = "".join(
        f'<text x="{x(at):.1f}" y="{_HEIGHT - 6}">{at.strftime(form)}</text>'
        for at, form in _time_ticks(first, last)
    )
    marks = "".join(
        _mark(call, x(at), y(call.slowest_s or _LEAST_S))
        for call, at in sorted(timed, key=lambda one: one[0].badness)  # the worst on top
    )
    return (
        f'<div class="wide"><svg class="times" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{many(len(timed), "call")} over time; the table below says the same">'
        f'{grid}<g class="axis">{times}</g>{marks}</svg></div>'
        '<p class="note legend"><i class="fine"></i> kept its connection '
        '<i class="cut"></i> lost one <i class="lost"></i> lost audio, or failed. '
        f"The line is at {SLOW_S:g} s; calls at the bottom have no final.</p>"
    )


def _mark(call: Figures, x: float, y: float) -> str:
    if call.amount("failed") or call.amount("lost"):
        shape = f'<path class="lost" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10"/>'
    elif call.amount("cut"):
        shape = f'<path class="cut" d="M{x:.1f} {y - 6:.1f}l6 11h-12z"/>'
    else:
        shape = f'<circle class="fine" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    said = "; ".join(found.said for found in call.findings)
    told = f"{call.title}{': ' * bool(said)}{said}"
    titled = f"<title>{escape(told)}</title>{shape}"
    if not call.page:
        return f"<g>{titled}</g>"
    return f'<a href="./{quote(call.page)}" tabindex="-1">{titled}</a>'


def _time_ticks(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Round times between the two, and how they are written."""
    span = last - first
    step = next((step for step in _STEPS if span / step <= _MOST_STEPS), _STEPS[-1])
    form = "%H:%M" if step < timedelta(days=1) else "%m-%d"
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    at = epoch + math.ceil((first - epoch) / step) * step
    ticks: list[tuple[datetime, str]] = []
    while at <= last and len(ticks) <= 2 * _MOST_STEPS:
        ticks.append((at, form))
        at += step
    return ticks or [(first, "%H:%M:%S")]
