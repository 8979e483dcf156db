"""What a user's function makes of what was said: nothing of the rest is told to anybody."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from livekit.plugins.baseten._core.events import (
    NOTHING,
    Event,
    Final,
    HallucinationDropped,
    Hypothesis,
    Interim,
    Preflight,
    SpeechEnded,
    SpeechStarted,
    SpokenWord,
    Used,
)
from livekit.plugins.baseten._core.transform import Transformed
from livekit.plugins.baseten._livekit.transform import Transforming


def said(text: str) -> Hypothesis:
    words = tuple(
        SpokenWord(w, n * 100, n * 100 + 80, 0.9, None) for n, w in enumerate(text.split())
    )
    return Hypothesis(text, 0, len(words) * 100, words)


def told(events: Sequence[Event], change: Callable[[str], str | None]) -> list[Event]:
    return Transformed(lambda hypothesis: change(hypothesis.text)).of(events)


def redacted(text: str) -> str:
    return re.sub(r"\d[\d ]*\d|\d", "[number]", text)


def test_words_keep_their_times_and_what_took_their_place_has_the_time_of_it() -> None:
    events = told([SpeechStarted(1, 0), Final(1, said("my card is 4111 22 33 thanks"))], redacted)
    final = events[1]
    assert isinstance(final, Final)
    assert final.hypothesis.text == "my card is [number] thanks"
    assert [(w.text, w.start, w.end) for w in final.hypothesis.words] == [
        ("my", 0, 80),
        ("card", 100, 180),
        ("is", 200, 280),
        ("[number]", 300, 580),
        ("thanks", 600, 680),
    ]


def test_a_voice_is_told_of_before_there_are_words_to_look_at() -> None:
    voice = SpeechStarted(1, 0, is_wordless=True)
    spoken: list[Event] = [voice, Final(1, said("41 22 33")), SpeechEnded(1, 300)]
    first, _, final, last = told(spoken, lambda text: None)
    assert (first, last) == (spoken[0], spoken[2])
    assert isinstance(final, Final)
    assert not final.hypothesis.text


def test_what_else_it_may_have_been_is_not_passed_on() -> None:
    heard = said("call 41")._replace(beams=("call 41", "call 42"))
    for event in told([SpeechStarted(1, 0), Interim(1, heard), Final(1, heard)], redacted)[1:]:
        assert isinstance(event, (Interim, Final))
        assert event.hypothesis.beams == ()


@pytest.mark.parametrize(
    "made", ["one two three", "zero one three", "one three", "un deux trois quatre", "one 2 3 four"]
)
def test_words_are_those_of_the_new_text_in_their_order(made: str) -> None:
    _, final = told([SpeechStarted(1, 0), Final(1, said("one two three"))], lambda _: f" {made} ")
    assert isinstance(final, Final)
    words = final.hypothesis.words
    assert " ".join(word.text for word in words) == final.hypothesis.text == made
    assert all(0 <= word.start <= word.end <= 280 for word in words)
    assert [word.start for word in words] == sorted(word.start for word in words)


def test_an_utterance_of_which_nothing_is_left_was_none() -> None:
    events: list[Event] = [
        SpeechStarted(1, 0),
        Interim(1, said("thanks for")),
        Preflight(1, said("thanks for")),
        Used(512),
        Final(1, said("thanks for watching")),
        SpeechEnded(1, 300),
    ]
    left = told(events, lambda text: None if text.startswith("thanks") else text)
    assert left == [Used(512), Interim(1, NOTHING), Final(1, Hypothesis("", 0, 300))]


def test_what_was_shown_is_taken_back_when_the_rest_is_dropped() -> None:
    events: list[Event] = [
        SpeechStarted(1, 0),
        Interim(1, said("thank")),
        Interim(1, said("thank you")),
        Interim(1, said("thank")),
        Final(1, said("thank you")),
        SpeechEnded(1, 200),
    ]
    assert told(events, lambda text: None if text == "thank you" else text) == [
        SpeechStarted(1, 0),
        Interim(1, said("thank")),
        Interim(1, Hypothesis("", 0, 200)),
        Interim(1, said("thank")),
        Interim(1, NOTHING),
        Final(1, Hypothesis("", 0, 200)),
        SpeechEnded(1, 200),
    ]


def test_what_is_empty_stays_so_and_what_was_dropped_before_is_changed_too() -> None:
    empty: list[Event] = [Interim(0, NOTHING), Final(0, NOTHING)]
    assert told(empty, lambda text: "made up") == empty
    (dropped,) = told([HallucinationDropped(said("call 4711"))], redacted)
    assert dropped == HallucinationDropped(
        said("call 4711")._replace(
            text="call [number]",
            words=(
                SpokenWord("call", 0, 80, 0.9, None),
                SpokenWord("[number]", 100, 180, None, None),
            ),
        )
    )


# The function


def test_it_may_take_the_words() -> None:
    def last_second(text: str, words: Sequence[Any]) -> str:
        return " ".join(word for word in words if word.start_time >= 0.01)

    change = Transforming(last_second).for_stream()
    assert change(said("one two three four")) == "three four"


@pytest.mark.parametrize(
    "function", [str.upper, lambda text: text.upper(), lambda text, mask="x": text.upper()]
)
def test_it_may_take_the_text_alone(function: Any) -> None:
    assert Transforming(function).for_stream()(said("hello")) == "HELLO"


async def coroutine(text: str) -> str:
    return text


@pytest.mark.parametrize("wrong", ["upper", coroutine, lambda: "", lambda a, b, c: a])
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="transform="):
        Transforming(wrong)


def secret(text: str) -> Any:
    return dict[str, str]()[text]


@pytest.mark.parametrize(
    ("function", "why"),
    [(secret, "KeyError in test_transform.py, line"), (len, "it returned int and not str or None")],
)
def test_what_it_fails_at_is_dropped_and_said_once_without_the_words(
    function: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    change = Transforming(function).for_stream()
    assert [change(said("hidden words")) for _ in range(3)] == [None] * 3
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert why in record.getMessage()
    assert "hidden" not in caplog.text
