"""The server that all clients are measured against: says much, hears nothing, costs little.

It speaks enough of two protocols that `livekit-plugins-baseten` and `livekit-plugins-deepgram` take
it for the real thing: Whisper streaming v1 (docs/protocol.md) and Deepgram's `/v1/listen`. Both get
the same results at the same places in the audio: a partial every 0.5 s, a final every 5 s, 2.5
timed words a second. There is no recognition and no voice detection. The last word of every result
is the time at which it was sent, in microseconds of a clock that all processes share.

It is not a test double: it checks nothing. `livekit.plugins.baseten.emulator` does.

    python benchmarks/peer_server.py [CORE [CERTIFICATE.pem]]

prints its port, and ends when its standard input does. With a certificate and its key, over TLS.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import struct
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

SAMPLE_RATE_HZ = 16_000
WORDS_PER_S = 2.5
_VOCABULARY = ("please", "book", "a", "table", "for", "two", "people", "tonight", "at", "seven")


@dataclass(frozen=True)
class Conduct:
    """How a connection is served; the last part of the URL's path says so, as ``name=value,...``.

    Attributes:
        key: Connections of the same key are logged together.
        partial_s: Seconds of audio between partials; 0 sends none.
        final_s: Seconds of audio between finals; 0 sends none before the end.
        cut_s: The first connection of this key is cut off after so many seconds of audio.
        log: Keep the arrival of every frame.
        words: So many in each result, however long it is; 0 says 2.5 a second.
    """

    key: str = ""
    partial_s: float = 0.5
    final_s: float = 5.0
    cut_s: float = 0.0
    log: bool = False
    words: int = 0

    @classmethod
    def parsed(cls, path: str) -> Conduct:
        given = dict(part.split("=", 1) for part in path.split(",") if "=" in part)
        return cls(
            key=given.get("key", ""),
            partial_s=float(given.get("partial_s", 0.5)),
            final_s=float(given.get("final_s", 5.0)),
            cut_s=float(given.get("cut_s", 0.0)),
            log=given.get("log") == "1",
            words=int(given.get("words", 0)),
        )


@dataclass
class Log:
    """One connection.

    Attributes:
        opened_s: When the answer to its handshake had been written.
        frames: When each audio frame arrived, its first sample, and how many it had.
    """

    opened_s: float
    frames: list[tuple[float, int, int]] = field(default_factory=list)


LOGS: web.AppKey[dict[str, list[Log]]] = web.AppKey("logs")
CUT: web.AppKey[set[str]] = web.AppKey("cut")


class Results:
    """What is to be said at which place in the audio. Both protocols ask this.

    Attributes:
        samples: How much audio came.
    """

    def __init__(self, conduct: Conduct) -> None:
        step_s = conduct.partial_s or conduct.final_s
        self._step = round(step_s * SAMPLE_RATE_HZ)
        self._final = round(conduct.final_s * SAMPLE_RATE_HZ)
        self._sends_partials = conduct.partial_s > 0
        self.words = conduct.words
        self._due = self._step or sys.maxsize
        self._begun = 0
        self.samples = 0
        self.number = 0

    def heard(self, samples: int) -> tuple[bool, int] | None:
        """``(is_final, start)`` of the result that is due with this frame, if one is."""
        self.samples += samples
        if self.samples < self._due:
            return None
        due, self._due = self._due, self._due + self._step
        if not self._final or due % self._final:
            return (False, self._begun) if self._sends_partials else None
        return True, self.finished()

    def finished(self) -> int:
        """A final is due for everything up to here; where it starts."""
        begun, self._begun = self._begun, self.samples
        self.number += 1
        return begun


def words(start: int, stop: int, count: int) -> list[tuple[str, float, float]]:
    """Text, start and end in seconds; the last word is the time it is."""
    start_s, length_s = start / SAMPLE_RATE_HZ, (stop - start) / SAMPLE_RATE_HZ
    count = count - 1 if count else max(1, int(length_s * WORDS_PER_S))
    step_s = length_s / (count + 1)
    texts = [_VOCABULARY[i % len(_VOCABULARY)] for i in range(count)]
    texts.append(f"T{time.perf_counter_ns() // 1000}")
    return [
        (text, round(start_s + i * step_s, 2), round(start_s + (i + 0.9) * step_s, 2))
        for i, text in enumerate(texts)
    ]


def whisper_result(results: Results, start: int, *, is_final: bool) -> str:
    said = words(start, results.samples, results.words)
    start_s, end_s = start / SAMPLE_RATE_HZ, results.samples / SAMPLE_RATE_HZ
    segment = {
        "start_time": start_s,
        "end_time": end_s,
        "text": " ".join(text for text, _, _ in said),
        "log_prob": -0.41,
        "word_timestamps": [
            {"start_time": at_s, "end_time": to_s, "word": text, "prob": 0.93, "speaker": None}
            for text, at_s, to_s in said
        ],
        "speaker": None,
        "speaker_confidence": None,
        "possible_hallucination": False,
        "beam_results": [],
        "language_code": "en",
        "language_prob": None,
    }
    return _compact(
        {
            "segments": [segment],
            "language_code": "en",
            "language_prob": None,
            "diarization": [],
            "timing_info": None,
            "enable_chunk_level_language_detection": False,
            "audio_length_sec": end_s - start_s,
            "is_final": is_final,
            "transcription_num": results.number,
            "next_partial": None,
            "pipeline_latency": None,
            "type": "transcription",
        }
    )


def deepgram_result(results: Results, start: int, *, is_final: bool) -> str:
    said = words(start, results.samples, results.words)
    alternative = {
        "transcript": " ".join(text for text, _, _ in said),
        "confidence": 0.93,
        "words": [
            {
                "word": text,
                "start": at_s,
                "end": to_s,
                "confidence": 0.93,
                "punctuated_word": text,
            }
            for text, at_s, to_s in said
        ],
    }
    return _compact(
        {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": (results.samples - start) / SAMPLE_RATE_HZ,
            "start": start / SAMPLE_RATE_HZ,
            "is_final": is_final,
            "speech_final": is_final,
            "channel": {"alternatives": [alternative]},
            "metadata": {
                "request_id": "4f0c1c0e-0000-4000-8000-000000000000",
                "model_info": {"name": "none", "version": "none", "arch": "none"},
                "model_uuid": "00000000-0000-4000-8000-000000000000",
            },
            "from_finalize": False,
        }
    )


async def whisper(request: web.Request) -> web.WebSocketResponse:
    conduct, log, ws = await _opened(request)
    results = Results(conduct)
    is_cut = conduct.cut_s and conduct.key not in request.app[CUT]
    async for message in ws:
        if message.type is WSMsgType.BINARY:
            pcm = message.data
            if log is not None:
                log.frames.append(_arrival(pcm))
            if due := results.heard(len(pcm) // 2):
                await ws.send_str(whisper_result(results, due[1], is_final=due[0]))
            if is_cut and results.samples >= conduct.cut_s * SAMPLE_RATE_HZ:
                request.app[CUT].add(conduct.key)
                if request.transport is not None:
                    request.transport.abort()
                break
        elif message.type is WSMsgType.TEXT:
            for answer in _whisper_answers(json.loads(message.data), results):
                await ws.send_str(answer)
    return ws


def _whisper_answers(control: dict[str, Any], results: Results) -> list[str]:
    kind, trace_id = control.get("type"), control.get("trace_id")
    answer: dict[str, Any] = {"type": kind, "trace_id": trace_id, "timestamp": None}
    if kind == "health_check":
        return [_compact({**answer, "body": {"healthy": True}})]
    if kind != "end_audio":
        return []  # the metadata, or what the plugin of today closes with
    final = whisper_result(results, results.finished(), is_final=True)
    acknowledged, finished = (
        _compact({**answer, "body": {"status": status}}) for status in ("acknowledged", "finished")
    )
    return [acknowledged, final, finished]


async def deepgram(request: web.Request) -> web.WebSocketResponse:
    conduct, log, ws = await _opened(request)
    results = Results(conduct)
    async for message in ws:
        if message.type is WSMsgType.BINARY:
            pcm = message.data
            if log is not None:
                log.frames.append(_arrival(pcm))
            if due := results.heard(len(pcm) // 2):
                await ws.send_str(deepgram_result(results, due[1], is_final=due[0]))
        elif message.type is WSMsgType.TEXT and '"CloseStream"' in message.data:
            await ws.send_str(deepgram_result(results, results.finished(), is_final=True))
            break
    return ws


async def logs(request: web.Request) -> web.Response:
    """What is known of a key's connections; it is forgotten with that."""
    known = request.app[LOGS].pop(request.match_info["key"], [])
    return web.json_response(
        [{"opened_s": log.opened_s, "frames": log.frames} for log in known], dumps=_compact
    )


async def _opened(request: web.Request) -> tuple[Conduct, Log | None, web.WebSocketResponse]:
    conduct = Conduct.parsed(request.match_info["conduct"])
    ws = web.WebSocketResponse(compress=False, max_msg_size=0)
    await ws.prepare(request)
    if not conduct.log:
        return conduct, None, ws
    log = Log(time.perf_counter())
    request.app[LOGS][conduct.key].append(log)
    return conduct, log, ws


def _arrival(pcm: bytes) -> tuple[float, int, int]:
    return time.perf_counter(), struct.unpack_from("<h", pcm)[0], len(pcm) // 2


def _compact(message: Any) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


async def main() -> None:
    core, certificate = (*sys.argv[1:], *["-1", ""][len(sys.argv) - 1 :])
    if int(core) >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    app = web.Application()
    app[LOGS] = defaultdict[str, list[Log]](list)
    app[CUT] = set()
    app.router.add_get("/whisper/{conduct}", whisper)
    app.router.add_get("/deepgram/{conduct}", deepgram)
    app.router.add_get("/logs/{key}", logs)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048, ssl_context=tls)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
