"""The figures of a comparison, once for the table, the JSON and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .scores import Result, Score, middle, ninth_tenth


@dataclass(frozen=True)
class Figure:
    """A column.

    Attributes:
        name: Its key in the JSON, unit last.
        title: Its heading.
        meaning: What it is, in a sentence.
        of: The figure of a setting.
        shown: How it is written.
        is_delay: Whether it means nothing where clips were not said at the pace of speech.
    """

    name: str
    title: str
    meaning: str
    of: Callable[[Score], float | int | None]
    shown: Callable[[float], str]
    is_delay: bool = False

    def text(self, score: Score) -> str:
        value = self.of(score)
        return "–" if value is None else self.shown(value)  # noqa: RUF001 - a dash in a table


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _count(value: float) -> str:
    return f"{value:.0f}"


FIGURES = (
    Figure(
        "error_rate",
        "wrong",
        "Words (characters, in languages without spaces) that are wrong, missing or made up, to "
        "those that were spoken.",
        lambda score: score.error_rate,
        _percent,
    ),
    Figure(
        "first_interim_median_s",
        "first interim",
        "From the beginning of an utterance to its first interim: half of them.",
        lambda score: middle(score.first_interims_s),
        _seconds,
        is_delay=True,
    ),
    Figure(
        "final_delay_median_s",
        "final",
        "From the end of the last word to its final: half of them.",
        lambda score: middle(score.final_delays_s),
        _seconds,
        is_delay=True,
    ),
    Figure(
        "final_delay_p90_s",
        "final, 9 of 10",
        "The same: nine of ten come within this.",
        lambda score: ninth_tenth(score.final_delays_s),
        _seconds,
        is_delay=True,
    ),
    Figure(
        "missed_utterances",
        "missed",
        "Utterances (lines of a reference) of which no word was heard.",
        lambda score: score.missed_utterances,
        _count,
    ),
    Figure(
        "false_utterances",
        "false",
        "Finals of which no word was spoken.",
        lambda score: score.false_utterances,
        _count,
    ),
    Figure(
        "words_in_silence",
        "in silence",
        "Words that were heard where there is no sound, or in a clip in which nobody speaks.",
        lambda score: score.words_in_silence,
        _count,
    ),
    Figure(
        "taken_back_share",
        "taken back",
        "Of the words of interims, those that the next interim or the final took back.",
        lambda score: score.taken_back,
        _percent,
    ),
)


def figures_of(scores: Sequence[Score], *, has_delays: bool) -> list[Figure]:
    """Those that mean something here."""
    return [figure for figure in FIGURES if has_delays or not figure.is_delay]


def as_json(scores: Sequence[Score], advice: Sequence[str], *, has_delays: bool) -> dict[str, Any]:
    """Everything, for a program to read."""
    return {
        "advice": list(advice),
        "settings": [_setting(score, has_delays) for score in scores],
    }


def _setting(score: Score, has_delays: bool) -> dict[str, Any]:
    figures = figures_of([score], has_delays=has_delays)
    return {
        "name": score.variant.name,
        "arguments": score.variant.arguments,
        "clips": len(score.results),
        "failures": len(score.failures),
        "utterances": score.utterances,
        "reference_units": score.reference_units,
        **{figure.name: _rounded(figure.of(score)) for figure in figures},
        "right_preflights_share": _rounded(score.right_preflights),
        "results": [_result(result) for result in score.results],
    }


def _result(result: Result) -> dict[str, Any]:
    comparison = result.comparison
    return {
        "clip": result.clip.name,
        "reference": result.clip.reference.strip(),
        "heard": result.text,
        "failure": result.heard.failure,
        "unit": comparison.unit,
        "substitutions": comparison.count("substitute"),
        "deletions": comparison.count("delete"),
        "insertions": comparison.count("insert"),
        "finals": [
            {
                "text": final.segment.text,
                "start_s": final.segment.start_s,
                "end_s": final.segment.end_s,
                "delay_s": round(final.delay_s, 3),
            }
            for final in result.heard.finals
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
