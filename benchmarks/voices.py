"""What `local_vad` wins: when speech starts and ends, turns that stay whole, and false starts.

Real speech, Silero at the server as at Baseten, LiveKit's Silero in the plugin, in time that passes
only while everybody waits: what comes of it does not depend on how busy the machine is. The CPU is
that of the detector alone, which is given audio as fast as it takes it.

    python benchmarks/voices.py            print the tables
    python benchmarks/voices.py --write    and put them into docs/livekit.md
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from kit import clock  # noqa: E402  # before LiveKit, whose clocks it takes over
from kit.prompter import Prompter  # noqa: E402
from kit.stage import LEISURE, SELFISH, YOUNG_MAN, Script, calling, script  # noqa: E402
from recognition import noises  # noqa: E402
from turns import PAGE, aligned, write_between_markers  # noqa: E402

from livekit import rtc  # noqa: E402
from livekit.agents import inference  # noqa: E402
from livekit.agents.stt import SpeechEventType as Kind  # noqa: E402
from livekit.plugins import baseten  # noqa: E402
from livekit.plugins.baseten.emulator import SileroDetector, serve  # noqa: E402

MARKERS = ("<!-- voices:begin -->", "<!-- voices:end -->")
LATENCY_S = 0.1
FRAME_SAMPLES = 800
RATE_HZ = 16_000
NOISE_REPEATS = 5

LINES = script(
    *(0.5, YOUNG_MAN, 3.4, SELFISH, 3.4, LEISURE, 3.4),
    *(YOUNG_MAN, 3.4, SELFISH, 3.4, LEISURE, 4.0),
)
# Somebody who breathes and goes on: pairs of lines with half a second and more between them.
BREATHS = script(
    *(0.5, YOUNG_MAN, SELFISH, 3.4, LEISURE, YOUNG_MAN, 3.4),
    *(SELFISH, 0.1, LEISURE, 3.4, YOUNG_MAN, 0.1, LEISURE, 4.0),
)


class Deaf:
    """A model that hears no words in noise."""

    blocking = False

    def recognize(self, pcm: bytes, *, is_final: bool) -> tuple[()]:
        return ()


@dataclass
class Heard:
    """Seconds from the start of the audio at which events came."""

    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)


def options(silence_ms: int, is_local: bool) -> dict[str, Any]:
    return {"vad_min_silence_duration_ms": silence_ms, "local_vad": is_local}


async def heard(pcm: bytes, recognizer: Any, silence_ms: int, is_local: bool) -> Heard:
    """A stream at the pace of speech."""
    loop, out = asyncio.get_running_loop(), Heard()

    async def read(stream: baseten.SpeechStream) -> None:
        async for event in stream:
            if event.type is Kind.START_OF_SPEECH:
                out.starts_s.append(loop.time() - begun_s)
            elif event.type is Kind.END_OF_SPEECH:
                out.ends_s.append(loop.time() - begun_s)

    async with (
        serve(recognizer=recognizer, voice_detector=SileroDetector, latency_s=LATENCY_S) as server,
        baseten.STT(
            model_endpoint=server.url, api_key="any", **options(silence_ms, is_local)
        ) as stt,
        stt.stream() as stream,
    ):
        await asyncio.sleep(0.2)  # for the connection
        begun_s = loop.time()
        reading = asyncio.create_task(read(stream))
        step = 2 * FRAME_SAMPLES
        for at in range(0, len(pcm) - step, step):
            stream.push_frame(rtc.AudioFrame(pcm[at : at + step], RATE_HZ, 1, FRAME_SAMPLES))
            await asyncio.sleep(max(0.0, begun_s + (at + step) / (2 * RATE_HZ) - loop.time()))
        stream.end_input()
        await reading
    return out


async def turns(spoken: Script, silence_ms: int, is_local: bool, min_delay_s: float) -> Any:
    """Seconds from each last word to its turn, in a session with turn detection "stt"; its turns.

    What somebody says after a breath may be of the turn before: then its last line counts.
    """
    async with (
        serve(
            recognizer=Prompter(spoken), voice_detector=SileroDetector, latency_s=LATENCY_S
        ) as server,
        baseten.STT(
            model_endpoint=server.url, api_key="any", **options(silence_ms, is_local)
        ) as stt,
        calling(
            stt,
            spoken,
            "stt",
            vad=None,
            turn_handling={"endpointing": {"min_delay": min_delay_s}},
        ) as call,
    ):
        await call.is_heard()
    texts, delays_s, number = [turn.text for turn in call.turns if turn.text], [], 0
    for turn in (turn for turn in call.turns if turn.text):
        while number < len(spoken.lines) and spoken.texts[number] in turn.text:
            number += 1
        delays_s.append(turn.committed_at_s - call.spoken_at_s(number - 1))
    assert number == len(spoken.lines), f"{number} lines of {len(spoken.lines)} in {texts}"
    return delays_s, texts


def spread(values: Sequence[float]) -> str:
    each = sorted(values)
    return f"{median(each):.2f} s ({each[0]:.2f} to {each[-1]:.2f})"


def starts_and_ends() -> list[list[str]]:
    pcm, lines = bytes(LINES.pcm), LINES.lines
    starts = ["START_OF_SPEECH, from the first sound", ""]
    ends = ["END_OF_SPEECH, from the last word", "300 ms"]
    for is_local in (False, True):
        came = clock.run(heard(pcm, Prompter(LINES), 300, is_local))
        pairs = zip(came.starts_s, lines, strict=True)
        starts.append(spread([at_s - line.start / RATE_HZ for at_s, line in pairs]))
        pairs = zip(came.ends_s, lines, strict=True)
        ends.append(spread([at_s - line.end / RATE_HZ for at_s, line in pairs]))
    return [starts, ends]


def committed() -> list[list[str]]:
    rows = []
    for silence_ms in (300, 1000, 2000):
        told = [
            spread(clock.run(turns(LINES, silence_ms, is_local, 0.5))[0])
            for is_local in (False, True)
        ]
        rows.append(["committed turn, from the last word", f"{silence_ms} ms", *told])
    pairs = len(BREATHS.lines) // 2
    told = []
    for is_local in (False, True):
        _, texts = clock.run(turns(BREATHS, 300, is_local, 0.8))
        told.append(f"{len(BREATHS.lines) - len(texts)} of {pairs}")
    rows.append(["turns whole after a breath, `min_delay` 0.8 s", "300 ms", *told])
    return rows


def false_starts() -> list[list[str]]:
    rows = []
    for name, sound in noises():
        pcm = np.clip(32_767 * np.tile(sound, NOISE_REPEATS), -32_768, 32_767).astype("<i2")
        counts = [
            len(clock.run(heard(pcm.tobytes(), Deaf(), 300, is_local)).starts_s)
            for is_local in (False, True)
        ]
        rows.append([name, *map(str, counts)])
    return rows


async def cpu_of_detector() -> float:
    """Seconds for each second of audio."""
    stream = inference.VAD().stream()
    begun_s, pcm = time.process_time(), bytes(LINES.pcm)
    windows = len(pcm) // 1024
    for at in range(0, windows * 1024, 1024):
        stream.push_frame(rtc.AudioFrame(pcm[at : at + 1024], RATE_HZ, 1, 512))
    stream.end_input()
    async for _ in stream:
        pass
    await stream.aclose()
    return (time.process_time() - begun_s) / (windows * 512 / RATE_HZ)


def page() -> str:
    breaths_s = [
        (after.start - before.end) / RATE_HZ
        for before, after in list(zip(BREATHS.lines, BREATHS.lines[1:], strict=False))[::2]
    ]
    lines = [
        f"Median (fastest to slowest) of {len(LINES.lines)} lines of real speech, turn detection "
        f'`"stt"`, `vad=None`; recognition takes {LATENCY_S:g} s. The breaths are of '
        f"{min(breaths_s):.2f} to {max(breaths_s):.2f} s.",
        "",
        *aligned(
            [
                ["", "server's silence", "without", "`local_vad=True`"],
                *starts_and_ends(),
                *committed(),
            ]
        ),
        "",
        f"False starts in {6 * NOISE_REPEATS} s of each noise:",
        "",
        *aligned([["noise", "without", "`local_vad=True`"], *false_starts()]),
        "",
        f"The detector takes {1000 * asyncio.run(cpu_of_detector()):.0f} ms of CPU for each second "
        "of audio.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"put them into {PAGE.name}")
    arguments = parser.parse_args()
    text = page()
    print(text)
    if arguments.write:
        write_between_markers(PAGE, text, MARKERS)


if __name__ == "__main__":
    main()
