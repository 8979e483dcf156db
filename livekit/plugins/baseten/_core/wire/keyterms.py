"""Keyterms as Whisper's prompt: what fits into its window, and what had to go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Whisper conditions on at most half its context, and keeps the end of what is longer.
MAX_PROMPT_TOKENS = 224


def with_keyterms(prompt: str | None, keyterms: Sequence[str]) -> str:
    """The prompt with as many of ``keyterms`` as fit behind it, first ones first."""
    kept, _ = fitted(prompt or "", keyterms)
    terms = ", ".join(kept)
    return " ".join(part for part in ((prompt or "").strip(), terms and f"{terms}.") if part)


def fitted(prompt: str, keyterms: Iterable[str]) -> tuple[list[str], list[str]]:
    """The keyterms that fit beside ``prompt``, and those that do not."""
    room = MAX_PROMPT_TOKENS - estimated_tokens(prompt)
    kept: list[str] = []
    cut: list[str] = []
    for term in unique(keyterms):
        cost = estimated_tokens(term) + 1  # and its comma
        if cost <= room:
            kept.append(term)
            room -= cost
        else:
            cut.append(term)
    return kept, cut


def unique(keyterms: Iterable[str]) -> list[str]:
    """Without blanks and repetitions, whatever their case; the first spelling stays."""
    seen: dict[str, str] = {}
    for term in keyterms:
        plain = " ".join(term.split())
        if plain:
            seen.setdefault(plain.casefold(), plain)
    return list(seen.values())


def estimated_tokens(text: str) -> int:
    """An upper estimate of Whisper's tokens, without its tokenizer.

    Byte-pair tokens of names run at about three characters in Latin script; elsewhere a character
    may cost a token or two.
    """
    latin = sum(1 for c in text if c.isascii())
    return -(-latin // 3) + 2 * (len(text) - latin)
