"""The grammar refuses what it is there to refuse."""

from __future__ import annotations

import pytest
from kit.grammar import check
from kit.stage import epoch_s

from livekit.agents import LanguageCode, stt
from livekit.agents.stt import SpeechEventType as Kind

NOW = epoch_s()


def start(number: int = 1) -> stt.SpeechEvent:
    return stt.SpeechEvent(Kind.START_OF_SPEECH, f"s-{number}", speech_start_time=NOW - 1)


def end(number: int = 1) -> stt.SpeechEvent:
    return stt.SpeechEvent(Kind.END_OF_SPEECH, f"s-{number}", speech_end_time=NOW)


def data(text: str, start_s: float, end_s: float) -> stt.SpeechData:
    return stt.SpeechData(
        LanguageCode("en"), text, start_time=start_s, end_time=end_s, metadata={"delay_s": 0.1}
    )


def interim(text: str, number: int = 1) -> stt.SpeechEvent:
    return stt.SpeechEvent(Kind.INTERIM_TRANSCRIPT, f"s-{number}", [data(text, 0, 1)])


def final(text: str, number: int = 1, start_s: float = 0.0, end_s: float = 1.0) -> stt.SpeechEvent:
    return stt.SpeechEvent(
        Kind.FINAL_TRANSCRIPT,
        f"s-{number}",
        [data(text, start_s, end_s)],
        speech_end_time=NOW if text else None,
    )


def usage(seconds: float = 5.0) -> stt.SpeechEvent:
    recognized = stt.RecognitionUsage(audio_duration=seconds)
    return stt.SpeechEvent(Kind.RECOGNITION_USAGE, recognition_usage=recognized)


def preflight(text: str) -> stt.SpeechEvent:
    return stt.SpeechEvent(Kind.PREFLIGHT_TRANSCRIPT, "s-1", [data(text, 0, 1)])


ANSWER = [interim(""), final("")]


@pytest.mark.parametrize(
    "events",
    [
        [],
        [start(), interim("a"), final("a"), end(), usage()],
        [start(), final("a"), usage(), interim("b"), final("b", 1, 1, 2), end()],
        ANSWER,
        [start(), interim("a"), preflight("a"), interim("b"), final("b"), end()],
        [start(), interim("a"), *ANSWER, end(), start(2), final("b", 2), end(2)],
    ],
)
def test_what_is_in_order_passes(events: list[stt.SpeechEvent]) -> None:
    check(events)


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([start(), start(2)], "START inside"),
        ([start(), final("a"), end(), start()], "id came back"),
        ([end()], "END without START"),
        ([start(), interim("a"), end()], "not right after a final"),
        ([start(), final("a"), end(2)], "END of another"),
        ([interim("a")], "words outside"),
        ([final("a")], "words outside"),
        ([final("")], "without an empty interim"),
        ([start(), interim(""), final("a")], "with words after it"),
        ([interim(""), start()], "between an empty interim"),
        ([start(), final("a"), final("b", 1, 0.5, 2)], "overlap"),
        ([start(), interim("a"), preflight("b")], "something else"),
        ([start(), preflight("a")], "without its interim"),
        ([start(), final("a", 1, 1, 0.5)], "times out of order"),
        ([start(), final("a")], "between START and END"),
        ([stt.SpeechEvent(Kind.FINAL_TRANSCRIPT)], "one alternative"),
        ([stt.SpeechEvent(Kind.START_OF_SPEECH)], "without its time"),
        ([usage(0)], "usage of nothing"),
    ],
)
def test_what_is_not_is_named(events: list[stt.SpeechEvent], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check(events)
