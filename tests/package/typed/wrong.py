"""Mistakes that type checkers must find: an ignore that is not needed is an error of `make lint`.

The codes are mypy's; pyright takes the comments without them. It is never run.
"""

from __future__ import annotations

from livekit import rtc
from livekit.plugins.baseten import STT, SpeechStream
from livekit.plugins.baseten.emulator import (
    CodedRecognizer,
    ScriptedServer,
    faults,
    serve,
)
from livekit.plugins.baseten.testing import Caller
from livekit.plugins.baseten.transcription import Transcript, formatted


def arguments() -> None:
    STT("wss://a/websocket")  # type: ignore[call-arg]
    STT(langauge="de")  # type: ignore[call-arg]
    STT(model="whisper-large")  # type: ignore[arg-type]
    STT(language=None)  # type: ignore[arg-type]
    STT(beam_width=1.5)  # type: ignore[arg-type]
    STT(vad_threshold="0.5")  # type: ignore[arg-type]
    STT(diarization_granularity="words")  # type: ignore[arg-type]
    STT(transform=len)  # type: ignore[arg-type]
    STT(cold_start_timeout="1")  # type: ignore[arg-type]


def changes(ears: STT, stream: SpeechStream) -> None:
    ears.update_options(langauge="de")  # type: ignore[call-arg]
    ears.update_options(model="qwen3-asr")  # type: ignore[call-arg]
    ears.update_options(language=None)  # type: ignore[arg-type]
    stream.update_options(keyterms=[1])  # type: ignore[list-item]
    stream.update_options(preflight=True)  # type: ignore[call-arg]
    stream.lost_audio_s = 0.0  # type: ignore[misc]
    stream.options.language = "de"  # type: ignore[misc]
    ears.stream(vad_threshold=0.4)  # type: ignore[call-arg]
    ears.stream(continues="the last one")  # type: ignore[arg-type]


async def recordings(ears: STT, frame: rtc.AudioFrame, transcript: Transcript) -> None:
    with ears:  # type: ignore[attr-defined]
        pass
    await ears.transcribe(frame)  # type: ignore[arg-type]
    await ears.transcribe("a", channels="left")  # type: ignore[arg-type]
    await ears.transcribe("a", on_progress=str.upper)  # type: ignore[arg-type]
    await ears.recognize("a.wav")  # type: ignore[arg-type]
    print(ears.warm_up() + 1.0)  # type: ignore[operator]
    formatted(transcript, "doc")  # type: ignore[arg-type]


class Deaf:
    blocking = False

    def recognize(self, pcm: bytes) -> list[str]:
        return []


def servers() -> None:
    serve(faults.Reset)  # type: ignore[arg-type]
    serve(recognizer=CodedRecognizer)  # type: ignore[arg-type]
    serve(model="whisper-large")  # type: ignore[arg-type]
    serve(lateny_s=1)  # type: ignore[call-arg]
    ScriptedServer(lateny_s=1)  # type: ignore[call-arg]
    ScriptedServer(recognizer=Deaf())  # type: ignore[arg-type]
    faults.Refuse()  # type: ignore[call-arg]
    faults.Reset(after_seconds=1)  # type: ignore[call-arg]


async def calls(server: ScriptedServer, caller: Caller) -> None:
    async with server:  # type: ignore[attr-defined]
        pass
    await caller.say(b"hello")  # type: ignore[arg-type]
    await caller.say("hello", after=1)  # type: ignore[call-arg]
    await caller.say("hello", 1)  # type: ignore[call-arg]
    server.hear("hello", after_s="1")  # type: ignore[arg-type]
    server.fail_now(None)  # type: ignore[arg-type]
    server.fail_next(faults.Reset)  # type: ignore[arg-type]
    server.assert_heard(["a", "b"])  # type: ignore[arg-type]
