"""From what was said to captions that can be read: two lines, a few seconds, broken at pauses."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from .transcript import Segment, Word

# What broadcasters ask for, about. A Chinese character is two columns wide.
LINE_COLUMNS = 42
LINES = 2
LONGEST_S = 7.0
_SHORTEST_S = 1.0

# A pause of this length between two words is a good place to change the caption.
_PAUSE_S = 0.4

# What it costs to change it here or there; a caption without any text costs 1.
_AT_A_PAUSE = 0.1
_AT_A_COMMA = 0.5
_IN_MID_SENTENCE = 0.8

_SENTENCE_END = re.compile(r"[.?!…。？！]['\"”’)]*$")  # noqa: RUF001 - full width, as Chinese has
_CLAUSE_END = re.compile(r"[,;:、，；：]['\"”’)]*$")  # noqa: RUF001


@dataclass(frozen=True)
class Cue:
    """A caption: what is shown from one time to another, in seconds from the start."""

    start_s: float
    end_s: float
    lines: Sequence[str]
    speaker: str | None = None


def cues(segment: Segment) -> list[Cue]:
    """The captions of one segment, in order and without overlap."""
    words = _with_their_spaces(segment)
    out = []
    for first, stop in _breaks(words):
        text = "".join(word.text for word in words[first:stop]).strip()
        if text:
            start_s = words[first].start_s
            end_s = max(word.end_s for word in words[first:stop])
            out.append(Cue(start_s, end_s, wrapped(text), words[first].speaker))
    return out


def followed_by(cue: Cue, next_start_s: float) -> Cue:
    """``cue``, long enough to be read, and gone when the next one comes."""
    end_s = max(cue.end_s, cue.start_s + _SHORTEST_S)
    if next_start_s - cue.start_s >= 0.001:
        end_s = min(end_s, next_start_s)
    return replace(cue, end_s=end_s)


def wrapped(text: str) -> list[str]:
    """``text`` in lines of at most `LINE_COLUMNS`, of about the same length."""
    parts = _parts(text)
    total = cell_len(text.strip())
    count = max(1, math.ceil(total / LINE_COLUMNS))
    # As narrow as it goes without another line: the eye likes two halves, not a line and a word.
    for columns in range(math.ceil(total / count), LINE_COLUMNS + 1):
        if len(lines := _filled(parts, columns)) <= count:
            return lines
    return _filled(parts, LINE_COLUMNS)


def _filled(parts: Sequence[str], columns: int) -> list[str]:
    lines = [""]
    for part in parts:
        if lines[-1].strip() and cell_len((lines[-1] + part).strip()) > columns:
            lines.append("")
        lines[-1] += part
    return [line.strip() for line in lines]


def _parts(text: str) -> list[str]:
    """What may not be broken: words with the space after them, single wide characters."""
    parts = []
    for word in re.findall(r"\S+\s*", text):
        if cell_len(word) > len(word):  # written without spaces
            # Closing punctuation stays with what it closes.
            parts += re.findall(r".[、。，．！？：；」』）\s]*", word)  # noqa: RUF001
        else:
            parts += [word[i : i + LINE_COLUMNS] for i in range(0, len(word), LINE_COLUMNS)]
    return parts


def _with_their_spaces(segment: Segment) -> list[Word]:
    """The words with what stands between them in the text: spaces, or none, and punctuation."""
    at, starts = 0, []
    for word in segment.words:
        at = segment.text.find(word.text.strip(), at)
        if at < 0:
            return _spread(segment)
        starts.append(at)
        at += len(word.text.strip())
    if not starts:
        return _spread(segment)
    starts[0] = 0
    stops = [*starts[1:], len(segment.text)]
    return [
        replace(word, text=segment.text[start:stop], speaker=word.speaker or segment.speaker)
        for word, start, stop in zip(segment.words, starts, stops, strict=True)
    ]


def _spread(segment: Segment) -> list[Word]:
    """Words whose times are not known, as if every letter took the same."""
    parts = _parts(segment.text)
    letter_s = (segment.end_s - segment.start_s) / max(1, sum(map(len, parts)))
    words, start_s = [], segment.start_s
    for part in parts:
        end_s = start_s + len(part) * letter_s
        words.append(Word(part, start_s, end_s, speaker=segment.speaker))
        start_s = end_s
    return words


def _breaks(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Where to cut, as ranges of words: the cheapest of all ways, like a paragraph into lines."""
    best: list[tuple[float, int]] = [(0.0, 0)]  # up to each word: cost, and where its cue begins
    for stop in range(1, len(words) + 1):
        choices = []
        for first in range(stop - 1, -1, -1):
            if first < stop - 1 and not _fits(words[first:stop]):
                break
            choices.append((best[first][0] + _cost(words, first, stop), first))
        best.append(min(choices))
    ranges, stop = [], len(words)
    while stop > 0:
        first = best[stop][1]
        ranges.append((first, stop))
        stop = first
    return ranges[::-1]


def _fits(words: Sequence[Word]) -> bool:
    if words[-1].end_s - words[0].start_s > LONGEST_S:
        return False
    if any(word.speaker != words[0].speaker for word in words):
        return False
    text = "".join(word.text for word in words)
    return cell_len(text.strip()) <= LINES * LINE_COLUMNS and len(wrapped(text)) <= LINES


def _cost(words: Sequence[Word], first: int, stop: int) -> float:
    """How bad it is to show these words together and the next ones after them."""
    text = "".join(word.text for word in words[first:stop]).strip()
    emptiness = 1 - min(1.0, cell_len(text) / (LINES * LINE_COLUMNS))
    pause_s = math.inf if stop == len(words) else words[stop].start_s - words[stop - 1].end_s
    if pause_s >= _PAUSE_S or _SENTENCE_END.search(text):
        at_the_end = _AT_A_PAUSE
    else:
        at_the_end = _AT_A_COMMA if _CLAUSE_END.search(text) else _IN_MID_SENTENCE
    return emptiness**2 + at_the_end  # so fewer and fuller is better
