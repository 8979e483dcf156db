"""The order in which a stream of ours may say things, and what must be true of each of them.

stream     := (utterance | answer | USAGE)*  and never ends inside an utterance
utterance  := START (INTERIM | PREFLIGHT | FINAL | answer)* END, a FINAL or an answer right before
              END; a PREFLIGHT says the interim before it again. The last one of a stream that
              another goes on from may end without: its words are still to come
answer     := INTERIM "" then FINAL ""       to a flush, or to an utterance that came to nothing
"""

from __future__ import annotations

from collections.abc import Sequence

from livekit.agents import stt
from livekit.agents.stt import SpeechEventType as Kind

# A wall clock may be read twice, and floats are added up in different orders.
_CLOCK_S = 0.05
_FLOAT_S = 1e-6


def check(
    events: Sequence[stt.SpeechEvent], *, is_over: bool = True, goes_on: bool = False
) -> None:
    """
    Args:
        is_over: The stream has ended, so no utterance may be open.
        goes_on: It has failed, and another one may say the rest.

    Raises:
        AssertionError: Something is out of order; the message says which event and why.
    """
    spoken = [event for event in events if event.type is not Kind.RECOGNITION_USAGE]
    _Reader(spoken[-1] if goes_on and spoken else None).read(events, is_over=is_over)


class _Reader:
    """
    Args:
        suspends: This END needs no final before it.
    """

    def __init__(self, suspends: stt.SpeechEvent | None) -> None:
        self._suspends = suspends
        self._open: stt.SpeechEvent | None = None
        self._seen_ids: set[str] = set()
        self._before: stt.SpeechEvent | None = None
        self._last_final_end_s = 0.0

    def read(self, events: Sequence[stt.SpeechEvent], *, is_over: bool) -> None:
        for number, event in enumerate(events):
            try:
                self._take(event)
            except AssertionError as e:
                told = [f"{_name(e)} {_text(e)!r}" for e in events[: number + 1]]
                raise AssertionError(f"event {number}: {e}\n" + "\n".join(told)) from None
        assert not (is_over and self._open), "the stream ended between START and END"

    def _take(self, event: stt.SpeechEvent) -> None:
        if event.type is Kind.RECOGNITION_USAGE:
            assert event.recognition_usage is not None, "usage without usage"
            assert event.recognition_usage.audio_duration > 0, "usage of nothing"
            return
        {
            Kind.START_OF_SPEECH: self._start,
            Kind.INTERIM_TRANSCRIPT: self._interim,
            Kind.PREFLIGHT_TRANSCRIPT: self._preflight,
            Kind.FINAL_TRANSCRIPT: self._final,
            Kind.END_OF_SPEECH: self._end,
        }[event.type](event)
        self._before = event

    def _start(self, event: stt.SpeechEvent) -> None:
        assert self._open is None, "START inside an utterance"
        assert not _is_taken_back(self._before), "something between an empty interim and its final"
        assert event.request_id not in self._seen_ids, "an utterance's id came back"
        assert event.speech_start_time is not None, "START without its time"
        assert event.speech_start_time <= event.created_at + _CLOCK_S, "START in the future"
        self._seen_ids.add(event.request_id)
        self._open = event

    def _interim(self, event: stt.SpeechEvent) -> None:
        data = _only(event)
        assert not _is_taken_back(self._before), "something between an empty interim and its final"
        if data.text:
            self._inside(event)
            self._timed(data)

    def _preflight(self, event: stt.SpeechEvent) -> None:
        assert self._before is not None, "a preflight comes first"
        assert self._before.type is Kind.INTERIM_TRANSCRIPT, "a preflight without its interim"
        assert _only(event).text == _text(self._before) != "", "a preflight of something else"
        self._inside(event)
        self._timed(_only(event))

    def _final(self, event: stt.SpeechEvent) -> None:
        data = _only(event)
        if not data.text:
            assert _is_taken_back(self._before), "an empty final without an empty interim before it"
            return
        assert not _is_taken_back(self._before), "an empty interim with words after it"
        self._inside(event)
        self._timed(data)
        assert data.start_time >= self._last_final_end_s - _FLOAT_S, "finals overlap"
        self._last_final_end_s = data.end_time
        assert event.speech_end_time is not None, "a final with words has no end on the wall clock"
        assert event.speech_end_time <= event.created_at + _CLOCK_S, "a final ends in the future"
        assert (data.metadata or {}).get("delay_s", -1.0) >= 0, "a final without its delay"

    def _end(self, event: stt.SpeechEvent) -> None:
        assert self._open is not None, "END without START"
        assert event.request_id == self._open.request_id, "END of another utterance"
        assert self._before is not None, "END comes first"
        is_settled = self._before.type is Kind.FINAL_TRANSCRIPT or event is self._suspends
        assert is_settled, "END not right after a final"
        assert event.speech_end_time is not None, "END without its time"
        assert event.speech_end_time <= event.created_at + _CLOCK_S, "END in the future"
        assert self._open.speech_start_time is not None
        assert event.speech_end_time >= self._open.speech_start_time - _CLOCK_S, "END before START"
        self._open = None

    def _inside(self, event: stt.SpeechEvent) -> None:
        assert self._open is not None, "words outside START and END"
        assert event.request_id == self._open.request_id, "words of another utterance"

    def _timed(self, data: stt.SpeechData) -> None:
        assert 0 <= data.start_time <= data.end_time, "times out of order"
        at_s = data.start_time
        for word in data.words or []:
            assert isinstance(word.start_time, float), "a word without its time"
            assert isinstance(word.end_time, float), "a word without its time"
            assert at_s - _FLOAT_S <= word.start_time <= word.end_time, "words out of order"
            assert word.end_time <= data.end_time + _FLOAT_S, "a word after the end"
            at_s = word.start_time


def _only(event: stt.SpeechEvent) -> stt.SpeechData:
    assert len(event.alternatives) == 1, "not exactly one alternative"
    return event.alternatives[0]


def _is_taken_back(event: stt.SpeechEvent | None) -> bool:
    return event is not None and event.type is Kind.INTERIM_TRANSCRIPT and not _text(event)


def _text(event: stt.SpeechEvent) -> str:
    return event.alternatives[0].text if event.alternatives else ""


def _name(event: stt.SpeechEvent) -> str:
    return event.type.name
