"""What happened in a call, made out from the lines of its recording.

Times are seconds on the axis of the page; those that end in ``_s`` are lengths of time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from .._core.clocks import SAMPLE_RATE_HZ
from .axis import Axis
from .reading import (
    MOST_S,
    Closed,
    Connected,
    Flushed,
    Line,
    Lost,
    Problem,
    Recorded,
    RecordedEvent,
    Sent,
)

L = TypeVar("L", bound=Line)

SLOW_S = 2.0  # a delay that a caller notices

# Of a final's `SpeechData.metadata`, what a reader should know of its words.
_FLAGS = {
    "possible_hallucination": "the server doubts it",
    "no_speech": "the audio is silent there",
    "is_promoted_interim": "made of an interim, its final never came",
}
DOUBTED = frozenset({_FLAGS["possible_hallucination"], _FLAGS["no_speech"]})
GUESSED = _FLAGS["is_promoted_interim"]


@dataclass
class PlacedWord:
    text: str
    x0: float
    x1: float
    confidence: float | None


@dataclass
class Final:
    """
    Attributes:
        at: When it came.
        delay_s: From the end of its last word; None where audio came faster than speech.
    """

    x0: float
    x1: float
    at: float
    text: str
    language: str
    speaker: str | None
    confidence: float | None
    delay_s: float | None
    words: list[PlacedWord]
    flags: list[str]


@dataclass
class Interim:
    """Shown from ``x0`` until something took its place at ``x1``."""

    x0: float
    x1: float
    text: str


@dataclass
class Utterance:
    """
    Attributes:
        first_partial_s: From its first word to its first interim.
    """

    number: int
    id: str
    x0: float
    x1: float
    finals: list[Final] = field(default_factory=list)
    interims: list[Interim] = field(default_factory=list)
    first_partial_s: float | None = None


@dataclass
class Flush:
    """
    Attributes:
        answered: When; None if the recording ends before.
        took_s: From asking to the answer.
    """

    x: float
    answered: float | None
    took_s: float | None
    text: str


@dataclass
class ConnectionBar:
    """
    Attributes:
        asked: When it was wanted.
        opened: When its handshake was done.
        carried: From when on it carried the stream.
        closed: When it was over.
        replayed: What it sent again of the audio, on the axis; None if nothing.
    """

    number: int
    asked: float
    opened: float
    carried: float
    closed: float
    handshake_s: float
    is_reused: bool
    is_lost: bool
    ending: str
    sent_s: float
    silence_s: float
    replayed: tuple[float, float] | None
    replayed_s: float
    row: int = 0


@dataclass
class Trouble:
    x: float
    message: str
    is_fatal: bool
    is_error: bool


@dataclass
class Call:
    utterances: list[Utterance]
    flushes: list[Flush]
    connections: list[ConnectionBar]
    troubles: list[Trouble]
    lost_s: float

    @property
    def finals(self) -> list[Final]:
        return [final for utterance in self.utterances for final in utterance.finals]

    @property
    def fatal_errors(self) -> list[Trouble]:
        """After which the stream did not go on."""
        return [trouble for trouble in self.troubles if trouble.is_error and trouble.is_fatal]

    @property
    def words(self) -> int:
        return sum(len(final.text.split()) for final in self.finals)

    @property
    def delays_s(self) -> list[float]:
        return sorted(f.delay_s for f in self.finals if f.delay_s is not None)

    @property
    def first_partials_s(self) -> list[float]:
        return [u.first_partial_s for u in self.utterances if u.first_partial_s is not None]

    @property
    def replayed_s(self) -> float:
        return sum(connection.replayed_s for connection in self.connections)


def made_out(recorded: Recorded, axis: Axis) -> Call:
    lines = recorded.lines
    lost = _of(Lost, lines)
    return Call(
        utterances=_utterances(_of(RecordedEvent, lines), axis),
        flushes=_flushes(lines, axis),
        connections=_connections(lines, axis),
        troubles=_troubles(lines, axis),
        lost_s=max((line.samples for line in lost), default=0) / SAMPLE_RATE_HZ,
    )


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of them that such a share does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _of(kind: type[L], lines: Sequence[Line]) -> list[L]:
    return [line for line in lines if isinstance(line, kind)]


# Speech


def _utterances(events: Sequence[RecordedEvent], axis: Axis) -> list[Utterance]:
    by_id: dict[str, list[RecordedEvent]] = {}
    for event in events:
        if event.type != "recognition_usage":
            by_id.setdefault(event.request_id, []).append(event)
    utterances: list[Utterance] = []
    for own in by_id.values():
        utterance = _utterance(len(utterances) + 1, own, axis)
        if utterance is not None:
            utterances.append(utterance)
    return utterances


def _utterance(number: int, events: Sequence[RecordedEvent], axis: Axis) -> Utterance | None:
    """None where there are no words: the answer to a flush in silence."""
    spoken = [e for e in events if e.text and e.start is not None and e.end is not None]
    if not spoken:
        return None
    finals = [_final(event, axis) for event in spoken if event.type == "final_transcript"]
    x0 = finals[0].x0 if finals else min(_sample_x(axis, e, e.start) for e in spoken)
    x1 = max(
        _sample_x(axis, e, e.end, is_end=True) for e in (spoken if not finals else spoken[-1:])
    )
    utterance = Utterance(number, events[0].request_id, x0, x1, finals)
    utterance.interims = _interims(events, axis)
    first = next((e for e in spoken if e.type == "interim_transcript"), None)
    if first is not None and axis.is_live:
        utterance.first_partial_s = max(0.0, axis.of_time(first.at) - x0)
    return utterance


def _final(event: RecordedEvent, axis: Axis) -> Final:
    x0 = _sample_x(axis, event, event.start)
    x1 = _sample_x(axis, event, event.end, is_end=True)
    told = event.metadata.get("delay_s")
    is_told = isinstance(told, (int, float)) and 0 <= told <= MOST_S
    delay_s = told if is_told else max(0.0, axis.of_time(event.at) - x1)
    return Final(
        x0=x0,
        x1=x1,
        at=axis.of_time(event.at) if axis.is_live else x1,
        text=event.text,
        language=event.language,
        speaker=event.speaker,
        confidence=event.confidence,
        delay_s=delay_s if axis.is_live else None,
        words=[
            PlacedWord(
                word.text,
                _sample_x(axis, event, word.start),
                _sample_x(axis, event, word.end, is_end=True),
                word.confidence,
            )
            for word in event.words
            if word.start is not None and word.end is not None
        ],
        flags=[said for name, said in _FLAGS.items() if event.metadata.get(name)],
    )


def _interims(events: Sequence[RecordedEvent], axis: Axis) -> list[Interim]:
    """Each from when it came, or what it reaches to, until the next event that shows a text."""
    interims: list[Interim] = []
    shown = [event for event in events if event.type in ("interim_transcript", "final_transcript")]
    for event, following in zip(shown, [*shown[1:], None], strict=True):
        if event.type != "interim_transcript" or not event.text:
            continue
        if axis.is_live:
            x0 = axis.of_time(event.at)
            x1 = axis.of_time(following.at) if following is not None else axis.end
        else:
            x0 = interims[-1].x1 if interims else _sample_x(axis, event, event.start)
            x1 = max(x0, _sample_x(axis, event, event.end, is_end=True))
        interims.append(Interim(x0, x1, event.text))
    return interims


def _sample_x(
    axis: Axis, event: RecordedEvent, seconds: float | None, *, is_end: bool = False
) -> float:
    sample = ((seconds or 0.0) - event.offset_s) * SAMPLE_RATE_HZ
    return axis.of_end(sample) if is_end else axis.of_sample(sample)


def _flushes(lines: Sequence[Line], axis: Axis) -> list[Flush]:
    """Each with the next final, which is its answer, be it empty."""
    flushes = []
    finals = [event for event in _of(RecordedEvent, lines) if event.type == "final_transcript"]
    for line in _of(Flushed, lines):
        if line.kind != "flush":
            continue
        answer = next((event for event in finals if event.at >= line.at), None)
        x = axis.of_time(line.at) if axis.is_live else axis.of_end(line.position)
        flushes.append(
            Flush(
                x=x,
                answered=None if answer is None else max(x, axis.of_time(answer.at)),
                took_s=None if answer is None else answer.at - line.at,
                text="" if answer is None else answer.text,
            )
        )
    return flushes


# The network


def _connections(lines: Sequence[Line], axis: Axis) -> list[ConnectionBar]:
    sent_before = 0
    connections: list[ConnectionBar] = []
    for line in _of(Connected, lines):
        own = [sent for sent in _of(Sent, lines) if sent.connection == line.connection]
        closed = next((c for c in _of(Closed, lines) if c.connection == line.connection), None)
        start = min((sent.start for sent in own), default=0)
        stop = max((sent.stop for sent in own), default=0)
        again = max(0, min(stop, sent_before) - start)
        sent_before = max(sent_before, stop)
        connection = ConnectionBar(
            number=line.connection,
            asked=axis.of_time(line.at - line.acquire_s),
            opened=axis.of_time(line.at - line.open_for_s),
            carried=axis.of_time(line.at),
            closed=axis.end if closed is None else axis.of_time(closed.at),
            handshake_s=line.handshake_s,
            is_reused=line.is_reused,
            is_lost=closed is not None and closed.error is not None,
            ending=_ending(closed),
            sent_s=sum(sent.stop - sent.start for sent in own) / SAMPLE_RATE_HZ,
            silence_s=sum(sent.silence for sent in own) / SAMPLE_RATE_HZ,
            replayed=(axis.of_sample(start), axis.of_end(start + again)) if again else None,
            replayed_s=again / SAMPLE_RATE_HZ,
        )
        connection.row = _free_row(connection, connections)
        connections.append(connection)
    return connections


def _free_row(connection: ConnectionBar, others: Sequence[ConnectionBar]) -> int:
    """Where it overlaps with none of the others: in a change of options, two are open."""
    begin = min(connection.asked, connection.opened)
    taken = {other.row for other in others if other.closed > begin + 0.005}
    return next(row for row in range(len(others) + 1) if row not in taken)


def _ending(closed: Closed | None) -> str:
    if closed is None:
        return "open at the end of the recording"
    return "closed by the client" if closed.error is None else closed.error


def _troubles(lines: Sequence[Line], axis: Axis) -> list[Trouble]:
    troubles = []
    for line in lines:
        if isinstance(line, Problem):
            is_fatal = not line.recoverable
            troubles.append(Trouble(axis.of_time(line.at), line.message, is_fatal, is_error=True))
        elif isinstance(line, Lost):
            said = f"{line.samples / SAMPLE_RATE_HZ:.1f} s of audio were dropped unheard so far"
            x = axis.of_time(line.at)
            troubles.append(Trouble(x, said, is_fatal=True, is_error=False))
    return troubles
