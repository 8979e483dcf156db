"""Which results of a connection are new, and where its finals lie, one after the other.

Times say where words lie, and never whether they exist. A server's times may all be zero, begin
anew with each utterance or come in any order: a final is a new one unless it is the same final sent
again, and one whose times cannot be right is put behind the one before it.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from .clocks import SAMPLE_RATE_HZ
from .wire import ServerWord, Transcript

# A final that comes again does so soon.
_FINALS_REMEMBERED = 8

# Times are rounded, and a model may hear speech begin a little too early.
_LEEWAY_S = 0.1
_LEEWAY_SAMPLES = round(_LEEWAY_S * SAMPLE_RATE_HZ)

_SHUFFLED = "words out of order"


class Ordering:
    """Of the results of one connection. Positions are connection samples.

    Args:
        spans_buffer: A result is as long as the server's buffer, and not as the speech in it.

    Attributes:
        end: Up to where finals account for the audio.
        doubt: What is wrong with the times of the last final; "" if nothing is.
    """

    def __init__(self, *, spans_buffer: bool) -> None:
        self._spans_buffer = spans_buffer
        self.end = 0
        self.doubt = ""
        self._told_end = 0  # of the last final whose times can be right
        self._has_final = False
        self._is_diarizing = False
        self._finals: deque[tuple[object, ...]] = deque(maxlen=_FINALS_REMEMBERED)

    def is_old(self, result: Transcript) -> bool:
        """It was said already: a final sent again, or an old partial in place of a doubtful one."""
        if result.is_final:
            is_answer = result.settles is not None and not result.text
            return is_marked(result) and not is_answer and _marks(result) in self._finals
        if not self._has_final or self.doubt:
            return False  # the times of this server's partials say nothing
        end = samples(result.end_s)
        return end is not None and end <= self._told_end

    def has_moved_on(self, partial: Transcript) -> bool:
        """``partial`` is of a buffer that begins behind the end of the last final."""
        start = samples(partial.start_s)
        can_tell = self._spans_buffer and not self._is_diarizing and not self.doubt
        return can_tell and start is not None and start > self.end + _LEEWAY_SAMPLES

    def skip_to(self, result: Transcript) -> None:
        """No final will come of what is before ``result``."""
        self.end = max(self.end, samples(result.start_s) or 0)

    def placed(self, result: Transcript, sent: int) -> Transcript:
        """``result``, the next one, with times that can be right.

        Args:
            sent: How much audio the server was sent.
        """
        self._is_diarizing |= result.is_diarized
        doubt = self._doubt(result, sent)
        if not result.is_final:
            return self._corrected(result, doubt, sent)
        self._finals.append(_marks(result))
        is_told = result.end_s is not None and doubt in ("", _SHUFFLED)
        if result.text:
            self.doubt = doubt
        result = self._corrected(result, doubt, sent)
        end = samples(result.end_s)
        end = self._estimated_end(result, sent) if end is None else min(end, sent)
        if is_told:
            self._told_end = end
        self._has_final = True
        self.end = max(self.end, end)
        return result._replace(end_s=end / SAMPLE_RATE_HZ)

    def _corrected(self, result: Transcript, doubt: str, sent: int) -> Transcript:
        if not doubt:
            return result
        if doubt == _SHUFFLED:
            return result._replace(words=_without_times(result.words))
        end, length = self._estimated_end(result, sent), _length(result)
        start = max(self.end, end - length) if length else self.end
        return _moved(result, start, end)

    def _doubt(self, result: Transcript, sent: int) -> str:
        start, end = samples(result.start_s), samples(result.end_s)
        if end is not None:
            if start == end and result.text:
                return "no length"
            if end <= self._told_end and self._has_final:
                return "an end before that of the last one"
            if end > sent + SAMPLE_RATE_HZ:
                return "an end behind all audio that was sent"
        if start is not None and start + _LEEWAY_SAMPLES < self._told_end:
            # A sentence that was held back began before the last one ended.
            return "" if self._is_diarizing else "a start before the end of the last one"
        return "" if _are_in_order(result.words) else _SHUFFLED

    def _estimated_end(self, result: Transcript, sent: int) -> int:
        """Where the audio ends that ``result`` is about, as far as its length says."""
        length, is_told = _length(result), result.end_s is not None
        if not result.text and is_told:
            return self.end
        if length and (self._spans_buffer or not is_told):
            return min(self.end + length, sent)
        return sent if result.text else self.end


def _moved(result: Transcript, start: int, end: int) -> Transcript:
    """``result`` between two positions; its words keep their distances, if those can be right."""
    words, start_s, end_s = result.words, start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ
    if result.start_s is not None and result.start_s != result.end_s:
        words = tuple(_shifted(word, start_s - result.start_s) for word in words)
    if not _lie_between(words, start, end):
        words = _without_times(words)
    parts = tuple(_moved(part, start, end) for part in result.parts)
    return result._replace(start_s=start_s, end_s=end_s, words=words, parts=parts)


def _without_times(words: tuple[ServerWord, ...]) -> tuple[ServerWord, ...]:
    return tuple(word._replace(start_s=None, end_s=None) for word in words)


def is_marked(final: Transcript) -> bool:
    """It says which one it is or where its words lie, so the same again is no other one.

    Without that, somebody may have said "yes" twice.
    """
    return final.number is not None or bool(final.text and final.end_s)


def samples(seconds: float | None) -> int | None:
    """Connection time as a position, None where the server gave none."""
    return None if seconds is None else round(seconds * SAMPLE_RATE_HZ)


def _marks(final: Transcript) -> tuple[object, ...]:
    return final.number, final.text, final.start_s, final.end_s, final.audio_s, final.words


def _length(result: Transcript) -> int:
    """Of the audio that ``result`` is about; 0 if it does not say."""
    if result.audio_s:
        return round(result.audio_s * SAMPLE_RATE_HZ)
    if result.start_s is None or result.end_s is None:
        return 0
    return round((result.end_s - result.start_s) * SAMPLE_RATE_HZ)


def _are_in_order(words: tuple[ServerWord, ...]) -> bool:
    starts_s = [start_s for _, start_s, _, _, _ in words if start_s is not None]
    if starts_s == sorted(starts_s):
        return True
    return all(later >= before - _LEEWAY_S for before, later in pairwise(starts_s))


def _lie_between(words: tuple[ServerWord, ...], start: int, end: int) -> bool:
    times = [
        round(at * SAMPLE_RATE_HZ) for w in words for at in (w.start_s, w.end_s) if at is not None
    ]
    first, last = min(times, default=end), max(times, default=start)
    return start <= first and last <= end + _LEEWAY_SAMPLES and _are_in_order(words)


def _shifted(word: ServerWord, offset_s: float) -> ServerWord:
    if word.start_s is None or word.end_s is None:
        return word._replace(start_s=None, end_s=None)
    start_s, end_s = (max(0.0, at + offset_s) for at in (word.start_s, word.end_s))
    return word._replace(start_s=start_s, end_s=end_s)
