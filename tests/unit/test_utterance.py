"""The utterance under way: when it starts, what is shown of it, when it is over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livekit.plugins.baseten._core.events import (
    NOTHING,
    Event,
    Final,
    Hypothesis,
    Interim,
    Preflight,
    SpeechEnded,
    SpeechStarted,
)
from livekit.plugins.baseten._core.utterance import Phase, Utterance


def said(text: str, start: int = 100, end: int = 200, **more: Any) -> Hypothesis:
    return Hypothesis(text, start, end, **more)


SILENCE = said("", 0, 50)


def taken(utterance: Utterance) -> list[Event]:
    out = list(utterance.events)
    utterance.events.clear()
    return out


def yes() -> bool:
    return True


def no() -> bool:
    return False


def phase_of(utterance: Utterance) -> Phase:
    """Asked anew: a type checker believes that an attribute stays what it was."""
    return utterance.phase


def test_words_start_an_utterance_and_its_final_ends_it() -> None:
    utterance = Utterance([])
    utterance.show(said("turn", 100, 150))
    utterance.show(said("turn on", 100, 200))
    assert phase_of(utterance) is Phase.SPEAKING
    utterance.finalize(said("turn on.", 90, 210), goes_on=False)
    assert phase_of(utterance) is Phase.QUIET
    assert taken(utterance) == [
        SpeechStarted(1, 100),
        Interim(1, said("turn", 100, 150)),
        Interim(1, said("turn on", 100, 200)),
        Final(1, said("turn on.", 90, 210)),
        SpeechEnded(1, 210),
    ]
    assert taken(utterance) == []


def test_a_final_without_a_partial_is_a_whole_utterance() -> None:
    utterance = Utterance([])
    utterance.finalize(said("yes"), goes_on=False)
    assert taken(utterance) == [
        SpeechStarted(1, 100),
        Final(1, said("yes")),
        SpeechEnded(1, 200),
    ]


def test_utterances_are_counted() -> None:
    utterance = Utterance([])
    for _ in range(3):
        utterance.finalize(said("yes"), goes_on=False)
    assert [e.utterance for e in taken(utterance) if isinstance(e, SpeechStarted)] == [
        1,
        2,
        3,
    ]


def test_an_empty_final_opens_no_utterance() -> None:
    utterance = Utterance([])
    assert not utterance.finalize(SILENCE, goes_on=False)
    assert not utterance.finalize(SILENCE, goes_on=True)
    assert taken(utterance) == []
    assert not utterance.is_open


def test_an_empty_final_takes_back_what_was_shown() -> None:
    utterance = Utterance([])
    utterance.show(said("hm", 100, 150))
    assert utterance.finalize(SILENCE, goes_on=False)
    assert taken(utterance) == [
        SpeechStarted(1, 100),
        Interim(1, said("hm", 100, 150)),
        Interim(1, NOTHING),
        Final(1, NOTHING),
        SpeechEnded(1, 150),
    ]


def test_a_forced_final_is_no_end_of_speech() -> None:
    utterance = Utterance([])
    utterance.show(said("one", 100, 150))
    utterance.finalize(said("one two", 100, 400), goes_on=True)
    assert phase_of(utterance) is Phase.CONTINUING
    assert utterance.is_open
    assert not utterance.is_owed_a_final
    utterance.show(said("three", 420, 500))
    utterance.finalize(said("three four", 420, 600), goes_on=False)
    events = taken(utterance)
    assert [type(e) for e in events].count(SpeechStarted) == 1
    assert events[-1] == SpeechEnded(1, 600)
    assert [type(e) for e in events].count(SpeechEnded) == 1


def test_a_final_of_several_speakers_is_one_utterance() -> None:
    utterance = Utterance([])
    utterance.show(said("yes no"))
    utterance.finalize(
        said("yes", 100, 200, speaker="A"),
        SILENCE,
        said("no", 250, 300, speaker="B"),
        goes_on=False,
    )
    kinds = [type(event) for event in taken(utterance)]
    assert kinds == [SpeechStarted, Interim, Final, Final, SpeechEnded]


def test_a_final_of_nobody_takes_back_what_was_shown() -> None:
    utterance = Utterance([])
    utterance.show(said("hm"))
    utterance.finalize(goes_on=False)
    kinds = [type(event) for event in taken(utterance)]
    assert kinds == [SpeechStarted, Interim, Interim, Final, SpeechEnded]


def test_nothing_after_a_forced_final_ends_the_speech_all_the_same() -> None:
    utterance = Utterance([])
    utterance.finalize(said("one", 100, 400), goes_on=True)
    taken(utterance)
    utterance.finalize(SILENCE, goes_on=False)
    assert taken(utterance) == [SpeechEnded(1, 400)]


def test_what_was_shown_stands_if_no_final_comes() -> None:
    utterance = Utterance([])
    utterance.show(said("turn on", confidence=0.5, language="en"))
    assert utterance.is_owed_a_final
    returned = utterance.abandon()
    promoted = said("turn on", confidence=0.5, language="en", is_promoted=True)
    assert returned == promoted
    assert taken(utterance)[-2:] == [Final(1, promoted), SpeechEnded(1, 200)]
    assert not utterance.is_owed_a_final
    assert utterance.abandon() is None
    assert taken(utterance) == []


def test_the_end_is_the_latest_that_was_heard_of() -> None:
    utterance = Utterance([])
    utterance.show(said("one two", 100, 300))
    utterance.finalize(said("one", 100, 200), goes_on=False)
    assert taken(utterance)[-1] == SpeechEnded(1, 300)


def test_an_answer_to_a_flush_takes_the_interim_back_before_it() -> None:
    utterance = Utterance([])
    utterance.answer_empty()
    assert taken(utterance) == [Interim(0, NOTHING), Final(0, NOTHING)]


# Preflight


def preflights(utterance: Utterance) -> list[tuple[int, str]]:
    return [(e.utterance, e.hypothesis.text) for e in taken(utterance) if type(e) is Preflight]


def test_an_interim_that_came_twice_with_silence_behind_it_is_worth_an_answer_once() -> None:
    utterance = Utterance([], preflight=True)
    utterance.show(said("yes"), has_paused=yes)
    utterance.show(said("yes"), has_paused=no)
    assert preflights(utterance) == []
    utterance.show(said("yes"), has_paused=yes)
    assert preflights(utterance) == [(1, "yes")]
    utterance.show(said("yes"), has_paused=yes)
    assert preflights(utterance) == []


def test_an_interim_that_changed_is_not() -> None:
    utterance = Utterance([], preflight=True)
    utterance.show(said("yes"), has_paused=yes)
    utterance.show(said("yes sir"), has_paused=yes)
    assert preflights(utterance) == []
    utterance.show(said("yes sir"), has_paused=yes)
    assert preflights(utterance) == [(1, "yes sir")]


def test_the_same_words_in_the_next_utterance_are_again() -> None:
    utterance = Utterance([], preflight=True)
    for _ in range(2):
        utterance.show(said("yes"), has_paused=yes)
        utterance.show(said("yes"), has_paused=yes)
        utterance.finalize(said("yes"), goes_on=False)
    assert preflights(utterance) == [(1, "yes"), (2, "yes")]


def test_nobody_is_told_who_did_not_ask() -> None:
    utterance = Utterance([])
    utterance.show(said("yes"), has_paused=yes)
    utterance.show(said("yes"), has_paused=yes)
    assert preflights(utterance) == []


# Whatever happens


texts = st.sampled_from(["", "a", "a b"])
steps = st.lists(
    st.tuples(st.just("guess"), st.sampled_from(["a", "a b"]), st.just(False))
    | st.tuples(st.just("final"), texts, st.booleans())
    | st.tuples(st.sampled_from(["abandon", "answer"]), st.just(""), st.just(False)),
    max_size=25,
)


@given(steps)
def test_every_start_gets_its_end_and_no_word_is_shown_outside(
    plan: list[tuple[str, str, bool]],
) -> None:
    utterance, events = Utterance([]), list[Event]()
    for at, (step, text, goes_on) in enumerate(plan):
        hypothesis = said(text, at * 10, at * 10 + 5)
        if step == "guess":
            utterance.show(hypothesis)
        elif step == "final":
            utterance.finalize(hypothesis, goes_on=goes_on)
        elif step == "abandon":
            utterance.abandon()
        else:
            utterance.answer_empty()
        events += taken(utterance)
    utterance.abandon()
    events += taken(utterance)
    open_number, started_at = 0, 0
    for event in events:
        if isinstance(event, SpeechStarted):
            assert not open_number
            open_number, started_at = event.utterance, event.at
        elif isinstance(event, SpeechEnded):
            assert event.utterance == open_number
            assert event.at >= started_at
            open_number = 0
        elif isinstance(event, (Interim, Final)) and event.hypothesis.text:
            assert event.utterance == open_number
    assert not open_number
    assert not utterance.is_open


@pytest.mark.parametrize("goes_on", [True, False])
def test_each_interim_is_followed_by_a_final_before_the_speech_ends(goes_on: bool) -> None:
    utterance = Utterance([])
    utterance.show(said("hm"))
    utterance.finalize(SILENCE, goes_on=goes_on)
    utterance.abandon()
    kinds = [type(e) for e in taken(utterance)]
    assert kinds == [SpeechStarted, Interim, Interim, Final, SpeechEnded]


def test_what_was_shown_is_not_said_where_another_stream_will_say_it() -> None:
    utterance = Utterance([])
    utterance.suspend()
    assert taken(utterance) == []
    utterance.show(said("turn on"))
    utterance.suspend()
    assert [type(event) for event in taken(utterance)] == [SpeechStarted, Interim, SpeechEnded]
    assert not utterance.is_owed_a_final
    utterance.finalize(said("turn on"), goes_on=False)
    assert [type(event) for event in taken(utterance)] == [SpeechStarted, Final, SpeechEnded]
