"""What LiveKit asks of any speech-to-text and of its adapters over one, asked with this one.

Its own suites (base, fallback, prewarm, context, multi-speaker) put fakes in our place. Here both
ends are real: our client, and a Baseten on loopback that says what it was asked.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from kit import clock
from kit.client import collected, finals, frame, new_stt, push, words
from kit.harness import scene
from kit.loopback import QUICK, working
from kit.stage import SELFISH, YOUNG_MAN, script

from livekit.agents import APIConnectionError, APIConnectOptions, inference, llm
from livekit.agents import stt as lk
from livekit.agents.metrics import STTMetrics
from livekit.agents.stt import FallbackAdapter, MultiSpeakerAdapter, StreamAdapter
from livekit.plugins import baseten
from livekit.plugins.baseten.emulator import (
    Connection,
    Diarizer,
    Server,
    coded_speech,
    faults,
    serve,
)

SPEECH = coded_speech([(1600, 4000), (16_000, 4000)], trailing_samples=8000)
SAID = [word.text for word in SPEECH.words]
AT_ONCE = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=10.0)
DOWN = (faults.Refuse(503),) * 50


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serve() as running:
        yield running


@pytest.fixture
async def ours(server: Server) -> AsyncIterator[baseten.STT]:
    async with new_stt(server) as made:
        yield made


# Base: what every stream has.


async def test_a_stream_begins_now_and_again_with_each_retry(
    server: Server, ours: baseten.STT
) -> None:
    server.plan.append(faults.Reset(8000))
    before_s = time.time()  # noqa: TID251 - it is a time of day
    async with ours.stream(conn_options=QUICK) as stream:
        assert before_s <= stream.start_time <= time.time()  # noqa: TID251
        stream.start_time = 1.0
        assert stream.start_time == 1.0
        with pytest.raises(ValueError, match="start_time"):
            stream.start_time = -1.0
        push(stream, SPEECH.pcm)
        stream.end_input()
        assert words(await collected(stream)) == SAID
        assert len(server.connections) == 2
        assert stream.start_time >= before_s


# Fallback: who serves, who is back, and when it began.


async def fallback(primary: Server, secondary: Server, **options: Any) -> FallbackAdapter:
    """The second one is Qwen3-ASR, so that a label tells them apart."""
    first = new_stt(primary)
    second = new_stt(secondary, model="qwen3-asr")
    options = {"max_retry_per_stt": 0, "retry_interval": 0.01, **options}
    return FallbackAdapter([first, second], **options)


async def close(adapter: FallbackAdapter) -> None:
    await adapter.aclose()
    for each in adapter._stt_instances:
        await each.aclose()


async def test_recognize_falls_back_and_says_who_has_served_it() -> None:
    async with serve(*DOWN) as primary, serve(model="qwen3-asr") as secondary:
        adapter = await fallback(primary, secondary)
        changes: asyncio.Queue[lk.AvailabilityChangedEvent] = asyncio.Queue()
        adapter.on("stt_availability_changed", changes.put_nowait)
        assert adapter.metrics_metadata["model_name"] == "whisper"
        event = await adapter.recognize(frame(SPEECH.pcm))
        assert event.alternatives[0].text.split() == SAID
        assert adapter.metrics_metadata["model_name"] == "qwen3-asr"
        assert not (await changes.get()).available

        primary.plan.clear()  # whoever tries whether it is back finds it so, and changes no label
        await adapter.recognize(frame(SPEECH.pcm))
        assert (await changes.get()).available
        assert adapter.metrics_metadata["model_name"] == "qwen3-asr"
        event = await adapter.recognize(frame(SPEECH.pcm))
        assert event.alternatives[0].text.split() == SAID
        assert adapter.metrics_metadata["model_name"] == "whisper"
        await close(adapter)


async def test_where_nobody_recognizes_the_adapter_says_so() -> None:
    async with serve(*DOWN) as primary, serve(*DOWN, model="qwen3-asr") as secondary:
        adapter = await fallback(primary, secondary)
        with pytest.raises(APIConnectionError, match="all STTs failed"):
            await adapter.recognize(frame(SPEECH.pcm))
        await close(adapter)


async def test_times_after_a_fallback_count_from_where_the_input_began() -> None:
    async with serve(*DOWN) as primary, serve(model="qwen3-asr", aligner=True) as secondary:
        adapter = await fallback(primary, secondary)
        stream = adapter.stream()
        stream.start_time_offset = 30.0
        async with stream:
            push(stream, SPEECH.pcm)
            await secondary.wait_for_connection()
            push(stream, SPEECH.pcm)
            stream.end_input()
            events = await collected(stream)
        assert words(events)[-2:] == SAID
        starts = [e.alternatives[0].start_time for e in events if finals([e])]
        assert all(30.0 <= start_s < 40.0 for start_s in starts)
        await close(adapter)


# Prewarm: through each adapter to whoever will be used, and to nobody else.


async def test_a_fallback_adapter_warms_up_the_first_one_alone() -> None:
    async with serve() as primary, serve(model="qwen3-asr") as secondary:
        adapter = await fallback(primary, secondary)
        adapter.prewarm()
        await working(primary, await primary.wait_for_connection())
        assert secondary.handshakes == []
        await close(adapter)


ADAPTERS: dict[str, Callable[[lk.STT], lk.STT]] = {
    "StreamAdapter": lambda ours: StreamAdapter(stt=ours, vad=inference.VAD()),
    "MultiSpeakerAdapter": lambda ours: MultiSpeakerAdapter(stt=ours),
}


@pytest.mark.parametrize("name", list(ADAPTERS))
async def test_an_adapter_is_warmed_up_labelled_and_told_of_keyterms_as_what_is_in_it(
    name: str,
) -> None:
    async with serve(diarizer=True) as server, new_stt(server, enable_diarization=True) as ours:
        adapter = ADAPTERS[name](ours)
        assert (adapter.model, adapter.provider) == ("whisper", "Baseten")
        assert adapter.capabilities.keyterms
        adapter._update_session_keyterms(["Barton"])
        adapter.prewarm()
        connection = await server.wait_for_connection()
        await server.until(lambda: connection.metadata)
        assert connection.metadata is not None
        assert connection.metadata["whisper_params"]["prompt"] == "Barton."
        await adapter.aclose()


# Multi-speaker: usage once, and a budget of retries that words give back.


async def test_an_adapter_reports_each_usage_once_and_none_after_it_was_closed() -> None:
    async with serve(diarizer=True) as server, new_stt(server, enable_diarization=True) as ours:
        adapter = MultiSpeakerAdapter(stt=ours)
        measured: list[STTMetrics] = []
        adapter.on("metrics_collected", measured.append)
        length_s = len(SPEECH.pcm) / 32_000
        await adapter.recognize(frame(SPEECH.pcm))
        assert sum(m.audio_duration for m in measured) == pytest.approx(length_s, abs=0.01)
        async with adapter.stream() as stream:
            push(stream, SPEECH.pcm)
            stream.end_input()
            assert words(await collected(stream)) == SAID
        assert sum(m.audio_duration for m in measured) == pytest.approx(2 * length_s, abs=0.01)
        assert {m.label for m in measured} == {ours.label}
        await adapter.aclose()
        before = len(measured)
        await ours.recognize(frame(SPEECH.pcm))
        assert len(measured) == before


async def test_a_call_under_an_adapter_outlives_more_cuts_than_its_budget() -> None:
    """Each comes after words: a connection that worked gives the budget back."""
    speech = coded_speech([(1600, 4000)] + [(12_000, 4000)] * 5, trailing_samples=8000)
    async with (
        serve(diarizer=Diarizer(max_wait_s=0)) as server,
        new_stt(server, enable_diarization=True) as ours,
    ):
        adapter = MultiSpeakerAdapter(stt=ours)
        heard: list[str] = []
        async with adapter.stream(conn_options=AT_ONCE) as stream:
            reading = asyncio.create_task(_heard(stream, heard))
            push(stream, speech.pcm)
            for count in range(1, 6):
                connection = await server.wait_for_connection(count)
                await server.until(functools.partial(_has_final, connection))
                connection.reset()
            stream.end_input()
            await asyncio.wait_for(reading, 20)
        assert heard == [word.text for word in speech.words]
        await adapter.aclose()


async def _heard(stream: lk.RecognizeStream, heard: list[str]) -> None:
    async for event in stream:
        heard += words([event])


def _has_final(connection: Connection) -> bool:
    return any(json.loads(message).get("is_final") for message in connection.sent)


# Context: terms that a session finds in the conversation.


class TermFinder(llm.LLM):
    """Finds one term in whatever was said, and is sure of it."""

    def chat(self, **asked: Any) -> Any:
        arguments = json.dumps({"pending": [], "confirm": ["Dashwood"], "remove": []})
        call = llm.FunctionToolCall(call_id="1", name="record_keyterms", arguments=arguments)

        class Answer:
            async def collect(self) -> llm.CollectedResponse:
                return llm.CollectedResponse(tool_calls=[call])

        return Answer()


def test_a_term_that_was_found_in_the_first_turn_is_known_in_the_second() -> None:
    async def main() -> None:
        async with scene(
            script(0.5, YOUNG_MAN, 2.0, SELFISH, 2.0),
            "stt",
            stt_context_options={
                "keyterms": ["Barton"],
                "keyterm_detection": {"enabled": True, "llm": TermFinder()},
            },
        ) as played:
            await played.call.until(lambda: len(played.call.turns) == 2)
        assert played.connection.metadata is not None
        known = played.connection.metadata["whisper_params"]["prompt"]
        assert known == "Barton, Dashwood."
        assert played.call.turn_texts == played.call.script.texts

    clock.run(main())
