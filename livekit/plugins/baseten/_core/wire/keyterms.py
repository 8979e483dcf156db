"""Whisper's prompt, keyterms in it: what fits into its window, and what had to go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Whisper uses half of its context for the prompt, and drops the beginning of a longer one.
MAX_PROMPT_TOKENS = 223

# No token of Whisper's reaches across the bounds of these. Most are more than one token.
_PIECE = re.compile(r"[^\W\d_]+|\d+|(?:[^\w\s]|_)+")


def with_keyterms(prompt: str | None, keyterms: Sequence[str]) -> str:
    """The prompt with as many of ``keyterms`` as fit behind it, first ones first."""
    kept, _ = fitted(prompt or "", keyterms)
    terms = ", ".join(kept)
    return " ".join(part for part in (_end_of(prompt or ""), terms and f"{terms}.") if part)


def _end_of(prompt: str) -> str:
    """``prompt`` without the beginning that certainly does not fit, in whole words."""
    pieces = [piece.start() for piece in _PIECE.finditer(prompt)]
    if len(pieces) <= MAX_PROMPT_TOKENS:
        return prompt.strip()
    at = pieces[-MAX_PROMPT_TOKENS]
    return (prompt[at - 1 :] if prompt[at - 1].isspace() else _rest(prompt[at:])).strip()


def _rest(text: str) -> str:
    """``text`` behind its first word."""
    return (text.split(maxsplit=1) or [""])[-1]


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
    """``keyterms`` without empty ones and repetitions. Of two spellings the first one stays."""
    seen: dict[str, str] = {}
    for term in keyterms:
        plain = " ".join(term.split())
        if plain:
            seen.setdefault(plain.casefold(), plain)
    return list(seen.values())


def least_tokens(text: str) -> int:
    """So many of Whisper's tokens ``text`` certainly has."""
    return sum(1 for _ in _PIECE.finditer(text))


def estimated_tokens(text: str) -> int:
    """An upper estimate of Whisper's tokens, without its tokenizer.

    In Latin script, a token of a name has about three characters. In other scripts, a character may
    take two tokens.
    """
    latin = sum(1 for c in text if c.isascii())
    return -(-latin // 3) + 2 * (len(text) - latin)
