"""What nobody said: marked always, dropped on request, counted; and real speech left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from kit import grammar
from kit.client import Kind, finals, of
from kit.loopback import Listener, client, listening
from kit.prompter import Prompter
from kit.stage import LEISURE, SELFISH, YOUNG_MAN, Recording, Script, script

from livekit.agents import stt
from livekit.plugins.baseten.emulator import (
    AmplitudeDetector,
    CodedRecognizer,
    ScriptRecognizer,
    SileroDetector,
    Word,
    coded_speech,
    faults,
    serve,
)

SPEECH = coded_speech([(8000, 4000)], trailing_samples=8000, first_word=1001)

# Loud enough for the server's detector and too quiet to be anybody: a fan, a hum.
HUM = (np.arange(16_000) % 40 - 20).astype("<i2").tobytes() + bytes(16_000)
THANKS = "Thanks for watching."


class Hallucinating:
    """Hears coded speech, and thanks wherever a buffer holds nothing but the hum."""

    blocking = False

    def recognize(self, pcm: bytes, *, is_final: bool) -> Sequence[Word]:
        loud = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max(initial=0) > 100
        recognizer = CodedRecognizer(None) if loud else ScriptRecognizer([THANKS])
        return recognizer.recognize(pcm, is_final=is_final)


async def heard(
    pcm: bytes,
    *plan: faults.Entry,
    recognizer: Any = None,
    detector: Any = AmplitudeDetector,
    flush: bool = False,
    **options: Any,
) -> tuple[list[stt.SpeechEvent], Listener]:
    async with (
        serve(*plan, recognizer=recognizer, voice_detector=detector) as server,
        client(server, **options) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(pcm)
        if flush:
            listener.stream.flush()
        listener.stream.end_input()
        events = await listener.ended()
    grammar.check(events)
    return events, listener


def kinds(events: list[stt.SpeechEvent]) -> list[Kind]:
    return [event.type for event in events if event.type is not Kind.RECOGNITION_USAGE]


def marks(events: list[stt.SpeechEvent]) -> list[dict[str, Any]]:
    """What every final is marked with, its delay aside."""
    found = [event.alternatives[0].metadata or {} for event in of(Kind.FINAL_TRANSCRIPT, events)]
    return [{k: v for k, v in each.items() if k != "delay_s"} for each in found]


# Marked, always


async def test_a_final_that_the_server_doubts_is_marked() -> None:
    events, listener = await heard(SPEECH.pcm, faults.Hallucination())
    assert finals(events) == ["w1001"]
    assert marks(events) == [{"possible_hallucination": True}]
    assert listener.stream.dropped_hallucinations == 0


async def test_a_final_where_nothing_was_said_is_marked() -> None:
    events, listener = await heard(HUM, recognizer=ScriptRecognizer([THANKS]))
    assert finals(events) == [THANKS]
    assert marks(events) == [{"no_speech": True}]
    assert listener.stream.dropped_hallucinations == 0


async def test_both_marks_go_together() -> None:
    events, _ = await heard(HUM, faults.Hallucination(), recognizer=ScriptRecognizer([THANKS]))
    assert marks(events) == [{"possible_hallucination": True, "no_speech": True}]


async def test_words_in_the_silence_before_loud_noise_are_marked_by_where_they_are() -> None:
    """The recognizer times its words where it is silent, and the noise comes later."""

    def early(message: dict[str, Any]) -> list[dict[str, Any]]:
        for segment in message.get("segments", []):
            for number, word in enumerate(segment["word_timestamps"]):
                word |= {"start_time": 0.1 + number / 20, "end_time": 0.14 + number / 20}
        return [message]

    events, _ = await heard(SPEECH.pcm, faults.Rewrite(early))
    assert marks(events) == [{"no_speech": True}]


@pytest.mark.parametrize("options", [{}, {"drop_hallucinations": True}])
async def test_what_is_said_has_no_mark(options: dict[str, Any]) -> None:
    events, listener = await heard(SPEECH.pcm, **options)
    assert finals(events) == ["w1001"]
    assert marks(events) == [{}]
    assert listener.stream.dropped_hallucinations == 0


# Dropped, on request

DROPPED: dict[str, Any] = {"drop_hallucinations": True}


async def test_a_dropped_final_that_nobody_saw_coming_leaves_no_trace() -> None:
    events, listener = await heard(SPEECH.pcm, faults.Hallucination(), **DROPPED)
    assert kinds(events) == []
    assert listener.stream.dropped_hallucinations == 1


async def test_an_interim_that_was_shown_is_taken_back_and_the_start_gets_its_end() -> None:
    # The first partial is no hallucination, the final after it is.
    events, listener = await heard(SPEECH.pcm, faults.Hallucination(after_results=1), **DROPPED)
    assert kinds(events)[0] is Kind.START_OF_SPEECH
    assert kinds(events)[-2:] == [Kind.FINAL_TRANSCRIPT, Kind.END_OF_SPEECH]
    *shown, last = [e.alternatives[0].text for e in of(Kind.INTERIM_TRANSCRIPT, events)]
    assert set(shown) == {"w1001"}
    assert last == ""
    assert finals(events) == [""]
    assert listener.stream.dropped_hallucinations == 1


async def test_words_over_silence_are_dropped() -> None:
    events, listener = await heard(HUM, recognizer=ScriptRecognizer([THANKS]), **DROPPED)
    assert finals(events) in ([], [""])
    assert listener.stream.dropped_hallucinations == 1


@pytest.mark.parametrize("results_before", [0, 1])
async def test_a_flush_over_one_is_answered_once(results_before: int) -> None:
    pcm = SPEECH.pcm[:-12_000]  # no pause in it: the flush has to make one
    plan = faults.Hallucination(after_results=results_before)
    events, listener = await heard(pcm, plan, flush=True, **DROPPED)
    assert finals(events) == [""]
    assert listener.stream.dropped_hallucinations == 1


async def test_they_are_counted_and_what_is_said_between_them_stays() -> None:
    pcm = HUM + SPEECH.pcm + HUM
    events, listener = await heard(pcm, recognizer=Hallucinating(), **DROPPED)
    assert [text for text in finals(events) if text] == [SPEECH.text]
    assert listener.stream.dropped_hallucinations == 2
    assert listener.used_s == pytest.approx(len(pcm) / 32_000), "it was heard all the same"


async def test_a_lost_connection_brings_none_back() -> None:
    pcm = HUM + SPEECH.pcm
    plan = faults.Reset(after_samples=38_000)
    events, listener = await heard(pcm, plan, recognizer=Hallucinating(), **DROPPED)
    assert [text for text in finals(events) if text] == [SPEECH.text]
    assert listener.stream.dropped_hallucinations == 1


async def test_each_stream_counts_its_own() -> None:
    async with serve(faults.Hallucination()) as server, client(server, **DROPPED) as stt_:
        counts = []
        for _ in range(2):
            async with listening(stt_) as listener:
                listener.push(SPEECH.pcm)
                listener.stream.end_input()
                await listener.ended()
                counts.append(listener.stream.dropped_hallucinations)
    assert counts == [1, 0]


# Real speech stays


def quieter(spoken: Script, gain: float) -> Script:
    return Script((spoken.pcm * gain).astype(np.int16), spoken.lines)


@pytest.mark.parametrize("gain", [1.0, 0.25], ids=["as recorded", "from across the room"])
@pytest.mark.parametrize("recording", [YOUNG_MAN, SELFISH, LEISURE], ids=lambda r: r.number)
async def test_a_real_recording_is_never_dropped(recording: Recording, gain: float) -> None:
    spoken = quieter(script(0.5, recording, 1.0), gain)
    events, listener = await heard(
        spoken.pcm.astype("<i2").tobytes(),
        recognizer=Prompter(spoken) if gain == 1.0 else ScriptRecognizer([recording.text] * 9),
        detector=SileroDetector,
        **DROPPED,
    )
    assert listener.stream.dropped_hallucinations == 0
    assert all(mark == {} for mark in marks(events))
    if gain == 1.0:
        assert " ".join(finals(events)) == recording.text


@pytest.mark.parametrize("silence_s", [1.5, 40.0])
async def test_real_speech_with_silence_around_it_stays(silence_s: float) -> None:
    spoken = script(silence_s, YOUNG_MAN, silence_s, SELFISH, 1.0)
    events, listener = await heard(
        spoken.pcm.astype("<i2").tobytes(),
        recognizer=Prompter(spoken),
        detector=SileroDetector,
        **DROPPED,
    )
    assert " ".join(finals(events)) == spoken.text
    assert listener.stream.dropped_hallucinations == 0
