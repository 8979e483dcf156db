"""A clip through a stream, as a caller would say it: what came of it, and when."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from livekit import rtc
from livekit.agents import APIError, stt

from .._core.clocks import SAMPLE_RATE_HZ
from .._livekit.audio import Intake
from .._livekit.stream import SpeechStream
from .._transcription.errors import MediaError
from .._transcription.hearing import reason, segment_of
from .._transcription.media import Media
from .._transcription.selection import Selection
from .._transcription.transcript import Segment
from ..stt import STT
from .clips import Clip

_PIECE_S = 0.05
_SILENCE_AFTER_S = 1.5  # a caller who waits for the answer: the server has to end the utterance


@dataclass(frozen=True)
class Shown:
    """Text that came while the clip was played.

    Attributes:
        kind: "interim", "preflight" or "final".
        segment: What it says, with times on the clip's axis.
        came_s: When it came, in seconds since the first sample was pushed.
    """

    kind: str
    segment: Segment
    came_s: float

    @property
    def delay_s(self) -> float:
        """How long after its last word it came, in seconds."""
        return max(0.0, self.came_s - self.segment.end_s)


@dataclass
class Heard:
    """What came of a clip.

    Attributes:
        duration_s: How long it is, in seconds.
        shown: All text in the order in which it came.
        pcm: Its sound, 16 kHz mono.
        failure: Why it could not be heard to its end, if so.
    """

    duration_s: float = 0.0
    shown: list[Shown] = field(default_factory=list)
    pcm: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    failure: str | None = None

    @property
    def finals(self) -> list[Shown]:
        return [one for one in self.shown if one.kind == "final"]


_KINDS = {
    stt.SpeechEventType.INTERIM_TRANSCRIPT: "interim",
    stt.SpeechEventType.PREFLIGHT_TRANSCRIPT: "preflight",
    stt.SpeechEventType.FINAL_TRANSCRIPT: "final",
}


async def heard(ears: STT, clip: Clip, *, at_pace_of_speech: bool) -> Heard:
    """Say a clip to a deployment. What goes wrong is in the result."""
    result = Heard()
    try:
        async with Media(str(clip.path), Selection()) as media, ears.stream() as stream:
            started_s = asyncio.get_running_loop().time()
            pace_s = started_s if at_pace_of_speech else None
            playing = asyncio.create_task(_play(media, stream, result, pace_s))
            try:
                await _listen(stream, result, started_s)
            finally:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
            if not playing.cancelled():
                playing.result()
    except APIError as e:
        result.failure = reason(e)
    except MediaError as e:
        result.failure = str(e)
    return result


async def _play(media: Media, stream: SpeechStream, result: Heard, started_s: float | None) -> None:
    """Push the clip and some silence, each piece once it is spoken, or all at once."""
    loop, pushed_s = asyncio.get_running_loop(), 0.0
    intake, pcm, rate_hz = Intake(), bytearray(), SAMPLE_RATE_HZ

    async def push(frame: rtc.AudioFrame) -> None:
        nonlocal pushed_s
        pushed_s += frame.duration
        await asyncio.sleep(0 if started_s is None else started_s + pushed_s - loop.time())
        stream.push_frame(frame)

    try:
        async for piece in media.pieces(_PIECE_S):
            frame = piece.frames[0]
            pcm += intake.converted(frame)
            rate_hz = frame.sample_rate
            await push(frame)
        result.duration_s = pushed_s
        result.pcm = np.frombuffer(bytes(pcm + intake.rest()), np.int16)
        silence = round(_PIECE_S * rate_hz)
        for _ in range(round(_SILENCE_AFTER_S / _PIECE_S)):
            await push(rtc.AudioFrame(bytes(2 * silence), rate_hz, 1, silence))
    finally:
        with contextlib.suppress(RuntimeError):  # it has failed, and says why to who listens
            stream.end_input()


async def _listen(stream: SpeechStream, result: Heard, started_s: float) -> None:
    loop = asyncio.get_running_loop()
    async for event in stream:
        kind = _KINDS.get(event.type)
        if kind and event.alternatives and event.alternatives[0].text:
            came_s = loop.time() - started_s
            result.shown.append(Shown(kind, segment_of(event.alternatives[0]), came_s))
