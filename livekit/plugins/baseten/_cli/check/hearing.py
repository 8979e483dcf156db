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
        late_s: By how much this machine was too late with its audio, at the most.
        warnings: What the server reported and went on.
        cause: What ended the stream, before it was put into LiveKit's words.
    """

    text: str | None = None
    interims: int = 0
    first_interim_s: float | None = None
    final_s: float | None = None
    flush_s: float | None = None
    late_s: float = 0.0
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
        hearing.late_s = speaker.late_s
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)


class _Speaker:
    """Pushes silence as time goes by, and in it the sentence when told to.

    Attributes:
        begun_s: When the sentence's first word began to be pushed, in loop time; `None` before.
        ended_s: When all of its last word had been; `None` before.
        late_s: By how much the latest block came later than it was due: this machine is busy.
    """

    def __init__(self, stream: SpeechStream) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()
        self._blocks = 0
        self._left = b""
        self._said_s = 0.0
        self.begun_s: float | None = None
        self.ended_s: float | None = None
        self.has_ended = asyncio.Event()
        self.late_s = 0.0

    def say(self) -> None:
        """Begin the sentence now."""
        self._left = sentence.pcm()
        self._said_s = 0.0
        self.begun_s = self.ended_s = None
        self.has_ended.clear()

    def stop(self) -> None:
        """Say nothing more."""
        self._left = b""

    async def run(self) -> None:
        while True:
            # Against the start, so that errors do not add up; a block is there once it is spoken.
            due_s = self._started_s + (self._blocks + 1) * _BLOCK_S
            await asyncio.sleep(due_s - self._loop.time())
            self.late_s = max(self.late_s, self._loop.time() - due_s)
            size = 2 * _BLOCK_SAMPLES
            is_speech = bool(self._left)
            block, self._left = self._left[:size].ljust(size, b"\0"), self._left[size:]
            self._stream.push_frame(rtc.AudioFrame(block, sentence.RATE_HZ, 1, _BLOCK_SAMPLES))
            self._blocks += 1
            if is_speech:
                self._note_words()

    def _note_words(self) -> None:
        """A word is over when it was pushed, however late that was."""
        self._said_s += _BLOCK_S
        if self.begun_s is None and self._said_s > sentence.SPEECH_START_S:
            self.begun_s = self._loop.time() - (self._said_s - sentence.SPEECH_START_S)
        if self.ended_s is None and self._said_s >= sentence.SPEECH_END_S:
            self.ended_s = self._loop.time() - (self._said_s - sentence.SPEECH_END_S)
            self.has_ended.set()


async def _unassisted(
    stream: SpeechStream,
    speaker: _Speaker,
    hearing: Hearing,
    answer_within_s: float,
    shown: Callable[[str], None],
) -> None:
    """The first time: the server finds the end itself."""
    speaker.say()

    def interim(text: str, now_s: float) -> None:
        hearing.interims += 1
        if hearing.first_interim_s is None and speaker.begun_s is not None:
            hearing.first_interim_s = now_s - speaker.begun_s
        shown(text)

    final = await _final(stream, speaker, answer_within_s, interim)
    if final is not None:
        hearing.text, at_s = final
        assert speaker.ended_s is not None
        hearing.final_s = at_s - speaker.ended_s


async def _flushed(
    stream: SpeechStream,
    speaker: _Speaker,
    hearing: Hearing,
    answer_within_s: float,
    shown: Callable[[str], None],
) -> None:
    """The second time: it is told, as LiveKit tells it when it knows that the turn is over."""
    loop = asyncio.get_running_loop()
    speaker.say()
    asking = asyncio.create_task(_final(stream, speaker, answer_within_s, _shown(shown)))
    try:
        await speaker.has_ended.wait()
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
    speaker: _Speaker,
    answer_within_s: float,
    interim: Callable[[str, float], None],
) -> tuple[str, float] | None:
    """The finals up to the first that came after the last word, with the time of that one.

    Finals before it are of the sentence's beginning.
    """
    loop, texts = asyncio.get_running_loop(), list[str]()
    while True:
        event = await _next_event(stream, speaker, answer_within_s)
        if event is None:
            return None
        now_s = loop.time()
        text = event.alternatives[0].text if event.alternatives else ""
        if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT and text:
            interim(text, now_s)
        elif event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            texts.append(text)
            if speaker.ended_s is not None:
                return " ".join(filter(None, texts)), now_s


async def _next_event(
    stream: SpeechStream, speaker: _Speaker, answer_within_s: float
) -> stt.SpeechEvent | None:
    """`None` if there is none within so much time after the last word."""
    loop, coming = asyncio.get_running_loop(), asyncio.ensure_future(anext(stream))
    try:
        await asyncio.wait(
            [coming, ended := asyncio.ensure_future(speaker.has_ended.wait())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        ended.cancel()
        if not coming.done() and speaker.ended_s is not None:
            await asyncio.wait([coming], timeout=speaker.ended_s + answer_within_s - loop.time())
        return coming.result() if coming.done() else None
    except StopAsyncIteration:
        return None
    finally:
        coming.cancel()
