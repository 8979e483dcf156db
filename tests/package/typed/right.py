"""Everything that is public, used as it is meant: `make lint` has mypy and pyright agree, strictly.

`test_package.py` compares it with what is public. It is never run.
"""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
from typing_extensions import assert_type

from livekit import rtc
from livekit.agents import AgentSession, APIConnectOptions, APIError, stt
from livekit.agents.types import TimedString
from livekit.plugins import baseten
from livekit.plugins.baseten import STT, SpeechStream
from livekit.plugins.baseten.emulator import (
    AmplitudeDetector,
    CodedRecognizer,
    CodedSpeech,
    CodedWord,
    Connection,
    DecodingOptions,
    Diarizer,
    Event,
    Handshake,
    InMemoryConnection,
    Received,
    Recognizer,
    ScriptedServer,
    ScriptRecognizer,
    Server,
    SileroDetector,
    SphinxRecognizer,
    Turn,
    TurnRecognizer,
    VoiceDetector,
    WeightsMissing,
    WhisperRecognizer,
    coded_speech,
    faults,
    real_recognizer,
    serve,
    utterance,
)
from livekit.plugins.baseten.emulator import Transcript as Heard
from livekit.plugins.baseten.emulator import Word as HeardWord
from livekit.plugins.baseten.testing import Caller, Manner
from livekit.plugins.baseten.transcription import (
    Format,
    MediaError,
    Progress,
    Segment,
    Transcript,
    TranscriptionError,
    Word,
    formatted,
)

QUICK = APIConnectOptions(max_retry=1, retry_interval=0.1, timeout=5.0)


def spoken_numbers(text: str, words: Sequence[TimedString]) -> str | None:
    return text.replace("one", "1") if words else None


def every_argument(http_session: aiohttp.ClientSession, folder: Path) -> STT:
    baseten.logger.info("livekit-plugins-baseten %s", baseten.__version__)
    return STT(
        model_endpoint="wss://model-abc.api.baseten.co/environments/production/websocket",
        model="qwen3-asr",
        api_key="key",
        model_id="abc",
        chain_id=None,
        environment="staging",
        deployment_id=None,
        language="auto",
        language_options=["en", "de"],
        translate=False,
        enable_partial_transcripts=True,
        partial_transcript_interval_s=0.5,
        final_transcript_max_duration_s=30,
        show_word_timestamps=True,
        vad_threshold=0.5,
        vad_min_silence_duration_ms=300,
        vad_speech_pad_ms=0,
        prompt="Sense and Sensibility",
        keyterms=("Dashwood", "Norland"),
        use_dynamic_preprocessing=False,
        beam_width=1,
        length_penalty=1.0,
        repetition_penalty=1,
        beam_search_diversity_rate=0.0,
        no_repeat_ngram_size=0,
        enable_diarization=True,
        diarization_granularity="word",
        stream_id="6f0c1c0e-0000-4000-8000-000000000000",
        extra_metadata={"whisper_params": {"new": [1, "two"]}},
        preflight=True,
        drop_hallucinations=True,
        audio_events=True,
        local_vad=True,
        transform=spoken_numbers,
        replay_buffer_s=60,
        drain_timeout_s=5,
        cold_start_timeout=600,
        ping_interval_s=10,
        health_check_interval_s=5,
        health_check_timeout_s=5,
        allow_plaintext=False,
        http_session=http_session,
        record=folder,
        sample_rate=16000,
        encoding="pcm_s16le",
        buffer_size_seconds=0.032,
    )


async def a_stream(frames: Sequence[rtc.AudioFrame]) -> list[str]:
    said: list[str] = []
    async with STT(model_id="abc", record="calls/", transform=str.upper) as ears:
        ears.prewarm()
        assert_type(await ears.warm_up(timeout=60), float)
        assert_type((ears.model, ears.provider, ears.label), tuple[str, str, str])
        assert_type(ears.capabilities, stt.STTCapabilities)
        assert_type(ears.stream(), SpeechStream)
        async with ears.stream(language="de", conn_options=QUICK) as stream:
            stream.start_time_offset = 1.5
            for frame in frames:
                stream.push_frame(frame)
            stream.flush()
            ears.update_options(language="fr", keyterms=["Norland"], prompt=None)
            stream.update_options(vad_threshold=0.4, extra_metadata={"new": True})
            stream.end_input()
            async for event in stream:
                assert_type(event, stt.SpeechEvent)
                said += [heard.text for heard in event.alternatives]
            assert_type(stream.start_time_offset, float)
            assert_type(stream.lost_audio_s, float)
            assert_type(stream.dropped_hallucinations, int)
            assert_type(stream.options.language, str)
        assert_type(ears.stream(continues=stream), SpeechStream)
        assert_type(stream.take_unfinished(), rtc.AudioFrame)
        await ears.aclose()
    return said


async def recordings(ears: STT, file: Path, frames: list[rtc.AudioFrame]) -> None:
    event = await ears.recognize(frames, language="de", conn_options=QUICK)
    assert_type(event, stt.SpeechEvent)

    def progressed(progress: Progress) -> None:
        assert_type(progress.done_s, float)
        assert_type(progress.duration_s, float | None)
        assert_type(progress.segment, Segment | None)
        assert_type(progress.interim, str)

    try:
        transcript = await ears.transcribe(
            file,
            language="en",
            track=1,
            channels="split",
            start_s=1,
            duration_s=10,
            at_pace_of_speech=True,
            interims=True,
            on_progress=progressed,
            conn_options=QUICK,
        )
    except MediaError as e:
        raise ValueError("no sound") from e
    except TranscriptionError as e:
        transcript = e.transcript
        error: APIError = e
        assert_type(error.retryable, bool)
    assert_type(transcript, Transcript)
    await ears.transcribe("https://example.org/talk.mp4", channels=2)
    await ears.transcribe(io.BytesIO(b""))
    words: list[Word] = [word for segment in transcript.segments for word in segment.words]
    assert_type(words[0].confidence, float | None)
    assert_type(transcript.language, str | None)
    assert_type(formatted(transcript, "srt", max_line_width=40, max_lines=1), str)
    assert_type(formatted(transcript, Format.vtt, timestamps=True, word_times=True), str)


class Ear:
    """What a recognizer must have, and no more."""

    blocking = False

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[HeardWord]:
        return [HeardWord("w", 0.0, len(pcm) / 32_000, prob=1.0, speaker="A", language="en")]


def whisper() -> Sequence[HeardWord] | Heard:
    try:
        ears: Recognizer = WhisperRecognizer("tiny.en", device="cpu", workers=1)
    except WeightsMissing:
        ears, described = real_recognizer()
        assert_type(described, str)
    assert_type(DecodingOptions(language="de").beam_width, int)
    return ears.recognize(b"", is_final=True)


RECOGNIZERS: list[Recognizer] = [
    Ear(),
    CodedRecognizer(),
    ScriptRecognizer(["hello"], is_cyclic=True),
    SphinxRecognizer(workers=1),
    TurnRecognizer(floor=0),
]
DETECTORS: list[Callable[[], VoiceDetector]] = [AmplitudeDetector, SileroDetector]


async def a_server(tls: ssl.SSLContext) -> None:
    events: list[Event] = []

    def observed(connection: Connection, event: Event) -> None:
        assert_type(connection.frames, list[str | bytes])
        events.append(event)

    def answered(handshake: Handshake) -> None:
        assert_type(handshake.status, int | None)

    speech = coded_speech([(800, 4000)], trailing_samples=0)
    assert_type(speech, CodedSpeech)
    assert_type(speech.words[0], CodedWord)
    async with serve(
        faults.Refuse(503, headers={"Retry-After": "1"}),
        (faults.Duplicate(), faults.Reset(16_000)),
        None,
        model="whisper",
        recognizer=Ear(),
        voice_detector=SileroDetector,
        api_key="key",
        host="127.0.0.1",
        port=0,
        ssl=tls,
        latency_s=0.1,
        delay_s=0.1,
        runtime="0.4",
        diarizer=Diarizer(lag_s=1, max_wait_s=2),
        aligner=True,
        word_step_s=0.02,
        record=False,
        observer=observed,
        handshake_observer=answered,
    ) as server:
        assert_type(server, Server)
        assert_type(server.url, str)
        server.plan.append(faults.Park())
        server.wake()
        await server.until(lambda: server.connections, timeout_s=5)
        connection = await server.wait_for_connection(1)
        await connection.send("{}")
        await connection.close(1011, "gone")
        assert_type(connection.close_code, int | None)


def in_memory() -> list[str]:
    connection = InMemoryConnection(model="qwen3-asr", recognizer=Ear(), is_prompt=False)
    connection.received('{"whisper_params": {}}', now_s=1.0)
    connection.expired(2.0)
    assert_type(connection.recognize(1, failure="no"), int)
    assert_type(connection.audio, bytes)
    if connection.closing is not None and connection.metadata is None:
        print(connection.closing.code)
    return connection.outgoing()


async def the_test_kit(baseten_server: ScriptedServer, session: AgentSession[None]) -> None:
    caller = Caller(baseten_server, pace=1.0)
    session.input.audio = caller
    manner: Manner = {"after_s": 0.4, "speaker": "A"}
    turn = await caller.say("a table for two", seconds=1, silence_s=2, **manner)
    assert_type(turn, Turn)
    await caller.be_silent(1)
    await caller.play(utterance(0.5))
    baseten_server.hear([HeardWord("hello", 0.0, 0.2)], partials=["hel"], confidence=0.5)
    baseten_server.fail_next(faults.Close(1012), None, "refuse 503", ("mute", faults.Reset()))
    baseten_server.fail_now(faults.Reset())
    baseten_server.wake()
    await baseten_server.until(lambda: turn.is_answered)
    baseten_server.assert_heard("a table for two", "hello")
    baseten_server.assert_asked(audio_language="en")
    baseten_server.assert_script_is_over()
    baseten_server.assert_connections(1)
    baseten_server.assert_struck()
    print(baseten_server.report(), baseten_server.pending, baseten_server.handshakes)
    turns: list[Turn] = baseten_server.turns
    assert_type(turns[0].text, str)
    received: Received = baseten_server.connections[-1]
    assert_type(received.audio, bytes)
    assert_type(received.asked("audio_language"), object)
    with ScriptedServer(faults.Stall(100), model="qwen3-asr", api_key="key", aligner=True) as other:
        assert_type(other.url, str)
