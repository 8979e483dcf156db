"""Which setting to take."""

from __future__ import annotations

from collections.abc import Sequence

from .scores import Score, middle

_SAME_WORDS = 0.01  # error rates that differ by less are the same: a word in a hundred


def advice(scores: Sequence[Score], *, has_delays: bool) -> list[str]:
    """What to take and why, in a sentence or a few; nothing where there is nothing to choose."""
    scored = [(score, rate) for score in scores if (rate := score.error_rate) is not None]
    if len(scores) < 2 or not scored:
        return []
    best, least = min(scored, key=lambda pair: pair[1])
    lines = [f"Fewest wrong words: {best.variant.name} ({least:.1%})."]
    delayed = [(s, r, d) for s, r in scored if (d := middle(s.final_delays_s)) is not None]
    if not has_delays or not delayed:
        return [*lines, f"Take {best.variant.name}."]
    soonest, _, delay_s = min(delayed, key=lambda row: row[2])
    lines.append(f"Soonest finals: {soonest.variant.name} ({delay_s:.2f} s after the last word).")
    as_good = [row for row in delayed if row[1] - least <= _SAME_WORDS]
    if not as_good:
        return [*lines, f"Take {best.variant.name}."]
    taken, rate, delay_s = min(as_good, key=lambda row: (row[2], row[1]))
    words = taken.reference_units
    reason = f"{rate:.1%} wrong, finals after {delay_s:.2f} s"
    lines.append(f"Take {taken.variant.name}: {reason}. {_how_sure(words)}")
    return lines


def _how_sure(words: int) -> str:
    if words < 1_000:
        return f"That is of {words} words: too few to tell settings apart that differ little."
    return f"That is of {words} words."
