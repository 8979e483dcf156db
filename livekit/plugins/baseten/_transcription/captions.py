"""From what was said to captions that can be read: two lines, a few seconds, broken at pauses."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from .lines import filled, unbroken
from .transcript import Segment, Word

LONGEST_S = 7.0
_SHORTEST_S = 1.0

# A pause of this length between two words is a good place to change the caption.
_PAUSE_S = 0.4

# What it costs to change it here or there; a caption without any text costs 1.
_AT_A_PAUSE = 0.1
_AT_A_COMMA = 0.5
_IN_MID_SENTENCE = 0.8

_CLAUSE_END = re.compile(r"[,;:、，；：]['\"”’)]*$")  # noqa: RUF001


@dataclass(frozen=True)
class Layout:
    """How large a caption may be. The defaults are about what broadcasters ask for.

    Attributes:
        columns: Of a line; a Chinese character is two columns wide.
        names_speakers: A speaker's name is part of the text where he begins.
    """

    columns: int = 42
    lines: int = 2
    names_speakers: bool = False


@dataclass(frozen=True)
class Part:
    """Some of a line that is not broken, with the space after it, and when it is said."""

    text: str
    start_s: float
    end_s: float
    speaker: str | None = None
    label: str = ""
    ends_sentence: bool = False


@dataclass(frozen=True)
class Cue:
    """A caption: what is shown from one time to another, in seconds from the start."""

    start_s: float
    end_s: float
    parts: Sequence[Sequence[Part]]
    speaker: str | None = None

    @property
    def lines(self) -> list[str]:
        return ["".join(part.text for part in line).strip() for line in self.parts]


def cues(segment: Segment, layout: Layout, *, speaker_before: str | None = None) -> list[Cue]:
    """The captions of one segment, in order and without overlap.

    Args:
        speaker_before: Who spoke in the caption before it, and need not be named again.
    """
    parts = _parts(segment, layout, speaker_before)
    out = []
    for first, stop in _breaks(parts, layout):
        shown = parts[first:stop]
        lines = _lines(shown, layout)
        end_s = max(part.end_s for part in shown)
        out.append(Cue(shown[0].start_s, end_s, lines, shown[0].speaker))
    return out


def followed_by(cue: Cue, next_start_s: float) -> Cue:
    """``cue``, long enough to be read, and gone when the next one comes."""
    end_s = max(cue.end_s, cue.start_s + _SHORTEST_S)
    if next_start_s - cue.start_s >= 0.001:
        end_s = min(end_s, next_start_s)
    return replace(cue, end_s=end_s)


def _lines(shown: Sequence[Part], layout: Layout) -> list[list[Part]]:
    first = shown[0]
    names = [replace(first, text=text) for text in unbroken(first.label, layout.columns)]
    parts = [*names, *shown]
    ranges = filled([part.text for part in parts], layout.columns)
    return [[parts[index] for index in line] for line in ranges]


def _parts(segment: Segment, layout: Layout, speaker_before: str | None) -> list[Part]:
    text = " ".join(segment.text.split())  # a blank line would end the caption
    times = _Times(text, segment)
    ends = _sentence_ends(text)
    parts, at, before = [], 0, speaker_before
    for part in unbroken(text, layout.columns):
        stop = at + len(part.rstrip())
        word = times.word(at)
        speaker = " ".join((word.speaker or segment.speaker or "").split()) or None
        is_named = layout.names_speakers and speaker and speaker != before
        parts.append(
            Part(
                part,
                times.start_s(at),
                times.end_s(stop),
                speaker,
                f"{speaker}: " if is_named else "",
                stop in ends,
            )
        )
        before, at = speaker, at + len(part)
    return parts


class _Times:
    """When each letter of a text is said: as its word is, or spread evenly over all of it."""

    def __init__(self, text: str, segment: Segment) -> None:
        self._words = list(segment.words)
        self._starts: list[int] = []
        at = 0
        for word in self._words:
            at = text.find(_plain(word), at)
            if at < 0:
                break
            self._starts.append(at)
            at += len(_plain(word))
        if not self._words or at < 0:
            self._words, self._starts = [Word(text, segment.start_s, segment.end_s)], [0]

    def word(self, at: int) -> Word:
        return self._words[self._index(at)]

    def start_s(self, at: int) -> float:
        index = self._index(at)
        if at - self._starts[index] >= len(_plain(self._words[index])):  # after its last letter
            index = min(index + 1, len(self._words) - 1)
        return self._time_s(index, at)

    def end_s(self, stop: int) -> float:
        return self._time_s(self._index(stop - 1), stop)

    def _time_s(self, index: int, at: int) -> float:
        word = self._words[index]
        share = (at - self._starts[index]) / max(1, len(_plain(word)))
        return word.start_s + min(1.0, max(0.0, share)) * (word.end_s - word.start_s)

    def _index(self, at: int) -> int:
        return max(0, bisect_right(self._starts, at) - 1)


def _plain(word: Word) -> str:
    return " ".join(word.text.split())


def _sentence_ends(text: str) -> set[int]:
    """After which letters a sentence ends: not after an abbreviation, nor a number's point."""
    from livekit import blingfire

    _, offsets = blingfire.text_to_sentences_with_offsets(text)
    return {stop for _, stop in offsets if re.search(r"\W$", text[:stop])}


def _breaks(parts: Sequence[Part], layout: Layout) -> list[tuple[int, int]]:
    """Where to cut, as ranges of parts: the cheapest of all ways, like a paragraph into lines."""
    best: list[tuple[float, int]] = [(0.0, 0)]  # up to each part: cost, and where its cue begins
    for stop in range(1, len(parts) + 1):
        choices = []
        for first in range(stop - 1, -1, -1):
            if first < stop - 1 and not _fits(parts[first:stop], layout):
                break
            choices.append((best[first][0] + _cost(parts, first, stop, layout), first))
        best.append(min(choices))
    ranges, stop = [], len(parts)
    while stop > 0:
        first = best[stop][1]
        ranges.append((first, stop))
        stop = first
    return ranges[::-1]


def _fits(parts: Sequence[Part], layout: Layout) -> bool:
    if parts[-1].end_s - parts[0].start_s > LONGEST_S:
        return False
    if any(part.speaker != parts[0].speaker for part in parts):
        return False
    text = parts[0].label + "".join(part.text for part in parts)
    if cell_len(text.strip()) > layout.lines * layout.columns:
        return False
    return len(_lines(parts, layout)) <= layout.lines


def _cost(parts: Sequence[Part], first: int, stop: int, layout: Layout) -> float:
    """How bad it is to show these together and the next ones after them."""
    text = "".join(part.text for part in parts[first:stop]).strip()
    emptiness = 1 - min(1.0, cell_len(text) / (layout.lines * layout.columns))
    last = parts[stop - 1]
    pause_s = math.inf if stop == len(parts) else parts[stop].start_s - last.end_s
    if pause_s >= _PAUSE_S or last.ends_sentence:
        at_the_end = _AT_A_PAUSE
    else:
        at_the_end = _AT_A_COMMA if _CLAUSE_END.search(text) else _IN_MID_SENTENCE
    return emptiness**2 + at_the_end  # so fewer and fuller is better
