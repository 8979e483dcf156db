"""How far ahead of the server a recording is sent."""

from __future__ import annotations

import asyncio

import pytest

from livekit.agents import LanguageCode, stt
from livekit.plugins.baseten._transcription.pace import Lead

Kind = stt.SpeechEventType


def sent(seconds: float) -> stt.SpeechEvent:
    usage = stt.RecognitionUsage(audio_duration=seconds)
    return stt.SpeechEvent(Kind.RECOGNITION_USAGE, recognition_usage=usage)


def said(end_s: float, text: str = "words") -> stt.SpeechEvent:
    data = stt.SpeechData(language=LanguageCode("en"), text=text, end_time=end_s)
    return stt.SpeechEvent(Kind.FINAL_TRANSCRIPT, alternatives=[data])


def pushed_until_full(lead: Lead, now_s: float, *, is_quiet: bool = False) -> float:
    """Push all that there is room for, an hour at most; says how much was pushed by then."""
    while lead.wait_s(now_s) == 0.0 and lead.pushed_s < 3600:
        lead.pushed(1.0, is_quiet=is_quiet)
        lead.heard(sent(1.0), now_s, offset_s=0.0)
    return lead.pushed_s


def test_what_is_not_sent_does_not_pile_up() -> None:
    lead = Lead(60.0, now_s=0.0)
    for _ in range(100):
        if lead.wait_s(0.0) == 0.0:
            lead.pushed(1.0, is_quiet=True)
    assert lead.pushed_s == 16.0
    assert lead.wait_s(1e6) is None  # however long it takes: without a connection nothing is sent
    lead.heard(sent(10.0), 1.0, offset_s=0.0)
    assert lead.wait_s(1.0) == 0.0


def test_speech_is_sent_no_further_ahead_than_asked_for() -> None:
    lead = Lead(60.0, now_s=0.0)
    assert pushed_until_full(lead, 0.0) == 61.0
    lead.heard(said(31.0), 1.0, offset_s=0.0)
    assert pushed_until_full(lead, 1.0) == 92.0


def test_the_offset_of_a_video_is_not_progress() -> None:
    lead = Lead(60.0, now_s=0.0)
    pushed_until_full(lead, 0.0)
    lead.heard(said(131.0), 1.0, offset_s=100.0)
    assert lead.done_s == 31.0
    assert pushed_until_full(lead, 1.0) == 92.0


def test_silence_needs_no_answer() -> None:
    assert pushed_until_full(Lead(60.0, now_s=0.0), 0.0, is_quiet=True) == 3600.0


def test_sound_without_words_goes_on_slowly() -> None:
    lead = Lead(60.0, now_s=0.0)
    assert pushed_until_full(lead, 0.0) == 61.0
    assert lead.wait_s(0.0) == pytest.approx(5.125)
    assert pushed_until_full(lead, 5.0) == 61.0
    assert pushed_until_full(lead, 15.0) == 141.0
    lead.heard(said(0.0, text=""), 15.0, offset_s=0.0)  # says nothing of how far it is
    assert pushed_until_full(lead, 15.0) == 141.0


def test_progress_is_what_has_been_answered_for() -> None:
    lead = Lead(60.0, now_s=0.0)
    for is_quiet in (True, True, False, False, True):
        lead.pushed(1.0, is_quiet=is_quiet)
    assert lead.done_s == 0.0
    lead.heard(sent(5.0), 0.0, offset_s=0.0)
    assert lead.done_s == 2.0  # of silence
    lead.heard(said(3.5), 0.0, offset_s=0.0)
    assert lead.done_s == 3.5
    lead.heard(said(4.0), 0.0, offset_s=0.0)
    assert lead.done_s == 5.0


async def test_who_waits_for_room_can_be_stopped_even_as_there_is_some() -> None:
    now_s = asyncio.get_running_loop().time()
    lead = Lead(60.0, now_s)
    pushed_until_full(lead, now_s)
    waiting = asyncio.create_task(lead.room())
    for _ in range(3):
        await asyncio.sleep(0)
    lead.heard(sent(1.0), now_s, offset_s=0.0)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=10)
    assert waiting.cancelled()


async def test_room_comes_with_results_or_with_time() -> None:
    now_s = asyncio.get_running_loop().time()
    lead = Lead(60.0, now_s - 5.0)
    pushed_until_full(lead, now_s)
    await asyncio.wait_for(lead.room(), 10)  # for want of results, an eighth of a second
    assert lead.wait_s(asyncio.get_running_loop().time()) == 0.0
    pushed_until_full(lead, asyncio.get_running_loop().time())
    waiting = asyncio.create_task(lead.room())
    await asyncio.sleep(0)
    lead.heard(said(30.0), asyncio.get_running_loop().time(), offset_s=0.0)
    await asyncio.wait_for(waiting, 10)
