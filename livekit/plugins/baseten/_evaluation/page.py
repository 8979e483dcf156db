"""A comparison as one file of HTML that needs nothing else: figures, pictures, and the sound.

What people and servers said is in it as text that nothing executes, under a policy that lets no
script run but the page's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .._report.standalone import part, policy, sound_url
from .figures import figures_of
from .hearing import Heard
from .pictures import lane, scatter, wave
from .scores import Result, Score
from .words import Comparison


def page(scores: Sequence[Score], advice: Sequence[str], *, has_delays: bool, about: str) -> str:
    """The page, as text to be written in UTF-8."""
    style, script = (part(__package__, name) for name in ("page.css", "page.js"))
    first = scores[0]
    counts = f"{len(first.results)} recordings, {first.utterances} utterances, {about}"
    clips = [_clip(scores, index) for index in _worst_first(scores)]
    picture = scatter(scores) if has_delays and len(scores) > 1 else ""
    body = [
        "<h1>What was heard</h1>",
        f'<p id="about">{escape(counts)}</p>',
        *(f'<p class="advice">{escape(line)}</p>' for line in advice),
        f'<section><div class="wide">{_table(scores, has_delays)}</div>{picture}</section>',
        *clips,
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(style, script)}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>What was heard</title><style>{style}</style></head>"
        f"<body>{''.join(body)}<script>{script}</script></body></html>"
    )


def _worst_first(scores: Sequence[Score]) -> list[int]:
    def errors(index: int) -> int:
        return sum(score.results[index].comparison.errors for score in scores)

    return sorted(range(len(scores[0].results)), key=errors, reverse=True)


def _table(scores: Sequence[Score], has_delays: bool) -> str:
    figures = figures_of(scores, has_delays=has_delays)
    head = "".join(f'<th title="{escape(f.meaning)}">{escape(f.title)}</th>' for f in figures)
    rows = "".join(
        f'<tr><th scope="row"><i class="s{number % 6}"></i>{escape(score.variant.name)}</th>'
        + "".join(f"<td>{escape(figure.text(score))}</td>" for figure in figures)
        + "</tr>"
        for number, score in enumerate(scores)
    )
    meanings = "".join(f"<li><b>{escape(f.title)}</b> {escape(f.meaning)}</li>" for f in figures)
    return (
        f"<table><thead><tr><th>setting</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"<details><summary>What the figures mean</summary><ul>{meanings}</ul></details>"
    )


def _clip(scores: Sequence[Score], index: int) -> str:
    results = [score.results[index] for score in scores]
    clip = results[0].clip
    sounding = next((r.heard for r in results if len(r.heard.pcm)), results[0].heard)
    end_s = max([sounding.duration_s, *(s.came_s for r in results for s in r.heard.shown), 0.1])
    spoken = escape(clip.reference.strip()) or "(nobody speaks)"
    lanes = "".join(
        f'<div class="said"><h3><i class="s{number % 6}"></i>{escape(score.variant.name)}</h3>'
        f"{lane(result.heard, end_s, number)}{_said(result)}</div>"
        for number, (score, result) in enumerate(zip(scores, results, strict=True))
    )
    return (
        f'<section class="clip"><h2><button class="play" aria-label="Play {escape(clip.name)}" '
        f'data-from="0" data-to="{end_s:.2f}"></button>{escape(clip.name)} '
        f"<small>{sounding.duration_s:.1f} s</small></h2>{_sound(sounding)}"
        f'{wave(sounding, end_s)}<p class="spoken">{spoken}</p>{lanes}</section>'
    )


def _sound(heard: Heard) -> str:
    if not len(heard.pcm):
        return ""
    return f'<audio preload="auto" src="{sound_url(heard.pcm)}"></audio>'


def _said(result: Result) -> str:
    if result.heard.failure is not None:
        return f'<p class="failed">not heard: {escape(result.heard.failure)}</p>'
    finals = "".join(
        f'<button class="final" data-from="{max(0.0, f.segment.start_s - 0.1):.2f}" '
        f'data-to="{f.segment.end_s + 0.2:.2f}" title="{f.segment.start_s:.2f} to '
        f'{f.segment.end_s:.2f} s, came {f.delay_s:.2f} s after">{escape(f.segment.text)}</button>'
        for f in result.heard.finals
    )
    return f"<p>{finals or '(nothing)'}</p>{_differences(result.comparison)}"


def _differences(comparison: Comparison) -> str:
    """Reference and text as one, where they differ; nothing where they do not."""
    if not comparison.errors:
        return ""
    gap = "" if comparison.unit == "character" else " "
    parts = []
    for one in comparison.differences:
        if one.kind == "equal":
            parts.append(escape(gap.join(one.reference)))
            continue
        if one.reference:
            parts.append(f"<del>{escape(gap.join(one.reference))}</del>")
        if one.heard:
            parts.append(f"<ins>{escape(gap.join(one.heard))}</ins>")
    return f'<p class="differences">{gap.join(parts)}</p>'
