"""Transcribe a folder of voice messages, a few at a time: next to each, its text.

    python examples/transcribe_folder.py messages/

Each is decoded into memory and recognized in one call; for what is longer than some minutes, or for
captions, there is `python -m livekit.plugins.baseten transcribe`, which streams.

BASETEN_MODEL_ENDPOINT and BASETEN_API_KEY come from the environment or from .env.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

import av

from livekit import rtc
from livekit.agents import APIError
from livekit.plugins import baseten

with contextlib.suppress(ImportError):
    from dotenv import load_dotenv

    load_dotenv()

FORMATS = {".aac", ".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm"}


def sound_of(path: Path) -> list[rtc.AudioFrame]:
    resampler = av.AudioResampler("s16", "mono", 16_000)
    with av.open(f"file:{path}") as media:
        if not media.streams.audio:
            raise ValueError("there is no sound in it")
        decoded = [
            pcm
            for frame in (*media.decode(audio=0), None)  # None: what the resampler holds back
            for pcm in resampler.resample(frame)
        ]
    return [
        rtc.AudioFrame(bytes(pcm.planes[0])[: 2 * pcm.samples], 16_000, 1, pcm.samples)
        for pcm in decoded
    ]


async def transcribe(path: Path, speech_to_text: baseten.STT, room: asyncio.Semaphore) -> bool:
    async with room:
        try:
            frames = await asyncio.to_thread(sound_of, path)
            event = await speech_to_text.recognize(frames)
        except APIError as e:
            print(f"{path}: {e.message}", file=sys.stderr)
        except (OSError, ValueError) as e:  # PyAV's errors are the one or the other
            print(f"{path}: {e}", file=sys.stderr)
        else:
            text = event.alternatives[0].text
            path.with_suffix(".txt").write_text(f"{text}\n", encoding="utf-8")
            print(f"{path.name}: {text}", flush=True)
            return True
    return False


async def transcribe_all(paths: list[Path], language: str, jobs: int) -> bool:
    room = asyncio.Semaphore(jobs)
    async with baseten.STT(language=language, enable_partial_transcripts=False) as speech_to_text:
        return all(await asyncio.gather(*(transcribe(p, speech_to_text, room) for p in paths)))


parser = argparse.ArgumentParser(description="Transcribe a folder of recordings on Baseten.")
parser.add_argument("folder", type=Path)
parser.add_argument("--language", default="en", help='such as "en" or "de"; "auto" detects it')
parser.add_argument("--jobs", type=int, default=4, help="recordings at once; each a connection")

if __name__ == "__main__":
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.error(f"there is no folder {arguments.folder}")
    found = sorted(p for p in arguments.folder.iterdir() if p.suffix.lower() in FORMATS)
    try:
        done = asyncio.run(transcribe_all(found, arguments.language, arguments.jobs))
    except ValueError as e:
        sys.exit(f"error: {e}")
    sys.exit(0 if done else 1)
