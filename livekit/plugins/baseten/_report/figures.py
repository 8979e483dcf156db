"""One call in figures, and what stands out in it: a line among those of its folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal, NamedTuple, get_args

from .._core.clocks import SAMPLE_RATE_HZ
from .axis import Axis
from .call import DOUBTED, GUESSED, SLOW_S, Call, made_out
from .reading import Recorded
from .wording import many, seconds

# Somebody who calls and says nothing for as long was probably not heard.
_SILENT_S = 15.0
_LONGEST_QUOTE = 80

Kind = Literal[
    "failed", "lost", "slow", "cut", "doubted", "guessed", "unheard", "unanswered", "damaged"
]
WORST_FIRST: tuple[Kind, ...] = get_args(Kind)
"""From what costs a caller the most to what costs nothing."""


class Finding(NamedTuple):
    """
    Attributes:
        amount: How bad: seconds, or how many.
        said: In words.
    """

    kind: Kind
    amount: float
    said: str


@dataclass(frozen=True)
class Figures:
    """Times in seconds, delays in no order.

    Attributes:
        file: Name of the recording.
        began: UTC; None if the recording does not say.
        delays_s: Of finals, after their last word.
        first_interims_s: After the first word of an utterance.
        flushes_s: From a flush to its answer.
        findings: The worst first.
        page: Name of its page.
    """

    file: str
    title: str
    began: datetime | None
    duration_s: float
    audio_s: float
    utterances: int
    finals: int
    words: int
    delays_s: list[float]
    first_interims_s: list[float]
    flushes_s: list[float]
    connections: int
    lost_connections: int
    replayed_s: float
    lost_s: float
    doubted: list[str]
    errors: list[str]
    findings: list[Finding] = field(default_factory=list)
    page: str = ""

    @property
    def slowest_s(self) -> float | None:
        return max(self.delays_s, default=None)

    @property
    def badness(self) -> tuple[float, ...]:
        """The more of what is worst, the greater."""
        return (*(self.amount(kind) for kind in WORST_FIRST), self.slowest_s or 0.0)

    def amount(self, kind: Kind) -> float:
        """How bad a finding is; 0 where there is none of that kind."""
        return next((found.amount for found in self.findings if found.kind == kind), 0.0)


def figures_of(recorded: Recorded, page: str = "") -> Figures:
    pcm = recorded.pcm
    axis = Axis(recorded.lines, None if pcm is None else len(pcm))
    call = made_out(recorded, axis)
    return Figures(
        file=recorded.path.name,
        title=recorded.title,
        began=_began(recorded),
        duration_s=axis.end,
        audio_s=axis.samples / SAMPLE_RATE_HZ,
        utterances=len(call.utterances),
        finals=len(call.finals),
        words=call.words,
        delays_s=call.delays_s,
        first_interims_s=call.first_partials_s,
        flushes_s=[f.took_s for f in call.flushes if f.took_s is not None] if axis.is_live else [],
        connections=len(call.connections),
        lost_connections=sum(connection.is_lost for connection in call.connections),
        replayed_s=call.replayed_s,
        lost_s=call.lost_s,
        doubted=[final.text for final in call.finals if set(final.flags) & DOUBTED],
        errors=[trouble.message for trouble in call.fatal_errors],
        findings=list(_findings(recorded, call, axis.samples / SAMPLE_RATE_HZ)),
        page=page,
    )


def _began(recorded: Recorded) -> datetime | None:
    try:
        began = datetime.fromisoformat(recorded.header.started.replace("Z", "+00:00"))
        return began.replace(tzinfo=began.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _findings(recorded: Recorded, call: Call, audio_s: float) -> Iterator[Finding]:
    """In the order of `WORST_FIRST`."""
    if errors := call.fatal_errors:
        yield Finding("failed", len(errors), f"ended with an error: {errors[0].message}")
    if call.lost_s:
        yield Finding("lost", call.lost_s, f"{seconds(call.lost_s)} of audio lost")
    if (slowest_s := max(call.delays_s, default=0.0)) > SLOW_S:
        yield Finding("slow", slowest_s, f"a final {seconds(slowest_s)} after its last word")
    if cut := sum(connection.is_lost for connection in call.connections):
        yield Finding("cut", cut, f"{many(cut, 'connection')} lost")
    doubted = [final.text for final in call.finals if set(final.flags) & DOUBTED]
    if doubted:
        quote = doubted[0][:_LONGEST_QUOTE] + "…" * (len(doubted[0]) > _LONGEST_QUOTE)
        yield Finding("doubted", len(doubted), f"{many(len(doubted), 'final')} doubted: “{quote}”")
    if guessed := sum(GUESSED in final.flags for final in call.finals):
        yield Finding("guessed", guessed, f"{many(guessed, 'final')} made of an interim")
    if not call.finals and audio_s > _SILENT_S:
        yield Finding("unheard", audio_s, f"nothing heard in {seconds(audio_s)} of audio")
    if unanswered := sum(flush.answered is None for flush in call.flushes):
        yield Finding(
            "unanswered", unanswered, f"{many(unanswered, 'flush', 'flushes')} unanswered"
        )
    damages = [
        said
        for said, is_so in (
            ("cut off, or still going on", not recorded.is_whole),
            (f"{many(len(recorded.unreadable), 'line')} not readable", recorded.unreadable),
            ("no audio beside it", recorded.pcm is None),
        )
        if is_so
    ]
    if damages:
        yield Finding("damaged", len(damages), ", ".join(damages))
