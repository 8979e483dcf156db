"""A recognizer that knows the script: it finds the audio that it is given in there again.

So what comes out depends on which samples arrived and on nothing else. A word is in the buffer that
holds its middle: buffers that cover the script without gap or overlap say every word once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from livekit.plugins.baseten.emulator import Word

from .stage import SAMPLE_RATE_HZ, Script

# Of noise between -3 and 3, so many samples are there once in any script of this length.
_FINGERPRINT_SAMPLES = 24


class Prompter:
    """Says the words of the script that a buffer holds, each at its own time.

    Samples of zero are nobody's: made-up silence. The room of the script is never that quiet.

    Args:
        speakers: Who says the lines, in turn.
        ending: After the last word of every line.
    """

    blocking = False

    def __init__(
        self, *scripts: Script, speakers: Sequence[str | None] = (None,), ending: str = ""
    ) -> None:
        self._speakers = speakers
        self._ending = ending
        self._scripts = [(script, script.pcm.astype("<i2").tobytes()) for script in scripts]

    def recognize(self, pcm: bytes, *, is_final: bool) -> Sequence[Word]:
        heard = np.frombuffer(pcm, "<i2")
        words: list[Word] = []
        at = 0
        while at < len(heard):
            loud = np.flatnonzero(heard[at:])
            if not len(loud):
                break
            at += int(loud[0])
            found = self._found(heard, at)
            if found is None:
                at += _FINGERPRINT_SAMPLES
                continue
            script, start = found
            ours = script.pcm[start : start + len(heard) - at]
            differ = np.flatnonzero(ours != heard[at : at + len(ours)])
            length = int(differ[0]) if len(differ) else len(ours)
            words += self._words(script, start, start + length, at - start)
            at += max(1, length)
        return words

    def _found(self, heard: np.ndarray, at: int) -> tuple[Script, int] | None:
        fingerprint = heard[at : at + _FINGERPRINT_SAMPLES].tobytes()
        if len(fingerprint) < 2 * _FINGERPRINT_SAMPLES:
            return None
        for script, pcm in self._scripts:
            place = pcm.find(fingerprint)
            if place >= 0 and place % 2 == 0:
                return script, place // 2
        return None

    def _words(self, script: Script, start: int, stop: int, shift: int) -> list[Word]:
        """The words whose middle is between two script samples; ``shift`` leads to the buffer."""
        return [
            Word(
                text + (self._ending if ended == line.end else ""),
                max(0, begun + shift) / SAMPLE_RATE_HZ,
                (min(ended, stop) + shift) / SAMPLE_RATE_HZ,
                0.9,
                self._speakers[number % len(self._speakers)],
            )
            for number, line in enumerate(script.lines)
            for text, begun, ended in line.words
            if start <= (begun + ended) // 2 < stop
        ]
