"""The session that carries a stream: what is known of it, and what it has come to."""

from __future__ import annotations

import enum

from .errors import BasetenError, DrainTimedOut
from .results import Results
from .session import Session
from .stalls import Stalls
from .user_audio import UserAudio
from .utterance import Utterance

# If more than this is loud at the end of the input and has no result, the server is asked again.
_UNHEARD_S = 1.0


class Outcome(enum.Enum):
    """What a session has come to, as far as its stream is concerned."""

    OPEN = "it carries the stream"
    LOST = "it is over, and another one has to be sent the audio that has no final"
    DONE = "the input has ended, and everything has been said about it"


class Attached:
    """
    Args:
        session: From now on it carries the stream.
        audio: Of the stream.
        utterance: Of the stream.
        language: Of what was spoken before.
        now: Seconds, of the session's clock.

    Attributes:
        result_failed: The server said that a transcription came to nothing.
        outcome: OPEN until `lose` or `conclude`.
        error: Why it is LOST.
    """

    def __init__(
        self, session: Session, audio: UserAudio, utterance: Utterance, language: str, now: float
    ) -> None:
        self._audio = audio
        self._utterance = utterance
        self.session = session
        self.results = Results(session, audio, language)
        self.stalls = Stalls(session, audio, utterance, now)
        self.result_failed = False
        self.outcome = Outcome.OPEN
        self.error: BasetenError | None = None

    def lose(self, error: BasetenError) -> None:
        """Another session has to carry on."""
        self.outcome, self.error = Outcome.LOST, error
        self.session.fail(error)

    def conclude(self) -> None:
        """Everything has been said."""
        self.outcome = Outcome.DONE

    @property
    def is_owed(self) -> bool:
        """A result is known to be missing."""
        return self.result_failed or self._utterance.is_owed_a_final

    @property
    def is_result_missing(self) -> bool:
        """The end of the audio came before all of its results."""
        if self.result_failed:
            return True
        error = self.session.error
        if error is None and self.session.dialect.holds_back_sentences:
            return False  # a sentence without a full stop has no final: it would have none again
        if self._utterance.is_owed_a_final:
            return True
        if error is None and self.results.doubt:
            return False  # nobody knows what its finals account for, and it says that it is through
        start, stop = self._audio.journal.start, self._audio.journal.stop
        if isinstance(error, DrainTimedOut) and not error.acknowledged:
            return not self._audio.is_silent(start, stop)
        return self._audio.loud_s(start, stop) > _UNHEARD_S

    def can_do_without(self, error: BasetenError) -> bool:
        """All that is missing is the answer to the end of the audio, and nobody needs it."""
        if not isinstance(error, DrainTimedOut):
            return False
        if error.acknowledged or not self.is_result_missing:
            return True
        # A server that acknowledges the end was not there. One that does not may have been.
        return self.session.is_proven and not self.session.dialect.acknowledges_end
