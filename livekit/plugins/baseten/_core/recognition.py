"""One stream of audio, recognized over any number of connections. No I/O, no clock, no async.

What outlives a connection lives here: audio that has no final yet (`user_audio`), the utterance
under way (`utterance`), flushes without an answer (`flushes`). A lost connection is not an event:
the next session reads the journal again, and the user sees one transcript on one time axis. What
dies with a connection is in its `Session` and in `Attached`.

It even outlives a stream of LiveKit's that fails: `detach` it, `suspend` it, and hand it to the
stream that goes on. That is one connection more.
"""

from __future__ import annotations

import math

from .attached import Attached, Outcome
from .clocks import WallClock
from .errors import BasetenError, SessionLost
from .events import (
    AudioLost,
    Event,
    FlushAnswered,
    HallucinationDropped,
    Hypothesis,
    MessageSkipped,
    ServerWarned,
    TimesDoubted,
    Used,
)
from .flushes import Flush, Flushes
from .journal import Journal
from .results import Results
from .retries import Blame
from .session import ENDED, Patience, Session, State
from .text import has_words
from .transform import Change, Transformed
from .user_audio import UserAudio
from .utterance import Utterance
from .wire import Alive, Dialect, Failure, Transcript

# So many streams, one after the other, may fail in the hands of a server that was sent the same
# audio. Then it may be the audio, and the next goes without: LiveKit closes a session with the
# fourth stream that fails.
_MOST_STREAMS_AT_ONE_PLACE = 3

# A voice that a local detector hears has words within this time, or is none: partials come every
# half second.
_WORDLESS_S = 3.0


class Recognition:
    """
    Args:
        dialect: How the deployment is talked to; may change (`use`).
        patience: The bounds for a server that does not answer.
        replay_s: Seconds of audio kept at most for the next connection while there is none.
        preflight: See `Utterance`.
        drop_hallucinations: Make finals empty that are probably not what somebody said.
        audio_events: Take text without words, such as "(music)", for speech.
        change: What the user makes of every text.

    Attributes:
        events: What happened and was not taken yet.
        asks_to_be_sure: All that the server owed has come, and it is asked again about sound in
            which it heard no words. Nothing is lost if it does not answer.
    """

    def __init__(
        self,
        dialect: Dialect,
        patience: Patience,
        *,
        replay_s: float,
        preflight: bool = False,
        drop_hallucinations: bool = False,
        audio_events: bool = False,
        change: Change | None = None,
    ) -> None:
        self.events: list[Event] = []
        self._dialect = dialect
        self._patience = patience
        self._drop_hallucinations = drop_hallucinations
        self._audio_events = audio_events
        self._transformed = None if change is None else Transformed(change)
        self._audio = UserAudio(keep_s=replay_s)
        self._utterance = Utterance(self.events, preflight=preflight)
        self._flushes = Flushes()
        self._input_ended = False
        self._skipped: set[str] = set()  # kinds of messages that could not be read
        self._doubted: set[str] = set()  # kinds of times that cannot be right
        self.asks_to_be_sure = False
        self._asked_again_at = -1  # stream position from which audio was sent a second time
        self._language = ""  # of what was spoken before
        self._failed_at = -1  # stream position from which servers were sent audio and failed
        self._failures = 0  # of streams, there
        self._voice_number = 0  # the last utterance that began with a voice
        self._voice_due_s = math.inf  # for its first words
        self._attached: Attached | None = None

    # From the user

    def push(self, pcm: bytes | memoryview, stop: int, now_wall_s: float) -> bool:
        """Take more audio; see `UserAudio.push`.

        Returns:
            There is a whole frame of it to send now.
        """
        if self._audio.push(pcm, stop, now_wall_s):
            live = self._live
            lost = self._audio.drop_excess(now_wall_s, None if live is None else live.cursor)
            if lost:
                self.events.append(AudioLost(lost))
        if self._attached is None:
            return False
        session = self._attached.session
        return self._audio.journal.stop - session.cursor >= session.dialect.chunk_samples

    @property
    def is_full(self) -> bool:
        """So much audio waits for the server that no more can be held."""
        return self._audio.is_full

    def flush(self, now: float) -> None:
        """Have what was said so far finished now."""
        if self._has_answered_everything:
            self._utterance.answer_empty()
            self.events.append(FlushAnswered(now, has_words=False))
        else:
            self._flushes.ask(self._audio.journal.stop, now)

    def voice_started(self, at: int, now: float) -> None:
        """A detector beside the server's hears somebody speak, from stream sample ``at`` on."""
        self._utterance.hear(at)
        self._note_voice(now)

    def voice_stopped(self, at: int, now: float, *, is_recent: bool) -> None:
        """That voice ended at stream sample ``at``: have what was said finished.

        Args:
            is_recent: Otherwise more may have been said since, and would be cut.
        """
        self._utterance.hear_end(at)
        if is_recent and self._utterance.is_open and not self._input_ended:
            self._flushes.ask(self._audio.journal.stop, now, is_owed=False)

    def end_input(self) -> None:
        self._input_ended = True
        if (live := self._live) is not None:
            live.finish(self._audio.journal.stop)

    # From and to the connections

    def use(self, dialect: Dialect) -> None:
        """Make sessions that talk like this from now on."""
        self._dialect = dialect

    def new_session(self) -> Session:
        """For a connection that is about to be opened, with the options as they are now."""
        return Session(self._dialect, self._patience)

    def attach(self, session: Session, now: float) -> None:
        """Let ``session``'s connection carry the stream, from the end of the last final on.

        What the one before it still had to say is not missed: its audio is sent again.
        """
        self._attached = Attached(session, self._audio, self._utterance, self._language, now)
        session.attach(self._audio.journal, self._flushes, now)
        if self._input_ended:
            session.finish(self._audio.journal.stop)

    def detach(self, blame: Blame) -> None:
        """The stream has failed, and no session carries it any more.

        Args:
            blame: Whether the audio that has no final is why.
        """
        self._attached = None
        if blame is not Blame.NO:
            start = self._audio.journal.start
            before = self._failures if self._failed_at == start else 0
            is_sure = blame is Blame.YES
            self._failures = _MOST_STREAMS_AT_ONE_PLACE if is_sure else before + 1
            self._failed_at = start

    @property
    def is_stuck(self) -> bool:
        """Stream after stream has failed at the same audio: yet another one should go without."""
        is_same = self._failed_at == self._audio.journal.start
        return is_same and self._failures >= _MOST_STREAMS_AT_ONE_PLACE

    def take_outgoing(self, now: float, limit: int) -> list[str | bytes]:
        """The next frames for the session's socket; see `Session.take_outgoing`."""
        attached = self._attached
        if attached is None:
            return []
        session = attached.session
        before = session.cursor
        out = session.take_outgoing(now, limit)
        if session.cursor > before:
            attached.stalls.note_sent(now)
            if used := self._audio.note_sent(session.cursor):
                self.events.append(Used(used))
        return out

    def advance(self, now: float) -> None:
        """Take in what the session has received, and whether it has ended."""
        attached = self._attached
        if attached is None:
            return
        for frame in attached.session.take_frames():
            if attached.outcome is Outcome.LOST:
                return  # the next session will be told the same
            if isinstance(frame, Transcript):
                attached.stalls.note_result(now)
                self._take_transcript(attached, frame, now)
                self._language = attached.results.language
            elif isinstance(frame, Alive):
                self._flushes.note_heard(frame.trace_id, now)
            elif isinstance(frame, Failure) and frame.recoverable:
                if frame.is_lost_result:
                    attached.result_failed = True
                    attached.stalls.note_failure(now)
                self.events.append(ServerWarned(frame.error_type, frame.message))
            self._flushes.stop_waiting_for_silence(now, self._is_silent_until)
        self._answer_overdue(now)
        self._note_voice(now)
        if attached.session.unreadable:
            self._report_skipped(attached.session)
        if attached.outcome is Outcome.OPEN and attached.session.state in ENDED:
            self._settle_end(attached)

    def tick(self, now: float) -> None:
        """See to whatever is due by ``now``."""
        attached = self._attached
        if attached is None:
            return
        attached.session.tick(now)
        self._answer_overdue(now)
        if (due := self._voice_deadline) is not None and now >= due:
            self._utterance.end_wordless()
        if attached.stalls.is_muted(now):
            attached.stalls.note_mute()
            if not self._flushes.is_any_waiting:
                # The server waits for the silence after the last word: give it some.
                self._flushes.ask(self._audio.journal.stop, now, is_owed=False)
        elif attached.stalls.is_quiet(now):
            attached.stalls.note_result(now)  # waits as long again
            self._go_on_without_result(attached, "the model owes a result and sends none")
        elif attached.stalls.is_missing_final(now):
            attached.stalls.note_result(now)
            self._go_on_without_result(attached, "a transcription failed at the server")
        attached.stalls.note_look(now)

    @property
    def deadline(self) -> float | None:
        """When to call `tick`, or None if nothing is awaited."""
        if self._attached is None:
            return None
        due = (
            self._attached.session.deadline,
            self._attached.stalls.deadline,
            self._flush_deadline,
            self._voice_deadline,
        )
        return min((at for at in due if at is not None), default=None)

    @property
    def is_in_a_hurry(self) -> bool:
        """A message may have made something due sooner than in a second."""
        attached = self._attached
        has_failed = attached is not None and attached.stalls.has_failed
        return has_failed or self._flushes.is_any_waiting

    # To the user

    def take_events(self) -> list[Event]:
        """Everything that happened since the last call, as the user's function has it."""
        out = self.events[:]
        self.events.clear()
        return out if self._transformed is None else self._transformed.of(out)

    def give_up(self) -> None:
        """End everything: no session will come, and what was shown is all there will be."""
        promoted = self._utterance.abandon()
        if promoted is not None:  # it has been said, whoever may go on
            self._audio.settle(min(promoted.end, self._audio.sent))
        if answered := self._flushes.clear():
            if any(flush.is_owed for flush in answered):
                self._utterance.answer_empty()
            self._report_answered(answered, has_words=promoted is not None)
        self._report_usage()

    def suspend(self) -> None:
        """End the utterance, and keep all else: a session of another stream will go on."""
        self._utterance.suspend()
        self._report_usage()

    def drop_rest(self) -> None:
        """After `give_up` or `suspend`: nobody will go on with what has no final."""
        self._flushes.clear()
        if lost := self._audio.drop_rest():
            self.events.append(AudioLost(lost))

    @property
    def journal(self) -> Journal:
        """The audio that has no final."""
        return self._audio.journal

    @property
    def sent(self) -> int:
        """Up to this stream sample, some server was sent the audio."""
        return self._audio.sent

    @property
    def wall(self) -> WallClock:
        """When each stream sample was pushed."""
        return self._audio.wall

    @property
    def error(self) -> BasetenError | None:
        """Why the session is over, if it is and its work is not done."""
        return None if self._attached is None else self._attached.error

    @property
    def is_done(self) -> bool:
        """The input has ended and everything has been said about it."""
        return self._attached is not None and self._attached.outcome is Outcome.DONE

    @property
    def has_nothing_left(self) -> bool:
        """The input has ended, and all of it has a final."""
        return self._input_ended and self._audio.is_settled

    @property
    def has_input_ended(self) -> bool:
        return self._input_ended

    @property
    def is_pausing(self) -> bool:
        """No utterance is under way, as far as anybody has heard."""
        return not self._utterance.is_open

    # Results

    def _take_transcript(self, attached: Attached, transcript: Transcript, now: float) -> None:
        results = attached.results
        if results.is_old(transcript):
            return
        is_missing = attached.result_failed and results.is_one_missing_before(transcript)
        if is_missing and self._may_ask_again:
            self._ask_again(attached, "a transcription failed at the server")
            return
        if is_missing:
            self._go_on_behind(attached, results.skip_to(transcript), now)
        if transcript.is_final:
            attached.result_failed = False
            self._take_final(results, transcript, now)
            return
        said = results.read_partial(transcript)
        if results.is_in_order and self._flushes.is_any_before(said.heard_to - 1):
            # The server heard the flush, had nothing to finish, and has heard on since.
            self._answer_with_nothing(self._flushes.drop_before(said.heard_to - 1))
        if self._is_speech(said):
            self._utterance.show(said, has_paused=lambda: results.has_paused(said))

    def _take_final(self, results: Results, transcript: Transcript, now: float) -> None:
        final = results.read_final(transcript)
        if results.doubt and results.doubt not in self._doubted:
            self._doubted.add(results.doubt)
            self.events.append(TimesDoubted(results.doubt))
        said = [self._without_hallucination(hypothesis) for hypothesis in final.said]
        is_empty = not any(hypothesis.text for hypothesis in said)
        self._audio.settle(final.settled)
        took_back = False
        # An empty final may be of a noise before the utterance under way, when it is sent again.
        if not is_empty or final.settled > self._utterance.start:
            took_back = self._utterance.finalize(
                *said, goes_on=final.is_forced, pending=final.pending, until=final.settled
            )
        if not is_empty:
            self._report_usage()
        if self._flushes.is_any_before(final.settled):
            answered = self._flushes.answer(final.settled, now)
            if is_empty and not took_back:
                self._answer_with_nothing(answered)
            else:
                self._report_answered(answered, has_words=not is_empty)

    def _is_speech(self, said: Hypothesis) -> bool:
        return bool(said.text) if self._audio_events else has_words(said.text)

    def _without_hallucination(self, said: Hypothesis) -> Hypothesis:
        if not self._is_speech(said):
            return said._replace(text="", words=(), beams=())
        if not self._drop_hallucinations or not (said.is_suspect or said.is_unspoken):
            return said
        self.events.append(HallucinationDropped(said))
        return said._replace(text="", words=(), beams=())

    def _report_usage(self) -> None:
        if used := self._audio.take_unreported():
            self.events.append(Used(used))

    def _report_skipped(self, session: Session) -> None:
        for reason in session.unreadable.keys() - self._skipped:
            self._skipped.add(reason)
            self.events.append(MessageSkipped(reason))

    # What a session comes to

    def _conclude(self, attached: Attached) -> None:
        attached.conclude()
        self.give_up()

    def _ask_again(self, attached: Attached, reason: str) -> None:
        """Have the audio since the last final transcribed again, by another session."""
        self._asked_again_at = self._audio.journal.start
        message = f"{reason}; its audio is sent again"
        attached.lose(SessionLost(1006, message, given_up=True))

    @property
    def _may_ask_again(self) -> bool:
        """Each place in the audio is asked for a second time, and no third."""
        return self._asked_again_at != self._audio.journal.start

    def _settle_end(self, attached: Attached) -> None:
        """Decide what the session that has just ended has come to."""
        error = attached.session.error
        if self.asks_to_be_sure and not attached.is_owed:
            self._conclude(attached)
        elif error is not None and not attached.can_do_without(error):
            attached.lose(error)
        elif not attached.is_result_missing:
            self._conclude(attached)
        elif self._may_ask_again:
            self.asks_to_be_sure = error is None and not attached.is_owed
            self._ask_again(attached, "the last result is missing")
        elif error is not None:
            attached.lose(error)  # twice too slow is no proof that nothing was said
        else:
            self._conclude(attached)

    def _go_on_without_result(self, attached: Attached, why: str) -> None:
        """Get on, where the server lives and sends nothing of the utterance under way."""
        is_heard = attached.result_failed and not self._is_silent_until(attached.session.cursor)
        if self._may_ask_again and (self._utterance.is_owed_a_final or is_heard):
            self._ask_again(attached, why)
            return
        promoted = self._utterance.abandon()
        if promoted is not None:
            # It has been said: if a final comes after all, it must not say it again.
            self._audio.settle(min(promoted.end, attached.session.cursor))
            attached.lose(SessionLost(1006, "the model sends no results", given_up=True))

    def _go_on_behind(self, attached: Attached, start: int, now: float) -> None:
        """Miss no final before stream sample ``start``: it failed twice, and the server went on."""
        attached.result_failed = False
        is_said = self._utterance.is_shown_before(start)
        if is_said:
            self._utterance.abandon()
        self._audio.settle(start)
        if self._flushes.is_any_before(start):
            answered = self._flushes.answer(start, now)
            if not is_said:
                self._answer_with_nothing(answered)
            else:
                self._report_answered(answered, has_words=True)

    @property
    def _live(self) -> Session | None:
        """The session under way, if audio can go to it."""
        attached = self._attached
        if attached is None or attached.session.state is not State.STREAMING:
            return None
        return attached.session

    # Flushes

    @property
    def _has_answered_everything(self) -> bool:
        """All that was pushed has a final or an empty answer."""
        journal = self._audio.journal
        has_new = journal.stop > max(self._flushes.answered_to, journal.start)
        return not has_new and not self._utterance.is_open and not self._flushes.is_any_waiting

    @property
    def _flush_deadline(self) -> float | None:
        if not self._flushes.is_any_waiting:
            return None
        if self._attached is None or self._attached.session.state in ENDED:
            return None  # it is asked again on the next connection
        return self._flushes.deadline_before(self._no_final_owed_before)

    @property
    def _no_final_owed_before(self) -> float:
        """A flush behind it waits for the final of what was said before it: that is its answer."""
        return self._utterance.start if self._utterance.has_words else math.inf

    def _answer_overdue(self, now: float) -> None:
        due = self._flush_deadline
        if due is not None and now >= due:
            self._answer_with_nothing(self._flushes.drop_overdue(now, self._no_final_owed_before))

    def _answer_with_nothing(self, answered: list[Flush]) -> None:
        """No words come of what was flushed."""
        if self._utterance.is_wordless:
            self._utterance.end_wordless(self._flushes.answered_to)
        elif any(flush.is_owed for flush in answered):
            self._utterance.answer_empty()
        self._report_answered(answered, has_words=False)

    def _report_answered(self, flushes: list[Flush], *, has_words: bool) -> None:
        owed = [flush for flush in flushes if flush.is_owed]
        self.events += [FlushAnswered(flush.asked_s, has_words) for flush in owed]

    # A local detector's voices

    def _note_voice(self, now: float) -> None:
        """Start the wait for the words of a voice."""
        if self._utterance.is_wordless and self._voice_number != self._utterance.number:
            self._voice_number = self._utterance.number
            self._voice_due_s = now + _WORDLESS_S if self._dialect.sends_partials else math.inf

    @property
    def _voice_deadline(self) -> float | None:
        return self._voice_due_s if self._utterance.is_wordless else None

    def _is_silent_until(self, position: int) -> bool:
        """Nothing like speech since the last final."""
        return self._audio.is_silent(self._audio.journal.start, position)
