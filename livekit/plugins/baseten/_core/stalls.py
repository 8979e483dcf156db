"""Whether the utterance under way still gets anywhere: muted users, and models that went quiet."""

from __future__ import annotations

from .clocks import SAMPLE_RATE_HZ
from .session import Session, State
from .user_audio import UserAudio
from .utterance import Phase, Utterance

# Without a result for so long in an utterance, although the server lives, no more will come.
# Partials come every half second; after a forced final, the first one tells that speech goes on.
_UTTERANCE_SILENCE_S = {Phase.SPEAKING: 8.0, Phase.CONTINUING: 3.0}

# After the error of a transcription, another partial comes if it was a partial that failed. One is
# waited for as long as somebody speaks, and for a moment in any case.
_AFTER_FAILURE_S = 0.5
_LONGEST_AFTER_FAILURE_S = 1.5

# A microphone that is on sends all the time, silence too. Without audio for so long, it is off.
MUTED_AFTER_S = 2.0


class Stalls:
    """Of one session, while it carries a stream. Times are those of the session's clock."""

    def __init__(
        self, session: Session, audio: UserAudio, utterance: Utterance, now: float
    ) -> None:
        self._session = session
        self._audio = audio
        self._utterance = utterance
        self._last_result_s = now
        self._last_sent_s = now
        self._failed_s: float | None = None
        self._look_s: float | None = None
        self._muted_at = -1  # stream position of the last mute that was seen to

    @property
    def deadline(self) -> float | None:
        """When `is_muted`, `is_quiet` or `is_missing_final` may become true; None if never."""
        due = (self._mute_deadline, self._quiet_deadline, self._failure_deadline)
        return min((at for at in due if at is not None), default=None)

    def is_muted(self, now: float) -> bool:
        """The user spoke, and sends no audio any more."""
        due = self._mute_deadline
        return due is not None and now >= due

    def is_quiet(self, now: float) -> bool:
        """The server lives, and sends nothing of the utterance."""
        due = self._quiet_deadline
        return due is not None and now >= due

    def is_missing_final(self, now: float) -> bool:
        """A transcription failed, and no partial came since: it was a final."""
        if self._failed_s is None or self._look_s is None or now < self._look_s:
            return False
        dialect = self._session.dialect
        longest_s = _LONGEST_AFTER_FAILURE_S + dialect.partial_interval_samples / SAMPLE_RATE_HZ
        has_paused = self._audio.has_faded(self._audio.journal.start, self._session.cursor)
        is_late = now >= self._failed_s + longest_s
        return has_paused or is_late or not dialect.sends_partials

    @property
    def has_failed(self) -> bool:
        """A transcription failed, and no result came since."""
        return self._failed_s is not None

    def note_look(self, now: float) -> None:
        """Look again later for a final that is missing."""
        if self._look_s is not None and now >= self._look_s:
            self._look_s = now + _AFTER_FAILURE_S

    def note_failure(self, now: float) -> None:
        """A transcription failed, a partial's or a final's."""
        dialect = self._session.dialect
        wait_s = _AFTER_FAILURE_S + dialect.speaker_wait_s if dialect.sends_partials else 0.0
        self._failed_s, self._look_s = now, now + wait_s

    def note_result(self, now: float) -> None:
        """Start the wait for a result anew."""
        self._last_result_s = now
        self._failed_s = self._look_s = None

    def note_sent(self, now: float) -> None:
        """Start the wait for audio anew."""
        self._last_sent_s = now

    def note_mute(self) -> None:
        """Look for no other mute until there is more audio."""
        self._muted_at = self._audio.journal.stop

    @property
    def _is_speaking(self) -> bool:
        return self._session.state is State.STREAMING and self._utterance.is_open

    @property
    def _failure_deadline(self) -> float | None:
        return self._look_s if self._session.state is State.STREAMING else None

    @property
    def _mute_deadline(self) -> float | None:
        stop = self._audio.journal.stop
        has_sent_all = stop - self._session.cursor < self._session.dialect.chunk_samples
        if not self._is_speaking or not has_sent_all or self._muted_at == stop:
            return None
        return self._last_sent_s + MUTED_AFTER_S

    @property
    def _quiet_deadline(self) -> float | None:
        if not self._is_speaking or self._utterance.is_wordless:
            return None
        dialect = self._session.dialect
        wait_s = _UTTERANCE_SILENCE_S[self._utterance.phase] + dialect.speaker_wait_s
        if not dialect.sends_partials:
            wait_s += dialect.forced_samples / SAMPLE_RATE_HZ
        return self._last_result_s + wait_s
