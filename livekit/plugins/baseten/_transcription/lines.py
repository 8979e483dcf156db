"""Where a line of text may be broken (Unicode Standard Annex 14), and lines of about one length."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from uniseg.linebreak import LineBreak


def unbroken(text: str, columns: int) -> list[str]:
    """``text`` in parts that belong on one line, each with the space after it.

    Args:
        columns: How long a line may be; what is longer, as an address may be, is cut.
    """
    parts: list[str] = []
    for word in re.findall(r"\S+\s*", text):
        # A word of wide letters may be a sentence: Chinese is written without spaces.
        units = _units(word) if cell_len(word) > len(word) else [word]
        for unit in units:
            parts += [unit] if cell_len(unit.rstrip()) <= columns else _cut(unit, columns)
    return parts


def filled(parts: Sequence[str], columns: int) -> list[range]:
    """Which parts go on which line, the lines as few as can be and of about the same length."""
    total = cell_len("".join(parts).strip())
    fewest = max(1, math.ceil(total / columns))
    # As narrow as it goes without another line: the eye likes two halves, not a line and a word.
    for width in range(math.ceil(total / fewest), columns):
        if len(lines := _filled(parts, width)) <= fewest:
            return lines
    return _filled(parts, columns)


def _filled(parts: Sequence[str], columns: int) -> list[range]:
    starts, line = [0], ""
    for index, part in enumerate(parts):
        if line.strip() and cell_len((line + part).strip()) > columns:
            starts.append(index)
            line = ""
        line += part
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(parts)])]  # noqa: B905


def _units(word: str) -> list[str]:
    from uniseg.linebreak import line_break_units

    return list(line_break_units(word, property=_line_break))


@functools.cache
def _line_break(letter: str) -> LineBreak:
    """As the standard has it, but for Korean, which has spaces: a word stays whole."""
    from uniseg.linebreak import LineBreak, line_break

    found = line_break(letter)
    hangul = (LineBreak.H2, LineBreak.H3, LineBreak.JL, LineBreak.JV, LineBreak.JT)
    return LineBreak.AL if found in hangul else found


def _cut(unit: str, columns: int) -> list[str]:
    """Pieces of what is too long for a line; a letter keeps the marks that combine with it."""
    from uniseg.graphemecluster import grapheme_clusters

    pieces = [""]
    for letter in grapheme_clusters(unit):
        if pieces[-1] and cell_len((pieces[-1] + letter).rstrip()) > columns:
            pieces.append("")
        pieces[-1] += letter
    return pieces
