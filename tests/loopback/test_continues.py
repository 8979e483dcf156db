"""`stt.stream(continues=...)`: what a failed stream had not finished is the next one's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from kit.loopback import Listener, check, check_order, client, listening, push, said, serve

from livekit.agents import APIConnectOptions, APIError
from livekit.agents.stt import SpeechEventType as Kind
from livekit.plugins.baseten import STT, SpeechStream
from livekit.plugins.baseten.emulator import Server, coded_speech, faults

pytestmark = pytest.mark.usefixtures("model")  # over both dialects

SPEECH = coded_speech(20, trailing_samples=8000, first_word=1001)  # words of 0.3 s with their gap
MIDDLE = len(SPEECH.pcm) // 4  # samples
PUSHED_S = len(SPEECH.pcm) / 32_000
ONCE = APIConnectOptions(max_retry=0)


@contextlib.asynccontextmanager
async def failed(
    *plan: faults.Entry, pushed: bytes = SPEECH.pcm, ends: bool = False, **options: Any
) -> AsyncIterator[tuple[Server, STT, Listener]]:
    """A stream that has failed in mid-speech, and has been closed."""
    faulty = plan or (faults.Reset(MIDDLE),)
    async with serve(*faulty) as server, client(server, **options) as stt:
        async with listening(stt, ONCE) as listener:
            listener.push(pushed)
            if ends:
                listener.stream.end_input()
            with pytest.raises(APIError):
                await listener.ended()
        yield server, stt, listener


@pytest.mark.parametrize("ends", [True, False], ids=["input ended", "input open"])
async def test_every_word_comes_once_and_at_its_time(ends: bool) -> None:
    # Without interims, nothing has to stand for a final.
    async with failed(ends=ends, enable_partial_transcripts=False) as (_, stt, first):
        async with listening(stt, ONCE, continues=first.stream) as second:
            if not ends:
                second.stream.end_input()
            await second.ended()
        check([*first.events, *second.events], SPEECH)
        assert first.used_s == pytest.approx(PUSHED_S), "each second once, in both streams"


async def test_an_interim_that_was_made_a_final_is_not_said_again() -> None:
    async with (
        failed() as (_, stt, first),
        listening(stt, ONCE, continues=first.stream) as second,
    ):
        second.stream.end_input()
        await second.ended()
    for listener in (first, second):
        check_order(listener.events)
    last = [e for e in first.events if e.type is Kind.FINAL_TRANSCRIPT][-1].alternatives[0]
    assert (last.metadata or {})["is_promoted_interim"]
    words = [word.partition("!")[0] for word in [*first.said(), *second.said()]]
    # What was cut in two by it may be two words.
    assert list(dict.fromkeys(words)) == [word.text for word in SPEECH.words]
    assert len(words) <= len(SPEECH.words) + 1


async def test_what_is_pushed_to_a_failed_stream_is_the_next_ones() -> None:
    half = len(SPEECH.pcm) // 4 * 2
    plan = faults.Refuse(503)
    async with failed(plan, pushed=SPEECH.pcm[:half]) as (_, stt, first):
        first.push(SPEECH.pcm[half:])
        first.stream.flush()
        async with listening(stt, ONCE, continues=first.stream) as second:
            await second.until_said(SPEECH)  # which only a flush or the end brings about so soon
            first.push(SPEECH.pcm)  # nobody's any more
            second.stream.end_input()
            check(await second.ended(), SPEECH)


async def test_the_input_of_a_failed_stream_may_be_ended() -> None:
    async with (
        serve(faults.Refuse(503)) as server,
        client(server) as stt,
        listening(stt, ONCE) as first,
    ):
        first.push(SPEECH.pcm)
        with pytest.raises(APIError):
            await first.ended()
        first.stream.end_input()
        async with listening(stt, ONCE, continues=first.stream) as second:
            check(await second.ended(), SPEECH)


async def test_an_offset_holds_for_what_is_pushed_to_its_stream() -> None:
    half = len(SPEECH.pcm) // 4 * 2
    async with (
        failed(faults.Refuse(503), pushed=SPEECH.pcm[:half]) as (_, stt, first),
        listening(stt, ONCE, continues=first.stream) as second,
    ):
        second.stream.start_time_offset = 100.0
        second.push(SPEECH.pcm[half:])
        second.stream.end_input()
        events = await second.ended()
    starts = [
        word.start_time
        for event in events
        if event.type is Kind.FINAL_TRANSCRIPT
        for word in event.alternatives[0].words or []
    ]
    half_s = half / 32_000
    for start_s, word in zip(starts, SPEECH.words, strict=True):
        added_s = 0.0 if word.start_s < half_s else 100.0 - half_s
        assert start_s == pytest.approx(word.start_s + added_s, abs=0.04)


async def test_only_a_stream_of_ones_own_that_has_failed_can_be_gone_on_from() -> None:
    async with failed() as (server, stt, first):
        with pytest.raises(TypeError, match=r"continues=.*must be a stream"):
            stt.stream(continues="the last one")  # type: ignore[arg-type]
        async with client(server) as another:
            with pytest.raises(ValueError, match="not of this STT"):
                another.stream(continues=first.stream)
        async with listening(stt, continues=first.stream) as second:
            with pytest.raises(ValueError, match="taken already"):
                stt.stream(continues=first.stream)
            with pytest.raises(ValueError, match="has not failed"):
                stt.stream(continues=second.stream)
        with pytest.raises(ValueError, match="has not failed"):
            stt.stream(continues=second.stream)


async def test_a_stream_that_nobody_goes_on_from_is_reported_once_and_leaves_its_times(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with failed(faults.Refuse(503), replay_buffer_s=0.3) as (_, stt, first):
        await _until(lambda: first.stream.lost_audio_s)
        assert first.stream.lost_audio_s == pytest.approx(PUSHED_S)
        async with listening(stt, ONCE, continues=first.stream) as second:
            second.push(SPEECH.pcm)
            second.stream.end_input()
            check(await second.ended(), SPEECH, offset_s=PUSHED_S)
    assert len(_warnings(caplog)) == 1


async def test_a_stream_that_nobody_goes_on_from_is_let_go() -> None:
    async with serve(faults.Refuse(503)) as server, client(server, replay_buffer_s=0.3) as stt:
        abandoned = await _abandoned(stt)
        await _until(lambda: gc.collect() is not None and abandoned() is None)


async def _abandoned(stt: STT) -> weakref.ref[SpeechStream]:
    async with stt.stream(conn_options=ONCE) as stream:
        push(stream, SPEECH.pcm)
        with contextlib.suppress(APIError):
            await anext(stream)
    return weakref.ref(stream)


async def test_what_is_unfinished_can_be_taken_to_another_stt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with failed(enable_partial_transcripts=False) as (server, stt, first):
        rest = first.stream.take_unfinished()
        with pytest.raises(ValueError, match="taken already"):
            stt.stream(continues=first.stream)
        async with client(server) as another, listening(another, ONCE) as second:
            second.stream.push_frame(rest)
            second.stream.end_input()
            assert [*first.said(), *said(await second.ended())] == [w.text for w in SPEECH.words]
    assert first.stream.lost_audio_s == 0
    assert not _warnings(caplog)


async def test_closing_the_stt_lets_go_of_failed_streams(caplog: pytest.LogCaptureFixture) -> None:
    async with failed(faults.Refuse(503)) as (_, stt, first):
        await stt.aclose()
        assert first.stream.lost_audio_s > 0
        with pytest.raises(RuntimeError, match="this STT is closed"):
            stt.stream(continues=first.stream)
    assert len(_warnings(caplog)) == 1


async def test_two_streams_in_one_task_have_nothing_to_do_with_each_other() -> None:
    """A worker that takes one call after the other in one task."""
    async with failed(faults.Refuse(503)) as (_, stt, _first), listening(stt, ONCE) as second:
        second.stream.end_input()
        assert said(await second.ended()) == []


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    warned = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return [message for message in warned if "no other one has gone on" in message]


async def _until(predicate: Callable[[], object]) -> None:
    """Wait for what a timer brings about and nobody is told of."""
    for _ in range(500):
        if predicate():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("still not so")
