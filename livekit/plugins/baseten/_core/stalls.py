"""Whether the utterance under way still gets anywhere: muted users, and models that went quiet."""

from __future__ import annotations

import enum

from .clocks import SAMPLE_RATE_HZ
from .session import Session, State
from .user_audio import UserAudio
from .utterance import Phase, Utterance

# An utterance for which nothing comes any more, although the server is there, is over. Partials
# come every half second; after a forced final the first one says whether speech goes on.
_UTTERANCE_SILENCE_S = {Phase.SPEAKING: 8.0, Phase.CONTINUING: 3.0}

# Microphones that are on send all the time, silence too.
MUTED_AFTER_S = 2.0


class Finding(enum.Enum):
    MUTED = "the user spoke, and sends no audio any more"
    SILENT = "the server lives and sends nothing of the utterance"


class Stalls:
    """Over one session, while a stream is on it. Times are those of the session's clock."""

    def __init__(
        self, session: Session, audio: UserAudio, utterance: Utterance, now: float
    ) -> None:
        self._session = session
        self._audio = audio
        self._utterance = utterance
        self._last_result_s = now
        self._last_sent_s = now
        self._muted_at = -1  # stream position at which the user was found muted

    def heard(self, now: float) -> None:
        """A result came."""
        self._last_result_s = now

    def sent(self, now: float) -> None:
        """Audio went out."""
        self._last_sent_s = now

    @property
    def deadline(self) -> float | None:
        """When there will be something to find, if nothing happens; None while nobody speaks."""
        due = (self._mute_deadline(), self._silence_deadline())
        return min((at for at in due if at is not None), default=None)

    def found(self, now: float) -> Finding | None:
        """What is the matter by ``now``; each thing is found once."""
        due = self._mute_deadline()
        if due is not None and now >= due:
            self._muted_at = self._audio.journal.stop
            return Finding.MUTED
        due = self._silence_deadline()
        if due is not None and now >= due:
            self._last_result_s = now
            return Finding.SILENT
        return None

    @property
    def _is_on(self) -> bool:
        return self._session.state is State.STREAMING and self._utterance.is_open

    def _mute_deadline(self) -> float | None:
        stop = self._audio.journal.stop
        is_caught_up = stop - self._session.cursor < self._session.dialect.chunk_samples
        if not self._is_on or not is_caught_up or self._muted_at == stop:
            return None
        return self._last_sent_s + MUTED_AFTER_S

    def _silence_deadline(self) -> float | None:
        if not self._is_on:
            return None
        dialect = self._session.dialect
        wait_s = _UTTERANCE_SILENCE_S[self._utterance.phase]
        if not dialect.sends_partials:
            wait_s += dialect.forced_samples / SAMPLE_RATE_HZ
        return self._last_result_s + wait_s
