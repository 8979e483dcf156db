"""One stream of audio, recognized over any number of connections. No I/O, no clock, no async.

What outlives a connection lives here: audio that has no final yet, the time axis, the utterance
under way, flushes without an answer, what was used. A lost connection is not an event: the next
session reads the journal again, and the user sees one transcript on one time axis.

Results become hypotheses in `_hypotheses`; the utterance's own rules are in `_utterance`.
"""

from __future__ import annotations

from dataclasses import replace

from ._errors import BasetenError, DrainTimedOut, MetadataRefused, SessionLost
from ._events import (
    AudioLost,
    Event,
    HallucinationDropped,
    Hypothesis,
    MessageSkipped,
    ServerWarned,
    Used,
)
from ._flushes import Flush, Flushes
from ._hypotheses import Reader, samples
from ._session import ENDED, Patience, Session, State
from ._timeline import SAMPLE_RATE_HZ, Journal, WallClock
from ._utterance import Phase, Utterance
from ._wire import Alive, Dialect, Failure, Transcript

# LiveKit's metrics are fed this often.
_USAGE_EVERY_SAMPLES = 5 * SAMPLE_RATE_HZ

# An utterance for which nothing comes any more, although the server is there, is over. Partials
# come every half second; after a forced final the first one says whether speech goes on.
_UTTERANCE_SILENCE_S = {Phase.SPEAKING: 8.0, Phase.CONTINUING: 3.0}

# Microphones that are on send all the time, silence too.
_MUTED_AFTER_S = 2.0

# Audio older than a whole buffer of the server's has been transcribed or thrown away by it; this
# much more for a transcription to be late.
_SETTLING_SAMPLES = 5 * SAMPLE_RATE_HZ

# Root mean square below which nobody speaks: about -50 dBFS.
_SILENCE_RMS = 100.0


class Recognition:
    """
    Args:
        dialect: How the deployment is talked to; may change (`use`).
        patience: The bounds for a server that does not answer.
        replay_s: Seconds of audio kept at most for the next connection while there is none.
        preflight: See `Utterance`.
        drop_hallucinations: Finals that are probably not what somebody said become empty.
    """

    def __init__(
        self,
        dialect: Dialect,
        patience: Patience,
        *,
        replay_s: float,
        preflight: bool = False,
        drop_hallucinations: bool = False,
    ) -> None:
        self._dialect = dialect
        self._patience = patience
        self._replay_s = replay_s
        self._journal = Journal()
        self._reader = Reader(dialect.language)
        self._utterance = Utterance(preflight=preflight)
        self._drop_hallucinations = drop_hallucinations
        self._flushes = Flushes()
        self._answered_to = 0  # stream position of the last answer to a flush
        self._events: list[Event] = []
        self._input_ended = False
        self._sent = 0  # stream samples sent at least once
        self._used = 0
        self._reported: set[str] = set()
        self._refusals = 0
        self._recovered_at = -1
        self._muted_at = -1
        self.wall = WallClock()
        self.lost_samples = 0
        # Of the session under way:
        self._session: Session | None = None
        self._fault: BasetenError | None = None
        self._final_end = 0  # where its last final ended, in connection samples
        self._final_number = 0
        self._result_failed = False
        self._is_settled = False  # its end has been seen to
        self._is_concluded = False
        self._last_result_s = 0.0
        self._last_sent_s = 0.0

    # What just happened

    def push(self, pcm: bytes, stop: int, now_wall_s: float) -> None:
        """More audio was pushed.

        Args:
            pcm: 16 kHz mono 16-bit.
            stop: Stream sample up to which audio was pushed: a resampler may hold some back.
            now_wall_s: Epoch seconds.
        """
        self._journal.push(pcm)
        self.wall.pushed(stop, now_wall_s)
        excess = self._journal.stop - self._journal.start - round(self._replay_s * SAMPLE_RATE_HZ)
        if excess > 0:
            self._trim(excess, now_wall_s)

    def flush(self) -> None:
        """What was said so far is wanted now."""
        if self._is_answered:
            self._answer_empty()
            return
        flush = self._flushes.asked(self._journal.stop)
        if self._session is not None and self._session.state is State.STREAMING:
            self._session.flush(flush)

    def end_input(self) -> None:
        self._input_ended = True
        if self._session is not None and self._session.state is State.STREAMING:
            self._session.finish(self._journal.stop)

    def use(self, dialect: Dialect) -> None:
        """Sessions made from now on talk like this."""
        self._dialect = dialect

    def new_session(self) -> Session:
        """For a connection that is about to be opened, with the options as they are now."""
        return Session(self._dialect, self._patience)

    def attach(self, session: Session, now: float) -> None:
        """``session``'s connection takes the stream over, from the end of the last final.

        What the one before it still had to say is not missed: its audio is sent again.
        """
        self._session = session
        self._fault = None
        self._final_end = self._final_number = 0
        self._result_failed = self._is_settled = False
        self._last_result_s = self._last_sent_s = now
        self._muted_at = -1
        self._reader.attached(session)
        session.attach(self._journal, self._flushes.waiting, now)
        if self._input_ended:
            session.finish(self._journal.stop)

    def advance(self, now: float) -> None:
        """The session has received something, or has ended: take it in."""
        session = self._session
        if session is None or self._fault is not None:
            return
        for frame in session.received_frames():
            if isinstance(frame, Transcript):
                self._last_result_s = now
                self._transcribed(frame)
                self._flushes.settle(now, self._is_silent)
            elif isinstance(frame, Alive):
                self._flushes.heard(frame.trace_id, now)
                self._flushes.settle(now, self._is_silent)
            elif isinstance(frame, Failure) and frame.recoverable:
                self._result_failed |= frame.is_lost_result
                self._events.append(ServerWarned(frame.error_type, frame.message))
            if self._fault is not None:
                return
        self._answer_overdue(now)
        self._note_state_of(session)

    def expired(self, now: float) -> None:
        """Time has passed: see to whatever was due by ``now``."""
        if self._session is not None:
            self._session.expired(now)
        self._answer_overdue(now)
        due = self._mute_deadline()
        if due is not None and now >= due:
            self._end_muted()
        due = self._utterance_deadline()
        if due is not None and now >= due:
            self._last_result_s = now
            self._despair()

    def give_up(self) -> None:
        """No session will come any more: what was shown is all there will be."""
        self._utterance.abandoned()
        self._events += self._utterance.events()
        if self._flushes.abandoned():
            self._answer_empty()
        self._account(everything=True)

    # What to do about it

    def outgoing(self, now: float, limit: int) -> list[str | bytes]:
        """The next frames for the session's socket, about ``limit`` of them."""
        if self._session is None:
            return []
        out = self._session.outgoing(now, limit)
        if self._session.cursor > self._sent:
            self._sent = self._session.cursor
            self._last_sent_s = now
            self._account()
        return out

    def events(self) -> list[Event]:
        out, self._events = self._events, []
        return out

    def deadline(self) -> float | None:
        """When to call `expired`, or None if nothing is awaited."""
        if self._session is None:
            return None
        due = (
            self._session.deadline(),
            self._utterance_deadline(),
            self._mute_deadline(),
            self._flush_deadline(),
        )
        return min((at for at in due if at is not None), default=None)

    @property
    def session(self) -> Session | None:
        return self._session

    @property
    def error(self) -> BasetenError | None:
        """Why the session under way is over, if it is and its work is not done."""
        if self._is_concluded or self._session is None:
            return None
        return self._fault or self._session.error

    @property
    def is_done(self) -> bool:
        """The input has ended and everything has been said about it."""
        return self._is_concluded

    @property
    def has_nothing_left(self) -> bool:
        """The input has ended, and all of it has a final."""
        return self._input_ended and self._journal.start == self._journal.stop

    @property
    def is_pausing(self) -> bool:
        """No utterance is under way, as far as anybody has heard."""
        return not self._utterance.is_open

    # Results

    def _transcribed(self, transcript: Transcript) -> None:
        end = samples(transcript.end_s)
        if end is not None and end <= self._final_end:
            return  # said already; or an old partial, sent again in place of a doubtful one
        if not transcript.is_final:
            hypothesis = self._reader.partial(transcript)
            if hypothesis.text:
                self._utterance.guessed(hypothesis)
        elif not self._is_lost_before(transcript):
            self._finalized(transcript)
        self._events += self._utterance.events()

    def _finalized(self, final: Transcript) -> None:
        hypothesis = self._examined(self._reader.final(final))
        begun, self._final_end = self._final_end, self._reader.end_of(final, self._final_end)
        self._final_number = final.number or self._final_number
        self._commit(final)
        start, audio = samples(final.start_s), samples(final.audio_s)
        length = self._final_end - (begun if start is None else start) if audio is None else audio
        assert self._session is not None
        is_forced = length >= self._session.dialect.forced_samples and not final.is_flush
        if hypothesis.text or self._journal.start > self._utterance.start:
            self._utterance.finalized(hypothesis, goes_on=is_forced)
        # else: noise before the utterance under way, ended by itself when the audio was sent again
        self._events += self._utterance.events()
        if self._flushes.finalized(self._journal.start):
            if hypothesis.text:
                self._answered_to = self._journal.start
            else:
                self._answer_empty()

    def _examined(self, said: Hypothesis) -> Hypothesis:
        """A final, checked against the audio that it claims to be."""
        if said.text and self._journal.loudness(said.start, said.end) < _SILENCE_RMS:
            said = replace(said, is_unspoken=True)
        if self._drop_hallucinations and (said.is_suspect or said.is_unspoken):
            self._events.append(HallucinationDropped(said))
            return replace(said, text="", words=())
        return said

    def _commit(self, final: Transcript) -> None:
        """The final accounts for everything up to its end: that will not be sent again."""
        session = self._session
        assert session is not None
        until = session.clock.to_stream(self._final_end)
        if final.is_flush:
            # It answers the oldest flush, and with it for everything that came before that.
            until = max(until, self._flushes.answered() or 0)
        self.wall.forget(self._journal.start)  # not further: events about this final will ask
        self._journal.forget(min(until, session.cursor))
        session.clock.forget(self._final_end)

    def _is_lost_before(self, final: Transcript) -> bool:
        """A final is missing before this one, and will be asked for again with this one."""
        failed, self._result_failed = self._result_failed, False
        skipped = final.number is not None and final.number > self._final_number + 1
        return failed and skipped and self._recover("a transcription failed at the server")

    def _recover(self, reason: str) -> bool:
        """Have the audio since the last final transcribed again; once for each place in it."""
        if self._recovered_at == self._journal.start:
            return False
        self._recovered_at = self._journal.start
        self._fault = SessionLost(1006, f"{reason}; its audio is sent again")
        if self._session is not None:
            self._session.failed(self._fault)
        return True

    def _note_state_of(self, session: Session) -> None:
        """What became of the session, as far as the stream is concerned."""
        for reason in session.unreadable.keys() - self._reported:
            self._reported.add(reason)
            self._events.append(MessageSkipped(reason))
        if session.is_proven:
            self._refusals = 0
        if session.state not in ENDED or self._is_settled:
            return
        self._is_settled = True
        if isinstance(session.error, MetadataRefused):
            # A server that fails while it starts looks the same: once may be chance.
            self._refusals += 1
            session.error.permanent = self._refusals > 1
        if self._has_said_all(session):
            self._is_concluded = True
            self.give_up()

    def _has_said_all(self, session: Session) -> bool:
        """The end came, and with it all that was still to come; or asking again is no use."""
        timed_out = isinstance(session.error, DrainTimedOut)
        if session.state is not State.CLOSED and not timed_out:
            return False
        if timed_out and not session.is_proven:
            return False  # nobody is there: that is an error
        is_missing = self._result_failed or self._utterance.is_owed_a_final
        if isinstance(session.error, DrainTimedOut):
            is_missing = is_missing or not session.error.acknowledged
        return not (is_missing and self._recover("the last result is missing"))

    def _utterance_deadline(self) -> float | None:
        session = self._session
        if session is None or session.state is not State.STREAMING or not self._utterance.is_open:
            return None
        wait_s = _UTTERANCE_SILENCE_S[self._utterance.phase]
        if not session.dialect.sends_partials:
            wait_s += session.dialect.forced_samples / SAMPLE_RATE_HZ
        return self._last_result_s + wait_s

    def _despair(self) -> None:
        """The server lives and sends nothing of the utterance under way."""
        owed = self._utterance.is_owed_a_final
        if owed and self._recover("the model owes a result and sends none"):
            return
        promoted = self._utterance.abandoned()
        self._events += self._utterance.events()
        if promoted is not None and self._session is not None:
            # Said, then: a final that comes after all must not say it again.
            self._journal.forget(min(promoted.end, self._session.cursor))
            self._fault = SessionLost(1006, "the model sends no results")
            self._session.failed(self._fault)

    def _mute_deadline(self) -> float | None:
        """When the user, who spoke, has sent no audio for so long that he must be muted."""
        session = self._session
        if session is None or session.state is not State.STREAMING or not self._utterance.is_open:
            return None
        is_caught_up = self._journal.stop - session.cursor < session.dialect.chunk_samples
        if not is_caught_up or self._muted_at == self._journal.stop:
            return None
        return self._last_sent_s + _MUTED_AFTER_S

    def _end_muted(self) -> None:
        """The server waits for the silence after the last word: give it some."""
        self._muted_at = self._journal.stop
        if self._session is not None and not self._flushes:
            self._session.flush(Flush(0, self._journal.stop))

    # Flushes

    @property
    def _is_answered(self) -> bool:
        """Everything pushed has had its answer."""
        nothing_new = self._journal.stop <= max(self._answered_to, self._journal.start)
        return nothing_new and not self._utterance.is_open and not self._flushes

    def _answer_empty(self) -> None:
        self._answered_to = self._journal.stop
        self._utterance.answered_empty()
        self._events += self._utterance.events()

    def _answer_overdue(self, now: float) -> None:
        due = self._flush_deadline()
        if due is not None and now >= due and self._flushes.overdue(now):
            self._answer_empty()

    def _flush_deadline(self) -> float | None:
        # While somebody is known to speak a final is owed, and that is the answer.
        return None if self._utterance.is_open else self._flushes.deadline

    def _is_silent(self, until: int) -> bool:
        """Nothing like speech since the last final, up to stream sample ``until``."""
        return self._journal.loudness(self._journal.start, until) < _SILENCE_RMS

    # The journal and the account

    def _trim(self, excess: int, now_wall_s: float) -> None:
        """Keep the journal to what a new connection could still need.

        Audio that came faster than speech is not old, and what a live server may owe is kept.
        """
        journal, session = self._journal, self._session
        cut = min(journal.start + excess, self.wall.position_at(now_wall_s - self._replay_s))
        settled = self._sent - self._dialect.forced_samples - _SETTLING_SAMPLES
        if session is not None and session.state is State.STREAMING:
            cut = min(cut, settled, session.cursor)
        lost = cut - max(journal.start, settled)
        if journal.forget(cut):
            self.wall.forget(cut)
        if lost > 0:
            self.lost_samples += lost
            self._events.append(AudioLost(lost))

    def _account(self, *, everything: bool = False) -> None:
        used = self._sent - self._used
        if used >= _USAGE_EVERY_SAMPLES or (everything and used):
            self._used = self._sent
            self._events.append(Used(used))
