"""`STT(record=...)`: what a recording has of a real call, over the local Baseten."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kit.loopback import ALIKE, FRAME_S, check, listening
from kit.models import MODELS

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, APIStatusError
from livekit.agents.stt import SpeechEvent
from livekit.plugins.baseten import STT
from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten._livekit import stream as _stream
from livekit.plugins.baseten._recording import recording as _record
from livekit.plugins.baseten._recording.files import Tape
from livekit.plugins.baseten._report import Recorded, page, read
from livekit.plugins.baseten._report.axis import Axis
from livekit.plugins.baseten._report.call import Call, made_out
from livekit.plugins.baseten._report.reading import (
    Changed,
    Closed,
    Flushed,
    Line,
    Message,
    Problem,
    RecordedEvent,
)
from livekit.plugins.baseten.emulator import Server, coded_speech, faults, serve

KEY = "abcd1234.a-key-that-nobody-may-see"
SPEECH = coded_speech(8, trailing_samples=8000)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    name: Model = request.param
    return name


@contextlib.asynccontextmanager
async def recording(
    folder: Path, *plan: faults.Entry, model: Model = "whisper", **options: Any
) -> AsyncIterator[tuple[Server, STT]]:
    """An STT that records; on disk when it is over."""
    async with serve(*plan, model=model, aligner=True) as server:
        arguments = {"model": model, **ALIKE, **options}
        async with STT(model_endpoint=server.url, api_key=KEY, record=folder, **arguments) as stt:
            yield server, stt
    nothing_holds_the_key(folder)


def nothing_holds_the_key(folder: Path) -> None:
    for path in folder.iterdir():
        assert KEY.encode() not in path.read_bytes(), path.name
        if path.suffix == ".jsonl":
            text = path.read_text()
            assert "authorization" not in text.lower()
            assert "Api-Key" not in text
            assert KEY not in page(read(path))


def recordings(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def the_call(folder: Path) -> Recorded:
    (path,) = recordings(folder)
    call = read(path)
    assert call.unreadable == []
    return call


def shown(recorded: Recorded) -> Call:
    assert recorded.pcm is not None
    return made_out(recorded, Axis(recorded.lines, len(recorded.pcm)))


def of(kind: type[Line], recorded: Recorded) -> list[Any]:
    return [line for line in recorded.lines if isinstance(line, kind)]


async def transcribed(stt: STT, pcm: bytes = SPEECH.pcm) -> list[SpeechEvent]:
    async with listening(stt) as listener:
        listener.push(pcm)
        listener.stream.end_input()
        return await listener.ended()


async def test_a_call_is_all_there(tmp_path: Path, model: Model) -> None:
    async with recording(tmp_path, model=model) as (server, stt):
        events = await transcribed(stt)
    check(events, SPEECH)
    recorded = the_call(tmp_path)
    assert recorded.is_whole
    assert recorded.header.model == model
    assert recorded.pcm is not None
    assert recorded.pcm.tobytes() == SPEECH.pcm
    assert recorded.path.stem.endswith(recorded.header.id)
    # Events, as LiveKit got them.
    told = of(RecordedEvent, recorded)
    assert [event.type for event in told] == [event.type.value for event in events]
    assert all(event.request_id.startswith(recorded.header.id) for event in events)
    texts = [e.alternatives[0].text if e.alternatives else "" for e in events]
    assert [event.text for event in told] == texts
    # The wire: the metadata first, and every message that came.
    (connection,) = server.connections
    messages = of(Message, recorded)
    (first, *_) = [m.text for m in messages if m.kind == "sent_text"]
    assert json.loads(first) == connection.metadata
    assert [m.text for m in messages if m.kind == "received"] == connection.sent
    call = shown(recorded)
    assert [word.text for final in call.finals for word in final.words] == [
        word.text for word in SPEECH.words
    ]
    (ended,) = of(Flushed, recorded)
    assert (ended.kind, ended.position) == ("input_ended", len(SPEECH.pcm) // 2)
    (link,) = call.connections
    assert link.handshake_s > 0
    (closed,) = of(Closed, recorded)
    assert closed.error is None
    assert link.sent_s == pytest.approx(len(SPEECH.pcm) / 32_000, abs=0.001)
    assert not link.is_lost


async def test_a_lost_connection_and_what_was_sent_again(tmp_path: Path, model: Model) -> None:
    async with recording(tmp_path, faults.Reset(after_samples=24_000), model=model) as (_, stt):
        check(await transcribed(stt), SPEECH)
    recorded = the_call(tmp_path)
    assert recorded.pcm is not None
    assert recorded.pcm.tobytes() == SPEECH.pcm  # once, whatever went over the wire
    call = shown(recorded)
    lost, after = call.connections
    assert lost.is_lost
    assert "cut off without a close frame" in lost.ending
    assert not after.is_lost
    assert after.replayed_s > 0
    assert lost.sent_s + after.sent_s - after.replayed_s == pytest.approx(
        len(SPEECH.pcm) / 32_000, abs=0.001
    )
    (problem,) = of(Problem, recorded)
    assert problem.recoverable
    assert "connection lost" in problem.message


async def test_a_flush_and_the_silence_made_up_for_it(tmp_path: Path) -> None:
    async with recording(tmp_path) as (_, stt), listening(stt) as listener:
        listener.push(SPEECH.pcm[: SPEECH.words[2].end_samples * 2])
        listener.stream.flush()
        await listener.until(lambda: SPEECH.words[2].text in listener.said())
    recorded = the_call(tmp_path)
    (flush,) = of(Flushed, recorded)
    assert (flush.kind, flush.position) == ("flush", SPEECH.words[2].end_samples)
    call = shown(recorded)
    assert call.flushes[0].answered is not None
    assert call.connections[0].silence_s > 0.3
    assert recorded.is_whole  # closed before the end of the input is closed all the same


async def test_the_offset_of_the_framework_is_not_taken_for_audio(tmp_path: Path) -> None:
    async with recording(tmp_path) as (_, stt), listening(stt) as listener:
        listener.stream.start_time_offset = 100.0
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH, offset_s=100.0)
    recorded = the_call(tmp_path)
    final = next(event for event in of(RecordedEvent, recorded) if event.type == "final_transcript")
    assert final.start > 100
    words = [word for final in shown(recorded).finals for word in final.words]
    for word, spoken in zip(words, SPEECH.words, strict=True):
        assert word.x0 == pytest.approx(spoken.start_s, abs=FRAME_S)


async def test_a_stream_that_goes_on_is_shown_with_what_it_went_on_with(tmp_path: Path) -> None:
    once = APIConnectOptions(max_retry=0)
    cut = SPEECH.words[3].start_samples
    async with recording(tmp_path, faults.Reset(cut), enable_partial_transcripts=False) as (_, stt):
        async with listening(stt, once) as first:
            first.push(SPEECH.pcm)
            first.stream.end_input()
            with contextlib.suppress(APIError):
                await first.ended()
        async with listening(stt, once, continues=first.stream) as second:
            await second.ended()
    calls = [shown(read(path)) for path in recordings(tmp_path)]
    said = [[word for final in call.finals for word in final.words] for call in calls]
    (heard,) = [words for words in said if words and words[-1].text == SPEECH.words[-1].text]
    rest = SPEECH.words[-len(heard) :]
    began_s = rest[-1].end_s - heard[-1].x1
    for word, spoken in zip(heard, rest, strict=True):
        assert word.x0 == pytest.approx(spoken.start_s - began_s, abs=FRAME_S)
    assert heard[0].x0 < SPEECH.words[3].start_s, "it begins where the first one was cut off"


async def test_a_connection_opened_ahead_shows_from_its_start(tmp_path: Path) -> None:
    async with recording(tmp_path) as (server, stt):
        await stt.warm_up()
        await transcribed(stt)
    recorded = the_call(tmp_path)
    (connection,) = shown(recorded).connections
    assert connection.is_reused
    first, probe, *_ = of(Message, recorded)
    assert "whisper_params" in first.text
    assert first.at < 0  # before the call began
    assert "health_check" in probe.text
    received = [m.text for m in of(Message, recorded) if m.kind == "received"]
    assert received == server.connections[0].sent


async def test_changed_options_have_their_connection(tmp_path: Path) -> None:
    async with recording(tmp_path) as (server, stt), listening(stt) as listener:
        listener.push(SPEECH.pcm)
        await listener.until_said(SPEECH)
        stt.update_options(language="de")
        await server.until(lambda: len(server.connections) == 2)
        await listener.until(lambda: len(listener.acquired) == 2)
        listener.stream.end_input()
        await listener.ended()
    recorded = the_call(tmp_path)
    opened = [json.loads(m.text) for m in of(Message, recorded) if "audio_language" in m.text]
    assert [o["whisper_params"]["audio_language"] for o in opened] == ["en", "de"]
    assert [c.is_lost for c in shown(recorded).connections] == [False, False]
    assert [changed.options["language"] for changed in of(Changed, recorded)] == ["de"]


async def test_a_refused_call_says_why_and_not_with_which_key(tmp_path: Path) -> None:
    with pytest.raises(APIStatusError):
        async with recording(tmp_path, faults.Refuse(401)) as (_, stt):
            await transcribed(stt)
    recorded = the_call(tmp_path)
    (problem,) = of(Problem, recorded)
    assert "401" in problem.message
    assert not problem.recoverable
    assert recorded.is_whole
    nothing_holds_the_key(tmp_path)


async def test_a_problem_after_which_the_call_goes_on_is_told(tmp_path: Path) -> None:
    fault = faults.Error(recoverable=True, message="hiccup", after_samples=8_000)
    async with recording(tmp_path, fault) as (_, stt):
        check(await transcribed(stt), SPEECH)
    (problem,) = of(Problem, the_call(tmp_path))
    assert "hiccup" in problem.message
    assert problem.recoverable


async def test_audio_of_another_rate_is_recorded_to_its_last_sample(tmp_path: Path) -> None:
    second = rtc.AudioFrame(bytes(2 * 24_000), 24_000, 1, 24_000)
    async with recording(tmp_path / "stream") as (_, stt), stt.stream() as stream:
        stream.push_frame(second)
        stream.end_input()
        async for _event in stream:
            pass
    async with recording(tmp_path / "whole") as (_, stt):
        await stt.recognize([second])
    for folder in ("stream", "whole"):
        pcm = the_call(tmp_path / folder).pcm
        assert pcm is not None
        assert len(pcm) == 16_000


async def test_a_call_that_ends_by_itself_is_whole_before_anybody_closes_it(
    tmp_path: Path,
) -> None:
    async with recording(tmp_path) as (_, stt), listening(stt) as listener:
        (writer,) = [t for t in threading.enumerate() if t.name == "baseten-recorder"]
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        await listener.ended()
        await asyncio.to_thread(writer.join, 20)  # it ends with the last call
        assert the_call(tmp_path).is_whole


async def test_audio_that_was_lost_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = itertools.count(1_800_000_000.0)  # a second for each push
    monkeypatch.setattr(_stream, "_wall_s", lambda: next(times))
    parked = recording(tmp_path, faults.Park(), replay_buffer_s=2.0)
    async with parked as (server, stt), listening(stt) as listener:
        for _ in range(5):
            listener.stream.push_frame(rtc.AudioFrame(bytes(32_000), 16_000, 1, 16_000))
        lost_s = listener.stream.lost_audio_s
        assert lost_s > 0
        await server.until(lambda: server.handshakes)
        server.wake()
        listener.stream.end_input()
        await listener.ended()
    call = shown(the_call(tmp_path))
    assert call.lost_s == lost_s
    assert any("dropped unheard" in trouble.message for trouble in call.troubles)


async def test_a_whole_recording_at_once_is_recorded(tmp_path: Path) -> None:
    frame = rtc.AudioFrame(SPEECH.pcm, 16_000, 1, len(SPEECH.pcm) // 2)
    async with recording(tmp_path) as (_, stt):
        event = await stt.recognize([frame])
    assert event.alternatives[0].text == SPEECH.text
    recorded = the_call(tmp_path)
    assert recorded.is_whole
    assert event.request_id == recorded.header.id
    assert recorded.pcm is not None
    assert recorded.pcm.tobytes() == SPEECH.pcm
    assert [e.text for e in of(RecordedEvent, recorded)] == [SPEECH.text]
    assert len(shown(recorded).connections) == 1


async def test_a_whole_recording_that_is_refused_says_why(tmp_path: Path) -> None:
    frame = rtc.AudioFrame(SPEECH.pcm, 16_000, 1, len(SPEECH.pcm) // 2)
    with pytest.raises(APIStatusError):
        async with recording(tmp_path, faults.Refuse(401)) as (_, stt):
            await stt.recognize([frame])
    recorded = the_call(tmp_path)
    (problem,) = of(Problem, recorded)
    assert "401" in problem.message
    assert recorded.is_whole


async def test_each_stream_is_a_recording(tmp_path: Path) -> None:
    async with recording(tmp_path) as (_, stt):
        for _ in range(2):
            await transcribed(stt)
        stream = stt.stream()
        await stream.aclose()  # before it began
    calls = [read(path) for path in recordings(tmp_path)]
    assert len(calls) == 3
    assert all(call.is_whole for call in calls)


async def test_a_full_disk_costs_no_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Tape, "flush", full)
    with caplog.at_level(logging.WARNING):
        async with recording(tmp_path) as (_, stt):
            check(await transcribed(stt), SPEECH)
    (warning,) = [r.getMessage() for r in caplog.records]
    assert "No space left on device" in warning


async def test_without_record_there_is_no_thread_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_record, "Recording", None)  # none is made
    async with serve() as server, STT(model_endpoint=server.url, api_key=KEY) as stt:
        check(await transcribed(stt), SPEECH)
        assert not [t for t in threading.enumerate() if t.name == "baseten-recorder"]
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_is_refused_when_the_stt_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"record=.*file"):
        STT(model_id="abc", api_key=KEY, record=tmp_path / "file")
