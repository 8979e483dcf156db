"""The utterance under way: when it starts, what is shown of it, when it is over.

A server marks neither the start nor the end of speech. The first words, partial or final, start an
utterance; its final ends it, unless that final was forced while speech went on.

    QUIET --words--> SPEAKING --final--> QUIET
      |               ^    ^
    a voice       words    words or another forced final
      v               |    |
    HEARD ------------+  CONTINUING --final--> QUIET     (from SPEAKING by a forced final)

Where a local detector hears voices, a voice starts one, too. If no words come, it ends with an
empty answer: HEARD --nothing--> QUIET. A voice that begins before a final starts the next one.

Every start gets its end, whatever happens. An agent that waits for one would never speak again.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable

from .clocks import SAMPLE_RATE_HZ
from .events import (
    NOTHING,
    Event,
    Final,
    Hypothesis,
    Interim,
    Preflight,
    SpeechEnded,
    SpeechStarted,
)

# A flush goes out a moment after the silence was noticed, and a voice may have begun by then.
_OVERLAP_SAMPLES = SAMPLE_RATE_HZ // 4


class Phase(enum.Enum):
    QUIET = "quiet"
    HEARD = "heard"  # a voice, without words so far
    SPEAKING = "speaking"
    CONTINUING = "continuing"  # a final was forced; of what follows it, nothing is known yet


class Utterance:
    """One after the other, for a whole stream: utterances outlive connections.

    Args:
        events: What happens is added to these.
        preflight: Tell when an interim will hardly change.

    Attributes:
        events: The argument.
        phase: Of the one under way.
        number: Counts them, from 1; of the last one that began.
        start: Stream sample at which that began.
    """

    def __init__(self, events: list[Event], *, preflight: bool = False) -> None:
        self._preflight = preflight
        self.events = events
        self._shown: Hypothesis | None = None
        self._pending: Hypothesis | None = None
        self._preflighted = ""
        self._end = 0
        self._voice: int | None = None  # where one began that is heard, and is of the next one
        self.phase = Phase.QUIET
        self.number = 0
        self.start = 0

    @property
    def is_open(self) -> bool:
        return self.phase is not Phase.QUIET

    @property
    def is_wordless(self) -> bool:
        """A voice is heard, or was, and no words of it have come."""
        return self.phase is Phase.HEARD

    @property
    def has_words(self) -> bool:
        return self.is_open and not self.is_wordless

    @property
    def is_owed_a_final(self) -> bool:
        """Words were shown that no final has confirmed."""
        return self._shown is not None

    def is_shown_before(self, position: int) -> bool:
        """Words were shown that no final has confirmed, and they end before a stream sample."""
        return self._shown is not None and self._shown.end <= position

    def hear(self, at: int) -> None:
        """A voice began at a stream sample. While an utterance is open, it may be of the next."""
        if self.phase is Phase.QUIET:
            self._begin(at, is_wordless=True)
            self.phase = Phase.HEARD
        else:
            self._voice = at

    def hear_end(self, at: int) -> None:
        """That voice ended at a stream sample."""
        self._voice = None
        if self.phase is Phase.HEARD:
            self._end = max(self._end, at)

    def end_wordless(self, until: float = math.inf) -> None:
        """No words come of the voice that was heard up to a stream sample."""
        self.answer_empty()
        self._finish(until)

    def show(
        self, hypothesis: Hypothesis, *, has_paused: Callable[[], bool] = lambda: False
    ) -> None:
        """Show the words of a partial, in place of those before.

        One that has heard less is of audio that is sent again, and shows nothing new.

        Args:
            has_paused: Whether silence has begun after them; only asked where it matters.
        """
        if self._shown is not None and hypothesis.heard_to < self._shown.heard_to:
            return
        self._speak(hypothesis)
        self._pending = None
        before, self._shown = self._shown, hypothesis
        self.events.append(Interim(self.number, hypothesis))
        has_settled = before is not None and before.text == hypothesis.text
        is_new = hypothesis.text != self._preflighted
        if self._preflight and has_settled and is_new and has_paused():
            self._preflighted = hypothesis.text
            self.events.append(Preflight(self.number, hypothesis))

    def finalize(
        self,
        *hypotheses: Hypothesis,
        goes_on: bool,
        pending: Hypothesis | None = None,
        until: float = math.inf,
    ) -> bool:
        """Take in a final.

        Args:
            hypotheses: What each speaker in turn said; empty ones where nobody said anything.
            goes_on: It was forced while somebody was speaking.
            pending: What the server holds back for the next one.
            until: The stream sample up to which it accounts for the audio.

        Returns:
            Whether it took back what was shown, or a voice.
        """
        said = [hypothesis for hypothesis in hypotheses if hypothesis.text]
        for hypothesis in said:
            self._speak(hypothesis)
            self.events.append(Final(self.number, hypothesis))
        took_back = not said and (self._shown is not None or self.is_wordless)
        if took_back:
            self.answer_empty()
        self._shown = None
        self._pending = pending
        if self.is_open and goes_on:
            self.phase = Phase.CONTINUING
        elif self.is_open:
            self._finish(until)
        return took_back

    def abandon(self) -> Hypothesis | None:
        """End it without a final, as none will come: the last interim is made one.

        Returns:
            That final, if there was an interim.
        """
        last = self._shown or self._pending
        promoted = None
        if last is not None:
            promoted = last._replace(is_promoted=True)
            self._speak(promoted)
            self.events.append(Final(self.number, promoted))
            self._shown = self._pending = None
        if self.is_wordless:
            self.end_wordless()
        elif self.is_open:
            self._finish()
        return promoted

    def suspend(self) -> None:
        """End it without a final, as another stream will hear all of it again and say it then.

        The last interim stands until then.
        """
        self._shown = self._pending = None
        if self.is_open:
            self._finish()

    def answer_empty(self) -> None:
        """Say that there was nothing, and so take back what was shown.

        The empty interim comes first: an empty final alone would leave the last one standing.
        """
        self.events.append(Interim(self.number, NOTHING))
        self.events.append(Final(self.number, NOTHING))
        self._shown = None

    def _speak(self, hypothesis: Hypothesis) -> None:
        if self.phase is Phase.QUIET:
            self._begin(hypothesis.start)
        elif self.phase is Phase.HEARD:
            self._end = self.start  # the words know better than the voice
        self.phase = Phase.SPEAKING
        self._end = max(self._end, hypothesis.end)

    def _begin(self, at: int, *, is_wordless: bool = False) -> None:
        self.number += 1
        self.start = self._end = at
        self._preflighted = ""
        self.events.append(SpeechStarted(self.number, at, is_wordless))

    def _finish(self, until: float = math.inf) -> None:
        """
        Args:
            until: A voice that began behind this stream sample is of the next one.
        """
        self.phase = Phase.QUIET
        self.events.append(SpeechEnded(self.number, self._end))
        voice, self._voice = self._voice, None
        if voice is not None and voice > until - _OVERLAP_SAMPLES:
            self.hear(voice)
