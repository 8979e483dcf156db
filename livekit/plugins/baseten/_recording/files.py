"""The files of one recorded call, written as they are described in `docs/reports.md`.

There is a line of JSON for everything that happened, and a WAV file of the audio. Both are only
appended to, so that a crash costs the last line at most. Only one thread may use a tape at a time.
Its methods may block.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .._core.clocks import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ
from .._core.wire import is_audio
from .masking import without_words

VERSION = 1

# One line stands for so much audio. A longer gap between two pushes begins another line.
_STRETCH_S = 1.0
_GAP_S = 0.1

# A shorter key is no secret: the local Baseten takes any word for one.
_SHORTEST_SECRET = 12

_WAV_HEADER_BYTES = 44


@dataclass
class _Stretch:
    """Audio that is not yet written as a line, because more may follow. Times are the caller's."""

    fields: dict[str, Any]
    start: int
    stop: int
    since: float
    at: float


class Tape:
    """
    Args:
        path: Without a suffix; ``.jsonl`` and ``.wav`` are added.
        header: First line of the recording.
        began: When it did, on the clock of every ``at``.
        secret: It is replaced in every line, wherever it comes from.
        masks_words: What a server sends is written without the words in it.

    Raises:
        OSError: The disk is full, or the folder is gone; from every method.
    """

    def __init__(
        self,
        path: Path,
        header: Mapping[str, Any],
        began: float,
        secret: str,
        *,
        masks_words: bool = False,
    ) -> None:
        self._began = began
        self._masks_words = masks_words
        self._secret = json.dumps(secret)[1:-1] if len(secret) >= _SHORTEST_SECRET else ""
        self._pushed: _Stretch | None = None
        self._sent: _Stretch | None = None
        self._samples = 0
        self._last_push = began
        self._lines = _private(path.with_name(path.name + ".jsonl"))
        try:
            self._audio = _private(path.with_name(path.name + ".wav"))
        except OSError:
            self._lines.close()
            raise
        self._audio.write(_wav_header(0))
        self._write({"kind": "call", "version": VERSION, **header, "audio": path.name + ".wav"})

    # What happened

    def line(self, kind: str, fields: Mapping[str, Any], at: float) -> None:
        self._settle()
        self._write({"at": self._since_began(at), "kind": kind, **fields})

    def pushed(self, pcm: bytes, at: float) -> None:
        """More audio: 16 kHz mono 16-bit."""
        self._audio.write(pcm)
        samples = len(pcm) // BYTES_PER_SAMPLE
        # The audio was spoken in the time before this push, but after the push before it.
        spoken = max(self._last_push, at - samples / SAMPLE_RATE_HZ)
        self._pushed = self._extended(
            self._pushed,
            _Stretch({"kind": "pushed"}, self._samples, self._samples + samples, spoken, at),
        )
        self._samples += samples
        self._last_push = at

    def sent(
        self, connection: int, frames: Sequence[str | bytes], start: int, stop: int, at: float
    ) -> None:
        """``frames`` went out, and with them the stream samples ``start`` to ``stop``."""
        sent_bytes = sum(len(frame) for frame in frames if isinstance(frame, bytes))
        silence = max(0, sent_bytes // BYTES_PER_SAMPLE - (stop - start))
        if stop > start or silence:
            fields = {"kind": "sent", "connection": connection}
            if silence:
                self._settle()
                fields["silence"] = silence
            self._sent = self._extended(self._sent, _Stretch(fields, start, stop, at, at))
        for frame in frames:
            if isinstance(frame, str) and not is_audio(frame):
                self.line("sent_text", {"connection": connection, "text": frame}, at)

    def received(self, connection: int, text: str, at: float) -> None:
        told = without_words(text) if self._masks_words else text
        self.line("received", {"connection": connection, "text": told}, at)

    def noted(self, connection: int, kind: str, fields: Mapping[str, Any], at: float) -> None:
        self.line(kind, {"connection": connection, **fields}, at)

    # To the disk

    def flush(self) -> None:
        """Write everything to the disk, and the length into the WAV, so that it can be played."""
        if self._lines.closed:
            return
        self._lines.flush()
        end = self._audio.tell()
        self._audio.seek(0)
        self._audio.write(_wav_header(end - _WAV_HEADER_BYTES))
        self._audio.seek(end)
        self._audio.flush()

    def close(self) -> None:
        try:
            self._settle()
            self.flush()
        finally:
            self._lines.close()
            self._audio.close()

    def _extended(self, before: _Stretch | None, more: _Stretch) -> _Stretch:
        if (
            before is not None
            and before.fields == more.fields
            and more.since - before.at <= _GAP_S
            and more.at - before.since <= _STRETCH_S
        ):
            before.stop, before.at = more.stop, more.at
            return before
        if before is not None:
            self._write_stretch(before)
        return more

    def _settle(self) -> None:
        """Write the lines of the audio so far: lines are in the order of what happened."""
        stretches = [s for s in (self._pushed, self._sent) if s is not None]
        self._pushed = self._sent = None
        for stretch in sorted(stretches, key=lambda s: s.at):
            self._write_stretch(stretch)

    def _write_stretch(self, stretch: _Stretch) -> None:
        at, since = self._since_began(stretch.at), self._since_began(stretch.since)
        bounds = {"start": stretch.start, "stop": stretch.stop}
        self._write({"at": at, "since": since, **stretch.fields, **bounds})

    def _write(self, fields: Mapping[str, Any]) -> None:
        line = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), default=str)
        if self._secret:
            line = line.replace(self._secret, "[key]")
        self._lines.write(line.encode("utf-8", "replace") + b"\n")

    def _since_began(self, at: float) -> float:
        return round(at - self._began, 4)


def _private(path: Path) -> BinaryIO:
    """A new file that only its owner can read, because it has what people said."""
    return open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o600), "wb")


_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends


def _wav_header(data_bytes: int) -> bytes:
    data_bytes = min(data_bytes, 0xFFFF_FFFF - 36)
    rate, width = SAMPLE_RATE_HZ, BYTES_PER_SAMPLE
    numbers = ((16, 4), (1, 2), (1, 2), (rate, 4), (rate * width, 4), (width, 2), (8 * width, 2))
    return (
        b"RIFF"
        + (36 + data_bytes).to_bytes(4, "little")
        + b"WAVEfmt "
        + b"".join(number.to_bytes(size, "little") for number, size in numbers)
        + b"data"
        + data_bytes.to_bytes(4, "little")
    )
