"""The sentence that `check` speaks: a public-domain recording (examples/audio/README.md)."""

from __future__ import annotations

import difflib
import re
import wave
from pathlib import Path

TEXT = "he was not an ill disposed young man"
RATE_HZ = 16_000
SPEECH_START_S = 0.25  # where in the recording the first word begins, and the last one ends
SPEECH_END_S = 2.80

_RECORDING = Path(__file__).with_name("sentence.wav")


def pcm() -> bytes:
    """The recording: 16-bit mono samples at `RATE_HZ`, quiet before and after the words."""
    with wave.open(str(_RECORDING)) as wav:
        return bytes(wav.readframes(wav.getnframes()))


def likeness(heard: str) -> float:
    """How much of the sentence is in ``heard``, in order, from 0 to 1.

    Loosely, as models differ in punctuation and hyphens, and small ones mishear a word.
    """
    return words_heard(heard) / max(len(WORDS), len(_words(heard)), 1)


def words_heard(heard: str) -> int:
    """How many of the sentence's words are in ``heard``, in order."""
    matcher = difflib.SequenceMatcher(None, WORDS, _words(heard), autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks())


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


WORDS = _words(TEXT)
