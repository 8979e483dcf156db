"""Transcribe the microphone until Ctrl-C.

    pip install "livekit-plugins-baseten[microphone]"    on Linux also: libportaudio2
    python examples/transcribe_microphone.py

BASETEN_MODEL_ENDPOINT and BASETEN_API_KEY come from the environment or from .env.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from livekit import rtc
from livekit.agents import APIError, stt
from livekit.plugins import baseten

with contextlib.suppress(ImportError):
    from dotenv import load_dotenv

    load_dotenv()

RATE_HZ = 48_000  # what most devices do by themselves; the plugin resamples
CLEAR = "\r\033[K" if sys.stdout.isatty() else ""


async def transcribe(device: int | str | None) -> None:
    import sounddevice  # here, so that --help works where there is no sound

    async with baseten.STT() as speech_to_text, speech_to_text.stream() as stream:

        def push(pcm: bytes, samples: int) -> None:
            with contextlib.suppress(RuntimeError):  # a late block: the input has ended
                stream.push_frame(rtc.AudioFrame(pcm, RATE_HZ, 1, samples))

        def heard(pcm: bytes, samples: int, time: object, status: object) -> None:
            loop.call_soon_threadsafe(push, bytes(pcm), samples)  # from the device's own thread

        def stop() -> None:
            loop.remove_signal_handler(signal.SIGINT)  # a second Ctrl-C does not wait
            stream.end_input()  # the last words still come

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, stop)
        try:
            microphone = sounddevice.RawInputStream(
                RATE_HZ, RATE_HZ // 50, device, channels=1, dtype="int16", callback=heard
            )
        except sounddevice.PortAudioError as e:
            raise OSError(f"{e}. `python -m sounddevice` lists what there is") from None
        with microphone:
            print("Listening. Ctrl-C ends.", flush=True)
            async for event in stream:
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                    print(f"{CLEAR}{event.alternatives[0].text}", flush=True)
                elif CLEAR and event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
                    print(f"{CLEAR}... {event.alternatives[0].text[-70:]}", end="", flush=True)


parser = argparse.ArgumentParser(description="Transcribe the microphone on Baseten.")
parser.add_argument("--device", help="name or number; see: python -m sounddevice")

if __name__ == "__main__":
    chosen = parser.parse_args().device
    try:
        asyncio.run(transcribe(int(chosen) if chosen and chosen.isdigit() else chosen))
    except APIError as e:
        sys.exit(f"error: {e.message}")
    except (ImportError, OSError, ValueError) as e:
        sys.exit(f"error: {e}")
