"""Recordings made by hand, with times that are known to the millisecond.

The call of `a_call`, in seconds (nobody speaks, no audio at all comes from 6.0 to 7.5):

    0.5   connected; connection 1 sends everything up to 4.0
    1.0   "one two", an interim at 1.6, its final at 2.5
    4.0   connection 1 is lost
    4.5   connection 2 sends again from 2.0 on
    5.0   "three", a flush at 5.9, its final at 6.1
    8.0   `HOSTILE`, final at 9.4; audio ends at 9.5, the call at 9.6
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livekit.agents import stt
from livekit.agents.types import TimedString
from livekit.plugins.baseten._recording.files import Tape
from livekit.plugins.baseten._recording.recording import _event_fields

RATE_HZ = 16_000
FRAME_S = 0.02
BEGAN = 1000.0  # of the event loop's clock
KEY = "abcd1234.a-key-that-nobody-may-see"
HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\">&amp;<!--"
HEADER = {
    "id": "baseten-0123456789ab",
    "started": "2026-11-21T15:49:18.250Z",
    "started_s": 1_795_276_158.25,
    "package": "2.0.0",
    "model": "whisper",
    "url": "wss://model-abc.api.baseten.co/environments/production/websocket",
    "options": {"language": "en"},
}


def tone(seconds: float) -> NDArray[np.int16]:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (8000 * np.sin(2 * np.pi * 200 * t)).astype(np.int16)


def event(kind: str, number: int, words: str = "", **times: float) -> stt.SpeechEvent:
    """Of utterance ``number``; ``start`` and ``end`` are those of the words, evenly spread."""
    alternatives = []
    if words:
        start, end = times["start"], times["end"]
        each = words.split()
        step = (end - start) / len(each)
        timed = [
            TimedString(w, start_time=start + i * step, end_time=start + (i + 1) * step)
            for i, w in enumerate(each)
        ]
        data = stt.SpeechData("en", words, start, end, 0.9, words=timed)  # type: ignore[arg-type]
        if "delay_s" in times:
            data.metadata = {"delay_s": times["delay_s"]}
        alternatives = [data]
    return stt.SpeechEvent(
        stt.SpeechEventType(kind), f"baseten-0123456789ab-{number}", alternatives
    )


Step = Callable[[float], None]


def a_call(path: Path, *, pace: float = 1.0, secret: str = KEY) -> Path:
    """Write the call; ``pace`` times as fast as speech is. Returns its `.jsonl`."""
    tape = Tape(path, HEADER, BEGAN, secret)
    steps: list[tuple[float, Step]] = []

    def at(seconds: float, method: Callable[..., None], *arguments: Any) -> None:
        steps.append((seconds, lambda now: method(tape, *arguments, now)))

    pushed_at = [i * FRAME_S for i in range(1, 301)] + [7.5 + i * FRAME_S for i in range(1, 101)]
    pcm = tone(FRAME_S).tobytes()
    for seconds in pushed_at:
        at(seconds, Tape.pushed, pcm)
    connected = {"open_for_s": 0.0, "handshake_s": 0.2, "acquire_s": 0.25, "is_reused": False}
    at(0.5, Tape.noted, 1, "connected", connected)
    at(0.5, Tape.sent, 1, ['{"whisper_params":{}}'], 0, 0)
    samples = round(FRAME_S * RATE_HZ)
    for i in range(200):
        at(max(0.501, (i + 1) * FRAME_S), sent, 1, i * samples, (i + 1) * samples)
    at(1.4, said, event("start_of_speech", 1))
    at(1.6, said, event("interim_transcript", 1, "one", start=1.0, end=1.4))
    at(2.5, Tape.received, 1, '{"type":"transcription","is_final":true}')
    final = event("final_transcript", 1, "one two", start=1.0, end=2.0, delay_s=0.5)
    at(2.5, said, final)
    at(2.5, said, event("end_of_speech", 1))
    at(3.9, Tape.received, 1, f'{{"type":"error","body":{{"message":"who is {KEY}?"}}}}')
    at(4.0, Tape.noted, 1, "closed", {"error": "connection lost", "code": 1006, "reason": ""})
    at(4.0, Tape.line, "error", {"message": "Baseten: connection lost", "recoverable": True})
    at(4.5, Tape.noted, 2, "connected", connected)
    at(4.501, sent, 2, 2 * RATE_HZ, 72_000)
    for i in range(225, 300):
        at((i + 1) * FRAME_S + 0.002, sent, 2, i * samples, (i + 1) * samples)
    at(5.4, said, event("interim_transcript", 2, "three", start=5.0, end=5.4))
    at(5.9, Tape.line, "flush", {"position": 94_400})
    at(6.1, said, event("final_transcript", 2, "three", start=5.0, end=5.8, delay_s=0.3))
    final = event("final_transcript", 3, HOSTILE, start=6.5, end=7.4, delay_s=0.5)
    at(9.4, said, final)
    at(9.41, Tape.received, 2, HOSTILE)
    at(9.5, Tape.line, "lost", {"samples": 8000})
    at(9.6, Tape.noted, 2, "closed", {"error": None})
    at(9.6, Tape.line, "end", {})
    for seconds, step in sorted(steps, key=lambda timed: timed[0]):
        step(BEGAN + seconds / pace)
    tape.close()
    return path.with_name(path.name + ".jsonl")


def said(tape: Tape, event: stt.SpeechEvent, now: float) -> None:
    Tape.line(tape, "event", _event_fields(event), now)


def sent(tape: Tape, connection: int, start: int, stop: int, now: float) -> None:
    Tape.sent(tape, connection, [bytes(2 * (stop - start))], start, stop, now)
