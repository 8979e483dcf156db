"""The calls of a folder on one page of HTML, which says the same without a script.

What people and servers said, and how files are called, is in it as escaped text, under a policy
that lets no script run but the page's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from urllib.parse import quote

from .call import SLOW_S, quantile
from .day import Day, Statement, Unread
from .day_pictures import histogram, over_time
from .figures import WORST_FIRST, Figures, Kind
from .standalone import maker, part, policy
from .wording import clock, many, seconds

_KINDS: dict[Kind, str] = {
    "failed": "failed",
    "lost": "lost audio",
    "slow": "slow",
    "cut": "lost connections",
    "doubted": "doubted finals",
    "guessed": "finals made of interims",
    "unheard": "nothing heard",
    "unanswered": "unanswered flushes",
    "damaged": "incomplete recordings",
}
_BAD: frozenset[Kind] = frozenset({"failed", "lost", "slow"})

# Title, what it means, and whether narrow screens do without.
_COLUMNS = (
    ("call", "When it began, UTC", False),
    ("what stands out", "Sorted by it, the worst come first", False),
    ("length", "From its first audio to its end", True),
    ("words", "In its finals", True),
    ("delay", "From the end of a last word to its final, the median", False),
    ("slowest", "The longest of these delays", False),
    ("first interim", "From a first word to its interim, the median", True),
    ("lost connections", "Of how many", True),
    ("sent again", "Seconds of audio", True),
    ("lost", "Seconds of audio that nobody heard", False),
)


def day_page(day: Day, *, name: str) -> str:
    """The page, as text to be written in UTF-8.

    Args:
        name: What the folder is called.
    """
    style = part(__package__, "look.css") + part(__package__, "day.css")
    script = part(__package__, "day.js")
    title = many(len(day.calls), "call")
    about = (day.span(), name, maker())
    body = [
        f"<header><h1>{title}</h1>",
        f'<p id="about">{" · ".join(escape(one) for one in about if one)}</p>',
        _statements(day),
        f'<dl id="summary">{_summary(day)}</dl></header><main>',
        *_pictures(day),
        _table(day.calls),
        _unread(day.unread) if day.unread else "",
    ]
    made = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(style, script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="referrer" content="no-referrer"><meta name="generator" content="{maker()}">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title}: {escape(name)}</title><style>{style}</style></head>"
        f"<body>{''.join(body)}</main><script>{script}</script></body></html>\n"
    )
    return made.encode("utf-8", "replace").decode("utf-8")


def _statements(day: Day) -> str:
    return f'<ul id="notices">{"".join(map(_statement, day.statements()))}</ul>'


def _statement(one: Statement) -> str:
    worst = ""
    if one.worst:
        links = ", ".join(_link(call) for call in one.worst)
        worst = f' <span class="note">{"Worst" if len(one.worst) > 1 else "Call"}: {links}</span>'
    return f'<li class="{"bad" if one.is_bad else "fair"}">{escape(one.said)}{worst}</li>'


def _link(call: Figures) -> str:
    text = call.title if call.began is None else f"{call.began:%H:%M:%S}"
    if not call.page:
        return escape(text)
    return f'<a href="./{quote(call.page)}" title="{escape(call.title)}">{escape(text)}</a>'


def _summary(day: Day) -> str:
    delays_s, interims_s = day.delays_s, day.first_interims_s
    lost = day.total(lambda call: call.lost_connections)
    connections = day.total(lambda call: call.connections)
    finals = day.total(lambda call: call.finals)
    doubted = day.total(lambda call: len(call.doubted))
    rows = (
        ("Audio", clock(day.total(lambda call: call.audio_s)), f"{finals:.0f} finals"),
        ("Final delay, median", seconds(quantile(delays_s, 0.5)), "after the last word"),
        ("Final delay, p90", seconds(quantile(delays_s, 0.9)), f"p99 {_p99(delays_s)}"),
        ("First interim, median", seconds(quantile(interims_s, 0.5)), f"p99 {_p99(interims_s)}"),
        ("Connections lost", f"{lost:.0f}", f"of {connections:.0f}"),
        ("Sent again", seconds(day.total(lambda call: call.replayed_s)), "of audio"),
        ("Lost", seconds(day.total(lambda call: call.lost_s)), "of audio"),
        ("Doubted", f"{doubted:.0f}", f"of {finals:.0f} finals"),
    )
    return "".join(
        f'<div><dt>{name}</dt><dd class="value">{value}</dd><dd class="detail">{detail}</dd></div>'
        for name, value, detail in rows
    )


def _p99(ordered: Sequence[float]) -> str:
    return seconds(quantile(ordered, 0.99))


def _pictures(day: Day) -> Iterator[str]:
    if picture := over_time(day.calls):
        yield f'<section class="all"><h2>Slowest final of each call</h2>{picture}</section>'
    for name, meaning, delays_s in (
        ("Delay of finals", "after their last word", day.delays_s),
        ("First interims", "after the first word of an utterance", day.first_interims_s),
        ("Answers to flushes", "after flush()", day.flushes_s),
    ):
        if delays_s:
            picture = histogram(delays_s, name)
            yield f"<section><h2>{name} <small>{meaning}</small></h2>{picture}</section>"


def _table(calls: Sequence[Figures]) -> str:
    head = "".join(
        f'<th scope="col" title="{meaning}"{_minor(is_minor)}>{name}</th>'
        for name, meaning, is_minor in _COLUMNS
    )
    rows = "".join(_row(number, call) for number, call in enumerate(calls))
    counts = [(kind, sum(bool(call.amount(kind)) for call in calls)) for kind in WORST_FIRST]
    options = "".join(
        f'<option value="{kind}">{_KINDS[kind]} ({count})</option>'
        for kind, count in counts
        if count
    )
    return (
        '<section id="calls" class="all"><h2>Calls <small>the worst first</small></h2>'
        '<div class="bar" id="filters" hidden>'
        '<input id="filter" type="search" placeholder="Filter" aria-label="Filter the calls">'
        f'<select id="kind" aria-label="Which calls"><option value="">all calls</option>{options}'
        '</select><output id="count"></output></div>'
        '<div class="wide" role="region" aria-label="Calls" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _minor(is_minor: bool) -> str:
    return ' class="minor"' if is_minor else ""


def _row(number: int, call: Figures) -> str:
    findings = "".join(
        f'<span class="{"bad" if one.kind in _BAD else "fair"}">{escape(one.said)}</span>'
        for one in call.findings
    )
    median_s = quantile(sorted(call.delays_s), 0.5)
    first_s = quantile(sorted(call.first_interims_s), 0.5)
    began_s = 0.0 if call.began is None else call.began.timestamp()
    cut = f"{call.lost_connections} of {call.connections}" if call.lost_connections else "0"
    is_slow = ' class="slow"' if (call.slowest_s or 0.0) > SLOW_S else ""
    is_lost = ' class="slow"' if call.lost_s else ""
    date = "" if call.began is None else f"{call.began:%Y-%m-%d} · "
    return (
        f'<tr data-kinds="{" ".join(found.kind for found in call.findings)}">'
        f'<th scope="row" data-v="{began_s:.3f}">{_link(call)}'
        f'<div class="note">{date}{escape(call.title)}</div></th>'
        f'<td data-v="{-number}">{findings}</td>'
        f'<td class="minor" data-v="{call.duration_s:.1f}">{clock(call.duration_s)}</td>'
        f'<td class="minor" data-v="{call.words}">{call.words}</td>'
        f'<td data-v="{_sortable(median_s)}">{seconds(median_s)}</td>'
        f'<td data-v="{_sortable(call.slowest_s)}"{is_slow}>{seconds(call.slowest_s)}</td>'
        f'<td class="minor" data-v="{_sortable(first_s)}">{seconds(first_s)}</td>'
        f'<td class="minor" data-v="{call.lost_connections}">{cut}</td>'
        f'<td class="minor" data-v="{call.replayed_s:.3f}">{seconds(call.replayed_s)}</td>'
        f'<td data-v="{call.lost_s:.3f}"{is_lost}>{seconds(call.lost_s)}</td></tr>'
    )


def _sortable(value: float | None) -> str:
    return "-1" if value is None else f"{value:.4f}"


def _unread(unread: Sequence[Unread]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(one.file)}</th><td>{escape(one.why)}</td></tr>'
        for one in unread
    )
    return (
        f'<section id="unread" class="all"><h2>{many(len(unread), "file")} not read</h2>'
        f'<div class="wide"><table><tbody>{rows}</tbody></table></div></section>'
    )
