"""One stream of audio, recognized over any number of connections. No I/O, no clock, no async.

What outlives a connection lives here: audio that has no final yet (`user_audio`), the utterance
under way (`utterance`), flushes without an answer (`flushes`). A lost connection is not an event:
the next session reads the journal again, and the user sees one transcript on one time axis. What
dies with a connection is in its `Session` and, as far as results go, in `_Progress`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .clocks import SAMPLE_RATE_HZ, WallClock
from .errors import BasetenError, DrainTimedOut, SessionLost
from .events import (
    AudioLost,
    Event,
    HallucinationDropped,
    Hypothesis,
    MessageSkipped,
    ServerWarned,
    Used,
)
from .flushes import ANSWER_S, Flush, Flushes
from .results import Results, samples
from .session import ENDED, Patience, Session, State
from .stalls import MUTED_AFTER_S, Finding, Stalls
from .user_audio import UserAudio
from .utterance import Utterance
from .wire import Alive, Dialect, Failure, Transcript

# Silence after the last word that makes an unchanged interim worth an answer.
_PAUSE_SAMPLES = SAMPLE_RATE_HZ // 5

# So much that loud at the end of the input, and no result of it: the server has to be asked again.
_UNHEARD_S = 1.0


@dataclass
class _Progress:
    """How far one session has come with the stream.

    Attributes:
        final_end: Where its last final ended, in connection samples.
        final_number: The server's number of that final.
        result_failed: The server said that a transcription came to nothing.
        fault: Why it is given up although the connection lives.
        is_over: Its end has been seen to.
        is_concluded: All that was to come has come.
    """

    final_end: int = 0
    final_number: int = 0
    result_failed: bool = False
    fault: BasetenError | None = None
    is_over: bool = False
    is_concluded: bool = False


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
        self.least_wait_s = min(patience.least_s, MUTED_AFTER_S, ANSWER_S)  # see `Session`
        self._drop_hallucinations = drop_hallucinations
        self._audio = UserAudio(keep_s=replay_s)
        self._results = Results(dialect.language)
        self._utterance = Utterance(preflight=preflight)
        self._flushes = Flushes()
        self._answered_to = 0  # stream position of the last answer to a flush
        self._events: list[Event] = []
        self._input_ended = False
        self._reported: set[str] = set()
        self._recovered_at = -1
        self._session: Session | None = None
        self._progress = _Progress()
        self._stalls: Stalls | None = None

    # What just happened

    def push(self, pcm: bytes | memoryview, stop: int, now_wall_s: float) -> None:
        """More audio was pushed; see `UserAudio.push`."""
        cursor = None if (live := self._live) is None else live.cursor
        lost = self._audio.push(pcm, stop, now_wall_s, cursor=cursor)
        if lost:
            self._events.append(AudioLost(lost))

    def flush(self) -> None:
        """What was said so far is wanted now."""
        if self._is_answered:
            self._answer_empty(self._audio.journal.stop)
            return
        flush = self._flushes.asked(self._audio.journal.stop)
        if (live := self._live) is not None:
            live.flush(flush)

    def end_input(self) -> None:
        self._input_ended = True
        if (live := self._live) is not None:
            live.finish(self._audio.journal.stop)

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
        self._progress = _Progress()
        self._stalls = Stalls(session, self._audio, self._utterance, now)
        self._results.attach(session)
        session.attach(self._audio.journal, self._flushes.waiting, now)
        if self._input_ended:
            session.finish(self._audio.journal.stop)

    def advance(self, now: float) -> None:
        """The session has received something, or has ended: take it in."""
        session, stalls = self._session, self._stalls
        if session is None or stalls is None or self._progress.fault is not None:
            return
        for frame in session.take_frames():
            if isinstance(frame, Transcript):
                stalls.heard(now)
                self._transcribed(session, frame, now)
                self._flushes.settle(now, self._is_silent)
            elif isinstance(frame, Alive):
                self._flushes.heard(frame.trace_id, now)
                self._flushes.settle(now, self._is_silent)
            elif isinstance(frame, Failure) and frame.recoverable:
                self._progress.result_failed |= frame.is_lost_result
                self._events.append(ServerWarned(frame.error_type, frame.message))
            if self._progress.fault is not None:
                return
        self._answer_overdue(now)
        self._note_state_of(session)

    def tick(self, now: float) -> None:
        """Time has passed: see to whatever was due by ``now``."""
        session, stalls = self._session, self._stalls
        if session is None or stalls is None:
            return
        session.tick(now)
        self._answer_overdue(now)
        finding = stalls.found(now)
        if finding is Finding.MUTED and not self._flushes:
            # The server waits for the silence after the last word: give it some.
            session.flush(Flush(0, self._audio.journal.stop))
        elif finding is Finding.SILENT:
            self._despair(session)

    def give_up(self) -> None:
        """No session will come any more: what was shown is all there will be."""
        self._utterance.abandon()
        self._events += self._utterance.take_events()
        if self._flushes.abandoned():
            self._answer_empty(self._audio.journal.stop)
        if used := self._audio.take_unreported():
            self._events.append(Used(used))

    # What to do about it

    def take_outgoing(self, now: float, limit: int) -> list[str | bytes]:
        """The next frames for the session's socket, about ``limit`` of them."""
        session, stalls = self._session, self._stalls
        if session is None or stalls is None:
            return []
        before = session.cursor
        out = session.take_outgoing(now, limit)
        if session.cursor > before:
            stalls.sent(now)
            if used := self._audio.note_sent(session.cursor):
                self._events.append(Used(used))
        return out

    def take_events(self) -> list[Event]:
        out, self._events = self._events, []
        return out

    @property
    def has_outgoing(self) -> bool:
        """`outgoing` would not come back empty."""
        return self._session is not None and self._session.has_outgoing

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    @property
    def deadline(self) -> float | None:
        """When to call `expired`, or None if nothing is awaited."""
        if self._session is None or self._stalls is None:
            return None
        due = (
            self._session.deadline,
            self._stalls.deadline,
            self._flush_deadline(),
        )
        return min((at for at in due if at is not None), default=None)

    @property
    def session(self) -> Session | None:
        return self._session

    @property
    def wall(self) -> WallClock:
        """When each stream sample was pushed."""
        return self._audio.wall

    @property
    def error(self) -> BasetenError | None:
        """Why the session under way is over, if it is and its work is not done."""
        if self._progress.is_concluded or self._session is None:
            return None
        return self._progress.fault or self._session.error

    @property
    def is_done(self) -> bool:
        """The input has ended and everything has been said about it."""
        return self._progress.is_concluded

    @property
    def has_nothing_left(self) -> bool:
        """The input has ended, and all of it has a final."""
        return self._input_ended and self._audio.is_settled

    @property
    def is_pausing(self) -> bool:
        """No utterance is under way, as far as anybody has heard."""
        return not self._utterance.is_open

    # Results

    def _transcribed(self, session: Session, transcript: Transcript, now: float) -> None:
        end = samples(transcript.end_s)
        if end is not None and end <= self._progress.final_end:
            return  # said already; or an old partial, sent again in place of a doubtful one
        if not transcript.is_final:
            hypothesis = self._results.read_partial(transcript)
            if hypothesis.text:
                self._utterance.show(hypothesis, has_paused=lambda: self._has_paused(hypothesis))
        elif not self._is_missing_before(transcript):
            self._finalized(session, transcript, now)
        self._events += self._utterance.take_events()

    def _finalized(self, session: Session, final: Transcript, now: float) -> None:
        said = [self._examined(hypothesis) for hypothesis in self._results.read_final(final)]
        is_empty = not any(hypothesis.text for hypothesis in said)
        is_forced = self._is_forced(session, final)
        settled = self._settled_by(session, final)
        self._audio.settle(settled)
        if not is_empty or settled > self._utterance.start:
            pending = self._results.read_pending(final)
            took_back = self._utterance.finalize(*said, goes_on=is_forced, pending=pending)
        else:  # noise before the utterance under way, ended by itself when it was sent again
            took_back = False
        self._events += self._utterance.take_events()
        if not is_empty and (used := self._audio.take_unreported()):
            self._events.append(Used(used))
        if self._flushes.finalized(settled, now):
            if is_empty and not took_back:
                self._answer_empty(settled)
            else:
                self._answered_to = settled

    def _examined(self, said: Hypothesis) -> Hypothesis:
        """A final, checked against the audio that it claims to be."""
        if said.text and self._audio.is_silent(said.start, said.end):
            said = said._replace(is_unspoken=True)
        if self._drop_hallucinations and (said.is_suspect or said.is_unspoken):
            self._events.append(HallucinationDropped(said))
            return said._replace(text="", words=())
        return said

    def _has_paused(self, said: Hypothesis) -> bool:
        """Silence has begun after what a partial says."""
        if said.heard_to - said.end >= _PAUSE_SAMPLES:
            return True  # the server's word for it
        return self._audio.has_faded(said.start, said.heard_to, _PAUSE_SAMPLES)

    def _is_forced(self, session: Session, final: Transcript) -> bool:
        """The server cut the utterance off because it went on too long."""
        if final.is_flush:
            return False
        dialect, begun = session.dialect, self._progress.final_end
        length = samples(final.audio_s)
        if length is None:
            length = self._results.end_of(final, begun) - begun
        if length < dialect.forced_samples:
            return False
        if dialect.segments_span_buffer:
            return True
        # Long since the last final, that may be silence before the speech: does it go on now?
        start = session.clock.to_stream(samples(final.start_s) or begun)
        return not self._audio.has_faded(start, session.cursor, _PAUSE_SAMPLES)

    def _settled_by(self, session: Session, final: Transcript) -> int:
        """The stream position up to which ``final`` accounts for the audio, whatever it says."""
        end = self._results.end_of(final, self._progress.final_end)
        self._progress.final_end = end
        self._progress.final_number = final.number or self._progress.final_number
        # An answer accounts for everything before the request, whatever it says.
        until = max(session.clock.to_stream(end), final.settles or 0)
        session.clock.forget(end)
        return max(self._audio.journal.start, min(until, session.cursor))

    def _is_missing_before(self, final: Transcript) -> bool:
        """A final is missing before this one, and will be asked for again with this one."""
        progress = self._progress
        failed, progress.result_failed = progress.result_failed, False
        skipped = final.number is not None and final.number > progress.final_number + 1
        return failed and skipped and self._recover("a transcription failed at the server")

    # Sessions that end, and those that should

    def _note_state_of(self, session: Session) -> None:
        """What became of the session, as far as the stream is concerned."""
        if session.unreadable:
            for reason in session.unreadable.keys() - self._reported:
                self._reported.add(reason)
                self._events.append(MessageSkipped(reason))
        if session.state not in ENDED or self._progress.is_over:
            return
        self._progress.is_over = True
        if self._has_said_all(session):
            self._progress.is_concluded = True
            self.give_up()

    def _has_said_all(self, session: Session) -> bool:
        """The end came, and with it all that was still to come; or asking again is no use."""
        timed_out = session.error if isinstance(session.error, DrainTimedOut) else None
        if session.state is not State.CLOSED and timed_out is None:
            return False
        is_missing = self._progress.result_failed or self._utterance.is_owed_a_final
        start, stop = self._audio.journal.start, self._audio.journal.stop
        if timed_out is None or timed_out.acknowledged:
            is_missing = is_missing or self._audio.loud_s(start, stop) > _UNHEARD_S
        else:
            is_missing = is_missing or not self._audio.is_silent(start, stop)
            if is_missing and (session.dialect.acknowledges_end or not session.is_proven):
                return False  # nobody is there: a connection lost like any other
        return not (is_missing and self._recover("the last result is missing"))

    def _recover(self, reason: str) -> bool:
        """Have the audio since the last final transcribed again; once for each place in it."""
        if self._recovered_at == self._audio.journal.start:
            return False
        self._recovered_at = self._audio.journal.start
        self._give_up_session(f"{reason}; its audio is sent again")
        return True

    def _give_up_session(self, reason: str) -> None:
        self._progress.fault = SessionLost(1006, reason)
        if self._session is not None:
            self._session.fail(self._progress.fault)

    @property
    def _live(self) -> Session | None:
        """The session under way, if audio can go to it."""
        session = self._session
        return session if session is not None and session.state is State.STREAMING else None

    def _despair(self, session: Session) -> None:
        """The server lives and sends nothing of the utterance under way."""
        owed = self._utterance.is_owed_a_final
        if owed and self._recover("the model owes a result and sends none"):
            return
        promoted = self._utterance.abandon()
        self._events += self._utterance.take_events()
        if promoted is not None:
            # Said, then: a final that comes after all must not say it again.
            self._audio.settle(min(promoted.end, session.cursor))
            self._give_up_session("the model sends no results")

    # Flushes

    @property
    def _is_answered(self) -> bool:
        """Everything pushed has had its answer."""
        journal = self._audio.journal
        nothing_new = journal.stop <= max(self._answered_to, journal.start)
        return nothing_new and not self._utterance.is_open and not self._flushes

    def _answer_empty(self, position: int) -> None:
        """Nothing was said up to ``position`` that has no final."""
        self._answered_to = position
        self._utterance.answer_empty()
        self._events += self._utterance.take_events()

    def _answer_overdue(self, now: float) -> None:
        due = self._flush_deadline()
        if due is not None and now >= due:
            position = self._flushes.overdue(now)
            if position is not None:
                self._answer_empty(position)

    def _flush_deadline(self) -> float | None:
        if self._session is None or self._session.state in ENDED:
            return None  # it is asked again on the next connection
        # While somebody is known to speak a final is owed, and that is the answer.
        return None if self._utterance.is_open else self._flushes.deadline

    def _is_silent(self, until: int) -> bool:
        """Nothing like speech since the last final, up to stream sample ``until``."""
        return self._audio.is_silent(self._audio.journal.start, until)
