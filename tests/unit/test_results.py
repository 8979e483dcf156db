"""What a server's result means on the stream's time axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from livekit.plugins.baseten._core.events import Hypothesis
from livekit.plugins.baseten._core.flushes import Flushes
from livekit.plugins.baseten._core.options import Options
from livekit.plugins.baseten._core.ordering import samples
from livekit.plugins.baseten._core.results import Results
from livekit.plugins.baseten._core.session import Patience, Session
from livekit.plugins.baseten._core.user_audio import UserAudio
from livekit.plugins.baseten._core.wire import ServerWord, Transcript, dialect_for

RATE = 16_000
CHUNK = 512
TRAILING = 11 * CHUNK  # what the server's rule makes of 300 ms


def reading(
    *, origin: int = 0, sent_s: float = 60.0, asked: str = "en", **options: Any
) -> tuple[Results, Session]:
    """The results of a session that has sent ``sent_s`` of audio from stream sample ``origin``."""
    dialect = dialect_for(Options.create("whisper", language=asked, **options))
    session, audio = Session(dialect, Patience()), UserAudio(keep_s=3600.0)
    stop = origin + round(sent_s * RATE)
    audio.push(np.full(stop, 1000, "<i2").tobytes(), stop, 0.0)
    audio.settle(origin)
    session.start(0.0)
    session.attach(audio.journal, Flushes(), 0.0)
    while session.take_outgoing(0.0, 1000):
        pass
    return Results(session, audio), session


def result(text: str = "hi", *, final: bool = True, **details: Any) -> Transcript:
    return Transcript(text, final, **details)


def final_of(results: Results, transcript: Transcript) -> Hypothesis:
    (heard,) = results.read_final(transcript).said
    return heard


# Times from words


def test_times_come_from_the_words_and_not_from_the_buffer() -> None:
    results, _ = reading()
    words = (ServerWord("turn", 4.0, 4.5, 0.9), ServerWord("on", 4.5, 4.75, 0.7))
    heard = final_of(
        results, result("turn on", words=words, start_s=3.0, end_s=6.0, confidence=0.8)
    )
    assert (heard.start, heard.end) == (4 * RATE, round(4.75 * RATE))
    assert [(w.text, w.start, w.end) for w in heard.words] == [
        ("turn", 4 * RATE, round(4.5 * RATE)),
        ("on", round(4.5 * RATE), round(4.75 * RATE)),
    ]
    assert [w.confidence for w in heard.words] == [0.9, 0.7]
    assert heard.confidence == 0.8


def test_times_are_the_streams_whatever_connection_they_came_over() -> None:
    results, _ = reading(origin=100_000)
    heard = final_of(results, result(words=(ServerWord("hi", 1.0, 1.5),), start_s=0.0, end_s=2.0))
    assert (heard.start, heard.end) == (100_000 + RATE, 100_000 + round(1.5 * RATE))


@pytest.mark.parametrize(
    ("word", "start", "end"),
    [
        (ServerWord("hi", None, 2.0), 1 * RATE, 2 * RATE),
        (ServerWord("hi", 2.0, None), 2 * RATE, 4 * RATE - TRAILING),
        (ServerWord("hi"), 1 * RATE, 4 * RATE - TRAILING),
    ],
)
def test_a_word_without_a_time_has_the_utterances(word: ServerWord, start: int, end: int) -> None:
    results, _ = reading()
    heard = final_of(results, result(words=(word,), start_s=1.0, end_s=4.0))
    assert (heard.words[0].start, heard.words[0].end) == (start, end)
    assert 0 <= heard.start <= heard.end


def test_made_up_silence_moves_no_word() -> None:
    results, session = reading(sent_s=1.0)
    session.clock.add_silence(19 * CHUNK)
    session.clock.add_audio(RATE)
    after_s = (session.clock.sent - RATE) / RATE
    heard = final_of(
        results,
        result(
            words=(ServerWord("hi", after_s + 0.25, after_s + 0.5),), start_s=0.0, end_s=after_s + 1
        ),
    )
    stream_start = session.clock.to_stream(session.clock.sent - RATE)
    assert heard.start == stream_start + RATE // 4
    assert heard.end == stream_start + RATE // 2


# Times without words


def test_a_final_without_words_ends_before_the_silence_that_ended_it() -> None:
    results, _ = reading()
    heard = final_of(results, result(start_s=1.0, end_s=4.0))
    assert (heard.start, heard.end) == (RATE, 4 * RATE - TRAILING)
    assert heard.heard_to >= heard.end


def test_a_final_that_was_forced_by_a_flush_ends_where_the_audio_does() -> None:
    results, _ = reading()
    heard = final_of(results, result(start_s=1.0, end_s=4.0, is_flush=True))
    assert heard.end == 4 * RATE


def test_the_first_partial_says_where_speech_began() -> None:
    results, _ = reading()
    first = results.read_partial(result(final=False, start_s=0.0, end_s=10.0))
    assert first.start == 10 * RATE - CHUNK  # it came with the first frame of speech
    second = results.read_partial(result("hi there", final=False, start_s=0.0, end_s=10.5))
    assert second.start == first.start
    heard = final_of(results, result("hi there", start_s=0.0, end_s=12.0))
    assert heard.start == first.start
    again = final_of(results, result(start_s=12.0, end_s=15.0))
    assert again.start == 12 * RATE


def test_a_first_partial_of_a_young_buffer_says_no_more_than_the_buffer() -> None:
    results, _ = reading()
    first = results.read_partial(result(final=False, start_s=2.0, end_s=2.4))
    assert first.start == 2 * RATE


def test_on_a_new_connection_an_onset_is_heard_anew() -> None:
    results, _ = reading()
    results.read_partial(result(final=False, start_s=0.0, end_s=10.0))
    results, _ = reading()
    assert final_of(results, result(start_s=3.0, end_s=5.0)).start == 3 * RATE


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"audio_s": 3.0},
        {"end_s": 5.0},
        {"start_s": 5.0},
        {"start_s": 5.0, "end_s": 3.0},
        {"end_s": 1e6},
        {"start_s": 1e6},
        {"start_s": 0.0, "end_s": 0.0},
        {"end_s": 1.0, "audio_s": 30.0},
        {"words": (ServerWord("a", 9.0, 9.5), ServerWord("b", 2.0, 2.5))},
        {"words": (ServerWord("a", 1e6, 1e6 + 1),)},
    ],
)
@pytest.mark.parametrize("final", [True, False])
def test_whatever_is_missing_or_wrong_the_times_are_in_order_and_in_the_stream(
    details: dict[str, Any], final: bool
) -> None:
    results, session = reading(origin=RATE, sent_s=10.0)
    said = result(final=final, **details)
    heard = final_of(results, said) if final else results.read_partial(said)
    stop = session.clock.to_stream(session.clock.sent)
    assert RATE <= heard.start <= heard.end <= stop
    assert all(RATE <= w.start <= w.end <= stop for w in heard.words)


# Where the next final begins


@pytest.mark.parametrize(
    ("details", "end"),
    [
        ({"end_s": 4.0, "audio_s": 1.0}, 4 * RATE),
        ({"audio_s": 3.0}, 2 * RATE + 3 * RATE),
        ({}, 10 * RATE),
        ({"end_s": 99.0}, 10 * RATE),
        ({"audio_s": 99.0}, 10 * RATE),
    ],
)
def test_a_final_accounts_for_everything_up_to_its_end(details: dict[str, Any], end: int) -> None:
    results, session = reading(sent_s=9.984)
    assert session.clock.sent < 10 * RATE
    assert results.read_final(result(end_s=2.0)).settled == 2 * RATE
    assert results.read_final(result(**details)).settled == min(end, session.clock.sent)


def test_an_empty_final_that_says_nothing_of_its_length_accounts_for_nothing() -> None:
    results, _ = reading()
    assert results.read_final(result(end_s=2.0)).settled == 2 * RATE
    assert results.read_final(result("")).settled == 2 * RATE


# Languages


def test_until_a_server_names_one_the_language_is_the_one_asked_for() -> None:
    results, _ = reading(asked="de-CH")
    assert results.read_partial(result(final=False)).language == "de"
    assert final_of(results, result(language="fr")).language == "fr"
    assert final_of(results, result()).language == "fr"


def test_a_language_to_be_detected_is_none_until_it_is() -> None:
    results, _ = reading(asked="auto")
    assert results.read_partial(result(final=False)).language == ""
    assert final_of(results, result(language="fr")).language == "fr"
    assert results.read_partial(result(final=False)).language == "fr"


def test_details_are_handed_on() -> None:
    results, _ = reading()
    words = (ServerWord("hi", 1.0, 1.5, 0.5, "A"),)
    heard = final_of(results, result(words=words, speaker="A", is_suspect=True, end_s=2.0))
    assert heard.speaker == "A"
    assert heard.words[0].speaker == "A"
    assert heard.is_suspect


def test_where_several_people_spoke_each_part_has_its_own_times() -> None:
    results, _ = reading()
    results.read_partial(result(final=False, start_s=0.0, end_s=10.0))
    parts = (
        result("yes", words=(ServerWord("yes", 1.0, 1.5, 0.9, "A"),), start_s=0.0, end_s=2.0),
        result("no", start_s=2.0, end_s=3.0, speaker="B"),
    )
    first, second = results.read_final(result("yes no", start_s=0.0, end_s=3.0, parts=parts)).said
    assert (first.text, first.start, first.end) == ("yes", RATE, RATE * 3 // 2)
    assert (second.text, second.speaker, second.start, second.end) == (
        "no",
        "B",
        2 * RATE,
        3 * RATE,
    )
    assert final_of(results, result(start_s=3.0, end_s=5.0)).start == 3 * RATE


@pytest.mark.parametrize(
    ("seconds", "position"), [(None, None), (0.0, 0), (1.0, 16_000), (0.1, 1600), (1 / 16_000, 1)]
)
def test_seconds_are_samples_to_the_sample(seconds: float | None, position: int | None) -> None:
    assert samples(seconds) == position
