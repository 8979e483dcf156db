"""Transcriptions that fail at the server: nothing that was shown disappears, words come soon."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from kit.in_memory import Call, check, check_words

from livekit.plugins.baseten._core.events import Event, Final, Interim, ServerWarned
from livekit.plugins.baseten._core.options import Options
from livekit.plugins.baseten.emulator import coded_speech

RATE = 16_000
WITHIN_S = 2.0

Fails = Callable[[bool], bool]


class FailingCall(Call):
    """Transcriptions of this server fail as a test says.

    Attributes:
        told: Every event, and when it came.
    """

    def __init__(self, fails: Fails, gaps: list[int], **options: object) -> None:
        speech = coded_speech(
            [(gap, 9000) for gap in gaps], trailing_samples=8 * RATE, first_word=1001
        )
        super().__init__(speech, Options.create("whisper", **options))
        self._fails = fails
        self.told: list[tuple[float, Event]] = []

    def recognize(self, jobs: int) -> None:
        if self.wire is not None:
            self.wire.server.recognize(jobs, failure="RuntimeError: no", fails=self._fails)

    def play(self) -> None:
        """All of it, at the pace of speech; a lost connection comes back in 0.2 s."""
        since = 0
        while self.pushed < self.samples:
            self.push(1600)
            self.settle()
            self.wait(100)
            since = 0 if self.wire is not None else since + 1
            if since > 1:
                self.connect()
        self.finish()

    def _take(self) -> None:
        seen = len(self.events)
        super()._take()
        self.told += [(self.now, event) for event in self.events[seen:]]

    def text(self) -> list[str]:
        finals = [e.hypothesis.text for e in self.events if isinstance(e, Final)]
        return " ".join(finals).split()


def every(is_final: bool) -> bool:
    return is_final


def once() -> Fails:
    failures = iter((True,))
    return lambda is_final: is_final and next(failures, False)


@pytest.mark.parametrize("pause_s", [0.5, 0.8, 4.0])
def test_where_every_final_fails_the_words_that_were_shown_are_the_result(pause_s: float) -> None:
    call = FailingCall(every, [RATE, *[round(pause_s * RATE)] * 9])
    call.play()
    assert call.text() == [word.text for word in call.speech.words]


def test_they_come_within_two_seconds_of_the_error() -> None:
    call = FailingCall(every, [RATE, *[4 * RATE] * 5])
    call.play()
    failures = [at for at, event in call.told if isinstance(event, ServerWarned)]
    finals = [at for at, event in call.told if isinstance(event, Final)]
    assert len(finals) == 6
    for final_s in finals:
        first_s = max(at for at in failures[::2] if at <= final_s)
        assert final_s - first_s < WITHIN_S


@pytest.mark.parametrize("partials", [True, False])
def test_one_failed_final_before_a_silence_is_asked_again_at_once(partials: bool) -> None:
    call = FailingCall(once(), [RATE], enable_partial_transcripts=partials)
    call.play()
    check_words(call)
    (failed_s,) = (at for at, event in call.told if isinstance(event, ServerWarned))
    (final_s,) = (at for at, event in call.told if isinstance(event, Final))
    assert final_s - failed_s < WITHIN_S


def test_a_failed_partial_costs_no_connection() -> None:
    failures = iter((True,))
    call = FailingCall(lambda is_final: not is_final and next(failures, False), [RATE, *[200] * 8])
    call.play()
    check(call)
    assert call.connections == 1


@pytest.mark.parametrize("seed", range(10))
def test_whichever_fail_nothing_that_was_shown_disappears(seed: int) -> None:
    rng = random.Random(seed)
    gaps = [rng.choice((500, 3000, 7000, 16_000, 40_000)) for _ in range(12)]
    call = FailingCall(lambda is_final: rng.random() < (0.6 if is_final else 0.2), gaps)
    call.play()
    shown = {
        word
        for event in call.events
        if isinstance(event, Interim)
        for word in event.hypothesis.text.split()
    }
    heard = call.text()
    assert shown <= set(heard)
    assert len(heard) == len(set(heard)), "a word came twice"
