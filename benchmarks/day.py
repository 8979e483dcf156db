"""A day of recorded calls, and how long the page of it takes: for `report FOLDER`.

Every call is a stream at the pace of speech that hears real speech from a local Baseten of its own,
for a quarter of a minute to a whole one. Some of these are slow, some lose connections, some doubt
what they heard, some are away for longer than the audio is kept. Towards the middle of the time all
are slow, as when too many calls share a replica. Which ones is the same in every run.

    python benchmarks/day.py calls/                            record 120 calls in ten minutes
    python benchmarks/day.py calls/ --calls 20 --minutes 2     fewer in less time
    python benchmarks/day.py calls/ --pages 500                time `report` for 500 of those calls

`--pages` records nothing. It copies what is in the folder until there are so many, in a folder for
temporary files, and runs the command on them as a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError
from livekit.plugins import baseten
from livekit.plugins.baseten.emulator import ScriptRecognizer, faults, serve

AUDIO = Path(__file__).resolve().parent.parent / "examples" / "audio"
LINES = {
    "0870": "And Mr. John Dashwood had then leisure to consider how much there might be prudently "
    "in his power to do for them.",
    "0880": "He was not an ill-disposed young man.",
    "0890": "Unless to be rather cold-hearted and rather selfish is to be ill-disposed.",
    "0920": "Had he married a more amiable woman, he might have been made still more respectable "
    "than he was.",
    "0930": "He might even have been made amiable himself.",
}
RATE_HZ = 16_000
BLOCK_SAMPLES = RATE_HZ // 50
PAUSE_S = 1.4
SLOWEST_S = 1.6  # what the worst hour adds to each recognition

# What goes wrong, of so many calls in a hundred, and how much audio is kept meanwhile.
_LOST = faults.Reset(5 * RATE_HZ)
_DAYS: list[tuple[int, tuple[faults.Entry, ...], float]] = [
    (70, (), 60.0),
    (9, (_LOST,), 60.0),
    (4, (faults.Close(1012, "restarting", after_samples=9 * RATE_HZ), _LOST), 60.0),
    (4, (faults.Hallucination(after_results=9),), 60.0),
    (4, (_LOST, faults.Park(9.0)), 4.0),
    (3, (faults.FailTranscription(2),), 60.0),
    (3, (faults.Refuse(503), faults.Refuse(503)), 60.0),
    (2, (faults.MuteResults(8 * RATE_HZ),), 60.0),
    (1, (faults.Refuse(401),), 60.0),
]


@dataclass(frozen=True)
class Call:
    begins_s: float
    lines: tuple[str, ...]
    latency_s: float
    plan: tuple[faults.Entry, ...]
    kept_s: float
    flushes: bool


def calls(count: int, within_s: float) -> list[Call]:
    chance = random.Random(1811)
    made = []
    for number in range(count):
        share = number / count
        busy = math.exp(-(((share - 0.55) / 0.07) ** 2))
        _, plan, kept_s = chance.choices(_DAYS, [weight for weight, *_ in _DAYS])[0]
        made.append(
            Call(
                share * within_s,
                tuple(chance.choices(list(LINES), k=chance.randint(2, 9))),
                chance.lognormvariate(-1.8, 0.5) + SLOWEST_S * busy,
                plan,
                kept_s,
                chance.random() < 0.6,
            )
        )
    return made


def samples(number: str) -> bytes:
    with wave.open(str(AUDIO / f"sense_and_sensibility_01-{number}.wav")) as wav:
        return bytes(wav.readframes(wav.getnframes()))


async def held(call: Call, folder: Path) -> None:
    """Hold a call from its beginning to its end."""
    await asyncio.sleep(call.begins_s)
    recognizer = ScriptRecognizer([LINES[number] for number in call.lines], floor=300)
    async with (
        serve(*call.plan, recognizer=recognizer, latency_s=call.latency_s) as server,
        baseten.STT(
            model_endpoint=server.url, api_key="any", record=folder, replay_buffer_s=call.kept_s
        ) as stt,
        stt.stream(conn_options=APIConnectOptions(timeout=20.0)) as stream,
    ):
        speaking = asyncio.create_task(spoken(call, stream))
        with contextlib.suppress(APIError):  # it is in the recording
            async for _ in stream:
                pass
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


async def spoken(call: Call, stream: baseten.SpeechStream) -> None:
    """Push the lines as time goes by, with pauses; flush at the end of some."""
    loop = asyncio.get_running_loop()
    began_s, pushed = loop.time(), 0
    pause = bytes(2 * round(PAUSE_S * RATE_HZ))
    for number in call.lines:
        for pcm, is_pause in ((samples(number), False), (pause, True)):
            if is_pause and call.flushes:
                stream.flush()
            for at in range(0, len(pcm) - 2 * BLOCK_SAMPLES, 2 * BLOCK_SAMPLES):
                pushed += BLOCK_SAMPLES
                await asyncio.sleep(began_s + pushed / RATE_HZ - loop.time())
                block = pcm[at : at + 2 * BLOCK_SAMPLES]
                stream.push_frame(rtc.AudioFrame(block, RATE_HZ, 1, BLOCK_SAMPLES))
    stream.end_input()


async def recorded(folder: Path, count: int, within_s: float) -> None:
    await asyncio.gather(*(held(call, folder) for call in calls(count, within_s)))


def timed(folder: Path, count: int) -> None:
    """How long `report` takes for so many recordings, the command's start included."""
    recordings = sorted(folder.glob("*.jsonl"))
    with tempfile.TemporaryDirectory() as copies:
        for number, recording in enumerate(islice(cycle(recordings), count)):
            copy(recording, Path(copies, f"{number:04}-{recording.stem}"))
        size = sum(file.stat().st_size for file in Path(copies).iterdir())
        began = perf_counter()
        command = [sys.executable, "-m", "livekit.plugins.baseten", "report", copies]
        subprocess.run(command, check=True)
        took_s = perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"\n{count} recordings, {size / 1e6:.0f} MB: {took_s:.1f} s, {os.cpu_count()} processors, "
        f"{used.ru_utime + used.ru_stime:.1f} s of their time"
    )


def copy(recording: Path, name: Path) -> None:
    lines = recording.read_bytes().replace(recording.stem.encode(), name.stem.encode(), 1)
    name.with_name(f"{name.name}.jsonl").write_bytes(lines)
    shutil.copyfile(recording.with_suffix(".wav"), name.with_name(f"{name.name}.wav"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calls", type=int, default=120)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pages", type=int)
    given = parser.parse_args()
    if given.pages:
        timed(given.folder, given.pages)
    else:
        logging.disable(logging.WARNING)  # what happens is in the recordings
        asyncio.run(recorded(given.folder, given.calls, 60.0 * given.minutes))


if __name__ == "__main__":
    main()
