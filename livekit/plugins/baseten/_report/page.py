"""One file of HTML that needs nothing else: no network, no other file, no server.

What people and servers said is in it as data that nothing executes: JSON in which no tag can end,
shown as text only, under a policy that lets no script run but the page's own.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import asdict
from typing import Any

from .._core.clocks import SAMPLE_RATE_HZ
from .axis import Axis
from .call import Call, made_out, median, p99
from .log import log
from .reading import Recorded
from .sound import peaks
from .standalone import part, policy, sound_url


def page(recorded: Recorded) -> str:
    """The page, as text to be written in UTF-8."""
    pcm = recorded.pcm if recorded.pcm is not None and len(recorded.pcm) else None
    axis = Axis(recorded.lines, None if pcm is None else len(pcm))
    style = part(__package__, "page.css")
    scripts = {name: part(__package__, f"{name}.js") for name in ("page", "lanes", "lists")}
    sound = ""
    if pcm is not None:
        sound = f'<audio id="audio" preload="auto" src="{sound_url(pcm)}"></audio>'
    parts = {
        "title": html.escape(_title(recorded)),
        "policy": policy(style, *scripts.values()),
        "style": style,
        **scripts,
        "audio": sound,
        "data": _inert(_data(recorded, axis)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], part(__package__, "page.html"))


def _inert(data: dict[str, Any]) -> str:
    """JSON without a character that could end or begin a tag."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(recorded: Recorded, axis: Axis) -> dict[str, Any]:
    call = made_out(recorded, axis)
    rate, outline = (0.0, "") if recorded.pcm is None else peaks(recorded.pcm)
    data = {
        "title": _title(recorded),
        "about": _about(recorded),
        "notices": _notices(recorded, axis),
        "summary": _summary(call, axis),
        "isLive": axis.is_live,
        "end": axis.end,
        "peaks": {"rate": rate, "data": outline},
        "segments": [
            [s.x0, s.x1, s.start / SAMPLE_RATE_HZ, s.stop / SAMPLE_RATE_HZ] for s in axis.segments
        ],
        "utterances": [asdict(utterance) for utterance in call.utterances],
        "flushes": [asdict(flush) for flush in call.flushes],
        "connections": [asdict(connection) for connection in call.connections],
        "troubles": [asdict(trouble) for trouble in call.troubles],
        "log": [
            [entry.x, entry.at, entry.kind, entry.connection, entry.text]
            for entry in log(recorded, axis)
        ],
    }
    return {name: _rounded(value) for name, value in data.items()}


def _title(recorded: Recorded) -> str:
    header = recorded.header
    return header.source or header.id or recorded.path.stem


def _about(recorded: Recorded) -> list[str]:
    header = recorded.header
    language = header.options.get("language")
    return [
        part
        for part in (
            header.id if header.source else "",
            header.started.replace("T", " ").replace("Z", " UTC"),
            header.model,
            f"language {language}" if language else "",
            header.url,
            f"livekit-plugins-baseten {header.package}" if header.package else "",
        )
        if part
    ]


def _notices(recorded: Recorded, axis: Axis) -> list[str]:
    notices = []
    if not recorded.is_whole:
        notices.append("The recording was cut off before the call ended; this is what there is.")
    if recorded.unreadable:
        first = recorded.unreadable[0]
        notices.append(f"{len(recorded.unreadable)} of its lines cannot be read (first: {first}).")
    if recorded.pcm is None:
        notices.append("There is no audio beside the recording.")
    if not axis.is_live and axis.samples:
        notices.append(
            "The audio was pushed faster than it is spoken: everything is shown in the time of "
            "the audio, and delays mean nothing."
        )
    return notices


def _summary(call: Call, axis: Axis) -> list[dict[str, str]]:
    audio_s = axis.samples / SAMPLE_RATE_HZ
    lost = sum(connection.is_lost for connection in call.connections)
    slowest, first = p99(call.delays_s), median(call.first_partials_s)
    rows = [
        ("Duration", _clock(axis.end), f"{_clock(audio_s)} of audio"),
        ("Utterances", str(len(call.utterances)), _many(call.words, "word")),
        (
            "Final delay, median",
            _seconds(median(call.delays_s)),
            f"p99 {_seconds(slowest)}",
        ),
        ("First interim, median", _seconds(first), "after the first word"),
        ("Connections", str(len(call.connections)), f"{lost} lost" if lost else "none lost"),
        ("Sent again", _seconds(call.replayed_s), "of audio"),
        ("Lost", _seconds(call.lost_s), "of audio"),
    ]
    return [{"name": name, "value": value, "detail": detail} for name, value, detail in rows]


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001  # a dash in a table, for a reader
    return f"{value:.2f} s" if 0 < value < 10 else f"{value:.0f} s"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _rounded(value: Any) -> Any:
    """Tenths of milliseconds: nobody sees more, and it takes room."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value
