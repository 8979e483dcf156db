"""What holds for text in any language: how it is joined, and whether there is a word in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Scripts that put no space between sentences: Thai to Khmer, kana, Chinese characters, and the
# punctuation and full-width forms that come with them. Korean has spaces.
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fff\u3000-\u30ff\u31f0-\u9fff\uf900-\ufaff"
    "\uff00-\uff9f\U00020000-\U0003ffff"
)
_BEGINS_SPACELESS = re.compile(rf"[{_SPACELESS}]")
_ENDS_SPACELESS = re.compile(rf"[{_SPACELESS}]$")


def joined(texts: Iterable[str]) -> str:
    """Texts one after the other, with a space between where their script has one."""
    out = ""
    for text in texts:
        is_apart = out and not (_ENDS_SPACELESS.search(out) and _BEGINS_SPACELESS.match(text))
        out += f" {text}" if is_apart else text
    return out


# What subtitles, and so Whisper, put where something is heard and nobody speaks: "[BLANK_AUDIO]",
# "(upbeat music)", "*coughs*".
_SOUND = re.compile(
    r"\[[^\[\]]*\]|\([^()]*\)|\*[^*]*\*|\uff08[^\uff08\uff09]*\uff09|\u3010[^\u3010\u3011]*\u3011"
)

# A longer remark in brackets may be what somebody said.
_MOST_WORDS_OF_A_SOUND = 4


def has_words(text: str) -> bool:
    """There is a letter or a digit in ``text``, outside of names for sounds in brackets."""
    return any(c.isalnum() for c in _SOUND.sub(_without_sound, text))


def _without_sound(found: re.Match[str]) -> str:
    return "" if len(found[0].split()) <= _MOST_WORDS_OF_A_SOUND else found[0]
