"""Texts as the field compares them: normalized by Whisper's own rules, word by word."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import jiwer
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "MYANMAR", "KHMER")

Unit = Literal["word", "character"]
Kind = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True)
class Difference:
    """A stretch of a reference beside what was heard there."""

    kind: Kind
    reference: tuple[str, ...]
    heard: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A text against its reference.

    Attributes:
        unit: What is counted: characters in languages that are written without spaces.
        differences: Both, from their beginning to their end.
    """

    unit: Unit
    differences: tuple[Difference, ...]

    def count(self, kind: Kind) -> int:
        texts = (d.heard if kind == "insert" else d.reference for d in self._of(kind))
        return sum(map(len, texts))

    @property
    def errors(self) -> int:
        return self.count("substitute") + self.count("delete") + self.count("insert")

    @property
    def reference_units(self) -> int:
        return sum(len(d.reference) for d in self.differences)

    def _of(self, kind: Kind) -> list[Difference]:
        return [d for d in self.differences if d.kind == kind]


def unit_of(text: str) -> Unit:
    letters = [c for c in text if c.isalpha()]
    unspaced = sum(unicodedata.name(c, "").startswith(_UNSPACED) for c in letters)
    return "character" if unspaced > len(letters) / 2 else "word"


def units_of(text: str, language: str, unit: Unit) -> list[str]:
    """What is compared: words in one spelling, numbers as digits; or characters."""
    return _normalizer("en" if language.startswith("en") else "", unit == "character")(text).split()


def compared(reference: str, heard: str, language: str) -> Comparison:
    """A text against its reference.

    Args:
        language: Code of what is spoken; "en" has spelling rules of its own.
    """
    unit = unit_of(reference or heard)
    ours, theirs = units_of(reference, language, unit), units_of(heard, language, unit)
    if not ours or not theirs:
        missing = [Difference("delete", tuple(ours), ())] if ours else []
        made_up = [Difference("insert", (), tuple(theirs))] if theirs else []
        return Comparison(unit, (*missing, *made_up))
    aligned = jiwer.process_words([" ".join(ours)], [" ".join(theirs)]).alignments[0]
    return Comparison(
        unit,
        tuple(
            Difference(
                cast(Kind, chunk.type),
                tuple(ours[chunk.ref_start_idx : chunk.ref_end_idx]),
                tuple(theirs[chunk.hyp_start_idx : chunk.hyp_end_idx]),
            )
            for chunk in aligned
        ),
    )


@lru_cache(maxsize=4)
def _normalizer(language: str, splits_letters: bool) -> Callable[[str], str]:
    if language == "en" and not splits_letters:
        return EnglishTextNormalizer()  # type: ignore[no-any-return]
    return BasicTextNormalizer(split_letters=splits_letters)  # type: ignore[no-any-return]
