"""Times say where words lie, and never whether they exist: servers whose times are wrong."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from kit.in_memory import ALL, Call, plain

from livekit.plugins.baseten._core.events import Final, SpeechEnded, SpeechStarted, TimesDoubted
from livekit.plugins.baseten._core.options import Model, Options
from livekit.plugins.baseten._core.ordering import Ordering
from livekit.plugins.baseten._core.wire import ServerWord, Transcript
from livekit.plugins.baseten.emulator import coded_speech

Segment = dict[str, Any]
RATE = 16_000

GAPS = (0, 511, 3000, 6144, 7000, 16_000, 40_000)
LENGTHS = (1024, 1500, 4000, 9000)


def shift(segment: Segment, moved: Callable[[float], float]) -> None:
    for part in (segment, *segment.get("word_timestamps", [])):
        for key in ("start_time", "end_time"):
            if part.get(key) is not None:
                part[key] = moved(part[key])


def zero(segment: Segment) -> None:
    segment.update(start_time=0.0, end_time=0.0, word_timestamps=[])


def zero_beside_words(segment: Segment) -> None:
    segment.update(start_time=0.0, end_time=0.0)


def equal(segment: Segment) -> None:
    segment.update(end_time=segment["start_time"], word_timestamps=[])


def restarted(segment: Segment) -> None:
    start_s = segment["start_time"]
    shift(segment, lambda at_s: at_s - start_s)


def backwards(segment: Segment) -> None:
    """Each utterance lies before the one before it."""
    start_s = segment["start_time"]
    shift(segment, lambda at_s: max(0.0, 100 - 2 * start_s) + at_s)


def milliseconds(segment: Segment) -> None:
    shift(segment, lambda at_s: at_s * 1000)


def shuffled(segment: Segment) -> None:
    words = segment.get("word_timestamps", [])
    times = [(word["start_time"], word["end_time"]) for word in words]
    for word, (start_s, end_s) in zip(words, reversed(times), strict=True):
        word.update(start_time=start_s, end_time=end_s)


class WrongTimes(Call):
    """Every message of the server goes through one of the above."""

    def __init__(self, wrong: Callable[[Segment], None], without: set[str], **call: Any) -> None:
        super().__init__(**call)
        self._wrong, self._without = wrong, without

    def connect(self, _: int = 0) -> None:
        super().connect()
        if (wire := self.wire) is not None:
            taken = wire.server.outgoing
            wire.answer = lambda: wire.down.extend(map(self._rewritten, taken()))  # type: ignore[method-assign]

    def _rewritten(self, text: str) -> str:
        message = json.loads(text)
        for segment in message.get("segments", []):
            if "start_time" in segment:
                self._wrong(segment)
        return json.dumps({k: v for k, v in message.items() if k not in self._without})


@pytest.mark.parametrize("without", [(), ("audio_length_sec", "transcription_num")])
@pytest.mark.parametrize(
    "wrong", [zero, zero_beside_words, equal, restarted, backwards, milliseconds, shuffled]
)
def test_whatever_the_times_every_word_comes_once(
    model: Model, wrong: Callable[[Segment], None], without: tuple[str, ...]
) -> None:
    for seed in range(8):
        rng = random.Random(seed)
        layout = [(rng.choice(GAPS), rng.choice(LENGTHS)) for _ in range(rng.randint(2, 12))]
        speech = coded_speech(layout, trailing_samples=8000, first_word=1001)
        call = WrongTimes(
            wrong, set(without), speech=speech, options=asked(model, rng.choice((2, 30)))
        )
        call.connect()
        while call.pushed < call.samples:
            call.push(rng.choice((512, 5000, 20_000)))
            call.send(rng.choice((4, ALL)))
            call.arrive(ALL)
            call.recognize(ALL)
            call.receive(rng.choice((1, ALL)))
            if rng.random() < 0.1:
                call.flush()
            call.wait(rng.choice((50, 300)))
        call.finish()
        finals = [e.hypothesis for e in call.events if isinstance(e, Final) and e.hypothesis.text]
        heard = [plain(word) for final in finals for word in final.text.split()]
        assert heard == [word.text for word in speech.words]
        assert call.connections == 1, "nothing had to be asked again"
        starts = [final.start for final in finals]
        assert all(one <= other + RATE // 4 for one, other in itertools.pairwise(starts))
        assert all(0 <= final.start <= final.end <= call.samples for final in finals)
        assert sum(isinstance(e, SpeechStarted) for e in call.events) == sum(
            isinstance(e, SpeechEnded) for e in call.events
        )
        doubts = [e.reason for e in call.events if isinstance(e, TimesDoubted)]
        assert len(doubts) == len(set(doubts)), "warned of once a kind"


def asked(model: Model, limit_s: int) -> Options:
    return Options.create(
        model,
        final_transcript_max_duration_s=limit_s,
        vad_min_silence_duration_ms=300,
        show_word_timestamps=True,
    )


def final(text: str = "yes", **details: Any) -> Transcript:
    return Transcript(text, True, **details)


@pytest.mark.parametrize(
    "details",
    [
        {"number": 1, "start_s": 0.0, "end_s": 0.0},
        {"number": 1, "start_s": 2.0, "end_s": 2.0},
        {"number": 1, "start_s": 0.0, "end_s": 2.0},
        {"start_s": 0.0, "end_s": 2.0},
    ],
)
def test_a_final_that_is_sent_again_says_nothing_again(details: dict[str, Any]) -> None:
    ordering = Ordering(spans_buffer=True)
    ordering.placed(final(**details), 10 * RATE)
    assert ordering.is_old(final(**details))
    assert not ordering.is_old(final("no", **details))
    assert not ordering.is_old(final(**details)._replace(number=2))


def test_who_says_yes_twice_is_heard_twice_without_times_and_numbers_too() -> None:
    ordering = Ordering(spans_buffer=True)
    ordering.placed(final(audio_s=1.0), 10 * RATE)
    assert not ordering.is_old(final(audio_s=1.0))


def test_words_of_times_that_began_anew_keep_their_distances() -> None:
    ordering = Ordering(spans_buffer=True)
    ordering.placed(final(start_s=0.0, end_s=2.0), 10 * RATE)
    words = (ServerWord("turn", 0.5, 0.75), ServerWord("on", 1.0, 1.25))
    placed = ordering.placed(final("turn on", words=words, start_s=0.0, end_s=1.5), 10 * RATE)
    assert (placed.start_s, placed.end_s) == (2.0, 3.5)
    assert [(w.start_s, w.end_s) for w in placed.words] == [(2.5, 2.75), (3.0, 3.25)]
