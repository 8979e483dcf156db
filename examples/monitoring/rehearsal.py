"""Calls that go wrong in every way, to see what monitoring makes of them. No key, no account.

    python examples/monitoring/rehearsal.py           until Ctrl-C; metrics at localhost:9464
    python examples/monitoring/rehearsal.py --waves 120     two minutes of faults, two without

They are as long as an utterance or two, and talk to a Baseten on this machine, which hears words
that are coded into the sound, and breaks on request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import prometheus_client
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError
from livekit.plugins import baseten
from livekit.plugins.baseten.emulator import coded_speech, faults, serve

FRAME_SAMPLES = 800  # 50 ms
SPEECH = coded_speech([(4000, 6000), (800, 6000)] * 2, trailing_samples=9600, first_word=1001)
HALF_WAY = 24_000  # samples: in mid-utterance

PATIENT = APIConnectOptions(max_retry=3, retry_interval=0.5, timeout=5.0)
IMPATIENT = APIConnectOptions(max_retry=0, timeout=5.0)


@dataclass
class Kind:
    """One kind of call, made again and again.

    Attributes:
        plan: What goes wrong with its connections, one entry for each.
        options: Of its `STT`.
        changes: Whether options change in mid-call.
    """

    plan: tuple[faults.Entry, ...] = ()
    model: Literal["whisper", "qwen3-asr"] = "whisper"
    options: dict[str, Any] = field(default_factory=dict)
    conn_options: APIConnectOptions = PATIENT
    changes: bool = False


def slow(seconds: float, *others: faults.Fault) -> tuple[faults.Fault, ...]:
    return (faults.SlowRecognition(seconds), *others)


KINDS = {
    "as it should be": Kind((slow(0.12),)),
    "Qwen3-ASR, as it should be": Kind((slow(0.2),), model="qwen3-asr"),
    "a slow model": Kind((slow(0.4),)),
    "options change": Kind((slow(0.1), slow(0.1)), changes=True),
    "a replica restarts": Kind(
        (slow(0.1, faults.Close(1001, after_samples=HALF_WAY)), faults.Refuse(503), slow(0.1))
    ),
    "the network breaks": Kind((slow(0.1, faults.Reset(HALF_WAY)), slow(0.1))),
    "it broke once too often": Kind((slow(0.1, faults.Reset(HALF_WAY)),), conn_options=IMPATIENT),
    "a model that dreams": Kind(
        (slow(0.1, faults.Hallucination()),), options={"drop_hallucinations": True}
    ),
    "a runtime of tomorrow": Kind((slow(0.1, faults.Garbage('{"type": 7}', 8000)),)),
    "no replica for too long": Kind((faults.Park(2.5),), options={"replay_buffer_s": 1.0}),
    "a wrong key": Kind((faults.Refuse(401), faults.Refuse(401))),
}


async def call(kind: Kind) -> None:
    """One call at the pace of speech, with flushes in silence, in mid-utterance and at its end."""
    async with (
        serve(*kind.plan, model=kind.model, aligner=True) as server,
        baseten.STT(
            model_endpoint=server.url, api_key="any", model=kind.model, **kind.options
        ) as stt,
    ):
        if len(kind.plan) == 1:
            stt.prewarm()
        await talk(stt, kind)


async def talk(stt: baseten.STT, kind: Kind) -> None:
    async with stt.stream(conn_options=kind.conn_options) as stream:
        reading = asyncio.create_task(read(stream))
        pcm = SPEECH.pcm
        for at in range(0, len(pcm), 2 * FRAME_SAMPLES):
            block = pcm[at : at + 2 * FRAME_SAMPLES]
            stream.push_frame(rtc.AudioFrame(block, 16_000, 1, len(block) // 2))
            if at // 2 in (HALF_WAY - HALF_WAY % FRAME_SAMPLES, 800):
                stream.flush()
            if kind.changes and at // 2 == 8000:
                stt.update_options(language="de")
            await asyncio.sleep(FRAME_SAMPLES / 16_000)
        stream.flush()
        stream.end_input()
        await reading


async def read(stream: baseten.SpeechStream) -> None:
    with contextlib.suppress(APIError):  # it is what is to be seen
        async for _ in stream:
            pass


async def repeated(name: str, waves_s: float) -> None:
    """Make one kind of call again and again; one that breaks, only every second wave."""
    begun_s = asyncio.get_running_loop().time()
    while True:
        wave = (asyncio.get_running_loop().time() - begun_s) // waves_s
        calm = wave % 2 == 1 and not name.endswith("as it should be")
        await (asyncio.sleep(1.0) if calm else call(KINDS[name]))


async def rehearse(seconds: float | None, waves_s: float) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        calls = asyncio.gather(*(repeated(name, waves_s) for name in KINDS))
        await asyncio.wait_for(calls, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=9464, help="0 takes a free one")
    parser.add_argument("--seconds", type=float, help="without it, until Ctrl-C")
    parser.add_argument(
        "--waves", type=float, default=math.inf, help="seconds of faults, and of none"
    )
    arguments = parser.parse_args()

    logging.getLogger("livekit").setLevel(logging.ERROR)
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))
    server, _ = prometheus_client.start_http_server(arguments.port, "127.0.0.1")
    print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(rehearse(arguments.seconds, arguments.waves))


if __name__ == "__main__":
    main()
