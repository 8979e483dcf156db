"""What a user's own function makes of what was said, before anybody is told of it.

It changes events on their way out, and nothing before that: what is compared with the audio, or
with what was said before, is what the server said.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

from .events import (
    NOTHING,
    Event,
    Final,
    HallucinationDropped,
    Hypothesis,
    Interim,
    Preflight,
    SpeechEnded,
    SpeechStarted,
    SpokenWord,
)

Change = Callable[[Hypothesis], str | None]
"""From what was said to the text that takes its place; None or no text drops it."""


class Transformed:
    """The events of one stream, changed.

    What is dropped was not said: an utterance of which nothing is left has neither start nor end.
    A final is emptied and not left out, because it may be the answer to a flush.
    """

    def __init__(self, change: Change) -> None:
        self._change = change
        self._held_back: SpeechStarted | None = None  # until something of the utterance is kept
        self._is_shown = False

    def of(self, events: Iterable[Event]) -> list[Event]:
        """Each of ``events`` as it is to be told. Call it with all of them, in order."""
        return [told for event in events for told in self._told(event)]

    def _told(self, event: Event) -> list[Event]:
        if isinstance(event, SpeechStarted) and event.is_wordless:
            return [event]
        if isinstance(event, SpeechStarted):
            self._held_back = event
            return []
        if isinstance(event, SpeechEnded):
            held_back, self._held_back = self._held_back, None
            return [event] if held_back is None else []
        if isinstance(event, HallucinationDropped):
            return [HallucinationDropped(self._changed(event.hypothesis))]
        if isinstance(event, (Interim, Preflight, Final)):
            return self._told_of_words(event)
        return [event]

    def _told_of_words(self, event: Interim | Preflight | Final) -> list[Event]:
        said = self._changed(event.hypothesis)
        before: list[Event] = []
        if said.text and self._held_back is not None:
            before = [self._held_back]
            self._held_back = None
        is_dropped = bool(event.hypothesis.text) and not said.text
        if isinstance(event, Preflight):
            return [] if is_dropped else [Preflight(event.utterance, said)]
        was_shown, self._is_shown = self._is_shown, isinstance(event, Interim) and bool(said.text)
        if isinstance(event, Interim):
            return [] if is_dropped and not was_shown else [*before, Interim(event.utterance, said)]
        if is_dropped:  # an empty final alone would leave an interim standing
            before = [Interim(event.utterance, NOTHING)]
        return [*before, Final(event.utterance, said)]

    def _changed(self, said: Hypothesis) -> Hypothesis:
        if not said.text:
            return said
        if said.beams:
            said = said._replace(beams=())  # not what was said, and nobody has changed it
        text = (self._change(said) or "").strip()
        if text == said.text:
            return said
        return said._replace(text=text, words=_words_of(text, said.words))


def _words_of(text: str, words: Sequence[SpokenWord]) -> tuple[SpokenWord, ...]:
    """The words of ``text``: those that were said as they were, others at the times of what they
    take the place of. No other word of ``words`` is in it.
    """
    told = text.split()
    if not words or not told:
        return ()
    matched = difflib.SequenceMatcher(None, [word.text for word in words], told, autojunk=False)
    out: list[SpokenWord] = []
    for kind, i, j, k, l in matched.get_opcodes():  # noqa: E741 - as difflib names them
        if kind == "equal":
            out += words[i:j]
        elif kind == "replace":
            out += _spread(told[k:l], words[i:j])
        elif kind == "insert":
            at = words[i - 1].end if i else words[0].start
            out += [SpokenWord(new, at, at, None, None) for new in told[k:l]]
    return tuple(out)


def _spread(told: Sequence[str], over: Sequence[SpokenWord]) -> list[SpokenWord]:
    start, end = over[0].start, max(word.end for word in over)
    step = (end - start) / len(told)
    speakers = {word.speaker for word in over}
    speaker = speakers.pop() if len(speakers) == 1 else None
    return [
        SpokenWord(new, start + round(n * step), start + round((n + 1) * step), None, speaker)
        for n, new in enumerate(told)
    ]
