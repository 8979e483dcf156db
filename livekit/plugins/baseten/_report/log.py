"""The wire log: every line of a recording as a reader of the page wants it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .._core.clocks import SAMPLE_RATE_HZ
from .axis import Axis
from .reading import (
    Changed,
    Closed,
    Connected,
    Flushed,
    Line,
    Lost,
    Message,
    Problem,
    Recorded,
    RecordedEvent,
    Sent,
)

# Of one message; partials of long utterances with all their words add up.
_MOST_CHARACTERS = 4_000


@dataclass
class Entry:
    """
    Attributes:
        x: On the page's axis.
        at: Seconds since the recording began.
        kind: Whose it is: "sent", "audio", "received", "event", "connection", "user", "problem".
        connection: Its number, 0 where it is of none.
    """

    x: float
    at: float
    kind: str
    connection: int
    text: str


def log(recorded: Recorded, axis: Axis) -> list[Entry]:
    entries = []
    for line in recorded.lines:
        told = _told(line)
        if told is not None:
            kind, text = told
            connection = getattr(line, "connection", 0)
            entries.append(Entry(axis.of_time(line.at), line.at, kind, connection, _cut(text)))
    return entries


def _told(line: Line) -> tuple[str, str] | None:
    if isinstance(line, Message):
        return ("sent" if line.kind == "sent_text" else "received"), line.text
    if isinstance(line, Sent):
        text = f"audio {_range(line.start, line.stop)}"
        if line.silence:
            text += f" and {line.silence / SAMPLE_RATE_HZ:.3f} s of silence"
        return "audio", text
    if isinstance(line, RecordedEvent):
        return "event", _event(line)
    if isinstance(line, Connected):
        ahead = ", before it was needed" if line.is_reused else ""
        return "connection", f"connected (handshake: {line.handshake_s:.3f} s{ahead})"
    if isinstance(line, Closed):
        return "connection", line.error or "closed by the client"
    if isinstance(line, Flushed):
        what = "flush()" if line.kind == "flush" else "end_input()"
        return "user", f"{what} at {line.position / SAMPLE_RATE_HZ:.3f} s"
    if isinstance(line, Changed):
        return "user", f"update_options: {json.dumps(line.options, ensure_ascii=False)}"
    if isinstance(line, Problem):
        return "problem", line.message
    if isinstance(line, Lost):
        return "problem", f"{line.samples / SAMPLE_RATE_HZ:.1f} s of audio dropped unheard so far"
    return None


def _event(event: RecordedEvent) -> str:
    text = f"{event.type.upper()} {event.text}".rstrip()
    if event.start is not None and event.end is not None:
        text += f" ({event.start:.2f} to {event.end:.2f} s)"
    return text


def _range(start: int, stop: int) -> str:
    return f"{start / SAMPLE_RATE_HZ:.3f} to {stop / SAMPLE_RATE_HZ:.3f} s"


def _cut(text: str) -> str:
    if len(text) <= _MOST_CHARACTERS:
        return text
    left = len(text) - _MOST_CHARACTERS
    return f"{text[:_MOST_CHARACTERS]} ... and {left} characters more, in the recording"
