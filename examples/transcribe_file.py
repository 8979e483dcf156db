"""Transcribe a WAV file: each final with its times, as it comes.

    python examples/transcribe_file.py recording.wav

BASETEN_MODEL_ENDPOINT and BASETEN_API_KEY come from the environment or from .env.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import wave

from livekit import rtc
from livekit.agents import APIError, stt
from livekit.plugins import baseten

with contextlib.suppress(ImportError):
    from dotenv import load_dotenv

    load_dotenv()

FRAME_S = 0.05


async def speak(wav: wave.Wave_read, stream: stt.RecognizeStream, speed: float) -> None:
    loop, rate_hz, channels = asyncio.get_running_loop(), wav.getframerate(), wav.getnchannels()
    samples, started_s = round(rate_hz * FRAME_S), loop.time()
    while pcm := wav.readframes(samples):
        stream.push_frame(rtc.AudioFrame(pcm, rate_hz, channels, len(pcm) // 2 // channels))
        await asyncio.sleep(started_s + wav.tell() / rate_hz / speed - loop.time())
    stream.end_input()


async def transcribe(wav: wave.Wave_read, language: str, speed: float) -> None:
    async with baseten.STT(language=language) as speech_to_text, speech_to_text.stream() as stream:
        speaking = asyncio.create_task(speak(wav, stream, speed))
        async for event in stream:
            if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT and event.alternatives[0].text:
                said = event.alternatives[0]
                print(f"{said.start_time:7.2f} {said.end_time:7.2f}  {said.text}", flush=True)
        await speaking


parser = argparse.ArgumentParser(description="Transcribe a WAV file on Baseten.")
parser.add_argument("file", help="16-bit WAV, of any sample rate and channel count")
parser.add_argument("--language", default="en", help='such as "en" or "de"; "auto" detects it')
parser.add_argument("--speed", type=float, default=1.0, help="times the pace of speech")

if __name__ == "__main__":
    arguments = parser.parse_args()
    with wave.open(arguments.file) as recording:
        if recording.getsampwidth() != 2:
            parser.error("only 16-bit WAV files can be read")
        try:
            asyncio.run(transcribe(recording, arguments.language, arguments.speed))
        except APIError as e:
            sys.exit(f"error: {e.message}")
        except ValueError as e:
            sys.exit(f"error: {e}")
