"""The sound of a recording, piece by piece: whatever FFmpeg reads, decoded as it is needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, TypeVar

import av
import numpy as np

from livekit import rtc

from .errors import MediaError
from .mixing import Mixer, Samples, is_quiet
from .selection import Channels, Selection
from .sources import Source, Spool, opened

# Timestamps jump by less than this in sound files; by more where nothing was recorded for a while.
_GAP_S = 0.3
# And by more than this, where they are wrong.
_LONGEST_GAP_S = 3600.0

# What is this far into a file is gone to, where its container says exactly what is where. Before
# that, and in others, it is decoded up to there: hundreds of times faster than it is spoken.
_FAR_S = 60.0
_EXACT = frozenset({"mov", "matroska", "webm", "wav", "flac"})

# Titles may be in any encoding. PyAV before 19 has to be told to bear that; later ones do.
_IS_STRICT = int(av.__version__.split(".")[0]) < 19
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if _IS_STRICT else {}

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Piece:
    """Some sound: 16-bit mono at the file's own sample rate, a frame for each stream.

    Attributes:
        quiet: Of each frame, whether nobody speaks in it.
    """

    frames: tuple[rtc.AudioFrame, ...]
    quiet: tuple[bool, ...]

    @property
    def duration_s(self) -> float:
        return self.frames[0].samples_per_channel / self.frames[0].sample_rate


class Media:
    """An open recording. What takes time happens in a thread of its own, on demand.

    Attributes:
        duration_s: How long the selected part is, as the file says; None where it says nothing.
        start_s: Where the sound begins, in seconds from the start of a video's first picture.
        is_empty: It has a place for sound, and nothing in it.
        damaged: Packets that could not be decoded so far; their sound is missing.
        streams: How many streams it makes: one, or one for each channel.
    """

    def __init__(self, source: Source, selection: Selection) -> None:
        self.duration_s: float | None = None
        self.start_s = 0.0
        self.is_empty = False
        self.damaged = 0
        self.streams = 1
        self._source = source
        self._selection = selection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._opened: str | IO[bytes] | Spool = ""
        self._container: av.container.InputContainer | None = None
        self._decoded: Iterator[tuple[int, Samples]] = iter(())

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
        """All of the selected sound in pieces of ``length_s`` seconds, the last one shorter.

        Raises:
            MediaError: The file cannot be read on.
        """
        pieces = _pieces(self._decoded, length_s)
        while (piece := await self._in_thread(lambda: next(pieces, None))) is not None:
            yield piece

    async def sound_elsewhere(self) -> str:
        """Where else in the file there is sound, as an option says it; "" if nowhere."""
        return await self._in_thread(self._sound_elsewhere)

    async def _in_thread(self, what: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, what)
        except (av.error.FFmpegError, OSError) as e:
            raise MediaError(_why(e)) from None

    def _open(self) -> None:
        self._opened = opened(self._source)
        self._container = av.open(self._opened, **_LENIENT)
        container, wanted = self._container, self._selection
        stream = self._track(container, wanted.track)
        if container.duration is not None:
            rest_s = max(0.0, container.duration / 1_000_000 - wanted.start_s)
            self.duration_s = min(rest_s, wanted.duration_s or rest_s)
        begins_s = (container.start_time or 0) / 1_000_000
        if wanted.start_s > _FAR_S and _EXACT & set(container.format.name.split(",")):
            with contextlib.suppress(av.error.FFmpegError):  # then it is decoded up to there
                container.seek(round((begins_s + wanted.start_s) * 1_000_000))
        decoded = self._frames(container, stream)
        first = next(decoded, None)
        if first is None:
            if self.damaged:
                raise MediaError("its sound cannot be decoded; the file is damaged")
            self.is_empty = True
            return
        at_s = 0.0 if first.time is None else max(0.0, first.time - begins_s)
        self._choose(first)
        self.start_s = max(at_s, wanted.start_s)
        end_s = float("inf") if wanted.duration_s is None else wanted.start_s + wanted.duration_s
        converted = _converted(first, decoded, wanted.channels)
        self._decoded = _between(converted, at_s, wanted.start_s, end_s)

    @staticmethod
    def _track(container: av.container.InputContainer, wanted: int | None) -> av.AudioStream:
        tracks = container.streams.audio
        if not tracks:
            kinds = " and ".join(sorted({stream.type for stream in container.streams}))
            raise MediaError(f"there is no sound in it, only {kinds or 'a header'}")
        if wanted is None:
            best = container.streams.best("audio")
            return best if isinstance(best, av.AudioStream) else tracks[0]
        if wanted > len(tracks):
            has = "one sound track" if len(tracks) == 1 else f"{len(tracks)} sound tracks"
            raise MediaError(f"there is no track {wanted}: it has {has}")
        return tracks[wanted - 1]

    def _choose(self, first: av.AudioFrame) -> None:
        count, wanted = first.layout.nb_channels, self._selection.channels
        if wanted == "split":
            if count == 1:
                raise MediaError("it has one channel: there is nothing to split")
            self.streams = count
        elif wanted != "mix" and wanted > count:
            has = "one channel" if count == 1 else f"{count} channels"
            raise MediaError(f"there is no channel {wanted}: it has {has}")

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

    def _sound_elsewhere(self) -> str:
        assert self._container is not None
        if not isinstance(self._opened, str):
            return ""  # it came once
        used = self._track(self._container, self._selection.track).index
        with av.open(self._opened, **_LENIENT) as again:
            tracks = list(again.streams.audio)
            for number, track in enumerate(tracks, 1):
                again.seek(0)
                for frame in self._frames(again, track):
                    loud = [n for n, side in enumerate(_sides(frame), 1) if not is_quiet(side)]
                    if loud:
                        return f"track {number}" if track.index != used else f"channel {loud[0]}"
        return ""

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
        if not isinstance(self._opened, str) and self._opened is not self._source:
            self._opened.close()


def _sides(frame: av.AudioFrame) -> list[Samples]:
    """The channels of one frame, 16-bit."""
    resampler = av.AudioResampler(format="s16", layout=frame.layout, rate=frame.sample_rate)
    return [side for part in resampler.resample(frame) for side in _columns(part).T]


def _columns(frame: av.AudioFrame) -> Samples:
    """A row for each sample, a column for each channel."""
    return np.asarray(frame.to_ndarray(), np.int16).reshape(-1, frame.layout.nb_channels)


def _converted(
    first: av.AudioFrame, others: Iterator[av.AudioFrame], channels: Channels
) -> Iterator[tuple[int, Samples]]:
    """Rates, and rows of 16-bit samples for each stream; silence where the file has nothing."""
    shape, due_s, mixer = None, first.time, Mixer(first.sample_rate)
    resampler: av.AudioResampler | None = None
    for frame in _chain(first, others):
        rate_hz, count = frame.sample_rate, frame.layout.nb_channels
        now_shape = (frame.format.name, frame.layout.name, rate_hz)
        if resampler is None or shape != now_shape:
            shape, mixer = now_shape, Mixer(rate_hz)
            # FFmpeg knows how more than two become one: a film's speech is in the middle.
            layout = "mono" if channels == "mix" and count != 2 else frame.layout
            resampler = av.AudioResampler(format="s16", layout=layout, rate=rate_hz)
        streams = count if channels == "split" else 1
        if frame.time is not None and due_s is not None:
            if _GAP_S < frame.time - due_s < _LONGEST_GAP_S:
                yield from _silence(frame.time - due_s, rate_hz, streams)
            due_s = frame.time + frame.samples / rate_hz
        for part in resampler.resample(frame):
            columns = _columns(part)
            if channels == "mix":
                yield rate_hz, (mixer.mixed(columns) if count == 2 else columns[:, 0])[:, None]
            elif channels == "split":
                yield rate_hz, columns
            else:
                yield rate_hz, columns[:, min(channels, count) - 1 : min(channels, count)]


def _chain(first: av.AudioFrame, others: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    yield first
    yield from others


def _silence(duration_s: float, rate_hz: int, streams: int) -> Iterator[tuple[int, Samples]]:
    samples = round(duration_s * rate_hz)
    while samples > 0:
        now = min(samples, rate_hz)
        yield rate_hz, np.zeros((now, streams), np.int16)
        samples -= now


def _between(
    sound: Iterator[tuple[int, Samples]], at_s: float, start_s: float, end_s: float
) -> Iterator[tuple[int, Samples]]:
    """What lies between two times; ``at_s`` is that of the first sample."""
    for rate_hz, rows in sound:
        begins_s, at_s = at_s, at_s + len(rows) / rate_hz
        if at_s > start_s:
            first = max(0, round((start_s - begins_s) * rate_hz))
            stop = len(rows) if at_s <= end_s else max(0, round((end_s - begins_s) * rate_hz))
            yield rate_hz, rows[first:stop]
        if at_s >= end_s:
            return


def _pieces(sound: Iterator[tuple[int, Samples]], length_s: float) -> Iterator[Piece]:
    """Rows of a codec's own length, cut to pieces of another."""
    waiting: list[Samples] = []
    rate_hz = count = 0
    for rate_now_hz, rows in sound:
        if waiting and (rate_now_hz != rate_hz or rows.shape[1] != waiting[0].shape[1]):
            yield _piece(np.concatenate(waiting), rate_hz)
            waiting, count = [], 0
        rate_hz = rate_now_hz
        waiting.append(rows)
        count += len(rows)
        size = max(1, round(length_s * rate_hz))
        if count >= size:
            whole = np.concatenate(waiting)
            for start in range(0, count - size + 1, size):
                yield _piece(whole[start : start + size], rate_hz)
            rest = whole[count - count % size :]
            waiting, count = [rest], len(rest)
    if count:
        yield _piece(np.concatenate(waiting), rate_hz)


def _piece(rows: Samples, rate_hz: int) -> Piece:
    frames = tuple(
        rtc.AudioFrame(np.ascontiguousarray(column).tobytes(), rate_hz, 1, len(rows))
        for column in rows.T
    )
    return Piece(frames, tuple(is_quiet(column) for column in rows.T))


def _why(error: Exception) -> str:
    if isinstance(error, av.error.InvalidDataError):
        return "this is no media file that FFmpeg can read, or it is damaged"
    said = getattr(error, "strerror", None) or str(error)
    return said[:1].lower() + said[1:]
