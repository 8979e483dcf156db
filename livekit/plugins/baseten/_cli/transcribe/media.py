"""The sound of a media file, piece by piece: whatever FFmpeg reads, decoded as it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import av
import numpy as np

from livekit import rtc

# Up to this magnitude of 32767 it is what a quiet room sounds like.
_QUIET = 300

# Timestamps jump by less than this in sound files; by more where nothing was recorded for a while.
_GAP_S = 0.3
# And by more than this, where they are wrong.
_LONGEST_GAP_S = 3600.0

# Titles may be in any encoding. PyAV before 19 has to be told to bear that; later ones do.
_IS_STRICT = int(av.__version__.split(".")[0]) < 19
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if _IS_STRICT else {}

_Result = TypeVar("_Result")


class MediaError(Exception):
    """A file of which no sound can be had; the message says why."""


@dataclass(frozen=True)
class Piece:
    """Some sound: 16-bit mono, at the file's own sample rate.

    Attributes:
        is_quiet: Nobody speaks in it.
    """

    frame: rtc.AudioFrame
    is_quiet: bool

    @property
    def duration_s(self) -> float:
        return self.frame.samples_per_channel / self.frame.sample_rate


def check_is_there(path: Path) -> None:
    """What can be said about a file without reading it.

    Raises:
        MediaError: There is none, or nothing in it.
    """
    try:
        status = path.stat()
    except OSError as e:
        raise MediaError(_why(e)) from None
    if path.is_dir():
        raise MediaError("this is a folder: name the files in it")
    if path.is_file() and not status.st_size:
        raise MediaError("the file is empty")


class Media:
    """An open file. Everything that takes time happens in a thread of its own, on demand.

    Attributes:
        duration_s: What the file says of its length, in seconds; None where it says nothing.
        start_s: Where its sound begins, in seconds from the start of a video's first picture.
        is_empty: It has a place for sound, and nothing in it.
        damaged: Packets that could not be decoded so far; their sound is missing.
    """

    def __init__(self, path: Path) -> None:
        self.duration_s: float | None = None
        self.start_s = 0.0
        self.is_empty = False
        self.damaged = 0
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._container: av.container.InputContainer | None = None
        self._decoded: Iterator[rtc.AudioFrame] = iter(())

    async def __aenter__(self) -> Media:
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.submit(self._close)  # behind whatever is being decoded
        self._thread.shutdown(wait=False)

    async def pieces(self, length_s: float) -> AsyncIterator[Piece]:
        """All of the sound in pieces of ``length_s`` seconds, the last one shorter.

        Raises:
            MediaError: The file cannot be read on.
        """
        joined = _joined(self._decoded, length_s)
        while (piece := await self._in_thread(lambda: next(joined, None))) is not None:
            yield piece

    async def _in_thread(self, what: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, what)
        except (av.error.FFmpegError, OSError) as e:
            raise MediaError(_why(e)) from None

    def _open(self) -> None:
        # The prefix, so that a colon in a name is no protocol.
        self._container = av.open(f"file:{self._path}", **_LENIENT)
        stream = self._container.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            raise MediaError("there is no sound in it, only " + _kinds(self._container))
        if self._container.duration is not None:
            self.duration_s = self._container.duration / 1_000_000
        decoded = self._frames(self._container, stream)
        first = next(decoded, None)
        if first is None:
            if self.damaged:
                raise MediaError("its sound cannot be decoded; the file is damaged")
            self.is_empty = True
            return
        if first.time is not None:
            self.start_s = max(0.0, first.time - (self._container.start_time or 0) / 1_000_000)
        self._decoded = _converted(first, decoded)

    def _frames(
        self, container: av.container.InputContainer, stream: av.AudioStream
    ) -> Iterator[av.AudioFrame]:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self.damaged += 1  # as players do: go on with what comes after it
                continue
            for frame in frames:
                if isinstance(frame, av.AudioFrame):
                    yield frame

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()


def _converted(first: av.AudioFrame, others: Iterator[av.AudioFrame]) -> Iterator[rtc.AudioFrame]:
    """16-bit mono, silence where the file has nothing."""
    shape, resampler, due_s = None, None, first.time
    for frame in _chain(first, others):
        now_shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or shape != now_shape:
            shape = now_shape
            resampler = av.AudioResampler(format="s16", layout="mono", rate=frame.sample_rate)
        if frame.time is not None and due_s is not None:
            if _GAP_S < frame.time - due_s < _LONGEST_GAP_S:
                yield from _silence(frame.time - due_s, frame.sample_rate)
            due_s = frame.time + frame.samples / frame.sample_rate
        for converted in resampler.resample(frame):
            pcm = bytes(converted.planes[0])[: converted.samples * 2]
            yield rtc.AudioFrame(pcm, converted.sample_rate, 1, converted.samples)


def _chain(first: av.AudioFrame, others: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    yield first
    yield from others


def _silence(duration_s: float, rate_hz: int) -> Iterator[rtc.AudioFrame]:
    samples = round(duration_s * rate_hz)
    while samples > 0:
        now = min(samples, rate_hz)
        yield rtc.AudioFrame(bytes(2 * now), rate_hz, 1, now)
        samples -= now


def _joined(frames: Iterator[rtc.AudioFrame], length_s: float) -> Iterator[Piece]:
    """Frames of a codec's own length, cut to pieces of another."""
    pcm, rate_hz = bytearray(), 0
    for frame in frames:
        if frame.sample_rate != rate_hz:
            if pcm:
                yield _piece(pcm, rate_hz)
            pcm, rate_hz = bytearray(), frame.sample_rate
        pcm += frame.data.cast("B")
        size = max(1, round(length_s * rate_hz)) * 2
        while len(pcm) >= size:
            yield _piece(pcm[:size], rate_hz)
            del pcm[:size]
    if pcm:
        yield _piece(pcm, rate_hz)


def _piece(pcm: bytearray, rate_hz: int) -> Piece:
    samples = np.frombuffer(bytes(pcm), np.int16)
    loudest = int(np.abs(samples.astype(np.int32)).max())
    return Piece(rtc.AudioFrame(bytes(pcm), rate_hz, 1, len(samples)), loudest <= _QUIET)


def _kinds(container: av.container.InputContainer) -> str:
    return " and ".join(sorted({stream.type for stream in container.streams})) or "a header"


def _why(error: Exception) -> str:
    if isinstance(error, av.error.InvalidDataError):
        return "this is no media file that FFmpeg can read, or it is damaged"
    said = getattr(error, "strerror", None) or str(error)
    return said[:1].lower() + said[1:]
