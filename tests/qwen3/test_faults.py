"""Whisper's faults, over the other dialect: nothing lost, nothing doubled, wherever it ends."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from reliability import test_faults as whisper
from reliability.loopback import check, client, listening

from livekit.plugins.baseten.emulator import serve

SEEDS = 2

# Its health is not to be asked after: pings find a dead peer, and a dead server behind a live
# proxy is found by what it owes.
UNSEEN = {"live proxy, dead server", "no results"}

DIALECT: dict[str, Any] = {"model": "qwen3-asr"}
# Words have times, and turns end after the silence that the speech was made for.
TIMED: dict[str, Any] = {
    "show_word_timestamps": True,
    "vad_min_silence_duration_ms": 300,
    **whisper.IMPATIENT,
}


async def one_call(way: str, seed: int, times: int) -> int:
    rng = random.Random(seed)
    speech = whisper.speech_of(seed)
    samples = len(speech.pcm) // 2
    cuts = [rng.randint(1, samples if times == 1 else samples // 4) for _ in range(times)]
    plan = [whisper.WAYS[way](at) for at in cuts]
    async with (
        serve(*plan, aligner=True, **DIALECT) as server,
        client(server, **DIALECT, **TIMED) as stt,
    ):
        async with listening(stt) as listener:
            listener.push(speech.pcm)
            if seed % 2:
                await listener.until_said(speech)
            listener.stream.end_input()
            check(await listener.ended(), speech)
            assert listener.used_s == pytest.approx(samples / 16_000, abs=1e-3)
        return len(server.connections)


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("way", [way for way in whisper.WAYS if way not in UNSEEN])
async def test_nothing_is_lost_or_doubled_however_a_connection_ends(way: str, times: int) -> None:
    calls = [one_call(way, 100 * times + seed, times) for seed in range(SEEDS)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    failed = {s: e for s, e in enumerate(outcomes) if isinstance(e, BaseException)}
    assert not failed, f"{failed}"
    assert sum(o for o in outcomes if isinstance(o, int)) > SEEDS * times / 2, "few were cut"
