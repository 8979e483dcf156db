"""The utterance under way: when it starts, what is shown of it, when it is over.

A server marks neither the start nor the end of speech. The first words, partial or final, start an
utterance; its final ends it, unless that final was forced while speech went on.

    QUIET --words--> SPEAKING --final--> QUIET
                      |    ^
           forced final    words or another forced final
                      v    |
                    CONTINUING --final--> QUIET

Every start gets its end, whatever happens: an agent that waits for one stays silent for ever.
"""

from __future__ import annotations

import enum

from ._events import NOTHING, Event, Final, Hypothesis, Interim, SpeechEnded, SpeechStarted


class Phase(enum.Enum):
    QUIET = "quiet"
    SPEAKING = "speaking"
    CONTINUING = "continuing"  # a final was forced; nothing heard of what follows it yet


class Utterance:
    """One after the other, for a whole stream; it survives the connections."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._shown: Hypothesis | None = None
        self._end = 0
        self.phase = Phase.QUIET
        self.number = 0

    @property
    def is_open(self) -> bool:
        return self.phase is not Phase.QUIET

    @property
    def is_owed_a_final(self) -> bool:
        """Words were shown that no final has confirmed."""
        return self._shown is not None

    def guessed(self, hypothesis: Hypothesis) -> None:
        """A partial with words in it."""
        self._speak(hypothesis)
        self._shown = hypothesis
        self._events.append(Interim(self.number, hypothesis))

    def finalized(self, hypothesis: Hypothesis, *, goes_on: bool) -> None:
        """A final, empty or not. ``goes_on``: it was forced while somebody was speaking."""
        if hypothesis.text:
            self._speak(hypothesis)
            self._events.append(Final(self.number, hypothesis))
        elif self._shown is not None:
            self.answered_empty()
        self._shown = None
        if not self.is_open:
            return
        if goes_on:
            self.phase = Phase.CONTINUING
        else:
            self._finish()

    def abandoned(self) -> None:
        """Nothing more will come: what was shown stands, for want of a final."""
        if self._shown is not None:
            promoted = Hypothesis(**{**vars(self._shown), "is_promoted": True})
            self._events.append(Final(self.number, promoted))
            self._shown = None
        if self.is_open:
            self._finish()

    def answered_empty(self) -> None:
        """Take back what was shown. The interim first: an empty final alone leaves it standing."""
        self._events.append(Interim(self.number, NOTHING))
        self._events.append(Final(self.number, NOTHING))
        self._shown = None

    def events(self) -> list[Event]:
        out, self._events = self._events, []
        return out

    def _speak(self, hypothesis: Hypothesis) -> None:
        if self.phase is Phase.QUIET:
            self.number += 1
            self._end = hypothesis.start
            self._events.append(SpeechStarted(self.number, hypothesis.start))
        self.phase = Phase.SPEAKING
        self._end = max(self._end, hypothesis.end)

    def _finish(self) -> None:
        self.phase = Phase.QUIET
        self._events.append(SpeechEnded(self.number, self._end))
