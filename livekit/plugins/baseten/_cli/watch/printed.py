"""A watch as it is printed: a line for each probe, and at the end what they add up to."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from statistics import median
from typing import Any

from rich.console import Console
from rich.text import Text

from ..check import sentence
from .probe import STATES, Probed, State
from .watching import Change, History

_STYLES: dict[State, str] = {"up": "bold green", "degraded": "bold yellow", "down": "bold red"}


class Printed:
    """
    Args:
        console: Where it is printed, each line at once.
        as_json: Objects in place of lines.
    """

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json
        self._reason: str | None = None

    def begins(self, url: str, model: str, every_s: float, metrics: str) -> None:
        """
        Args:
            metrics: Where Prometheus finds them; "" where it does not.
        """
        if self._as_json:
            told = {"watching": url, "model": model, "every_s": every_s, "metrics": metrics or None}
            self._console.print(json.dumps(told))
            return
        self._console.print(f"Watching {url} ({model}), every {every_s:g} s. Ctrl-C ends it.")
        if metrics:
            self._console.print(f"For Prometheus: {metrics}")

    def probed(self, probed: Probed, change: Change | None) -> None:
        """
        Args:
            change: What it changed; the state stands out then.
        """
        if self._as_json:
            line = _as_json(probed, is_change=change is not None)
            self._console.print(json.dumps(line, ensure_ascii=False))
            return
        state = probed.state if change is None else probed.state.upper()
        style = "" if change is None else _STYLES[probed.state]
        told = _measured(probed) if probed.reason is None else self._why(probed)
        after = "" if change is None else f" (was {change.before} for {_long(change.lasted)})"
        at = f"{probed.at:%Y-%m-%dT%H:%M:%SZ}"
        self._console.print(Text.assemble(at, "  ", (f"{state:<8}", style), f"  {told}{after}"))
        self._reason = probed.reason

    def ends(self, history: History) -> None:
        """What it all adds up to."""
        if self._as_json:
            self._console.print(json.dumps({"summary": _summary(history)}))
            return
        probes = history.results.total()
        if history.first is None or history.last is None:
            self._console.print("\nStopped before a probe was over.")
            return
        took = history.last.at - history.first.at
        each = ", ".join(f"{history.results[state]} {state}" for state in STATES)
        why = ", ".join(f"{reason} {count}" for reason, count in history.reasons.most_common())
        self._console.print(
            f"\nStopped after {probes} probe{'s' * (probes != 1)} in {_long(took)}: {each}"
            f"{f' ({why})' if why else ''}."
        )
        if history.finals_s:
            self._console.print(
                f"Finals came {median(history.finals_s):.2f} s after the last word, in the median; "
                f"the slowest {max(history.finals_s):.2f} s."
            )
        if history.longest_down is not None:
            lasted, since = history.longest_down
            self._console.print(
                f"Down for {_long(lasted)} at the longest, from {since:%Y-%m-%dT%H:%M:%SZ} on."
            )

    def _why(self, probed: Probed) -> str:
        """All of it once; while it stays so, the word."""
        if probed.reason == self._reason:
            return f"{probed.reason}"
        return f"{probed.reason}: {probed.why}"


def _measured(probed: Probed) -> str:
    measured = probed.measured
    times = ", ".join(
        f"{name} {seconds:.2f} s"
        for name, seconds in (
            ("handshake", measured.connect_s),
            ("interim", measured.first_interim_s),
            ("final", measured.final_s),
            ("flush", measured.flush_s),
        )
        if seconds is not None
    )
    return f"{probed.words} of {len(sentence.WORDS)} words; {times}"


def _as_json(probed: Probed, *, is_change: bool) -> dict[str, Any]:
    return {
        "at": probed.at.isoformat(),
        "state": probed.state,
        "is_change": is_change,
        "reason": probed.reason,
        "why": probed.why or None,
        "took_s": round(probed.took_s, 3),
        "words_heard": probed.words,
        "words_spoken": len(sentence.WORDS),
        "measured": asdict(probed.measured),
    }


def _summary(history: History) -> dict[str, Any]:
    lasted, since = history.longest_down or (timedelta(), None)
    return {
        "probes": dict(history.results),
        "reasons": dict(history.reasons),
        "final_s": None if not history.finals_s else round(median(history.finals_s), 3),
        "longest_down_s": lasted.total_seconds(),
        "longest_down_from": None if since is None else since.isoformat(),
    }


def _long(time: timedelta) -> str:
    seconds = round(time.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    minutes, hours = seconds // 60, seconds // 3600
    return f"{minutes} min" if hours < 2 else f"{hours} h {minutes % 60} min"
