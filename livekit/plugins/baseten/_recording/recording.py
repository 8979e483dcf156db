"""A call recorded while it goes on: what went over the wire and when, and the audio.

On the event loop, each note costs one `append`. A thread writes them to the disk (`files`). A disk
that is full or stuck ends the recording with a warning. The call goes on.

A recording has what was said, as sound and as text. It never has the key.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shlex
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from livekit.agents import APIError, stt

from .._connection.tap import Tap
from .._core.clocks import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ
from .._core.endpoint import Endpoint
from .._core.errors import BasetenError, SessionLost
from .._core.journal import Journal
from .._core.options import Options
from ..log import logger
from ..version import __version__
from .files import Tape

_WRITE_EVERY_S = 0.5

# A disk is stuck if nothing was written for so long while so much waits: eight minutes of a call.
_STUCK_AFTER_S = 10.0
_MOST_PENDING_BYTES = 16 * 1024 * 1024

# How long a program waits at its end for the rest to be written.
_PATIENCE_S = 5.0

# The size of a line without audio, roughly.
_LINE_BYTES = 200

_Write = Callable[..., None]  # a method of `Tape`
_Note = tuple[int, _Write, tuple[Any, ...]]


class Recorder:
    """Writes any number of calls into one folder. Its thread lives while a call is recorded.

    Args:
        folder: Made if it is not there.
        endpoint: Neither its key is written nor what follows its URL's path.
        masks_words: What the server sends is written without its words: a user's function says what
            of them may be told.

    Raises:
        ValueError: The folder cannot be made or written to.
    """

    def __init__(
        self, folder: str | os.PathLike[str], endpoint: Endpoint, *, masks_words: bool = False
    ) -> None:
        self._masks_words = masks_words
        if not folder or not isinstance(folder, str | os.PathLike):
            raise ValueError(f"record={folder!r}: must be the name of a folder")
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ValueError(
                f"record={str(folder)!r}: no folder, and none can be made: {e.strerror or e}"
            ) from None
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise ValueError(f"record={str(folder)!r}: this folder cannot be written to")
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._open: list[Recording] = []
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()

    def start(self, name: str, options: Options, source: str = "") -> Recording:
        """Begin to record a call of the running event loop. The files are made a little later.

        Args:
            name: Of the call. With the time of day before it, it names the files.
            source: What the sound comes from, where that has a name.
        """
        wall_s = time.time()  # noqa: TID251  # when a call began is a time of day
        began = datetime.fromtimestamp(wall_s, timezone.utc)
        scheme, host, path, *_ = urlsplit(self._endpoint.url)
        header = {
            "id": name,
            "started": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "started_s": round(wall_s, 4),
            "package": __version__,
            "model": options.model,
            "url": urlunsplit((scheme, host, path, "", "")),
            "options": options.model_dump(exclude_none=True),
            **({"source": source} if source else {}),
        }
        files, secret = self._folder / f"{began:%Y-%m-%dT%H-%M-%SZ}-{name}", self._endpoint.api_key
        now = asyncio.get_running_loop().time
        began_s = now()
        masks_words = self._masks_words
        recording = Recording(
            files, lambda: Tape(files, header, began_s, secret, masks_words=masks_words), now
        )
        with self._lock:
            self._open.append(recording)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._write, name="baseten-recorder", daemon=True
                )
                atexit.register(self._finish)
                self._thread.start()
        return recording

    async def aclose(self) -> None:
        """Wait until the recordings are on the disk. Close them before."""
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._join)

    def _write(self) -> None:
        while True:
            self._hurry.wait(_WRITE_EVERY_S)
            self._hurry.clear()
            with self._lock:
                recordings = list(self._open)
            for recording in recordings:
                recording.write()
            with self._lock:
                self._open = [recording for recording in self._open if not recording.is_over]
                if not self._open:
                    self._thread = None
                    atexit.unregister(self._finish)
                    return

    def _join(self) -> None:
        thread = self._thread
        self._hurry.set()
        if thread is not None:
            thread.join(_PATIENCE_S)

    def _finish(self) -> None:
        """End the recordings that are still open when the program ends."""
        with self._lock:
            recordings = list(self._open)
        for recording in recordings:
            recording.abandon()
        self._join()


class Recording:
    """One call. `write` is for the recorder's thread. The rest is for the thread of the event loop,
    and returns at once.

    Args:
        path: For messages.
        tape: Makes the files; called by `write`.
        now: The event loop's clock.
    """

    is_recorded = True

    def __init__(self, path: Path, tape: Callable[[], Tape], now: Callable[[], float]) -> None:
        self._path = path
        self._make_tape = tape
        self._now = now
        self._tape: Tape | None = None
        self._pending: deque[_Note] = deque()
        # One thread writes the one number and reads the other, so that no lock is needed.
        self._bytes_put = self._bytes_written = 0
        self._written_at = now()
        self._is_closed = False
        self._has_stopped = False
        self._samples = 0
        self._origin = 0
        self._connections = 0
        self.is_over = False

    def went_on(self, journal: Journal) -> None:
        """It begins with what was pushed to another stream, which has failed."""
        self._origin = journal.start
        self.pushed(journal.read(journal.start, journal.stop))

    def pushed(self, pcm: bytes | memoryview) -> None:
        """The user pushed audio: 16 kHz mono 16-bit."""
        copy = bytes(pcm)
        if copy:
            self._samples += len(copy) // BYTES_PER_SAMPLE
            self.put(len(copy), Tape.pushed, copy, self._now())

    def flushed(self) -> None:
        self._noted("flush", position=self._samples)

    def input_ended(self) -> None:
        self._noted("input_ended", position=self._samples)

    def changed(self, options: Options) -> None:
        self._noted("options", options=options.model_dump(exclude_none=True))

    def said(self, event: stt.SpeechEvent, offset_s: float) -> None:
        """LiveKit was told this. Its times have ``offset_s`` added."""
        fields = _event_fields(event)  # at once: a listener may change the event later
        offset_s += self._origin / SAMPLE_RATE_HZ
        if offset_s:
            fields["offset_s"] = offset_s
        self._noted("event", **fields)

    def failed(self, error: APIError, *, recoverable: bool) -> None:
        """LiveKit was told of ``error``. After a ``recoverable`` one the call may go on."""
        self._noted("error", message=error.message, recoverable=recoverable)

    def lost(self, samples: int) -> None:
        """So many samples were dropped so far, and no server has heard them."""
        self._noted("lost", samples=samples)

    def connected(
        self, *, open_for_s: float, handshake_s: float, acquire_s: float, is_reused: bool
    ) -> Tap:
        """Another connection carries the call from now on.

        Args:
            open_for_s: How long it has been open.
            handshake_s: How long it took to open it.
            acquire_s: From the request for a connection to having it.
            is_reused: It was opened before it was asked for.

        Returns:
            To be told what goes over it.
        """
        self._connections += 1
        fields = {
            "open_for_s": round(open_for_s, 4),
            "handshake_s": round(handshake_s, 4),
            "acquire_s": round(acquire_s, 4),
            "is_reused": is_reused,
        }
        self.put(_LINE_BYTES, Tape.noted, self._connections, "connected", fields, self._now())
        return _ConnectionTap(self, self._connections, self._origin)

    def close(self) -> None:
        """The call is over."""
        if not self._is_closed and not self._has_stopped:
            shown = shlex.quote(str(self._path.with_name(f"{self._path.name}.jsonl")))
            logger.info("recorded: python -m livekit.plugins.baseten report %s", shown)
        self._noted("end")
        self.abandon()

    def abandon(self) -> None:
        """Take no more notes. Unlike `close`, this does not say that the call has ended."""
        self._is_closed = True

    def put(self, size: int, write: _Write, *arguments: Any) -> None:
        """Have ``write`` called on the tape, by the recorder's thread. ``size`` is in bytes."""
        if self._is_closed or self._has_stopped:
            return
        waiting = self._bytes_put - self._bytes_written
        if waiting > _MOST_PENDING_BYTES and self._now() - self._written_at > _STUCK_AFTER_S:
            self._stop("the disk does not keep up")
            return
        self._bytes_put += size
        self._pending.append((size, write, arguments))

    def write(self) -> None:
        """Write what is pending. For the recorder's thread."""
        was_closed = self._is_closed
        try:
            self._tape = self._tape or self._make_tape()
            while self._pending and not self._has_stopped:
                size, write, arguments = self._pending.popleft()
                write(self._tape, *arguments)
                self._bytes_written += size
            self._tape.flush()
        except OSError as e:
            self._stop(e.strerror or str(e))
        self._written_at = self._now()
        if was_closed or self._has_stopped:
            self.is_over = True
            self._pending.clear()
            with contextlib.suppress(
                OSError
            ):  # the user was told of it before, or everything is on the disk
                if self._tape is not None:
                    self._tape.close()

    def _noted(self, kind: str, **fields: Any) -> None:
        self.put(_LINE_BYTES, Tape.line, kind, fields, self._now())

    def _stop(self, why: str) -> None:
        if not self._has_stopped:
            self._has_stopped = True
            logger.warning("the recording %s ends here, the call goes on: %s", self._path.name, why)


class _ConnectionTap:
    """Notes in a recording what goes over one of its connections.

    Args:
        origin: The stream sample with which the recording begins.
    """

    def __init__(self, recording: Recording, number: int, origin: int) -> None:
        self._recording = recording
        self._number = number
        self._origin = origin

    def sent(self, frames: Sequence[str | bytes], start: int, stop: int, at: float) -> None:
        if frames:
            start, stop = start - self._origin, stop - self._origin
            size = (stop - start) * BYTES_PER_SAMPLE + _LINE_BYTES
            self._recording.put(size, Tape.sent, self._number, tuple(frames), start, stop, at)

    def received(self, text: str, at: float) -> None:
        self._recording.put(len(text) + _LINE_BYTES, Tape.received, self._number, text, at)

    def closed(self, error: BasetenError | None, at: float) -> None:
        fields: dict[str, Any] = {"error": str(error) if error is not None else None}
        if isinstance(error, SessionLost):
            fields |= {"code": error.code, "reason": error.reason}
        self._recording.put(_LINE_BYTES, Tape.noted, self._number, "closed", fields, at)


def _event_fields(event: stt.SpeechEvent) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": event.type.value, "request_id": event.request_id}
    if event.speech_start_time is not None:
        fields["speech_start_time"] = event.speech_start_time
    if event.speech_end_time is not None:
        fields["speech_end_time"] = event.speech_end_time
    if event.recognition_usage is not None:
        fields["usage_s"] = event.recognition_usage.audio_duration
    for data in event.alternatives[:1]:
        fields |= {"text": data.text, "language": str(data.language or "")}
        if data.text:
            fields |= {"start": data.start_time, "end": data.end_time}
        if data.confidence:
            fields["confidence"] = data.confidence
        if data.speaker_id is not None:
            fields["speaker"] = data.speaker_id
        if data.metadata:
            fields["metadata"] = data.metadata
        if data.words:
            fields["words"] = [_word_fields(word) for word in data.words]
    return fields


def _word_fields(word: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"text": str(word)}
    for name, value in (
        ("start", word.start_time),
        ("end", word.end_time),
        ("confidence", word.confidence),
    ):
        if isinstance(value, (int, float)):
            fields[name] = value
    if isinstance(word.speaker_id, str):
        fields["speaker"] = word.speaker_id
    return fields
