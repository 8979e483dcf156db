"""Real speech through a real Whisper and all of this package: what only a model can show.

`make evaluate` measures the same over more recordings, and fills docs/recognition.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import wave
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from paths import AUDIO

from livekit import rtc
from livekit.agents import stt
from livekit.plugins import baseten
from livekit.plugins.baseten._evaluation.words import compared
from livekit.plugins.baseten.emulator import (
    SileroDetector,
    WhisperRecognizer,
    faults,
    serve,
)

pytestmark = pytest.mark.timeout(300)

SPOKEN = "he was not an ill disposed young man he might even have been made amiable himself"
PAUSE = bytes(2 * 12_000)


def clip(number: str) -> bytes:
    with wave.open(str(AUDIO / f"sense_and_sensibility_01-{number}.wav")) as file:
        pcm: bytes = file.readframes(file.getnframes())
    return pcm


SPEECH = clip("0880") + PAUSE + clip("0930") + PAUSE


@pytest.fixture(scope="module")
def ears() -> Iterator[WhisperRecognizer]:
    with WhisperRecognizer(threads=1) as recognizer:
        yield recognizer


@contextlib.asynccontextmanager
async def hearing(
    ears: WhisperRecognizer, *plan: faults.Entry, **arguments: object
) -> AsyncIterator[baseten.STT]:
    async with (
        serve(*plan, recognizer=ears, voice_detector=SileroDetector) as server,
        baseten.STT(model_endpoint=server.url, api_key="any", **arguments) as speech_to_text,  # type: ignore[arg-type]
    ):
        yield speech_to_text


async def said(speech_to_text: baseten.STT, pcm: bytes) -> list[stt.SpeechEvent]:
    """All events of a stream that is given all of it at once."""
    async with speech_to_text.stream() as stream:
        stream.push_frame(rtc.AudioFrame(pcm, 16_000, 1, len(pcm) // 2))
        stream.end_input()
        return [event async for event in stream]


def text_of(events: list[stt.SpeechEvent]) -> str:
    finals = [e for e in events if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT]
    return " ".join(final.alternatives[0].text for final in finals).strip()


def error_rate(heard: str) -> float:
    comparison = compared(SPOKEN, heard, "en")
    return comparison.errors / comparison.reference_units


async def test_a_connection_costs_no_words_cut_or_not(ears: WhisperRecognizer) -> None:
    def alone(pcm: bytes) -> str:
        audio = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
        segments, _ = ears._model.transcribe(audio, language="en", beam_size=1, temperature=0)
        return "".join(segment.text for segment in segments)

    by_itself = error_rate(f"{alone(clip('0880'))} {alone(clip('0930'))}")
    async with hearing(ears) as speech_to_text:
        whole = await said(speech_to_text, SPEECH)
        at_once = await speech_to_text.recognize(
            [rtc.AudioFrame(SPEECH, 16_000, 1, len(SPEECH) // 2)]
        )
    async with hearing(ears, faults.Reset(after_samples=30_000)) as speech_to_text:
        cut = await said(speech_to_text, SPEECH)
    assert error_rate(text_of(whole)) <= by_itself + 0.03
    assert error_rate(at_once.alternatives[0].text) <= by_itself + 0.03
    assert text_of(cut) == text_of(whole)
    first, last = (e for e in whole if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT)
    assert first.alternatives[0].end_time < 3.3  # each at its time; Whisper begins a little early
    assert 3.0 < last.alternatives[0].start_time < last.alternatives[0].end_time < 7.3


async def test_a_rare_word_is_heard_once_it_was_named(ears: WhisperRecognizer) -> None:
    options = {"enable_partial_transcripts": False, "keyterms": ["ill-disposed"]}
    async with hearing(ears, **options) as speech_to_text:
        assert "ill-disposed" in text_of(await said(speech_to_text, clip("0880") + PAUSE))


async def test_words_that_come_of_noise_are_dropped_if_asked_and_those_of_speech_are_not(
    ears: WhisperRecognizer,
) -> None:
    chance = np.random.default_rng(1)
    rumble = np.cumsum(chance.normal(0, 1, 3 * 16_000))
    noise = (9_000 * rumble / np.abs(rumble).max()).astype("<i2").tobytes()
    options = {"enable_partial_transcripts": False, "vad_threshold": 0.05}  # it lets much through
    async with hearing(ears, **options, drop_hallucinations=True) as speech_to_text:
        heard = await asyncio.gather(
            said(speech_to_text, noise + PAUSE), said(speech_to_text, clip("0930") + PAUSE)
        )
    assert text_of(heard[0]) == ""
    assert text_of(heard[1]) == "He might even have been made amiable himself."
