"""A call without sockets, event loop or clock: every message moves when a test says so."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Sequence

from livekit.plugins.baseten._core.clocks import SAMPLE_RATE_HZ
from livekit.plugins.baseten._core.events import (
    AudioLost,
    Event,
    Final,
    Interim,
    SpeechEnded,
    SpeechStarted,
    Used,
)
from livekit.plugins.baseten._core.options import Model, Options
from livekit.plugins.baseten._core.recognition import Recognition
from livekit.plugins.baseten._core.retries import Blame
from livekit.plugins.baseten._core.session import ENDED, Patience, Session, State
from livekit.plugins.baseten._core.wire import dialect_for
from livekit.plugins.baseten.emulator import (
    AmplitudeDetector,
    CodedRecognizer,
    CodedSpeech,
    InMemoryConnection,
)

EPOCH_S = 1_700_000_000.0
ALL = 1_000_000

# A server slower than this is one that the client is right not to wait for.
_SLOWEST_S = 0.8

# Without audio for so long, a user who was speaking is taken to be muted.
_MUTED_AFTER_S = 2.0

# No more than this is made up to end an utterance; it counts for the server's limit.
_MADE_UP_SAMPLES = 24 * 512


class Wire:
    """One connection: its two ends, and what is under way between them."""

    def __init__(self, session: Session, model: Model, now: float) -> None:
        self.session = session
        # With an aligner, so that words have the times that are checked.
        self.server = InMemoryConnection(
            model=model,
            recognizer=CodedRecognizer(None),
            voice_detector=AmplitudeDetector,
            aligner=True,
            word_step_s=0,  # the client's arithmetic is tested to the sample
            is_prompt=False,
        )
        self.up: deque[str | bytes] = deque()
        self.down: deque[str] = deque()
        self.said: dict[bool, str] = {}  # the last partial and the last final
        session.start(now)

    def arrive(self, frames: int) -> None:
        for _ in range(min(frames, len(self.up))):
            self.server.received(self.up.popleft())

    def recognize(self, jobs: int) -> None:
        self.server.recognize(jobs)

    def answer(self) -> None:
        self.down += self.server.outgoing()


class Call:
    """A stream's recognition, the connection of the moment, and everything that came of it.

    Args:
        speech: What is going to be said.
        options: What the first connection is asked for.
        replay_s: How much audio is kept at most.
    """

    def __init__(
        self, speech: CodedSpeech, options: Options | None = None, *, replay_s: float = 60.0
    ) -> None:
        self.speech = speech
        self.now = 0.0
        self.options = options or Options.create("whisper")
        self.recognition = Recognition(dialect_for(self.options), Patience(), replay_s=replay_s)
        self.wire: Wire | None = None
        self.next_wire: Wire | None = None
        self.next_options = self.options
        self.pushed = 0
        self.events: list[Event] = []
        self.flushes: list[tuple[int, int]] = []  # stream position, events before it
        self.mutes: set[int] = set()  # where audio stopped coming for a while
        self.shortest_limit = seconds(self.options.final_transcript_max_duration_s)
        self.connections = 0
        self.streams = 1
        self.suspended: list[int] = []  # how many events there were before
        self.is_over = False
        self.is_voiced = False
        self._input_ended = False
        self._unsettled_s = 0.0
        self._pushed_s = 0.0

    @property
    def samples(self) -> int:
        return len(self.speech.pcm) // 2

    # What can happen

    def push(self, samples: int) -> None:
        stop = min(self.samples, self.pushed + samples)
        pcm = self.speech.pcm[self.pushed * 2 : stop * 2]
        self.pushed = stop
        self._pushed_s = self.now
        self.recognition.push(pcm, stop, EPOCH_S + self.now)
        self._take()

    def flush(self, _: int = 0) -> None:
        self.flushes.append((self.pushed, len(self.events)))
        self.recognition.flush(self.now)
        self._take()

    def voice(self, is_heard: bool) -> None:
        """A local detector says that somebody speaks now, or no longer, rightly or not."""
        if is_heard == self.is_voiced or self._input_ended or self.is_over:
            return
        self.is_voiced = is_heard
        if is_heard:
            self.recognition.voice_started(max(0, self.pushed - 1000), self.now)
        else:
            self.mutes.add(self.pushed)
            self.recognition.voice_stopped(max(0, self.pushed - 4000), self.now, is_recent=True)
        self._take()

    def connect(self, _: int = 0) -> None:
        if self.wire is not None or self.is_over:
            return
        if self.recognition.has_nothing_left:
            self._finish()
            return
        self.options = self.next_options
        self.recognition.use(dialect_for(self.options))
        self.wire = Wire(self.recognition.new_session(), self.options.model, self.now)
        self.connections += 1
        self.recognition.attach(self.wire.session, self.now)
        self._take()

    def cut(self, _: int = 0) -> None:
        """The connection is gone, and everything with it that was under way."""
        if self.wire is not None:
            self.wire.session.receive_close(1006, "cut")
            self._take()

    def fail(self, _: int = 0) -> None:
        """LiveKit's stream is over. Another one goes on with the recognition when it connects."""
        if self.is_over:
            return
        self.wire = self.next_wire = None
        self.streams += 1
        self.recognition.detach(Blame.NO)
        self.recognition.suspend()
        self.is_voiced = False  # the next stream has a detector of its own
        self.events += self.recognition.take_events()
        self.suspended.append(len(self.events))

    def send(self, frames: int) -> None:
        if self.wire is not None:
            self.wire.up += self.recognition.take_outgoing(self.now, frames)
            self._take()

    def arrive(self, frames: int) -> None:
        if self.wire is not None:
            self.wire.arrive(frames)

    def recognize(self, jobs: int) -> None:
        if self.wire is not None:
            self.wire.recognize(jobs)

    def receive(self, messages: int) -> None:
        if self.wire is None:
            return
        wire = self.wire
        wire.answer()
        for _ in range(min(messages, len(wire.down))):
            text = wire.down.popleft()
            if '"type":"transcription"' in text:
                wire.said['"is_final":true' in text] = text
            wire.session.receive(text, self.now)
            self._take()
            if self.wire is not wire:
                return
        closing = wire.server.closing
        if closing is not None and not wire.down and wire.session.state not in ENDED:
            wire.session.receive_close(closing.code, closing.reason)
            self._take()

    def repeat(self, is_final: int) -> None:
        """The server says its last partial or final again, as Baseten's does with doubtful ones."""
        if self.wire is not None and bool(is_final) in self.wire.said:
            self.wire.session.receive(self.wire.said[bool(is_final)], self.now)
            self._take()

    def change(self, options: Options) -> None:
        """A second connection with other options is opened and proven; the first works on."""
        if self._input_ended:
            return
        limit = seconds(options.final_transcript_max_duration_s)
        self.shortest_limit = min(self.shortest_limit, limit)
        self.next_options = options
        if self.wire is None:
            return
        session = Session(dialect_for(options), Patience())
        self.next_wire = wire = Wire(session, options.model, self.now)
        wire.up += session.take_outgoing(self.now, ALL)
        wire.arrive(ALL)
        wire.answer()
        while wire.down:
            session.receive(wire.down.popleft(), self.now)
        # Qwen3-ASR answers nothing before there is audio.
        assert session.is_proven or options.model == "qwen3-asr"

    def take_over(self, _: int = 0) -> None:
        """The second connection, if there is one, carries the call from now on."""
        if self.next_wire is None or self.wire is None or self._input_ended:
            return
        self.wire, self.next_wire = self.next_wire, None
        self.options = self.next_options
        self.connections += 1
        self.recognition.use(dialect_for(self.options))
        self.recognition.attach(self.wire.session, self.now)
        self._take()

    def wait(self, milliseconds: int) -> None:
        """Time passes. A live server answers within `_SLOWEST_S`."""
        until = self.now + milliseconds / 1000
        if self._unsettled_s + milliseconds / 1000 > _SLOWEST_S:
            self.settle()
        while (due := self.recognition.deadline) is not None and due <= until:
            if self.wire is None:
                break
            self.now = max(self.now, due)
            self.recognition.tick(self.now)
            self._take()
            self.settle()
        self._unsettled_s += until - self.now
        self.now = until
        if self.now - self._pushed_s >= _MUTED_AFTER_S:
            self.mutes.add(self.pushed)

    def end_input(self) -> None:
        self._input_ended = True
        self.recognition.end_input()
        self._take()

    # To the end

    def settle(self) -> None:
        """Everything that is under way arrives."""
        self._unsettled_s = 0.0
        while self.wire is not None:
            before = self._progress()
            self.send(ALL)
            self.arrive(ALL)
            self.recognize(ALL)
            self.receive(ALL)
            if self._progress() == before:
                return

    def finish(self) -> None:
        """The rest is said, and the call ends within a minute or two."""
        self.push(ALL)
        self.end_input()
        for _ in range(200):
            self.connect()
            self.settle()
            if self.is_over:
                return
            self.wait(1000)
        raise AssertionError("the call never ends")

    def _progress(self) -> tuple[object, ...]:
        wire = self.wire
        if wire is None:
            return ()
        return id(wire), wire.session.cursor, wire.session.state, len(self.events), len(wire.up)

    def _take(self) -> None:
        """What `SpeechStream` does after whatever happens."""
        self.recognition.advance(self.now)
        self.events += self.recognition.take_events()
        if self.wire is None or self.is_over:
            return
        if self.recognition.is_done:
            self._finish()
        elif self.recognition.error is not None or self.wire.session.state is State.FAILED:
            self.wire = self.next_wire = None

    def _finish(self) -> None:
        self.wire = self.next_wire = None
        self.is_over = True
        self.recognition.give_up()
        self.events += self.recognition.take_events()


# What must be true of any call


def check(call: Call) -> None:
    """Every word once, in order, in its place; and every event in its order."""
    check_words(call)
    check_interims(call.events)
    check_grammar(call.events, call.suspended)
    check_flushes(call)
    used = sum(event.samples for event in call.events if isinstance(event, Used))
    assert used == call.samples, "the usage is not what was pushed"
    assert not any(isinstance(event, AudioLost) for event in call.events)


def check_words(call: Call) -> None:
    truth = {word.text: word for word in call.speech.words}
    finals = [event.hypothesis for event in call.events if isinstance(event, Final)]
    heard = [word for final in finals for word in final.words]
    assert [plain(word.text) for word in heard] == list(truth)
    assert not any(final.is_promoted for final in finals)
    cuts = [*(position for position, _ in call.flushes), *call.mutes]
    begun = 0  # the end of the last word before, and so before this final's audio
    for final in finals:
        for word in final.words:
            spoken = truth[plain(word.text)]
            start, end = spoken.start_samples, spoken.end_samples
            assert word.start == start, f"{word} is off by {word.start - start} samples"
            if word.end != end:
                assert start < word.end < end, f"{word} ends {word.end - end} samples too late"
                made_up = _MADE_UP_SAMPLES * sum(begun <= cut <= word.end for cut in cuts)
                is_forced = word.end - begun + made_up > call.shortest_limit - 1024
                assert word.end in cuts or is_forced, f"{word} is cut short"
        assert final.text == " ".join(word.text for word in final.words)
        begun = final.end


def check_interims(events: Sequence[Event]) -> None:
    """An interim restates what has no final yet, and nothing else."""
    said: set[str] = set()
    for event in events:
        if isinstance(event, Interim):
            assert said.isdisjoint(map(plain, event.hypothesis.text.split()))
        elif isinstance(event, Final):
            said.update(map(plain, event.hypothesis.text.split()))


def check_grammar(events: Sequence[Event], suspended: Sequence[int] = ()) -> None:
    """(START INTERIM* FINAL+ END)*, with an empty interim and an empty final anywhere.

    Args:
        suspended: Where a stream ended that another goes on from: it owes no final.
    """
    utterance = finals = 0
    is_wordless = False  # so far
    shown = ""  # the interim that stands
    first = last = 0
    for number, event in enumerate(events):
        if isinstance(event, SpeechStarted):
            assert utterance == 0
            utterance, finals, is_wordless = event.utterance, 0, event.is_wordless
            first, last = event.at, event.at
        elif isinstance(event, SpeechEnded):
            assert event.utterance == utterance != 0
            if not any(number < end <= number + 2 for end in suspended):  # its usage may follow
                assert finals, "an utterance without a final"
                assert not shown, "an interim that nothing took back"
            assert event.at >= last, "an end of speech before the end of the last word"
            utterance = 0
        elif isinstance(event, Interim):
            assert utterance or not event.hypothesis.text
            shown = event.hypothesis.text
        elif isinstance(event, Final):
            if event.hypothesis.text:
                assert event.utterance == utterance != 0
                finals += 1
                if finals == 1 and not is_wordless:
                    assert event.hypothesis.start == first, "a start of speech beside its words"
                last = event.hypothesis.end
            else:
                assert not shown, "an empty final without the empty interim"
                finals += is_wordless
            shown = ""
    assert utterance == 0, "a start of speech without its end"


def check_flushes(call: Call) -> None:
    """Each is answered by a final, once everything that was said before it is final."""
    truth = call.speech.words
    empty = 0
    for event in call.events:
        empty += isinstance(event, Final) and not event.hypothesis.text
        empty -= isinstance(event, SpeechStarted) and event.is_wordless
    assert empty <= len(call.flushes), "more empty answers than questions"
    for position, asked in call.flushes:
        for event in call.events:
            if isinstance(event, Final) and event.hypothesis.words:
                first, last = event.hypothesis.words[0], event.hypothesis.words[-1]
                # Of less than two frames, the server's detector may have heard nothing.
                is_both = first.start + 1024 <= position <= last.start
                assert not is_both, f"no end at {position}"
        before = {word.text for word in truth if word.start_samples + 2 < position}
        for index, event in enumerate(call.events):
            if not isinstance(event, Final):
                continue
            before -= {plain(word.text) for word in event.hypothesis.words}
            if index >= asked and not before:
                break
        else:
            raise AssertionError(f"the flush at {position} has no answer")


def check_pauses(call: Call) -> None:
    """A long pause ends an utterance; a short one does not."""
    truth = {word.text: word for word in call.speech.words}
    utterance_of: dict[str, int] = {}
    for event in call.events:
        if isinstance(event, Final):
            for word in event.hypothesis.words:
                utterance_of[plain(word.text)] = event.utterance
    words = list(truth.values())
    for one, other in itertools.pairwise(words):
        pause = other.start_samples - one.end_samples
        same = utterance_of[one.text] == utterance_of[other.text]
        if pause >= PAUSE_ENDS_SAMPLES:
            assert not same, f"{pause} samples of silence between {one.text} and {other.text}"
        elif pause < PAUSE_JOINS_SAMPLES:
            assert same, f"{pause} samples of silence between {one.text} and {other.text}"


# Eleven silent frames end an utterance; where frames begin depends on where a connection began.
PAUSE_JOINS_SAMPLES = 11 * 512
PAUSE_ENDS_SAMPLES = 12 * 512 - 1


def plain(text: str) -> str:
    """A word without what its recognizer noted of its length."""
    return re.sub(r"!\d+$", "", text)


def seconds(value: float) -> int:
    return round(value * SAMPLE_RATE_HZ)
