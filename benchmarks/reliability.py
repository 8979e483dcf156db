"""What a call loses when its connection ends: the table of docs/reliability.md.

Each call says some 12 s of audio that names its own position, through `STT.stream()` and real
sockets, to the emulator, and its connection is ended in a given way: once at a random place of
speech or silence, or five times. Audio is pushed in one burst. In half of the calls the input
ends at once, so that connections end while the last results are awaited; in the others silence
flows on until all is said. Counted are words lost, doubled and out of order, the worst error of a
word's start or end, and connections.

It does not measure a real model, whose words may change when it hears a stretch again; a network's
delay; or how long a way back takes: the bounds of liveness are set to fractions of a second here.

    python benchmarks/reliability.py                 print the table
    python benchmarks/reliability.py --seeds 50      with more calls per cell
    python benchmarks/reliability.py --write         and put it into docs/reliability.md

The page's other table is made by it, too: `benchmarks/outages.py`, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError
from livekit.agents.stt import SpeechEventType
from livekit.plugins.baseten import STT, SpeechStream
from livekit.plugins.baseten.emulator import CodedSpeech, coded_speech, faults, serve

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"

SAMPLE_RATE_HZ = 16_000
AT_ONCE = 4  # calls
AT_MOST_S = 60.0

Way = Callable[[int], Sequence[faults.Entry]]

WAYS: dict[str, Way] = {
    "nothing": lambda at: [],
    "TCP reset": lambda at: [faults.Reset(at)],
    "close 1000": lambda at: [faults.Close(1000, "recycled", at)],
    "close 1001": lambda at: [faults.Close(1001, "going away", at)],
    "close 1011": lambda at: [faults.Close(1011, "internal error", at)],
    "close 1012": lambda at: [faults.Close(1012, "restarting", at)],
    "close 1013": lambda at: [faults.Close(1013, "try again later", at)],
    "fatal error frame": lambda at: [faults.Error("AUDIO_PROCESSING_ERROR", after_samples=at)],
    "fatal error frame, close": lambda at: [
        faults.Error("WEBSOCKET_ERROR", after_samples=at, then_close=1000)
    ],
    "reset, then HTTP 503": lambda at: [faults.Reset(at), faults.Refuse(503)],
    "reset, then HTTP 504": lambda at: [faults.Reset(at), faults.Refuse(504)],
    "dead peer (ping)": lambda at: [faults.Stall(at)],
    "dead model (health check)": lambda at: [faults.Mute(at)],
}


@dataclass
class Outcome:
    spoken: int = 0
    lost: int = 0
    doubled: int = 0
    misplaced: int = 0
    worst_s: float = 0.0
    unpaired: int = 0
    failed: int = 0
    connections: int = 0

    def __iadd__(self, other: Outcome) -> Outcome:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name == "worst_s" else mine + value)
        return self


async def call(way: Way, seed: int, times: int) -> Outcome:
    rng = random.Random(1000 * times + seed)
    gaps = [rng.choice((400, 800, 3000, 7000, 12_000, 30_000)) for _ in range(20)]
    speech = coded_speech([(gap, 4000) for gap in gaps], trailing_samples=8000, first_word=1001)
    samples = len(speech.pcm) // 2
    # What has a final is not sent again, so later connections see less.
    cuts = [rng.randint(1, samples if times == 1 else samples // 4) for _ in range(times)]
    async with serve(*itertools.chain(*map(way, cuts))) as server:
        stt = STT(
            model_endpoint=server.url,
            api_key="any",
            ping_interval_s=0.4,
            health_check_interval_s=0.2,
            health_check_timeout_s=0.4,
            drain_timeout_s=0.6,
        )
        options = APIConnectOptions(max_retry=20, retry_interval=0.01, timeout=10.0)
        stream = stt.stream(conn_options=options)
        heard = Heard(stream)
        try:
            await asyncio.wait_for(heard.converse(speech, ends_at_once=seed % 2 == 0), AT_MOST_S)
        except (APIError, asyncio.TimeoutError):
            heard.has_failed = True
        finally:
            await stt.aclose()
        return heard.outcome(speech, len(server.connections))


class Heard:
    """What a stream said."""

    def __init__(self, stream: SpeechStream) -> None:
        self.has_failed = False
        self._stream = stream
        self._words: list[tuple[str, float, float]] = []
        self._open = 0
        self._unpaired = 0

    async def converse(self, speech: CodedSpeech, *, ends_at_once: bool) -> None:
        reading = asyncio.create_task(self._read())
        try:
            self._push(speech.pcm)
            while not (ends_at_once or reading.done() or self._has_said(speech.words[-1].text)):
                self._push(bytes(1600))
                await asyncio.sleep(0.05)
            if not reading.done():
                self._stream.end_input()
            await reading
        finally:
            reading.cancel()

    def outcome(self, speech: CodedSpeech, connections: int) -> Outcome:
        truth = {word.text: word for word in speech.words}
        count = Counter(text for text, _, _ in self._words)
        order = [int(text[1:].partition("!")[0]) for text, _, _ in self._words]
        errors_s = [
            max(abs(start_s - truth[text].start_s), abs(end_s - truth[text].end_s))
            for text, start_s, end_s in self._words
            if text in truth
        ]
        return Outcome(
            spoken=len(truth),
            lost=sum(text not in count for text in truth),
            doubled=sum(number - 1 for number in count.values()),
            misplaced=sum(one > other for one, other in itertools.pairwise(order)),
            worst_s=max(errors_s, default=0.0),
            unpaired=self._unpaired + abs(self._open),
            failed=self.has_failed,
            connections=connections,
        )

    async def _read(self) -> None:
        async for event in self._stream:
            if event.type is SpeechEventType.FINAL_TRANSCRIPT:
                self._words += [
                    (str(word), word.start_time, word.end_time)
                    for word in event.alternatives[0].words or []
                    if isinstance(word.start_time, float) and isinstance(word.end_time, float)
                ]
            elif event.type is SpeechEventType.START_OF_SPEECH:
                self._open += 1
                self._unpaired += self._open > 1
            elif event.type is SpeechEventType.END_OF_SPEECH:
                self._open -= 1
                self._unpaired += self._open < 0

    def _push(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), 3200):
            block = pcm[at : at + 3200]
            frame = rtc.AudioFrame(block, SAMPLE_RATE_HZ, 1, len(block) // 2)
            self._stream.push_frame(frame)

    def _has_said(self, text: str) -> bool:
        return any(word == text for word, _, _ in self._words)


async def measured(way: Way, times: int, seeds: int) -> Outcome:
    total = Outcome()
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> None:
        nonlocal total
        async with limit:
            outcome = await call(way, seed, times)
        total += outcome

    await asyncio.gather(*(one(seed) for seed in range(seeds)))
    return total


async def table(seeds: int) -> str:
    rows = [
        "| a connection ends by | times | words | lost | doubled | out of order | worst time error "
        "| starts without end | calls failed | connections |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, way in WAYS.items():
        for times in (1, 5) if name != "nothing" else (0,):
            total = await measured(way, times, seeds)
            rows.append(
                f"| {name} | {times} | {total.spoken:,} | {total.lost} | {total.doubled} "
                f"| {total.misplaced} | {total.worst_s * 1000:.2f} ms | {total.unpaired} "
                f"| {total.failed} | {total.connections} |"
            )
            print(rows[-1], flush=True)
    return f"{seeds} calls in each row.\n\n" + "\n".join(rows) + "\n"


def write_between_markers(page: Path, text: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="calls in each row")
    parser.add_argument("--write", action="store_true", help="into docs/reliability.md too")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # each connection that ends is one
    text = asyncio.run(table(arguments.seeds))
    if arguments.write:
        write_between_markers(PAGE, text)
    outages = [sys.executable, str(Path(__file__).with_name("outages.py"))]
    subprocess.run([*outages, "--write"] if arguments.write else outages, check=True)


if __name__ == "__main__":
    main()
