"""Voices that a detector beside the server's hears: when they start an utterance and end one."""

from __future__ import annotations

import pytest
from kit.in_memory import Call, check, seconds

from livekit.plugins.baseten._core.events import (
    Event,
    Final,
    Interim,
    SpeechEnded,
    SpeechStarted,
    Used,
)
from livekit.plugins.baseten._core.options import Model, Options
from livekit.plugins.baseten.emulator import coded_speech

# A word after a second, and two more with a pause before them that ends no utterance at the server.
SPEECH = coded_speech(
    [(16_000, 8000), (4000, 8000), (800, 4000)], trailing_samples=32_000, first_word=1001
)


def call_of(model: Model, **options: object) -> Call:
    asked = {"show_word_timestamps": True, "vad_min_silence_duration_ms": 2000, **options}
    call = Call(SPEECH, Options.create(model, **asked))
    call.connect()
    return call


def kinds(call: Call) -> list[str]:
    return [_kind(event) for event in call.events if not isinstance(event, (Interim, Used))]


def _kind(event: Event) -> str:
    is_empty = isinstance(event, Final) and not event.hypothesis.text
    return "Nothing" if is_empty else type(event).__name__


def test_speech_starts_with_the_voice_and_ends_with_it(model: Model) -> None:
    call = call_of(model)
    call.push(17_000)
    call.voice(True)
    assert kinds(call) == ["SpeechStarted"]
    call.push(11_000)
    call.voice(False)
    call.settle()
    spoken = ["SpeechStarted", "Final", "SpeechEnded"]
    assert kinds(call) == spoken, "two seconds before the server would have"
    call.finish()
    check(call)


def test_a_voice_without_words_ends_and_answers_nothing_else(model: Model) -> None:
    call = call_of(model)
    call.push(8000)
    call.voice(True)
    call.push(1600)
    call.voice(False)
    call.settle()
    call.wait(2500)
    assert kinds(call) == ["SpeechStarted", "Nothing", "SpeechEnded"]
    assert call.recognition.is_pausing
    call.finish()
    check(call)


def test_a_voice_that_never_stops_and_says_nothing_ends(model: Model) -> None:
    options = Options.create(model, show_word_timestamps=True)
    call = Call(coded_speech([(80_000, 8000)], first_word=1001), options)
    call.connect()
    call.voice(True)
    for second in range(4):
        is_over = second == 3
        assert kinds(call) == ["SpeechStarted", *["Nothing", "SpeechEnded"] * is_over]
        call.push(16_000)
        call.wait(1000)
    call.finish()
    check(call)


def test_without_partials_words_are_waited_for_as_long_as_the_voice_is_there(model: Model) -> None:
    call = call_of(model, enable_partial_transcripts=False)
    call.push(17_000)
    call.voice(True)
    call.wait(1500)
    call.push(11_000)
    call.wait(1900)
    assert kinds(call) == ["SpeechStarted"]
    call.voice(False)
    call.settle()
    assert kinds(call) == ["SpeechStarted", "Final", "SpeechEnded"]
    call.finish()
    check(call)


def test_a_voice_that_begins_before_the_final_of_the_one_before_starts_the_next(
    model: Model,
) -> None:
    call = call_of(model)
    call.push(17_000)
    call.voice(True)
    call.push(10_000)
    call.voice(False)
    call.send(400)
    call.push(2000)
    call.voice(True)  # its answer is still on its way
    call.settle()
    starts = [event for event in call.events if isinstance(event, SpeechStarted)]
    ends = [event for event in call.events if isinstance(event, SpeechEnded)]
    assert [start.at for start in starts] == [16_000, 28_000]
    assert [end.utterance for end in ends] == [1]
    call.finish()
    check(call)


def test_a_mute_ends_a_voice_that_no_detector_will_end(model: Model) -> None:
    call = call_of(model, enable_partial_transcripts=False)
    call.push(12_000)
    call.voice(True)
    for _ in range(6):
        call.wait(1000)
        call.settle()
    assert kinds(call) == ["SpeechStarted", "Nothing", "SpeechEnded"]
    call.finish()
    check(call)


@pytest.mark.parametrize("breaks", ["cut", "fail"])
def test_an_outage_in_mid_voice_leaves_no_start_without_its_end(model: Model, breaks: str) -> None:
    call = call_of(model)
    call.push(20_000)
    call.voice(True)
    getattr(call, breaks)()
    call.push(8000)
    call.voice(False)
    call.connect()
    call.settle()
    call.finish()
    check(call)


def test_a_voice_that_ended_long_ago_cuts_nothing_that_was_said_since(model: Model) -> None:
    call = call_of(model)
    call.push(17_000)
    call.voice(True)
    call.push(seconds(1.0))  # into the next word
    call.recognition.voice_stopped(24_000, call.now, is_recent=False)
    call.finish()
    check(call)
    finals = [event for event in call.events if isinstance(event, Final)]
    assert len(finals) == 1
