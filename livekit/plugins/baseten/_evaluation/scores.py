"""How well clips were heard, and how soon."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median, quantiles

import numpy as np
from numpy.typing import NDArray

from .._core.clocks import SAMPLE_RATE_HZ
from .clips import Clip
from .hearing import Heard, Shown
from .variants import Variant
from .words import Comparison, compared, unit_of, units_of

_FRAME_S = 0.03
_QUIET_SHARE = 0.03  # of the loudest frame
_QUIET_LEVEL = 60.0  # of 32767: quieter than any line


@dataclass(frozen=True)
class Result:
    """A clip as it was heard with one setting."""

    clip: Clip
    heard: Heard
    language: str

    @property
    def text(self) -> str:
        gap = "" if unit_of(self.clip.reference) == "character" else " "
        return gap.join(final.segment.text for final in self.heard.finals)

    @cached_property
    def comparison(self) -> Comparison:
        return compared(self.clip.reference, self.text, self.language)

    @cached_property
    def missed_utterances(self) -> int:
        """Lines of the reference of which not one word was heard."""
        lines, at, missed = self.clip.utterances, 0, 0
        hits = [d.kind == "equal" for d in self.comparison.differences for _ in d.reference]
        for line in lines:
            length = len(units_of(line, self.language, self.comparison.unit))
            missed += bool(length) and not any(hits[at : at + length])
            at += length
        return missed

    @cached_property
    def false_utterances(self) -> int:
        """Finals of which not one word is in the reference."""
        unit = self.comparison.unit
        spoken = set(units_of(self.clip.reference, self.language, unit))
        finals = (units_of(f.segment.text, self.language, unit) for f in self.heard.finals)
        return sum(bool(words) and spoken.isdisjoint(words) for words in finals)

    @cached_property
    def words_in_silence(self) -> int:
        """Words that were heard where there is no sound, or where nobody speaks at all."""
        if not self.clip.utterances:
            return self.comparison.count("insert")
        words = [word for final in self.heard.finals for word in final.segment.words]
        loud = _loud(self.heard.pcm)
        spans = ((int(w.start_s / _FRAME_S), int(w.end_s / _FRAME_S) + 1) for w in words)
        return sum(not loud[start:stop].any() for start, stop in spans)

    @cached_property
    def taken_back(self) -> tuple[int, int]:
        """How many words of interims the next interim or the final took back, and of how many."""
        shown = [one for one in self.heard.shown if one.kind != "preflight"]
        took = said = 0
        for one, after in itertools.pairwise(shown):
            if one.kind == "interim":
                before, now = self._units(one), self._units(after)
                said += len(before)
                took += len(before) - _common(before, now)
        return took, said

    @cached_property
    def preflights(self) -> tuple[int, int]:
        """How many preflight transcripts were the final that followed, and of how many."""
        right = total = 0
        for index, one in enumerate(self.heard.shown):
            if one.kind == "preflight":
                finals = (later for later in self.heard.shown[index:] if later.kind == "final")
                final = next(finals, None)
                total += 1
                right += final is not None and self._units(one) == self._units(final)
        return right, total

    @cached_property
    def first_interim_s(self) -> list[float]:
        """How long after each utterance began the first interim of it came, in seconds."""
        delays, is_first = [], True
        for one in self.heard.shown:
            if one.kind == "interim" and is_first:
                delays.append(max(0.0, one.came_s - one.segment.start_s))
            is_first = one.kind == "final"
        return delays

    def _units(self, shown: Shown) -> list[str]:
        return units_of(shown.segment.text, self.language, self.comparison.unit)


@dataclass
class Score:
    """All clips with one setting. Rates are of 1, times in seconds; `None` is of nothing."""

    variant: Variant
    results: list[Result] = field(default_factory=list)

    @property
    def whole(self) -> list[Result]:
        return [result for result in self.results if result.heard.failure is None]

    @property
    def failures(self) -> list[Result]:
        return [result for result in self.results if result.heard.failure is not None]

    @property
    def reference_units(self) -> int:
        return sum(result.comparison.reference_units for result in self.whole)

    @property
    def error_rate(self) -> float | None:
        """Words, or characters, that are wrong, missing or made up, to those that were spoken."""
        errors = sum(result.comparison.errors for result in self.whole)
        return errors / self.reference_units if self.reference_units else None

    @property
    def utterances(self) -> int:
        return sum(len(result.clip.utterances) for result in self.whole)

    @property
    def missed_utterances(self) -> int:
        return sum(result.missed_utterances for result in self.whole)

    @property
    def false_utterances(self) -> int:
        return sum(result.false_utterances for result in self.whole)

    @property
    def words_in_silence(self) -> int:
        return sum(result.words_in_silence for result in self.whole)

    @property
    def taken_back(self) -> float | None:
        return _share(result.taken_back for result in self.whole)

    @property
    def right_preflights(self) -> float | None:
        return _share(result.preflights for result in self.whole)

    @property
    def final_delays_s(self) -> list[float]:
        return [final.delay_s for result in self.whole for final in result.heard.finals]

    @property
    def first_interims_s(self) -> list[float]:
        return [delay for result in self.whole for delay in result.first_interim_s]


def middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def ninth_tenth(values: Sequence[float]) -> float | None:
    """Nine of ten are no greater."""
    if len(values) < 2:
        return middle(values)
    return quantiles(values, n=10, method="inclusive")[-1]


def _share(parts: Iterable[tuple[int, int]]) -> float | None:
    of_all = [sum(column) for column in zip(*parts, strict=True)] or [0, 0]
    return of_all[0] / of_all[1] if of_all[1] else None


def _common(before: list[str], after: list[str]) -> int:
    """How many words are the same from the beginning on."""
    common = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        common += 1
    return common


def _loud(pcm: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Of each frame, whether there is any sound in it."""
    length = round(_FRAME_S * SAMPLE_RATE_HZ)
    frames = pcm[: len(pcm) // length * length].astype(np.float64).reshape(-1, length)
    level = np.sqrt((frames**2).mean(axis=1)) if len(frames) else np.zeros(0)
    least = max(_QUIET_LEVEL, _QUIET_SHARE * float(level.max(initial=0.0)))
    loud: NDArray[np.bool_] = level > least
    return loud
