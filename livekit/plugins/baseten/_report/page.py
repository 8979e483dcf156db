"""One file of HTML that needs nothing else: no network, no other file, no server.

What people and servers said is in it as data that nothing executes: JSON in which no tag can end,
shown as text only, under a policy that lets no script run but the page's own.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from .._core.clocks import SAMPLE_RATE_HZ
from .axis import Axis
from .call import SLOW_S, Call, made_out, median, quantile
from .log import log
from .reading import Recorded
from .sound import peaks
from .standalone import maker, part, policy, sound_url
from .wording import clock, many, seconds


@dataclass(frozen=True)
class Surroundings:
    """Where a page is that is one of many.

    Attributes:
        all_calls: URL of the page of all of them.
        folder: URL of the folder with the recordings, where the sound is; "" is the page's own.
    """

    all_calls: str
    folder: str


def page(recorded: Recorded, among: Surroundings | None = None) -> str:
    """The page, as text to be written in UTF-8.

    Args:
        among: The page is one of many, and plays the recording's own sound file. `None` puts the
            sound into the page, which takes by far the most of its time and room.
    """
    pcm = recorded.pcm if recorded.pcm is not None and len(recorded.pcm) else None
    axis = Axis(recorded.lines, None if pcm is None else len(pcm))
    style = part(__package__, "look.css") + part(__package__, "page.css")
    scripts = {name: part(__package__, f"{name}.js") for name in ("page", "lanes", "lists")}
    sound = nav = ""
    if pcm is not None:
        url = sound_url(pcm) if among is None else among.folder + quote(recorded.sound.name)
        sound = f'<audio id="audio" preload="auto" src="{html.escape(url)}"></audio>'
    if among is not None:
        nav = f'<nav><a href="{html.escape(among.all_calls)}">All calls</a></nav>'
    media = "data:" if among is None else "'self' file:"
    parts = {
        "title": html.escape(recorded.title),
        "maker": maker(),
        "nav": nav,
        "policy": policy(style, *scripts.values(), media=media),
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
        "title": recorded.title,
        "about": _about(recorded),
        "notices": _notices(recorded, axis),
        "summary": _summary(call, axis),
        "isLive": axis.is_live,
        "slow": SLOW_S,
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
    slowest, first = quantile(call.delays_s, 0.99), median(call.first_partials_s)
    rows = [
        ("Duration", clock(axis.end), f"{clock(audio_s)} of audio"),
        ("Utterances", str(len(call.utterances)), many(call.words, "word")),
        (
            "Final delay, median",
            seconds(median(call.delays_s)),
            f"p99 {seconds(slowest)}",
        ),
        ("First interim, median", seconds(first), "after the first word"),
        ("Connections", str(len(call.connections)), f"{lost} lost" if lost else "none lost"),
        ("Sent again", seconds(call.replayed_s), "of audio"),
        ("Lost", seconds(call.lost_s), "of audio"),
    ]
    return [{"name": name, "value": value, "detail": detail} for name, value, detail in rows]


def _rounded(value: Any) -> Any:
    """Tenths of milliseconds: nobody sees more, and it takes room."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value
