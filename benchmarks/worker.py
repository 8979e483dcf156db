"""One measurement of one kind of client in a process of its own; prints one JSON object.

    python benchmarks/worker.py MEASURE KIND --port PORT [--calls N] [--seconds S] ...

`benchmarks/run.py` starts these, in the environment that the kind needs, against one
`peer_server.py`, and knows what to make of the numbers. Times are of `time.perf_counter`, a clock
that all processes of a machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import importlib
import json
import math
import os
import re
import resource
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from clients import KINDS, SAMPLE_RATE_HZ, Call, Said, opener, plugin

from livekit import rtc


@dataclass(frozen=True)
class Situation:
    """In which instructions are counted."""

    rate_hz: int = 24_000
    partial_s: float = 0.5
    tls: bool = False


COUNTED = {
    "24 kHz": Situation(),
    "16 kHz": Situation(rate_hz=16_000),
    "24 kHz, TLS": Situation(tls=True),
    "24 kHz, a message every 0.1 s": Situation(partial_s=0.1),
    "16 kHz, a message every 0.1 s": Situation(rate_hz=16_000, partial_s=0.1),
}

PUSHES_IN_A_ROW = 8  # at most, when the loop is late; then others get their turn
Result = dict[str, Any]


class Audio:
    """Frames of something that is no silence, or whose samples are the number of their frame."""

    def __init__(self, rate_hz: int, frame_ms: int, *, is_numbered: bool = False) -> None:
        self.rate_hz = rate_hz
        self.frame_s = frame_ms / 1000
        self.samples = rate_hz * frame_ms // 1000
        self._is_numbered = is_numbered
        noise = np.random.default_rng(1).normal(0, 3000, self.samples * 16)
        self._pcm = noise.astype(np.int16).tobytes()

    def frame(self, number: int) -> rtc.AudioFrame:
        size = self.samples * 2
        if self._is_numbered:
            pcm = np.full(self.samples, number % 30_000 + 1, np.int16).tobytes()
        else:
            at = number % 16 * size
            pcm = self._pcm[at : at + size]
        return rtc.AudioFrame(pcm, self.rate_hz, 1, self.samples)


class Pace:
    """Pushes audio into calls at real-time pace, each call at its own moment of the frame.

    Attributes:
        pushed_s: When each push was made: per call, by frame.
        late_s: How much later than due, likewise.
    """

    def __init__(self, calls: list[Call], audio: Audio, seconds: float) -> None:
        self._calls = calls
        self._audio = audio
        self._frames = round(seconds / audio.frame_s)
        self.pushed_s: list[list[float]] = [[] for _ in calls]
        self.late_s: list[float] = []

    async def one_by_one(self, seconds: float) -> None:
        """The first audio of each call, so far apart that it arrives in this order."""
        for i, call in enumerate(self._calls):
            for number in range(math.ceil(seconds / self._audio.frame_s)):
                self.pushed_s[i].append(time.perf_counter())
                await call.push(self._audio.frame(number))
            await asyncio.sleep(0.02)

    async def run(self, begun: Callable[[], None] | None = None, warm_up_s: float = 0.0) -> None:
        """
        Args:
            begun: Called after the warm-up, which comes on top of the seconds.
        """
        audio, calls = self._audio, self._calls
        step_s = audio.frame_s / len(calls)
        warm_up = round(warm_up_s / audio.frame_s)
        start_s = time.perf_counter()
        in_a_row = 0
        for number in range(warm_up + self._frames):
            if number == warm_up and begun is not None:
                begun()
            for i, call in enumerate(calls):
                due_s = start_s + number * audio.frame_s + i * step_s
                ahead_s = due_s - time.perf_counter()
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
                    in_a_row = 0
                elif (in_a_row := in_a_row + 1) >= PUSHES_IN_A_ROW:
                    await asyncio.sleep(0)
                    in_a_row = 0
                frame = audio.frame(len(self.pushed_s[i]))
                now_s = time.perf_counter()
                self.pushed_s[i].append(now_s)
                if number >= warm_up:
                    self.late_s.append(now_s - due_s)
                await call.push(frame)


async def opened(open_call: Callable[[Said], Awaitable[Call]], says: list[Said]) -> list[Call]:
    gc.collect()
    gc.freeze()  # what was imported, as LiveKit's forkserver does before it forks a job
    calls = []
    for at in range(0, len(says), 25):
        calls += await asyncio.gather(*(open_call(said) for said in says[at : at + 25]))
        await asyncio.sleep(0.1)  # a plugin connects in the background
    await asyncio.sleep(0.5)
    return calls


async def cpu(args: argparse.Namespace) -> Result:
    """CPU time of the process for a second of audio, at real-time pace."""
    heard = [0, 0]

    def said(text: str, is_final: bool) -> None:
        heard[is_final] += 1

    audio = Audio(args.rate, args.frame_ms)
    async with opener(args.kind, args.port, "all", args.rate) as open_call:
        calls = await opened(open_call, [said] * args.calls)
        pace = Pace(calls, audio, args.seconds)
        marks = [0.0, 0.0]

        def begun() -> None:
            heard[:] = 0, 0
            marks[:] = time.process_time(), time.perf_counter()

        await pace.run(begun, args.warm_up)
        cpu_s, wall_s = time.process_time() - marks[0], time.perf_counter() - marks[1]
        await closed(calls)
    audio_s = args.seconds * args.calls
    if args.kind != "feeder" and sum(heard) < 0.8 * audio_s / 0.5:
        raise SystemExit(f"{args.kind}: {sum(heard)} results in {audio_s:.0f} s of audio")
    return {
        "cpu_ms": cpu_s * 1000 / audio_s,
        "core": cpu_s / wall_s,
        "pace": args.seconds / wall_s,
        "late_ms_p99": percentiles(pace.late_s)["p99"] * 1000,
        "interims": heard[0],
        "finals": heard[1],
    }


async def count(args: argparse.Namespace) -> Result:
    """Pushes whose instructions somebody counts from outside, in the situations of `COUNTED`.

    Each waits for a line on standard input before it begins and after it has ended. A push has a
    moment of its own, and its message too: a wake-up for each, as in a process with one call.
    """
    said: dict[str, Any] = {}
    for kind in (args.kind, *filter(None, args.beside.split(","))):
        for name in args.only.split(";"):
            said.setdefault(kind, {})[name] = await _counted(kind, COUNTED[name], args)
    return said


async def _counted(kind: str, situation: Situation, args: argparse.Namespace) -> Result:
    if kind == "ours":  # what depends on the time would depend on how slow valgrind is
        inside = importlib.import_module("livekit.plugins.baseten._connection.connection")
        inside._LOOK_EVERY_S = 600.0
        stalls = importlib.import_module("livekit.plugins.baseten._core.stalls")
        stalls.MUTED_AFTER_S = 600.0
        stalls._UTTERANCE_SILENCE_S = dict.fromkeys(stalls._UTTERANCE_SILENCE_S, 600.0)
    audio, heard = Audio(situation.rate_hz, 50), Heard()
    # A final ends each stretch: while nobody pushes, no utterance waits for its end.
    conduct = f"words=10,final_s={args.seconds},partial_s={situation.partial_s}"
    port = args.tls_port if situation.tls else args.port
    frames = round(args.seconds / audio.frame_s)
    messages = 0 if kind == "feeder" else round(args.seconds / situation.partial_s) * args.calls
    opening = opener(kind, port, conduct, situation.rate_hz, tls=situation.tls)
    async with opening as open_call:
        calls = await opened(open_call, [heard] * args.calls)
        # One frame more than the server has to hear: a resampler holds some of it back.
        await _push_slowly(calls, audio, frames + 1)
        await heard.until(messages)
        print("ready", flush=True)
        await _line()
        began_s = time.perf_counter()
        await _push_slowly(calls, audio, frames)
        await heard.until(2 * messages)
        took_s = time.perf_counter() - began_s
        print("done", flush=True)
        await _line()
        await closed(calls)
    return {"pushes": frames * args.calls, "messages": messages, "seconds": took_s}


async def _line() -> None:
    """Wait for one on standard input; pings are answered meanwhile."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


class Heard:
    """Counts results."""

    def __init__(self) -> None:
        self._count = 0
        self._awaited = 0
        self._reached = asyncio.Event()

    def __call__(self, text: str, is_final: bool) -> None:
        self._count += 1
        if self._count == self._awaited:
            self._reached.set()

    async def until(self, count: int) -> None:
        """Wait for so many, and for a moment in which no more come."""
        self._awaited = count
        self._reached.clear()
        if self._count < count:
            await asyncio.wait_for(self._reached.wait(), 60)
        await asyncio.sleep(0.2)
        if self._count != count:
            raise SystemExit(f"{self._count} results in place of {count}")


async def _push_slowly(calls: list[Call], audio: Audio, frames: int) -> None:
    for number in range(frames):
        for call in calls:
            await call.push(audio.frame(number))
            await asyncio.sleep(0.004)


async def delay(args: argparse.Namespace) -> Result:
    """A sample's way from the push of its frame to its arrival at the server.

    The n-th sample (of 16 kHz) that arrives is the n-th that was pushed: where nothing is
    resampled, the numbers in the audio prove it.
    """
    is_numbered = args.rate == SAMPLE_RATE_HZ
    audio = Audio(args.rate, args.frame_ms, is_numbered=is_numbered)
    key = f"delay-{os.getpid()}"
    waits: list[float] = []
    unavoidable: list[float] = []
    async with opener(args.kind, args.port, f"key={key},log=1", args.rate) as open_call:
        calls = await opened(open_call, [_nothing] * args.calls)
        pace = Pace(calls, audio, args.seconds)
        await pace.one_by_one(0.2)
        await pace.run()
        await asyncio.sleep(0.3)
        logs = await fetched(args.port, key)
        await closed(calls)
    logs = sorted(logs, key=lambda log: log["frames"][0][0])  # as the calls were begun
    per_push = args.frame_ms * SAMPLE_RATE_HZ // 1000
    for pushed_s, log in zip(pace.pushed_s, logs, strict=True):
        at = 0
        for arrived_s, first, samples in log["frames"]:
            if is_numbered and first != at // per_push % 30_000 + 1:
                raise SystemExit(f"{args.kind}: sample {at} is of frame {first - 1}")
            last = min((at + samples - 1) // per_push, len(pushed_s) - 1)
            for n in range(at, at + samples, 32):
                if n >= SAMPLE_RATE_HZ and n // per_push < len(pushed_s):
                    waits.append(arrived_s - pushed_s[n // per_push])
                    unavoidable.append(pushed_s[last] - pushed_s[n // per_push])
            at += samples
    extra = [wait - least for wait, least in zip(waits, unavoidable, strict=True)]
    return {
        "delay_ms": in_ms(waits),
        "frame_ms": in_ms(unavoidable),
        "beyond_frame_ms": in_ms(extra),
        "late_ms_p99": percentiles(pace.late_s)["p99"] * 1000,
    }


async def latency(args: argparse.Namespace) -> Result:
    """From the bytes of a message in this process to the text in the user's hands."""
    arrived: dict[str, float] = {}
    from_socket: list[float] = []
    from_server: list[float] = []
    stamps = re.compile(rb"T(\d+)\"")
    module, name = "aiohttp.client_proto", "ResponseHandler"
    if args.kind == "ours":
        module, name = "livekit.plugins.baseten._connection.socket", "Socket"
    protocol = getattr(importlib.import_module(module), name)
    feed = protocol.data_received

    def data_received(self: Any, data: bytes) -> None:
        now_s = time.perf_counter()
        for stamp in stamps.findall(data):
            arrived.setdefault(stamp.decode(), now_s)
        feed(self, data)

    protocol.data_received = data_received

    def said(text: str, is_final: bool) -> None:
        now_s = time.perf_counter()
        stamp = text.rpartition("T")[2]
        if stamp in arrived:  # cleared after the warm-up
            from_socket.append(now_s - arrived.pop(stamp))
            from_server.append(now_s - int(stamp) / 1e6)

    audio = Audio(args.rate, args.frame_ms)
    async with opener(args.kind, args.port, "all", args.rate) as open_call:
        calls = await opened(open_call, [said] * args.calls)

        def begun() -> None:
            from_socket.clear()
            from_server.clear()

        await Pace(calls, audio, args.seconds).run(begun, args.warm_up)
        await closed(calls)
    return {
        "socket_to_event_ms": in_ms(from_socket),
        "server_to_event_ms": in_ms(from_server),
    }


async def memory(args: argparse.Namespace) -> Result:
    """Resident memory, and what Python allocated, while so many calls are under way."""
    if args.trace:
        tracemalloc.start()
    audio = Audio(args.rate, args.frame_ms)
    async with opener(args.kind, args.port, "all", args.rate) as open_call:
        first = await opened(open_call, [_nothing])
        await Pace(first, audio, args.seconds).run()
        before = _used_mb(trace=args.trace)
        rest = await opened(open_call, [_nothing] * (args.calls - 1))
        await Pace(first + rest, audio, args.seconds).run()
        after = _used_mb(trace=args.trace)
        await closed(first + rest)
    return {"mb_per_call": (after - before) / (args.calls - 1), "before_mb": before}


async def long(args: argparse.Namespace) -> Result:
    """Resident memory over a long call, pushed as fast as the server's finals come back."""
    audio = Audio(args.rate, args.frame_ms)
    finals = 0

    def said(text: str, is_final: bool) -> None:
        nonlocal finals
        finals += is_final

    curve: list[tuple[float, float]] = []
    started_s = time.perf_counter()
    async with opener(args.kind, args.port, "all", args.rate) as open_call:
        [call] = await opened(open_call, [said])
        pushed = 0
        while pushed * audio.frame_s < args.seconds:
            await call.push(audio.frame(pushed))
            pushed += 1
            deadline_s = time.perf_counter() + 30
            while pushed * audio.frame_s - finals * 5.0 > 15.0:
                await asyncio.sleep(0.001)
                if time.perf_counter() > deadline_s:
                    raise SystemExit(f"{args.kind}: no final for {pushed * audio.frame_s:.0f} s")
            if pushed % round(args.seconds / 20 / audio.frame_s) == 0:
                curve.append((pushed * audio.frame_s, _used_mb(trace=False)))
        took_s = time.perf_counter() - started_s
        await closed([call])
    return {"curve_mb": curve, "times_real_time": args.seconds / took_s}


async def recognize(args: argparse.Namespace) -> Result:
    """A recording through `recognize()`, in multiples of real time."""
    pcm = np.random.default_rng(1).normal(0, 3000, int(args.rate * args.seconds)).astype(np.int16)
    recording = rtc.AudioFrame(pcm.tobytes(), args.rate, 1, len(pcm))
    async with aiohttp.ClientSession() as http:
        stt = plugin(args.kind, args.port, "all", http)
        await stt.recognize(recording)
        started_s, cpu_s = time.perf_counter(), time.process_time()
        event = await stt.recognize(recording)
        took_s = time.perf_counter() - started_s
        cpu_s = time.process_time() - cpu_s
        await stt.aclose()
    if not event.alternatives[0].text.count("T"):
        raise SystemExit("nothing was recognized")
    return {"times_real_time": args.seconds / took_s, "times_cpu": args.seconds / cpu_s}


async def reconnect(args: argparse.Namespace) -> Result:
    """A connection cut off with `--seconds` of audio that has no final: its replay, as the server
    of the new connection sees it."""
    key = f"reconnect-{os.getpid()}"
    conduct = f"key={key},log=1,final_s=0,cut_s={args.seconds}"
    audio = Audio(args.rate, args.frame_ms)
    async with opener(args.kind, args.port, conduct, args.rate) as open_call:
        [call] = await opened(open_call, [_nothing])
        for number in range(math.ceil(args.seconds / audio.frame_s) + 1):
            await call.push(audio.frame(number))
            await asyncio.sleep(0)
        await asyncio.sleep(1.5)
        known = await fetched(args.port, key)
        await closed([call])
    if len(known) != 2 or not known[1]["frames"]:
        raise SystemExit(f"{args.kind}: {len(known)} connections")
    opened_s, frames = known[1]["opened_s"], known[1]["frames"]
    ends = np.cumsum([samples for _, _, samples in frames])
    if ends[-1] < args.seconds * SAMPLE_RATE_HZ:
        raise SystemExit(f"{args.kind}: only {ends[-1] / SAMPLE_RATE_HZ:.2f} s were sent again")
    took_s = frames[np.searchsorted(ends, args.seconds * SAMPLE_RATE_HZ)][0] - opened_s
    return {
        "first_frame_ms": (frames[0][0] - opened_s) * 1000,
        "journal_ms": took_s * 1000,
        "times_real_time": args.seconds / took_s,
    }


async def flush(args: argparse.Namespace) -> Result:
    """From `flush()` in mid-speech to its final, less the `--latency-ms` of one recognition.

    Without partials: one that is being recognized when the flush comes is waited for as well.
    """
    from livekit.plugins import baseten
    from livekit.plugins.baseten.emulator import coded_speech

    pcm = coded_speech(args.repeats * 3, first_word=3000).pcm  # its number is its loudness
    per_turn = len(pcm) // args.repeats
    spent_s: list[float] = []
    finals: asyncio.Queue[float] = asyncio.Queue()

    async with aiohttp.ClientSession() as http:
        url = f"ws://127.0.0.1:{args.port}/environments/production/websocket"
        stt = baseten.STT(
            model_endpoint=url,
            api_key="none",
            http_session=http,
            enable_partial_transcripts=False,
        )
        stream = stt.stream()

        async def read() -> None:
            async for event in stream:
                if event.type.value == "final_transcript":
                    finals.put_nowait(time.perf_counter())

        reading = asyncio.create_task(read())
        for turn in range(args.repeats):
            said = pcm[turn * per_turn : (turn + 1) * per_turn]
            for at in range(0, len(said), 1600):
                part = said[at : at + 1600]
                stream.push_frame(rtc.AudioFrame(part, SAMPLE_RATE_HZ, 1, len(part) // 2))
                await asyncio.sleep(0.05)
            flushed_s = time.perf_counter()
            stream.flush()
            spent_s.append(await asyncio.wait_for(finals.get(), 10) - flushed_s)
            await asyncio.sleep(0.1)
            if not finals.empty():
                raise SystemExit("a flush was answered twice")
        reading.cancel()
        await stream.aclose()
        await stt.aclose()
    return {"flush_ms": in_ms([s - args.latency_ms / 1000 for s in spent_s])}


async def imported(args: argparse.Namespace) -> Result:
    """What importing the plugin adds to `import livekit.agents`."""
    importlib.import_module("livekit.agents")
    started_s, cpu_s = time.perf_counter(), time.process_time()
    importlib.import_module(f"livekit.plugins.{'baseten' if args.kind == 'ours' else args.kind}")
    took_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    return {"import_ms": took_s * 1000, "import_cpu_ms": cpu_s * 1000}


def percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        raise SystemExit("nothing was measured")
    median, p99 = np.percentile(values, (50, 99))
    return {"median": float(median), "p99": float(p99), "n": len(values)}


def in_ms(values_s: list[float]) -> dict[str, float]:
    return percentiles([value * 1000 for value in values_s])


def _nothing(text: str, is_final: bool) -> None:
    pass


async def closed(calls: list[Call]) -> None:
    await asyncio.gather(*(call.aclose() for call in calls))


async def fetched(port: int, key: str) -> Any:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/logs/{key}") as response,
    ):
        return await response.json()


def _used_mb(*, trace: bool) -> float:
    gc.collect()
    if trace:
        return tracemalloc.get_traced_memory()[0] / 2**20
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what is free but not returned is no call's
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


MEASURES: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, Result]]] = {
    "count": count,
    "cpu": cpu,
    "delay": delay,
    "latency": latency,
    "memory": memory,
    "long": long,
    "recognize": recognize,
    "reconnect": reconnect,
    "flush": flush,
    "import": imported,
}


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("measure", choices=MEASURES)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--port", type=int, default=0, help="of the server")
    parser.add_argument("--tls-port", type=int, default=0, help="of another one, that speaks TLS")
    parser.add_argument("--only", default=";".join(COUNTED), help="what to count, with semicolons")
    parser.add_argument("--beside", default="", help="other kinds to count, with commas")
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of audio, each call")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before that")
    parser.add_argument("--rate", type=int, default=24_000, help="of the audio, Hz")
    parser.add_argument("--frame-ms", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of the recognition")
    parser.add_argument("--trace", action="store_true", help="with tracemalloc")
    parser.add_argument("--core", type=int, default=-1, help="run on this one only")
    return parser.parse_args()


def main() -> None:
    args = _parsed()
    if args.core >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {args.core})
    print(json.dumps(asyncio.run(MEASURES[args.measure](args))))


if __name__ == "__main__":
    main()
