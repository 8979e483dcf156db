"""What being watched costs: bytecode instructions of a push and of a message, the same at any load.

    python benchmarks/monitoring.py

A push is a frame of 50 ms at 24 kHz. A message is an interim of ten words that reaches farther than
the one before, from the socket to LiveKit's event, with all that OpenTelemetry does. What code in
C does, the resampler above all, is in neither number, and the same in both.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import kit.clock  # before LiveKit
from kit.loopback import QUICK, client, listening, serve

from livekit import rtc

PUSHES, MESSAGES = 40, 20  # two seconds: nothing is told that comes every five


def counted(work: Callable[[], None]) -> int:
    instructions = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal instructions
        frame.f_trace_opcodes = True
        instructions += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return instructions


def interim(number: int) -> str:
    words = [
        {"word": f"w{n}", "start_time": n / 100, "end_time": n / 100 + number / 1000, "prob": 0.9}
        for n in range(10)
    ]
    text = " ".join(f"w{n}" for n in range(10))
    segment = {"start_time": 0.0, "end_time": 0.5, "text": text, "word_timestamps": words}
    return json.dumps(
        {"type": "transcription", "is_final": False, "segments": [segment], "transcription_num": 0}
    )


async def measured() -> None:
    frame = rtc.AudioFrame(bytes(2400), 24_000, 1, 1200)
    async with serve() as server, client(server) as stt, listening(stt, QUICK) as listener:
        stream = listener.stream
        stream.push_frame(frame)
        await server.until(lambda: server.connections and server.connections[0].sent)
        await asyncio.sleep(0.2)
        pushes = counted(lambda: [stream.push_frame(frame) for _ in range(PUSHES)] and None)
        connection = stream._connections.current
        assert connection is not None
        received, messages = connection.received, [interim(n) for n in range(5, 5 + MESSAGES)]
        heard = counted(lambda: [received(each) for each in messages] and None)
        await listener.until(lambda: len(listener.events) > MESSAGES)
    print(f"a push {pushes / PUSHES:,.0f}, a message {heard / MESSAGES:,.0f}")


def watch() -> None:
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))


def main() -> None:
    if len(sys.argv) == 1:  # a provider can be set once in a process, and never taken back
        for how in ("without", "with"):
            print(f"{how} a meter provider: ", end="", flush=True)
            subprocess.run([sys.executable, __file__, how], check=True)
        return
    if sys.argv[1] == "with":
        watch()
    kit.clock.run(measured())


if __name__ == "__main__":
    main()
