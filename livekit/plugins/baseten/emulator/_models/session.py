"""A session, whichever dialect it speaks: one connection as a function of what the server heard.

It does no I/O and reads no clock. Frames, results and the time go in (`received`, `recognized`,
`failed`), messages and recognition jobs come out (`outgoing`, `take_job`), and `closing` says that
the server ends the connection.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from .._recognizers.recognizer import DecodingOptions, Heard
from .message import Message


@dataclass(frozen=True)
class Job:
    """A buffer to be recognized. Jobs of a connection are done one by one, in order.

    Attributes:
        pcm: Everything heard since the previous final, as sent.
        is_final: Whether the buffer ends here; otherwise more of it will follow.
        number: The `transcription_num` of the answer.
        offset_s: Where the buffer starts, in seconds from the start of the connection.
        audio_length_s: How long it is by the sample rate that the client declared, in seconds.
        queued_s: When it was queued, by the clock of whoever calls `received`.
        is_flush: Whether it was the client who ended it.
    """

    pcm: bytes
    is_final: bool
    number: int
    offset_s: float
    audio_length_s: float
    queued_s: float
    is_flush: bool = False


def type_of(frame: str | bytes) -> object:
    """The ``type`` of a JSON message, `None` for any other frame."""
    try:
        message = json.loads(frame) if isinstance(frame, str) else None
    except (json.JSONDecodeError, RecursionError):
        return None
    return message.get("type") if isinstance(message, dict) else None


class JobQueue:
    """Jobs in order, at most one of them under way."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self._is_busy = False

    def __len__(self) -> int:
        """How many wait. The one under way is not counted."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._is_busy

    def append(self, job: Job) -> None:
        self._waiting.append(job)

    def next(self, *, latest_only: bool) -> Job | None:
        """The job that `take` would begin."""
        if self._is_busy or not self._waiting:
            return None
        if not latest_only:
            return self._waiting[0]
        return next((job for job in self._waiting if job.is_final), self._waiting[-1])

    def take(self, *, latest_only: bool) -> Job | None:
        """Begin the next job, if there is one and none is under way.

        Args:
            latest_only: Skip partials that a later job has overtaken.
        """
        job = self.next(latest_only=latest_only)
        if job is not None:
            while self._waiting.popleft() is not job:
                pass
            self._is_busy = True
        return job

    def finish(self) -> None:
        """The job under way is done."""
        self._is_busy = False

    def clear(self) -> None:
        self._waiting.clear()


@dataclass(frozen=True)
class Closing:
    """How the server ends the connection."""

    code: int
    reason: str = ""


REFUSED = Closing(1011, "Internal Server Error (in model/chainlet).")
"""What follows metadata that cannot open a session."""


class ServerSession(Protocol):
    """The server's side of one connection.

    Attributes:
        metadata: What the client sent first, `None` until then, or where it sends none.
        is_introduced: Whether the session has begun, with metadata or, where it may, without.
        audio: Every sample that was accepted, as it came.
        received_samples: How many those are.
        closing: How the server ends this, once it wants to. Nothing is received after that.
        due_s: When to call `expired`, by the clock of whoever calls; `None` where it need not be.
    """

    @property
    def metadata(self) -> dict[str, Any] | None: ...

    @property
    def is_introduced(self) -> bool: ...

    @property
    def audio(self) -> bytearray: ...

    @property
    def received_samples(self) -> int: ...

    @property
    def closing(self) -> Closing | None: ...

    @property
    def due_s(self) -> float | None: ...

    def received(self, frame: str | bytes, now_s: float) -> None: ...

    def next_job(self, *, latest_only: bool = False) -> Job | None:
        """What `take_job` would begin now."""

    def decoding(self, job: Job) -> DecodingOptions:
        """How the client asked for this buffer to be decoded."""

    def take_job(self, *, latest_only: bool = False) -> Job | None:
        """Begin the next buffer to recognize; `None` while there is none or one is under way.

        Args:
            latest_only: Skip partials that a later buffer has overtaken.
        """

    def recognized(
        self,
        job: Job,
        heard: Heard,
        now_s: float,
        *,
        possible_hallucination: bool = False,
    ) -> None: ...

    def failed(self, job: Job, why: str, now_s: float) -> None: ...

    def expired(self, now_s: float) -> None:
        """It is `due_s`."""

    def is_end_of_audio(self, frame: str | bytes) -> bool:
        """Whether the client says with this frame that its audio has ended."""

    def error(self, kind: str, text: str, *, recoverable: bool, now_s: float) -> Message:
        """An error in the words of this dialect."""

    def outgoing(self) -> list[Message]:
        """What there is to send. Every message is handed out once."""
