"""Qwen3-ASR over a socket: turns, commits that are answered oddly or never, ends, errors."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import numpy as np
import pytest
from kit import grammar
from kit.client import Kind, finals, frame, frames, of
from kit.loopback import QUICK, Listener, client, listening

from livekit.agents import APIConnectOptions, APIError, APIStatusError, stt
from livekit.plugins.baseten._core import flushes as _flushes
from livekit.plugins.baseten.emulator import CodedSpeech, Server, coded_speech, faults, serve

QWEN3: Any = "qwen3-asr"

# Two turns. The server ends one after 17 silent windows: 8704 samples.
SPEECH = coded_speech(
    [(8000, 4000), (800, 4000), (16_000, 4000), (800, 4000)],
    trailing_samples=12_000,
    first_word=1001,
)


def served(*plan: faults.Entry, **options: Any) -> Any:
    return serve(*plan, model=QWEN3, **options)


def qwen3(server: Server, **options: Any) -> Any:
    return client(server, model=QWEN3, **options)


def check(events: list[stt.SpeechEvent], speech: CodedSpeech) -> None:
    grammar.check(events)
    assert " ".join(text for text in finals(events) if text) == speech.text


# Words, once and exact


@pytest.mark.parametrize("aligner", [True, False])
@pytest.mark.parametrize("words", [True, False])
async def test_every_word_comes_once(words: bool, aligner: bool) -> None:
    async with (
        served(aligner=aligner) as server,
        qwen3(server, show_word_timestamps=words) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        events = await listener.ended()
        check(events, SPEECH)
        assert server.connections[0].audio == SPEECH.pcm
    said = [e.alternatives[0] for e in of(Kind.FINAL_TRANSCRIPT, events)]
    spoken = SPEECH.words
    assert [(d.start_time, d.end_time) for d in said] == [
        pytest.approx((spoken[0].start_s, spoken[1].end_s)),
        pytest.approx((spoken[2].start_s, spoken[3].end_s)),
    ]
    assert all(d.language == "en" for d in said)
    if words and aligner:
        timed = [word for d in said for word in d.words or []]
        assert [w.start_time for w in timed] == pytest.approx([w.start_s for w in spoken])
    else:
        assert all(d.words is None for d in said)


async def test_a_turn_has_its_start_interims_final_and_end() -> None:
    async with (
        served() as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        events = await listener.ended()
    starts, ends = of(Kind.START_OF_SPEECH, events), of(Kind.END_OF_SPEECH, events)
    assert len(starts) == len(ends) == 2
    assert of(Kind.INTERIM_TRANSCRIPT, events)
    assert all(each.speech_start_time for each in starts)
    assert all(each.speech_end_time for each in ends)


@pytest.mark.parametrize(
    ("language", "told"), [("Cantonese", "yue"), ("fil", "fil"), ("Mandarin", "zh"), ("de", "de")]
)
async def test_a_language_is_a_code_for_livekit(language: str, told: str) -> None:
    async with (
        served() as server,
        qwen3(server, language=language) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        events = await listener.ended()
    texts = of(Kind.FINAL_TRANSCRIPT, events) + of(Kind.INTERIM_TRANSCRIPT, events)
    assert {str(e.alternatives[0].language) for e in texts} == {told}


async def test_audio_of_24_khz_in_stereo_arrives_as_16_khz_mono() -> None:
    tone = (9000 * np.sin(np.arange(24_000) * 0.2)).astype("<i2")
    async with (
        served() as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        for each in frames(np.column_stack([tone, tone]).ravel(), rate_hz=24_000, channels=2):
            listener.stream.push_frame(each)
        listener.stream.end_input()
        await listener.ended()
        heard = np.frombuffer(server.connections[0].audio, "<i2")
        assert len(heard) == 16_000
    expected = 9000 * np.sin(np.arange(16_000) * 0.3)
    assert np.abs(heard - expected)[200:-200].max() < 100


@pytest.mark.parametrize("samples", [0, 1, 300, 8704])
async def test_the_last_samples_are_heard_whatever_their_number(samples: int) -> None:
    speech = coded_speech([(8000, 4000), (800, 700)], trailing_samples=samples, first_word=1001)
    async with (
        served() as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(speech.pcm)
        listener.stream.end_input()
        await listener.ended()
        assert listener.said() == ["w1001", "w1002!700"] or listener.said() == ["w1001", "w1002"]
        assert server.connections[0].audio == speech.pcm


async def test_recognize_gives_the_whole() -> None:
    async with served() as server, qwen3(server) as speech_to_text:
        event = await speech_to_text.recognize(frame(SPEECH.pcm))
    (data,) = event.alternatives
    assert data.text == SPEECH.text
    assert data.language == "en"
    assert data.start_time == pytest.approx(SPEECH.words[0].start_s)
    assert data.end_time == pytest.approx(SPEECH.words[-1].end_s)


async def test_options_change_in_a_call_without_a_word_lost() -> None:
    async with (
        served() as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm[: 2 * 30_000])
        await listener.until(lambda: "w1002" in listener.said())
        speech_to_text.update_options(language="fr")
        await listener.until(lambda: len(listener.acquired) == 2)
        listener.push(SPEECH.pcm[2 * 30_000 :])
        listener.stream.end_input()
        events = await listener.ended()
        check(events, SPEECH)
        asked = [c.metadata["whisper_params"]["audio_language"] for c in server.connections]
    assert asked == ["auto", "French"]
    languages = [str(e.alternatives[0].language) for e in of(Kind.FINAL_TRANSCRIPT, events)]
    assert languages == ["en", "fr"]


# Flush: a commit, answered by the flagged final


def commits(server: Server) -> int:
    if not server.connections:
        return 0
    sent = [json.loads(f) for f in server.connections[-1].frames if isinstance(f, str)]
    return sum(message.get("type") == "input_audio_buffer.commit" for message in sent)


IMPATIENT: dict[str, Any] = {"drain_timeout_s": 0.1}

MID = 2 * 21_000  # bytes: w1001 and w1002, and as good as no silence


async def flushed(listener: Listener) -> None:
    listener.push(SPEECH.pcm[:MID])
    listener.stream.flush()


async def rest(listener: Listener) -> list[stt.SpeechEvent]:
    listener.push(SPEECH.pcm[MID:])
    listener.stream.end_input()
    return await listener.ended()


@pytest.mark.parametrize("partials", [True, False])
async def test_a_flush_is_a_commit_and_its_answer_the_final(partials: bool) -> None:
    async with (
        served() as server,
        qwen3(server, enable_partial_transcripts=partials) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        await flushed(listener)
        await listener.until(lambda: listener.said() == ["w1001", "w1002"])
        assert commits(server) == 1
        assert server.connections[0].audio == SPEECH.pcm[:MID], "no made-up silence"
        check(await rest(listener), SPEECH)
        assert commits(server) == 2


@pytest.mark.parametrize("audio", [b"", bytes(32_000)], ids=["nothing", "silence"])
async def test_a_flush_with_nothing_to_say_is_answered_empty(audio: bytes) -> None:
    async with (
        served() as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(audio)
        listener.stream.flush()
        await listener.until(lambda: finals(listener.events) == [""])
        listener.stream.end_input()
        grammar.check(await listener.ended())


async def test_a_flush_right_after_the_servers_own_final_is_answered() -> None:
    async with (
        served() as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm[: 2 * 30_000])
        listener.stream.flush()
        await listener.until(lambda: finals(listener.events) == ["w1001 w1002", ""])
        listener.push(SPEECH.pcm[2 * 30_000 :])
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)


async def test_many_flushes_are_answered_each_and_lose_nothing() -> None:
    async with (
        served() as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        for at in range(0, len(SPEECH.pcm), 19_200):  # no word is cut: 9600 samples each
            listener.push(SPEECH.pcm[at : at + 19_200])
            if at in (19_200, 38_400, 76_800):
                listener.stream.flush()
        listener.stream.end_input()
        events = await listener.ended()
        assert len(server.connections) == 1
    said = [word.partition("!")[0] for text in finals(events) for word in text.split()]
    assert said == [word.text for word in SPEECH.words]
    grammar.check(events)


# Answered late, twice, never, empty


def flagged(message: dict[str, Any]) -> bool:
    return bool(message.get("is_end_of_audio_flush"))


class LateBy:
    """Answers to commits are held back until so many messages more were sent."""

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self._held: list[tuple[int, dict[str, Any]]] = []

    def __call__(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        self._held = [(left - 1, held) for left, held in self._held]
        due = [held for left, held in self._held if left <= 0]
        self._held = [(left, held) for left, held in self._held if left > 0]
        if flagged(message) and not due:
            self._held.append((self._messages, message))
            return []
        return [*due, message]


async def test_an_answer_after_other_results_is_still_the_answer() -> None:
    async with (
        served(faults.Rewrite(LateBy(1))) as server,
        qwen3(server, **IMPATIENT) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        await flushed(listener)
        await server.until(lambda: commits(server) == 1)
        listener.push(SPEECH.pcm[MID:])
        await listener.until(lambda: "w1002" in listener.said())
        listener.stream.end_input()
        # The end's own answer is held back too, until a new connection asks again.
        events = await listener.ended()
    check(events, SPEECH)


async def test_an_answer_later_than_anybody_waits_says_its_words_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_flushes, "ANSWER_S", 0.05)
    async with (
        served(faults.SlowRecognition(0.3)) as server,
        qwen3(server, enable_partial_transcripts=False) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        await flushed(listener)
        await listener.until(lambda: finals(listener.events) == [""])
        await listener.until(lambda: listener.said() == ["w1001", "w1002"])
        check(await rest(listener), SPEECH)
        assert len(server.connections) == 1


@pytest.mark.parametrize("partials", [True, False])
@pytest.mark.parametrize("flush", [True, False])
@pytest.mark.parametrize("waits", [True, False])
async def test_an_answer_that_comes_twice_is_one(flush: bool, waits: bool, partials: bool) -> None:
    async with (
        served(faults.Duplicate()) as server,
        qwen3(server, enable_partial_transcripts=partials) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm[:MID])
        if flush:
            listener.stream.flush()
            if waits:
                await listener.until(lambda: listener.said())
        check(await rest(listener), SPEECH)


async def test_an_empty_answer_that_comes_twice_is_not_the_next_answer() -> None:
    async with (
        served(faults.Duplicate()) as server,
        qwen3(server, enable_partial_transcripts=False) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(bytes(16_000))
        listener.stream.flush()
        listener.push(SPEECH.pcm[:MID])
        listener.stream.flush()
        check(await rest(listener), SPEECH)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client waits for, it waits for briefly."""
    monkeypatch.setattr(_flushes, "ANSWER_S", 0.1)


def unanswered(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [] if flagged(message) else [message]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("partials", [True, False])
async def test_an_end_that_is_not_answered_is_asked_again_elsewhere(partials: bool) -> None:
    speech = coded_speech([(800, 4000)], first_word=1001)
    async with (
        served(faults.NeverFinish()) as server,
        qwen3(server, enable_partial_transcripts=partials, **IMPATIENT) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(speech.pcm)
        listener.stream.end_input()
        check(await listener.ended(), speech)
        assert len(server.handshakes) == 2


@pytest.mark.usefixtures("soon")
async def test_an_end_that_nobody_ever_answers_is_bounded_and_keeps_what_was_shown() -> None:
    speech = coded_speech([(800, 4000)] * 4, first_word=1001)
    thrice = APIConnectOptions(max_retry=2, retry_interval=0.001, timeout=10.0)
    async with (
        served(*[faults.NeverFinish()] * 99) as server,
        qwen3(server, **IMPATIENT) as speech_to_text,
        listening(speech_to_text, thrice) as listener,
    ):
        listener.push(speech.pcm)
        listener.stream.end_input()
        with contextlib.suppress(APIError):  # an end that is not clean may say so
            await listener.ended()
        assert len(server.handshakes) <= 4
    grammar.check(listener.events)
    *_, shown = of(Kind.INTERIM_TRANSCRIPT, listener.events)
    assert shown.alternatives[0].text
    assert finals(listener.events) == [shown.alternatives[0].text]


@pytest.mark.usefixtures("soon")
async def test_a_flush_that_is_never_answered_is_answered_by_us() -> None:
    async with (
        served(faults.NeverFinish()) as server,
        qwen3(server, enable_partial_transcripts=False, **IMPATIENT) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(bytes(32_000))
        listener.stream.flush()
        await listener.until(lambda: finals(listener.events) == [""])
        assert len(server.handshakes) == 1


def emptied(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The turn's own final comes first, and the commit's answer after it is empty."""
    if not flagged(message) or not message["segments"]:
        return [message]
    own = copy.deepcopy(message)
    del own["is_end_of_audio_flush"]
    return [own, message | {"segments": [], "language_code": None}]


@pytest.mark.parametrize("flush", [True, False])
async def test_an_empty_answer_after_the_turns_own_final_doubles_nothing(flush: bool) -> None:
    async with (
        served(faults.Rewrite(emptied)) as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm[:MID])
        if flush:
            listener.stream.flush()
        check(await rest(listener), SPEECH)
        assert len(server.handshakes) == 1


# The end


@pytest.mark.parametrize("flushes", [0, 1, 2])
@pytest.mark.parametrize("slow_s", [0.0, 0.05])
@pytest.mark.parametrize("audio_between", [True, False])
async def test_the_stream_ends_after_its_own_answer(
    flushes: int, slow_s: float, audio_between: bool
) -> None:
    """However many commits are under way when the input ends, its last words come."""
    async with (
        served(faults.SlowRecognition(slow_s)) as server,
        qwen3(server, enable_partial_transcripts=False) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm[:MID])
        for _ in range(flushes):
            listener.stream.flush()
        last = SPEECH.pcm[MID:] if audio_between else b""
        listener.push(last)
        listener.stream.end_input()
        await listener.ended()
        expected = SPEECH.text.split() if audio_between else ["w1001", "w1002"]
        assert listener.said() == expected
        # Not before the answer to the last commit, and not long after it.
        answers = [json.loads(text) for text in server.connections[0].sent]
        assert sum(map(flagged, answers)) == commits(server)


async def test_a_stream_without_audio_ends() -> None:
    async with (
        served() as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.stream.end_input()
        assert await listener.ended() == []
        assert len(server.handshakes) <= 1


async def test_silence_alone_ends_without_a_word() -> None:
    async with (
        served() as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(bytes(100_000))
        listener.stream.end_input()
        assert [t for t in finals(await listener.ended()) if t] == []
        assert len(server.handshakes) == 1


# Errors

PLACES: list[Any] = ["message", "error", "body.message", "body.error"]


async def failure_of(server: Server, **options: Any) -> APIError:
    conn_options = APIConnectOptions(max_retry=2, retry_interval=0.001, timeout=10.0)
    async with (
        client(server, **{"model": QWEN3, **options}) as speech_to_text,
        listening(speech_to_text, conn_options) as listener,
    ):
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        with pytest.raises(APIError) as raised:
            await listener.ended()
        grammar.check(listener.events)
    return raised.value


@pytest.mark.parametrize("place", PLACES)
async def test_a_permanent_error_is_not_tried_again_wherever_its_text_is(place: Any) -> None:
    error = faults.Error(message="unsupported audio_language: Klingon", then_close=1000)
    async with served(*[(error, faults.ErrorShape(place))] * 9) as server:
        failure = await failure_of(server)
        assert len(server.handshakes) == 1
    assert not failure.retryable
    assert "unsupported audio_language: Klingon" in str(failure)


@pytest.mark.parametrize("place", PLACES)
async def test_a_lack_of_capacity_passes(place: Any) -> None:
    error = faults.Error(message="capacity: all streams are taken", then_close=1000)
    async with (
        served((error, faults.ErrorShape(place))) as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)
        assert len(server.handshakes) == 2


async def test_a_lack_of_capacity_that_lasts_is_an_error_that_says_so() -> None:
    error = faults.Error(message="capacity: all streams are taken", then_close=1000)
    async with served(*[error] * 99) as server:
        failure = await failure_of(server)
        assert len(server.handshakes) == 3
    assert "capacity" in str(failure)


@pytest.mark.parametrize(
    "failure", [faults.FailTranscription(), faults.Close(1011), faults.Reset()]
)
async def test_what_breaks_once_costs_no_word(failure: faults.Fault) -> None:
    async with (
        served(failure) as server,
        qwen3(server) as speech_to_text,
        listening(speech_to_text) as listener,
    ):
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        check(await listener.ended(), SPEECH)
        assert len(server.handshakes) == 2


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refused_handshake_is_what_it_is_for_whisper(status: int) -> None:
    async with served(faults.Refuse(status)) as server:
        failure = await failure_of(server)
        assert len(server.handshakes) == 1
    assert isinstance(failure, APIStatusError)
    assert failure.status_code == status


# Another protocol than the one that was configured


def opened_by_the_server(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "session.created", "session": {"id": "s"}}]


def cumulative(message: dict[str, Any]) -> list[dict[str, Any]]:
    segments = [{"speaker": "speaker_0", "start": 0.4, "end": 2.2, "text": "w1001"}]
    more = {"session_id": "call-7", "processed_s": 2.4, "num_speakers": 1, "partial": []}
    return [{"type": "transcription", "is_final": False, "segments": segments, **more}]


@pytest.mark.parametrize("model", ["qwen3-asr", "whisper"])
@pytest.mark.parametrize(
    ("rewritten", "named"),
    [(opened_by_the_server, "session.created"), (cumulative, "speaker-attributed")],
    ids=["v2", "preset"],
)
async def test_another_protocol_is_named_in_one_error(
    rewritten: Any, named: str, model: Any
) -> None:
    async with serve(*[faults.Rewrite(rewritten)] * 9, model=model) as server:
        failure = await failure_of(server, model=model)
        assert len(server.handshakes) == 1
    assert not failure.retryable
    assert named in str(failure)
    assert "model_endpoint" in str(failure)


async def test_v2_is_named_as_soon_as_it_speaks_and_before_any_result() -> None:
    greeting = faults.Garbage('{"type":"session.created","session":{}}')
    async with served(*[greeting] * 9) as server:
        failure = await failure_of(server)
        assert len(server.handshakes) == 1
    assert "session.created" in str(failure)


@pytest.mark.parametrize("how", ["stream", "recognize"])
@pytest.mark.parametrize(
    ("ours", "theirs", "advice"),
    [("whisper", "qwen3-asr", 'model="qwen3-asr"'), ("qwen3-asr", "whisper", "Whisper")],
)
async def test_the_wrong_one_of_the_two_is_named_in_one_error(
    ours: Any, theirs: Any, advice: str, how: str
) -> None:
    async with serve(model=theirs) as server:
        if how == "stream":
            failure = await failure_of(server, model=ours)
        else:
            async with client(server, model=ours) as speech_to_text:
                with pytest.raises(APIError) as raised:
                    await speech_to_text.recognize(frame(SPEECH.pcm), conn_options=QUICK)
            failure = raised.value
        assert len(server.handshakes) == 1
    assert not failure.retryable
    assert advice in str(failure)
