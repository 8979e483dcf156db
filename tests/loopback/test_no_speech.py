"""Sound that is no speech: results without words, and music after the last word."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from kit.client import frame, warnings_in
from kit.loopback import QUICK, calling, client, said, serve

from livekit.agents import APIConnectOptions
from livekit.agents.stt import SpeechEventType as Kind
from livekit.plugins.baseten.emulator import (
    AmplitudeDetector,
    ScriptRecognizer,
    coded_speech,
    faults,
)

SPEECH = coded_speech([(8000, 4000)], trailing_samples=8000, first_word=6001)
MUSIC = (3000).to_bytes(2, "little") * (12 * 16_000)
ONCE = APIConnectOptions(max_retry=0, timeout=10.0)


@pytest.mark.parametrize("text", [".", "[BLANK_AUDIO]", "(music)"])
@pytest.mark.parametrize("audio_events", [False, True])
async def test_a_result_without_a_word_is_no_speech_unless_asked_for(
    text: str, audio_events: bool
) -> None:
    recognizer = ScriptRecognizer([text] * 9)
    asked: dict[str, Any] = {"audio_events": True} if audio_events else {}
    async with serve(recognizer=recognizer) as server, calling(server, **asked) as listener:
        listener.push(SPEECH.pcm)
        listener.stream.end_input()
        events = await listener.ended()
    kinds = {event.type for event in events} - {Kind.RECOGNITION_USAGE}
    if audio_events:
        assert said(events) == text.split()
        assert Kind.START_OF_SPEECH in kinds
    else:
        assert kinds <= {Kind.INTERIM_TRANSCRIPT, Kind.FINAL_TRANSCRIPT}
        assert said(events) == []


def music_is_no_speech() -> AmplitudeDetector:
    return AmplitudeDetector(floor=5000)


@pytest.mark.parametrize("second", [faults.Refuse(503), faults.Refuse(401), faults.Reset(8000)])
async def test_a_complete_transcript_stays_complete(
    second: faults.Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """What is asked once more because of the music may fail without failing the call."""
    caplog.set_level(logging.DEBUG, "livekit.plugins.baseten")
    plan = (None, second)
    async with serve(*plan, voice_detector=music_is_no_speech) as server, client(server) as stt:
        event = await stt.recognize(frame(SPEECH.pcm + MUSIC), conn_options=ONCE)
        assert event.alternatives[0].text == "w6001"
        assert len(server.handshakes) == 2
    async with (
        serve(*plan, voice_detector=music_is_no_speech) as server,
        calling(server, ONCE) as listener,
    ):
        listener.push(SPEECH.pcm + MUSIC)
        listener.stream.end_input()
        assert said(await listener.ended()) == ["w6001"]
        assert len(server.handshakes) == 2
        assert listener.errors == []
    assert warnings_in(caplog) == []
    notes = [r.getMessage() for r in caplog.records if r.name == "livekit.plugins.baseten"]
    assert sum("is asked once more, to be sure" in note for note in notes) == 2
    if isinstance(second, faults.Refuse):
        assert "so that stands. Nothing is lost" in notes[-1]


async def test_where_the_server_says_the_same_again_it_is_asked_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(voice_detector=music_is_no_speech) as server, client(server) as stt:
        event = await stt.recognize(frame(SPEECH.pcm + MUSIC), conn_options=QUICK)
        assert event.alternatives[0].text == "w6001"
        assert len(server.handshakes) == 2
    assert warnings_in(caplog) == []


async def test_a_whole_recording_is_asked_for_without_partials() -> None:
    async with serve() as server, client(server) as stt:
        await stt.recognize(frame(SPEECH.pcm), conn_options=ONCE)
        (connection,) = server.connections
        assert connection.metadata is not None
        assert connection.metadata["streaming_params"]["enable_partial_transcripts"] is False
