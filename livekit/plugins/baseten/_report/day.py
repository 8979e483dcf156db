"""The calls of a folder together: figures of all, and what stands out, in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .call import SLOW_S, quantile
from .figures import Figures, Kind
from .wording import many, seconds

_NAMED = 3  # so many calls are named in a sentence

# A share of them in a much smaller share of the time is no chance.
_BUNCH_SHARE = 0.6
_BUNCH_SPAN = 0.25
_SMALLEST_BUNCH = 4


@dataclass(frozen=True)
class Unread:
    """A file that is not among the calls, and why."""

    file: str
    why: str


@dataclass(frozen=True)
class Statement:
    """
    Attributes:
        is_bad: Words were lost, or callers waited.
        worst: The calls that it is about first of all.
    """

    said: str
    is_bad: bool
    worst: Sequence[Figures] = ()


@dataclass
class Day:
    """
    Attributes:
        calls: The worst first.
    """

    calls: list[Figures]
    unread: list[Unread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.calls = sorted(self.calls, key=lambda call: call.badness, reverse=True)

    @property
    def delays_s(self) -> list[float]:
        return sorted(delay_s for call in self.calls for delay_s in call.delays_s)

    @property
    def first_interims_s(self) -> list[float]:
        return sorted(delay_s for call in self.calls for delay_s in call.first_interims_s)

    @property
    def flushes_s(self) -> list[float]:
        return sorted(delay_s for call in self.calls for delay_s in call.flushes_s)

    @property
    def began(self) -> list[datetime]:
        """When the calls that say so began, in order."""
        return sorted(call.began for call in self.calls if call.began is not None)

    def total(self, of: Callable[[Figures], float]) -> float:
        return sum(of(call) for call in self.calls)

    def statements(self) -> list[Statement]:
        """What stands out; never empty."""
        found = list(_statements(self))
        if not self.calls or any(one.is_bad for one in found):
            return found
        fine = "No audio was lost, no call failed, and no final was slow."
        return [Statement(fine, is_bad=False), *found]

    def span(self) -> str:
        """When it was, in words; "" where no recording says."""
        if not self.began:
            return ""
        first, last = self.began[0], self.began[-1]
        until = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
        return f"{first:%Y-%m-%d}, {first:%H:%M} to {until} UTC"


def _statements(day: Day) -> Iterator[Statement]:
    count = len(day.calls)

    def those(kind: Kind) -> list[Figures]:
        found = [call for call in day.calls if call.amount(kind)]
        return sorted(found, key=lambda call: call.amount(kind), reverse=True)

    def of_all(calls: Sequence[Figures]) -> str:
        return f"{len(calls)} of {many(count, 'call')}"

    if failed := those("failed"):
        why, times = Counter(error for call in failed for error in call.errors).most_common(1)[0]
        often = "" if times == 1 else f", {times} times"
        said = f"{of_all(failed)} ended with an error. Most often{often}: {why}"
        yield Statement(said, True, failed[:_NAMED])
    if lost := those("lost"):
        total_s = day.total(lambda call: call.lost_s)
        said = f"{of_all(lost)} lost audio: {seconds(total_s)} in all, {_most(lost, 'lost')}."
        yield Statement(said, True, lost[:_NAMED])
    if slow := those("slow"):
        late = sum(delay_s > SLOW_S for call in slow for delay_s in call.delays_s)
        said = (
            f"{of_all(slow)} waited more than {SLOW_S:g} s for {many(late, 'final')}; the slowest "
            f"came {seconds(slow[0].slowest_s)} after its last word.{_bunched(slow, day)}"
        )
        yield Statement(said, True, slow[:_NAMED])
    if cut := those("cut"):
        total = sum(call.lost_connections for call in cut)
        again_s = day.total(lambda call: call.replayed_s)
        said = (
            f"{of_all(cut)} lost {many(total, 'connection')}; {seconds(again_s)} of audio were "
            f"sent again.{_bunched(cut, day)}"
        )
        yield Statement(said, False, cut[:_NAMED])
    if doubted := those("doubted"):
        total = sum(len(call.doubted) for call in doubted)
        finals = sum(call.finals for call in day.calls)
        said = f"In {of_all(doubted)}, {total} of {many(finals, 'final')} may never have been said."
        yield Statement(said, False, doubted[:_NAMED])
    yield from _of_less_weight(those, of_all, day)


def _of_less_weight(
    those: Callable[[Kind], list[Figures]], of_all: Callable[[Sequence[Figures]], str], day: Day
) -> Iterator[Statement]:
    for kind, said in (
        ("guessed", "In {} a final never came, and the last interim was taken for it."),
        ("unheard", "In {} nothing at all was heard."),
        ("unanswered", "In {} a flush got no answer."),
        ("damaged", "Of {} the recording was cut off, is still going on, or lacks a part."),
    ):
        if found := those(kind):  # type: ignore[arg-type]  # a literal
            yield Statement(said.format(of_all(found)), False, found[:_NAMED])
    if day.unread:
        said = f"{many(len(day.unread), 'file')} could not be read: see the end of the page."
        yield Statement(said, False)


def _most(calls: Sequence[Figures], kind: Kind) -> str:
    return f"{seconds(calls[0].amount(kind))} of it in one call"


def _bunched(calls: Sequence[Figures], day: Day) -> str:
    """Where most of them are close together, when that was; else nothing."""
    times = sorted(call.began for call in calls if call.began is not None)
    size = math.ceil(_BUNCH_SHARE * len(calls))
    if size < _SMALLEST_BUNCH or len(times) < size:
        return ""
    whole = day.began[-1] - day.began[0]
    first = min(range(len(times) - size + 1), key=lambda i: times[i + size - 1] - times[i])
    begin, end = times[first], times[first + size - 1]
    if end - begin > _BUNCH_SPAN * whole or whole < timedelta(minutes=1):
        return ""
    return f" {size} of them began between {begin:%H:%M} and {end + timedelta(minutes=1):%H:%M}."


def spread(ordered: Sequence[float]) -> dict[str, float | None]:
    """What is told of many delays, by its name."""
    shares = {"median": 0.5, "p90": 0.9, "p99": 0.99, "slowest": 1.0}
    return {name: quantile(ordered, share) for name, share in shares.items()}


def as_json(day: Day) -> dict[str, Any]:
    """The figures, without a word that was said."""

    def counted(ordered: Sequence[float]) -> dict[str, Any]:
        quantiles = {name: _rounded(value) for name, value in spread(ordered).items()}
        return {"count": len(ordered)} | quantiles

    return {
        "stands_out": [one.said for one in day.statements()],
        "final_delay_s": counted(day.delays_s),
        "first_interim_s": counted(day.first_interims_s),
        "flush_s": counted(day.flushes_s),
        "calls": [_call_as_json(call) for call in day.calls],
        "unreadable": [{"file": one.file, "why": one.why} for one in day.unread],
    }


def _call_as_json(call: Figures) -> dict[str, Any]:
    return {
        "file": call.file,
        "page": call.page,
        "began": None if call.began is None else call.began.isoformat(),
        "duration_s": _rounded(call.duration_s),
        "audio_s": _rounded(call.audio_s),
        "utterances": call.utterances,
        "finals": call.finals,
        "words": call.words,
        "final_delay_s": {
            "median": _rounded(quantile(sorted(call.delays_s), 0.5)),
            "slowest": _rounded(call.slowest_s),
        },
        "connections": call.connections,
        "lost_connections": call.lost_connections,
        "sent_again_s": _rounded(call.replayed_s),
        "lost_s": _rounded(call.lost_s),
        "doubted": len(call.doubted),
        "errors": call.errors,
        "findings": [found.kind for found in call.findings],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
