"""The sentence spoken to a stream at the pace of speech, and how soon what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from livekit import rtc
from livekit.agents import stt

from ..._livekit.stream import SpeechStream
from ...stt import STT
from . import sentence

_BLOCK_S = 0.02
_BLOCK_SAMPLES = round(_BLOCK_S * sentence.RATE_HZ)


@dataclass
class Hearing:
    """What came of the sentence, which is spoken twice: once left to the server, once flushed.

    Attributes:
        text: The final of the first time; `None` where none came.
        interims: How many came the first time.
        first_interim_s: From the start of the first word; `None` where none came.
        final_s: From the end of the last word.
        flush_s: From `flush()`, called at the end of the last word the second time.
        warnings: What the server reported and went on.
        cause: What ended the stream, before it was put into LiveKit's words.
    """

    text: str | None = None
    interims: int = 0
    first_interim_s: float | None = None
    final_s: float | None = None
    flush_s: float | None = None
    warnings: list[str] = field(default_factory=list)
    cause: BaseException | None = None


async def listen(
    speech_to_text: STT,
    stream: SpeechStream,
    hearing: Hearing,
    *,
    answer_within_s: float,
    shown: Callable[[str], None],
) -> None:
    """Speak to ``stream`` and measure.

    Args:
        hearing: Filled in.
        answer_within_s: How long after the last word a final may come.
        shown: Told of each interim.

    Raises:
        APIError: The stream failed.
    """

    def reported(error: stt.STTError) -> None:
        if error.recoverable:
            hearing.warnings.append(str(getattr(error.error, "message", error.error)))
        else:  # on its way to whoever iterates it gets another context
            hearing.cause = error.error.__context__

    speech_to_text.on("error", reported)
    speaker = _Speaker(stream)
    speaking = asyncio.create_task(speaker.run(), name="baseten-check-speaker")
    try:
        await _unassisted(stream, speaker, hearing, answer_within_s, shown)
        if hearing.text is not None:
            await _flushed(stream, speaker, hearing, answer_within_s, shown)
    finally:
        speech_to_text.off("error", reported)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


class _Speaker:
    """Pushes silence as time goes by, and in it the sentence when told to."""

    def __init__(self, stream: SpeechStream) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()
        self._blocks = 0
        self._left = b""

    def say(self) -> tuple[float, float]:
        """Begin the sentence now; when its first word begins and its last ends, in loop time."""
        self._left = sentence.pcm()
        at_s = self._started_s + self._blocks * _BLOCK_S
        return at_s + sentence.SPEECH_START_S, at_s + sentence.SPEECH_END_S

    def stop(self) -> None:
        """Say nothing more."""
        self._left = b""

    async def run(self) -> None:
        while True:
            # Against the start, so that errors do not add up; a block is there once it is spoken.
            due_s = self._started_s + (self._blocks + 1) * _BLOCK_S
            await asyncio.sleep(due_s - self._loop.time())
            size = 2 * _BLOCK_SAMPLES
            block, self._left = self._left[:size].ljust(size, b"\0"), self._left[size:]
            self._stream.push_frame(rtc.AudioFrame(block, sentence.RATE_HZ, 1, _BLOCK_SAMPLES))
            self._blocks += 1


async def _unassisted(
    stream: SpeechStream,
    speaker: _Speaker,
    hearing: Hearing,
    answer_within_s: float,
    shown: Callable[[str], None],
) -> None:
    """The first time: the server finds the end itself."""
    begins_s, ends_s = speaker.say()

    def interim(text: str, now_s: float) -> None:
        hearing.interims += 1
        if hearing.first_interim_s is None:
            hearing.first_interim_s = now_s - begins_s
        shown(text)

    final = await _final(stream, ends_s, ends_s + answer_within_s, interim)
    if final is not None:
        hearing.text, at_s = final
        hearing.final_s = at_s - ends_s


async def _flushed(
    stream: SpeechStream,
    speaker: _Speaker,
    hearing: Hearing,
    answer_within_s: float,
    shown: Callable[[str], None],
) -> None:
    """The second time: it is told, as LiveKit tells it when it knows that the turn is over."""
    loop = asyncio.get_running_loop()
    _, ends_s = speaker.say()
    asking = asyncio.create_task(_final(stream, ends_s, ends_s + answer_within_s, _shown(shown)))
    try:
        await asyncio.sleep(ends_s + _BLOCK_S - loop.time())
        speaker.stop()
        flushed_s = loop.time()
        stream.flush()
        final = await asking
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    if final is not None and final[0]:
        hearing.flush_s = final[1] - flushed_s


def _shown(shown: Callable[[str], None]) -> Callable[[str, float], None]:
    return lambda text, _: shown(text)


async def _final(
    stream: SpeechStream,
    ends_s: float,
    until_s: float,
    interim: Callable[[str, float], None],
) -> tuple[str, float] | None:
    """The finals up to the first that came after the last word, with the time of that one.

    Args:
        ends_s: When the last word ends, in loop time. Finals before it are of its beginning.
        until_s: When to stop waiting for it.
    """
    loop, texts = asyncio.get_running_loop(), list[str]()
    while True:
        try:
            event = await asyncio.wait_for(anext(stream), until_s - loop.time())
        except (asyncio.TimeoutError, StopAsyncIteration):
            return None
        now_s = loop.time()
        text = event.alternatives[0].text if event.alternatives else ""
        if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT and text:
            interim(text, now_s)
        elif event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            texts.append(text)
            if now_s >= ends_s:
                return " ".join(filter(None, texts)), now_s
