"""Whatever order things happen in, every word comes once, in its place.

A `Recognition` against the emulator's core, without sockets, event loop or clock: audio is pushed,
travels, is recognized, its results travel back, the connection is cut, the stream fails and another
one goes on, options change, flushes are asked for and time passes, in any order.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.in_memory import (
    PAUSE_ENDS_SAMPLES,
    PAUSE_JOINS_SAMPLES,
    Call,
    check,
    check_pauses,
    seconds,
)

from livekit.plugins.baseten._core.events import (
    AudioLost,
    Final,
    FlushAnswered,
    SpeechEnded,
    SpeechStarted,
)
from livekit.plugins.baseten._core.options import Model, Options
from livekit.plugins.baseten._core.recognition import Recognition
from livekit.plugins.baseten._core.retries import Blame
from livekit.plugins.baseten._core.session import Patience
from livekit.plugins.baseten._core.wire import dialect_for
from livekit.plugins.baseten.emulator import CodedSpeech, coded_speech

# Numbered from here, so that they are loud: a sample's value is its word's number.
FIRST_WORD = 1001

# On both sides of what ends an utterance, and of a frame.
GAPS: tuple[int, ...] = (0, 1, 511, 800, 3000, 5120, PAUSE_JOINS_SAMPLES - 1, PAUSE_JOINS_SAMPLES)
GAPS += (PAUSE_ENDS_SAMPLES, PAUSE_ENDS_SAMPLES + 1, 7000, 16_000, 40_000)
# At least two frames: where the server's buffer runs over, its detector misses one.
LENGTHS = (1024, 1500, 4000, 9000)

# Of the server's buffer: at one second, finals are forced and silence is thrown away all the time.
LIMITS_S = (1, 2, 30)


def options(
    model: Model, limit_s: int = 30, interval_s: float = 0.5, silence_s: float = 0.3
) -> Options:
    """An interval of 0 is for no partials."""
    return Options.create(
        model,
        final_transcript_max_duration_s=limit_s,
        enable_partial_transcripts=interval_s > 0,
        partial_transcript_interval_s=interval_s or 0.5,
        vad_min_silence_duration_ms=round(silence_s * 1000),
        show_word_timestamps=True,
    )


layouts = st.lists(
    st.tuples(st.sampled_from(GAPS), st.sampled_from(LENGTHS)), min_size=1, max_size=8
)
rests = st.sampled_from((0, 300, 6144, 20_000))

# Seconds of the limit, of the interval between partials and of silence that ends an utterance.
asked = st.tuples(
    st.sampled_from(LIMITS_S), st.sampled_from((0.1, 0.5, 3.0, 0.0)), st.sampled_from((0.3, 0.1))
)

Layout = list[tuple[int, int]]
Asked = tuple[int, float, float]
Step = tuple[str, Any]

# The connection moves more often than it is cut, or nothing ever arrives.
_moves = st.one_of(
    st.tuples(st.just("push"), st.sampled_from((1, 160, 512, 800, 5000, 20_000))),
    st.tuples(st.just("send"), st.sampled_from((1, 4, 32, 400))),
    st.tuples(st.just("arrive"), st.sampled_from((1, 4, 32, 400))),
    st.tuples(st.just("recognize"), st.sampled_from((1, 2, 50))),
    st.tuples(st.just("receive"), st.sampled_from((1, 2, 50))),
)
_bursts = st.tuples(st.just("settle"), st.none())
_breaks = st.one_of(
    st.tuples(st.just("cut"), st.just(0)),
    st.tuples(st.just("fail"), st.just(0)),
    st.tuples(st.just("connect"), st.just(0)),
    st.tuples(st.just("flush"), st.just(0)),
    st.tuples(st.just("repeat"), st.sampled_from((0, 1))),
    st.tuples(st.just("change"), asked),
    st.tuples(st.just("take_over"), st.just(0)),
)
_waits = st.tuples(st.just("wait"), st.sampled_from((1, 50, 700, 1100, 3500, 9000, 25_000)))
steps = st.lists(st.one_of(_moves, _moves, _bursts, _breaks, _waits), max_size=50)


def spoken(layout: Layout, rest: int = 0) -> CodedSpeech:
    return coded_speech(layout, trailing_samples=rest, first_word=FIRST_WORD)


def run(call: Call, script: list[Step]) -> None:
    call.connect()
    for name, argument in script:
        if name == "settle":
            call.settle()
        elif name == "change":
            call.change(options(call.options.model, *argument))
        else:
            getattr(call, name)(argument)
    call.finish()
    check(call)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(layouts, rests, asked, steps)
def test_any_interleaving_gives_every_word_once_in_its_place(
    model: Model, layout: Layout, rest: int, first: Asked, script: list[Step]
) -> None:
    run(Call(spoken(layout, rest), options(model, *first)), script)


# By seed, with more steps: what a search by Hypothesis would shrink best it also visits least.


def random_steps(rng: random.Random, count: int) -> list[Step]:
    weights = {"push": 10, "send": 6, "arrive": 6, "recognize": 5, "receive": 5, "settle": 3}
    weights |= {
        "cut": 2,
        "fail": 1,
        "connect": 6,
        "flush": 1,
        "change": 1,
        "take_over": 2,
        "wait": 3,
        "repeat": 2,
    }
    arguments: dict[str, tuple[Any, ...]] = {
        "push": (1, 160, 512, 800, 5000, 20_000),
        "send": (1, 4, 32, 400),
        "arrive": (1, 4, 32, 400),
        "recognize": (1, 2, 50),
        "receive": (1, 2, 50),
        "repeat": (0, 1),
        "wait": (1, 50, 700, 1100, 3500, 9000, 25_000),
    }
    names = rng.choices(list(weights), list(weights.values()), k=count)
    return [
        (name, random_asked(rng) if name == "change" else rng.choice(arguments.get(name, (0,))))
        for name in names
    ]


def random_asked(rng: random.Random) -> Asked:
    return rng.choice(LIMITS_S), rng.choice((0.1, 0.5, 3.0, 0.0)), rng.choice((0.3, 0.1))


@pytest.mark.parametrize("seed", range(2))
def test_fifty_long_scripts_give_every_word_once_in_its_place(model: Model, seed: int) -> None:
    for case in range(50):
        rng = random.Random(100 * seed + case)
        layout = [(rng.choice(GAPS), rng.choice(LENGTHS)) for _ in range(rng.randint(1, 25))]
        call = Call(
            spoken(layout, rng.choice((0, 300, 20_000))), options(model, *random_asked(rng))
        )
        run(call, random_steps(rng, rng.randint(10, 250)))


@pytest.mark.parametrize("seed", range(2))
def test_voices_heard_here_rightly_or_not_change_no_word(model: Model, seed: int) -> None:
    for case in range(40):
        rng = random.Random(1000 + 100 * seed + case)
        layout = [(rng.choice(GAPS), rng.choice(LENGTHS)) for _ in range(rng.randint(1, 20))]
        call = Call(
            spoken(layout, rng.choice((0, 300, 20_000))), options(model, *random_asked(rng))
        )
        steps = random_steps(rng, rng.randint(10, 150))
        for _ in range(rng.randint(2, 20)):
            steps.insert(rng.randrange(len(steps)), ("voice", rng.random() < 0.5))
        run(call, steps)


# What a search has found, and what it would take long to find.


def test_a_user_who_mutes_in_mid_word_is_heard_once(model: Model) -> None:
    call = Call(spoken([(800, 20_000), (8000, 4000)], 300), options(model))
    call.connect()
    call.push(12_000)
    for _ in range(60):
        call.wait(1000)
        call.connect()
    assert call.recognition.is_pausing, "somebody waits for the end of speech"
    call.finish()
    check(call)
    assert call.connections == 1, "a mute costs no connection"


@pytest.mark.parametrize("cut_after_s", [None, 29.9, 30.1])
def test_speech_that_goes_on_for_longer_than_the_server_listens(
    model: Model, cut_after_s: float | None
) -> None:
    call = Call(spoken([(800, 4000)] * 220, 8000), options(model))  # 66 s
    call.connect()
    while call.pushed < call.samples:
        call.push(1600)
        call.wait(100)
        call.settle()
        if cut_after_s is not None and call.pushed >= seconds(cut_after_s) > call.pushed - 1600:
            call.cut()
            call.connect()
    call.finish()
    check(call)
    utterances = {event.utterance for event in call.events if isinstance(event, SpeechStarted)}
    assert utterances == {1}, "a final that is forced ends no utterance"


@pytest.mark.parametrize("cut_after_s", [None, 10.0, 31.0, 64.0, 95.0])
def test_silence_that_the_server_throws_away(model: Model, cut_after_s: float | None) -> None:
    """Words around two silences that are longer than its buffer, the second after a flush."""
    call = Call(
        spoken([(800, 4000), (seconds(65.01), 4000), (seconds(33), 4000)], 8000), options(model)
    )
    call.connect()
    while call.pushed < call.samples:
        call.push(1600)
        call.wait(100)
        call.settle()
        if call.pushed == seconds(66):
            call.flush()
        if cut_after_s is not None and call.pushed == seconds(cut_after_s):
            call.cut()
            call.connect()
    call.finish()
    check(call)


@pytest.mark.parametrize("seed", range(10))
def test_pauses_end_utterances_and_cuts_do_not(model: Model, seed: int) -> None:
    rng = random.Random(seed)
    layout = [(rng.choice(GAPS), rng.choice(LENGTHS)) for _ in range(20)]
    call = Call(spoken(layout, 8000), options(model))
    call.connect()
    while call.pushed < call.samples:
        call.push(rng.choice((160, 512, 1600)))
        call.wait(30)
        if rng.random() < 0.1:
            call.cut()
        call.connect()
        if rng.random() < 0.5:
            call.settle()
        else:
            call.send(rng.randint(1, 9))
            call.arrive(rng.randint(1, 9))
    call.finish()
    check(call)
    check_pauses(call)
    assert call.connections > 5


def test_a_flush_in_mid_word_cuts_it_and_says_its_rest_never(model: Model) -> None:
    call = Call(spoken([(800, 9000), (1000, 4000)], 8000), options(model))
    call.connect()
    call.push(5000)
    call.settle()
    call.flush()
    call.settle()
    call.cut()
    call.connect()
    call.finish()
    check(call)


def test_a_flush_that_no_server_heard_is_asked_again(model: Model) -> None:
    call = Call(spoken([(800, 4000)], 0), options(model))
    call.connect()
    call.push(4800)
    call.flush()
    call.send(400)
    call.arrive(10)
    call.cut()
    call.connect()
    call.settle()
    assert any(isinstance(event, SpeechEnded) for event in call.events)
    call.finish()
    check(call)


def test_an_answer_to_one_flush_is_none_to_what_was_said_since(model: Model) -> None:
    call = Call(spoken([(3000, 4000), (16_000, 4000), (3000, 4000)], 8000), options(model, 30, 3.0))
    call.connect()
    call.push(160)
    call.flush()  # of silence
    call.push(26_840)  # to the end of the second word, before that answer
    call.wait(1100)
    call.flush()
    call.finish()
    check(call)


def test_a_rest_without_a_word_does_not_end_the_utterance_after_it(model: Model) -> None:
    """A new connection ends on its own what the one before had taken for one with what follows."""
    call = Call(
        spoken([(3000, 9000), (3000, 9000), (5631, 9000)], 300), options(model, 2, 0.1, 0.1)
    )
    call.connect()
    call.push(20_000)
    call.flush()  # in mid-word: its rest says nothing
    call.change(options(model, 2, 0.5, 0.3))
    call.wait(1100)
    call.push(20_000)
    call.take_over()
    call.wait(1)
    call.change(options(model, 2, 3.0, 0.1))
    call.take_over()
    call.finish()
    check(call)
    starts = [event.at for event in call.events if isinstance(event, SpeechStarted)]
    assert len(starts) == len(set(starts)), "one start of speech for one utterance"


def test_each_flush_has_its_own_answer(model: Model) -> None:
    """Two flushes at one place: the answer to the second is not that of the third."""
    call = Call(spoken([(5631, 4000)], 20_000), options(model, interval_s=3.0))
    run(
        call,
        [
            ("push", 1),
            ("flush", 0),
            ("flush", 0),
            ("send", 400),
            ("arrive", 400),
            ("recognize", 50),
            ("push", 20_000),
            ("send", 400),
            ("flush", 0),
            ("send", 32),
            ("receive", 2),
            ("cut", 0),
        ],
    )


def test_an_empty_answer_is_for_what_was_asked_and_not_for_what_came_since(model: Model) -> None:
    call = Call(spoken([(800, 4000), (16_000, 4000), (800, 4000)], 300), options(model))
    call.connect()
    call.push(14_000)
    call.settle()
    call.push(3000)
    call.flush()
    call.send(400)
    call.arrive(400)
    call.recognize(50)
    call.push(6000)  # the second word begins, while the answer is under way
    call.receive(50)
    call.flush()
    call.finish()
    check(call)


def test_an_empty_partial_says_nothing_about_where_speech_begins(model: Model) -> None:
    call = Call(spoken([(800, 9000), (800, 4000)], 20_000), options(model, interval_s=0.1))
    call.connect()
    call.push(5000)
    call.flush()  # in mid-word: what is left of it has no text
    call.settle()
    call.push(20_000)
    call.settle()
    call.finish()
    check(call)


def test_each_flush_says_when_it_was_asked_and_whether_words_answered_it(model: Model) -> None:
    call = Call(spoken([(800, 4000), (800, 4000)], 20_000), options(model))
    call.connect()
    call.push(9000)
    call.flush()  # of a word and the beginning of another
    call.settle()
    call.push(12_000)
    call.settle()
    call.push(4000)
    call.now += 0.5
    call.flush()  # of silence: Qwen3-ASR answers with an empty final, Whisper with none
    call.settle()
    call.finish()
    answered = [event for event in call.events if isinstance(event, FlushAnswered)]
    assert [answer.has_words for answer in answered] == [True, False]
    assert answered[0].asked_s < answered[1].asked_s <= call.now


def test_a_flush_waits_for_the_connection_after_the_one_that_was_lost(model: Model) -> None:
    call = Call(spoken([(800, 4000), (800, 4000)], 300), options(model))
    call.connect()
    call.push(9000)
    call.flush()
    call.send(400)
    call.cut()
    call.wait(3500)
    call.push(300)  # whoever pushes meanwhile looks whether there is anything new
    assert call.events == []
    call.finish()
    check(call)


# A stream that fails


def test_an_outage_is_never_the_fault_of_the_audio(model: Model) -> None:
    call = Call(spoken([(800, 9000)], 300), options(model))
    call.push(6000)
    for _ in range(10):
        call.fail()
        assert not call.recognition.is_stuck
    call.finish()
    check(call)


def test_after_three_streams_that_servers_failed_at_it_audio_is_given_up(model: Model) -> None:
    call = Call(spoken([(800, 9000), (16_000, 4000)], 8000), options(model))
    call.push(6000)
    for failures in (1, 2, 3):
        call.recognition.detach(Blame.PERHAPS)
        assert call.recognition.is_stuck is (failures == 3)
    call.recognition.drop_rest()
    assert call.recognition.take_events() == [AudioLost(6000)]
    assert not call.recognition.is_stuck, "what comes behind it is other audio"


def test_audio_that_a_server_objects_to_is_given_up_at_once(model: Model) -> None:
    call = Call(spoken([(800, 9000)], 300), options(model))
    call.push(6000)
    call.recognition.detach(Blame.YES)
    assert call.recognition.is_stuck


def test_nobody_spoke_in_what_is_not_lost(model: Model) -> None:
    call = Call(spoken([(16_000, 4000)], 0), options(model))
    call.push(16_000)
    call.recognition.detach(Blame.NO)
    call.recognition.drop_rest()
    assert call.recognition.take_events() == []


def test_a_stream_that_fails_under_an_open_connection_keeps_no_more_than_it_may(
    model: Model,
) -> None:
    """As after a defect of this package: nobody told the session, and nobody will send for it."""
    call = Call(spoken([(800, 40_000)], 40_000), options(model), replay_s=1.0)
    call.connect()
    call.push(8000)
    call.settle()
    call.recognition.detach(Blame.PERHAPS)
    for _ in range(4):
        call.now += 2.0
        call.push(16_000)
    journal = call.recognition.journal
    assert journal.stop - journal.start <= 16_000
    assert sum(e.samples for e in call.events if isinstance(e, AudioLost)) > 0
    assert call.recognition.deadline is None


@pytest.mark.parametrize("stream_fails", [False, True])
def test_a_language_that_was_heard_holds_on_the_next_connection(stream_fails: bool) -> None:
    dialect = dialect_for(Options.create("whisper", language="auto"))
    recognition = Recognition(dialect, Patience(), replay_s=60.0)
    recognition.push(b"\1\0" * 32_000, 32_000, 0.0)
    for language, end_s in (("de", 1.0), (None, 0.5)):
        session = recognition.new_session()
        session.start(0.0)
        recognition.attach(session, 0.0)
        recognition.take_outgoing(0.0, 1000)
        segment = {"text": "ja", "start_time": 0.0, "end_time": end_s}
        result = {"is_final": True, "language_code": language, "segments": [segment]}
        session.receive(json.dumps({"type": "transcription", **result}), 0.0)
        session.receive_close(1006)
        recognition.advance(0.0)
        if stream_fails:
            recognition.detach(Blame.NO)
    finals = [e.hypothesis for e in recognition.take_events() if isinstance(e, Final)]
    assert [final.language for final in finals] == ["de", "de"]
