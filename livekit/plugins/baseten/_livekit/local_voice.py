"""A voice detector beside the server's, which tells when somebody starts and stops to speak.

The server tells neither. Whatever LiveKit has as a `vad.VAD` will do; it runs beside the call and
never holds back audio: where it is slower than the audio comes, it misses some.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from livekit import rtc
from livekit.agents import inference, vad

from .._core.clocks import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ
from ..log import logger

_WINDOW_SAMPLES = 512  # Silero hears so much at once
_WINDOW_BYTES = _WINDOW_SAMPLES * BYTES_PER_SAMPLE
_MOST_BEHIND_SAMPLES = 2 * SAMPLE_RATE_HZ

# What ended longer ago may have been followed by other words already.
_RECENT_SAMPLES = SAMPLE_RATE_HZ // 5


class Stopped(Protocol):
    def __call__(self, at: int, *, is_recent: bool) -> None:
        """A voice ended at a stream sample; ``is_recent`` if hardly anything was pushed since."""
        ...


class LocalVoice:
    """The detector of one stream.

    Args:
        detector: Makes one detector for each stream.
        start: The stream sample at which its audio begins.
        started: Called where a voice begins, with its stream sample.
        stopped: Called where it ends.
    """

    def __init__(
        self,
        detector: vad.VAD,
        start: int,
        *,
        started: Callable[[int], None],
        stopped: Stopped,
    ) -> None:
        self._detector = detector
        self._started, self._stopped = started, stopped
        self._closing: set[asyncio.Task[None]] = set()
        self._rest = bytearray()  # less than a window
        self._is_behind = False
        self._is_speaking = False
        self._start = self._heard = self._pushed = start
        self._reading = self._begun()

    def push(self, pcm: bytes | memoryview) -> None:
        """Hear 16 kHz mono 16-bit PCM, if the detector keeps up."""
        if self._reading.done():
            return
        rest = self._rest
        rest += pcm
        end = len(rest) - len(rest) % _WINDOW_BYTES
        behind = self._pushed - self._heard + end // BYTES_PER_SAMPLE
        if self._is_behind and behind > end // BYTES_PER_SAMPLE + _WINDOW_SAMPLES:
            self._skip(end)
        elif behind > _MOST_BEHIND_SAMPLES:
            self._is_behind = True
            self._skip(end)
        else:
            if self._is_behind:
                self._begin_again()
            for at in range(0, end, _WINDOW_BYTES):
                window = bytes(rest[at : at + _WINDOW_BYTES])
                frame = rtc.AudioFrame(window, SAMPLE_RATE_HZ, 1, _WINDOW_SAMPLES)
                with contextlib.suppress(RuntimeError):  # it has failed, as will be told soon
                    self._stream.push_frame(frame)
            self._pushed += end // BYTES_PER_SAMPLE
        del rest[:end]

    def close(self) -> None:
        """Hear no more; what is left to do is done by `aclose`, or in the background."""
        self._reading.cancel()

    async def aclose(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _skip(self, size: int) -> None:
        self._skipped += size // BYTES_PER_SAMPLE

    def _begin_again(self) -> None:
        """Hear what comes from now on with another detector: the one before has missed some."""
        self._is_behind = False
        self._reading.cancel()
        self._start = self._heard = self._pushed = self._pushed + self._skipped
        if self._is_speaking:
            self._is_speaking = False
            self._stopped(self._start, is_recent=False)
        self._reading = self._begun()

    def _begun(self) -> asyncio.Task[None]:
        self._skipped = 0
        self._stream = stream = self._detector.stream()
        reading = asyncio.create_task(self._read(stream), name="baseten-local-vad")
        reading.add_done_callback(lambda _: self._ended(stream))  # also if it never began
        return reading

    def _ended(self, stream: vad.VADStream) -> None:
        closing = asyncio.create_task(stream.aclose(), name="baseten-local-vad-close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _read(self, stream: vad.VADStream) -> None:
        try:
            async for event in stream:
                self._take(event)
        except Exception as e:  # noqa: BLE001 - whatever it raises, the call goes on
            logger.warning(
                "the local voice detector has failed, the call goes on without it: %s",
                f"{type(e).__name__}: {e}",
            )
            if self._is_speaking:
                self._stopped(self._heard, is_recent=False)

    def _take(self, event: vad.VADEvent) -> None:
        at = min(self._start + round(event.timestamp * SAMPLE_RATE_HZ), self._pushed)
        self._heard = max(self._heard, at)
        if event.type is vad.VADEventType.START_OF_SPEECH:
            self._is_speaking = True
            self._started(self._before(at, event.speech_duration))
        elif event.type is vad.VADEventType.END_OF_SPEECH:
            self._is_speaking = False
            is_recent = self._pushed + self._skipped - at <= _RECENT_SAMPLES
            end = self._before(at, event.silence_duration)
            self._stopped(end, is_recent=is_recent)

    def _before(self, at: int, seconds: float) -> int:
        return max(self._start, at - round(seconds * SAMPLE_RATE_HZ))


def detector_of(local_vad: object) -> vad.VAD | None:
    """The detector that the argument of `STT` asks for.

    Raises:
        ValueError: It is neither a switch nor a detector.
    """
    if isinstance(local_vad, vad.VAD):
        return local_vad
    if not isinstance(local_vad, bool):
        raise ValueError(
            f"local_vad={local_vad!r}: must be True, False or a livekit.agents.vad.VAD"
        )
    return inference.VAD() if local_vad else None
