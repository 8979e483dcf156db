"""PREFLIGHT_TRANSCRIPT: an interim that will hardly change, for an answer before the final."""

from __future__ import annotations

from typing import Any

import pytest
from kit import grammar
from kit.client import Kind, of
from kit.loopback import QUICK, client, listening

from livekit.agents import stt
from livekit.plugins.baseten.emulator import (
    CodedRecognizer,
    CodedSpeech,
    coded_speech,
    faults,
    serve,
)

# The server waits two seconds of silence before it ends an utterance.
PATIENT: dict[str, Any] = {"vad_min_silence_duration_ms": 2000, "preflight": True}

PAUSE = 48_000
ONE = coded_speech([(8000, 4000)], trailing_samples=PAUSE, first_word=1001)


async def heard(
    speech: CodedSpeech, *plan: faults.Entry, model: Any = "whisper", **options: Any
) -> list[stt.SpeechEvent]:
    recognizer = CodedRecognizer(None)
    async with (
        serve(*plan, model=model, recognizer=recognizer) as server,
        client(server, model=model, **options) as speech_to_text,
        listening(speech_to_text, QUICK) as listener,
    ):
        listener.push(speech.pcm)
        listener.stream.end_input()
        events = await listener.ended()
    grammar.check(events)
    return events


def texts(kind: Kind, events: list[stt.SpeechEvent]) -> list[str]:
    return [event.alternatives[0].text for event in of(kind, events)]


def preflights(events: list[stt.SpeechEvent]) -> list[str]:
    return texts(Kind.PREFLIGHT_TRANSCRIPT, events)


async def test_it_is_off_by_default() -> None:
    assert preflights(await heard(ONE, vad_min_silence_duration_ms=2000)) == []


async def test_it_comes_once_two_partials_agree_and_before_the_final_with_its_text() -> None:
    events = await heard(ONE, **PATIENT)
    kinds = [event.type for event in events if event.type is not Kind.RECOGNITION_USAGE]
    at = kinds.index(Kind.PREFLIGHT_TRANSCRIPT)
    assert kinds[0] is Kind.START_OF_SPEECH
    assert kinds[1:at].count(Kind.INTERIM_TRANSCRIPT) >= 2
    assert kinds[-2:] == [Kind.FINAL_TRANSCRIPT, Kind.END_OF_SPEECH]
    assert at < len(kinds) - 2
    assert preflights(events) == texts(Kind.FINAL_TRANSCRIPT, events) == ["w1001"]


async def test_one_partial_alone_is_no_agreement() -> None:
    """The first one comes after a second, with silence in it already."""
    speech = coded_speech([(800, 4000)], trailing_samples=PAUSE, first_word=1001)
    events = await heard(speech, partial_transcript_interval_s=1.0, **PATIENT)
    kinds = [event.type for event in events]
    at = kinds.index(Kind.PREFLIGHT_TRANSCRIPT)
    assert kinds[:at].count(Kind.INTERIM_TRANSCRIPT) == 2
    assert preflights(events) == ["w1001"]


async def test_it_comes_well_before_the_final_would() -> None:
    events = await heard(ONE, **PATIENT)
    after = events[[e.type for e in events].index(Kind.PREFLIGHT_TRANSCRIPT) :]
    assert len(of(Kind.INTERIM_TRANSCRIPT, after)) >= 2, "a second of silence is still to come"


async def test_it_says_all_that_the_final_says() -> None:
    events = await heard(ONE, **PATIENT)
    (preflight,) = of(Kind.PREFLIGHT_TRANSCRIPT, events)
    (final,) = of(Kind.FINAL_TRANSCRIPT, events)
    early, late = preflight.alternatives[0], final.alternatives[0]
    assert early.words == late.words
    assert (early.start_time, early.end_time) == (late.start_time, late.end_time)
    assert (early.language, early.confidence) == (late.language, late.confidence)
    assert preflight.request_id == final.request_id


async def test_it_comes_again_only_when_the_text_has_changed() -> None:
    pauses = [(8000, 4000), (24_000, 4000), (24_000, 4000)]
    speech = coded_speech(pauses, trailing_samples=PAUSE, first_word=1001)
    events = await heard(speech, **PATIENT)
    assert preflights(events) == ["w1001", "w1001 w1002", "w1001 w1002 w1003"]
    assert texts(Kind.FINAL_TRANSCRIPT, events) == ["w1001 w1002 w1003"]


async def test_each_utterance_has_its_own_even_with_the_same_text() -> None:
    one = coded_speech([(8000, 4000)], trailing_samples=PAUSE, first_word=1001)
    twice = CodedSpeech(one.pcm * 2, one.words)
    assert preflights(await heard(twice, **PATIENT)) == ["w1001", "w1001"]


async def test_a_word_that_runs_up_to_the_end_of_what_was_heard_is_not_the_end() -> None:
    """Three seconds of one word: every partial says the same, and nobody has stopped."""
    speech = coded_speech([(8000, 48_000)], trailing_samples=0, first_word=1001)
    events = await heard(speech, **PATIENT)
    assert len(of(Kind.INTERIM_TRANSCRIPT, events)) > 3
    assert preflights(events) == []


async def test_it_never_comes_after_the_final() -> None:
    """With partials that come again late, as hallucinating servers send them."""
    speech = coded_speech([(8000, 4000), (60_000, 4000)], trailing_samples=PAUSE, first_word=1001)
    events = await heard(speech, (faults.StalePartial(), faults.Duplicate()), **PATIENT)
    final: set[str] = set()
    for event in events:
        if event.type is Kind.FINAL_TRANSCRIPT:
            final.add(event.alternatives[0].text)
        elif event.type is Kind.PREFLIGHT_TRANSCRIPT:
            assert event.alternatives[0].text not in final
    assert preflights(events) == ["w1001", "w1002"]


async def test_speech_without_a_pause_has_none() -> None:
    speech = coded_speech([(8000, 4000)] + [(800, 4000)] * 20, first_word=1001)
    assert preflights(await heard(speech, **PATIENT)) == []


async def test_a_short_silence_leaves_no_time_for_one() -> None:
    events = await heard(ONE, vad_min_silence_duration_ms=100, preflight=True)
    assert preflights(events) == []
    assert texts(Kind.FINAL_TRANSCRIPT, events) == ["w1001"]


async def test_without_partials_there_is_none() -> None:
    assert preflights(await heard(ONE, enable_partial_transcripts=False, **PATIENT)) == []


async def test_a_lost_connection_repeats_none() -> None:
    events = await heard(ONE, faults.Reset(after_samples=40_000), **PATIENT)
    assert preflights(events) == ["w1001"]
    assert texts(Kind.FINAL_TRANSCRIPT, events) == ["w1001"]


@pytest.mark.parametrize(
    ("model", "options"),
    [("qwen3-asr", {}), ("whisper", {"show_word_timestamps": False})],
    ids=["qwen3-asr", "whisper without words"],
)
async def test_it_works_without_the_times_of_words(model: Any, options: dict[str, Any]) -> None:
    events = await heard(ONE, model=model, **PATIENT, **options)
    assert preflights(events) == ["w1001"]
