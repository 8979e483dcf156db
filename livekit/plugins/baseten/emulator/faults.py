"""What can go wrong with a Baseten deployment, one class each, its docstring saying what.

Give them to `serve`: the n-th handshake gets the n-th entry of the plan, which is one fault, a
tuple of them, or `None` for a connection without any.

    async with serve(faults.Refuse(503), (faults.Duplicate(), faults.Reset(16_000))) as server: ...

Faults strike at a count of samples or messages, never at a time, so that a test that causes one
does not depend on how fast the machine is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ._serving import rewriting as rewriting
from ._serving.rewriting import Rewriting

Message = dict[str, Any]


class Fault:
    """Anything that may be in a plan."""


# At the handshake.


@dataclass(frozen=True)
class Refuse(Fault):
    """The upgrade is answered with an HTTP status that is not 101."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Park(Fault):
    """The handshake is held back, as it is while a model wakes; `None` is until `Server.wake`."""

    seconds: float | None = None


@dataclass(frozen=True)
class CloseBeforeMetadata(Fault):
    """The upgrade is accepted and the connection closed at once."""

    code: int = 1011
    reason: str = ""


@dataclass(frozen=True)
class RejectMetadata(Fault):
    """Whatever the metadata says, it is answered as metadata with an unknown key is: 1011."""


# At a count of samples.


@dataclass(frozen=True)
class After(Fault):
    """Strikes once, when so many samples were received; 0 is right after the metadata."""

    after_samples: int = 0


@dataclass(frozen=True)
class Reset(After):
    """The TCP connection is reset, without a close frame."""


@dataclass(frozen=True)
class Stall(After):
    """Nothing is read or answered any more, pings included, while TCP stays up."""


@dataclass(frozen=True)
class Mute(After):
    """Frames are read and pings answered, but no message is sent any more, whatever its kind."""


@dataclass(frozen=True)
class MuteResults(After):
    """No transcription is sent any more; everything else is, health checks included."""


@dataclass(frozen=True)
class Close(Fault):
    """The connection is closed with a code; 1006 is no code to send, there is `Reset` for that."""

    code: int
    reason: str = ""
    after_samples: int = 0

    def __post_init__(self) -> None:
        if self.code in (1005, 1006, 1015):
            raise ValueError(f"{self.code} cannot be sent; Reset ends a connection without a code")


@dataclass(frozen=True)
class Error(Fault):
    """An error frame is sent, and the connection closed after it where `then_close` has a code."""

    error_type: str = "STREAM_ERROR"
    message: str = "something broke"
    recoverable: bool = False
    after_samples: int = 0
    then_close: int | None = None


@dataclass(frozen=True)
class Garbage(Fault):
    """A message of the test's own making is sent between the others."""

    payload: str | bytes = "<html>"
    after_samples: int = 0


@dataclass(frozen=True)
class SlowReading(Fault):
    """Every frame is read so many seconds late, so that what the client writes backs up."""

    seconds: float


# In recognition.


@dataclass(frozen=True)
class FailTranscription(Fault):
    """The n-th final's transcription fails: an error frame in its place, its words are lost."""

    number: int = 1


@dataclass(frozen=True)
class SlowRecognition(Fault):
    """Every recognition takes so many seconds longer."""

    seconds: float


@dataclass(frozen=True)
class Hallucination(Fault):
    """Every result is flagged as a possible hallucination, so that partials are held back.

    From the n-th result on, where `after_results` says so: what was stored before is sent again.
    """

    after_results: int = 0


# In what is said.


@dataclass(frozen=True)
class NeverAcknowledge(Fault):
    """`end_audio`, or a commit, is ignored altogether."""


@dataclass(frozen=True)
class NeverFinish(Fault):
    """`end_audio` is acknowledged and acted upon, but `finished` never comes.

    From Qwen3-ASR, what never comes is the flagged final that answers a commit.
    """


@dataclass(frozen=True)
class Duplicate(Fault, Rewriting):
    """Every final is sent twice."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.finals_twice


@dataclass(frozen=True)
class EmptyFinalAfter(Fault, Rewriting):
    """After the n-th final comes one without words, as after a click, with its own number."""

    number: int = 1

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.EmptyFinalAfter(self.number)


@dataclass(frozen=True)
class StalePartial(Fault, Rewriting):
    """Before the first partial of an utterance, the last one of the one before comes again."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.StalePartial()


@dataclass(frozen=True)
class NullLanguage(Fault, Rewriting):
    """Every language is null, as with diarization."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.without_language


@dataclass(frozen=True)
class NoTimes(Fault, Rewriting):
    """Segments come without start and end, and without words."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.without_times


@dataclass(frozen=True)
class OldShape(Fault, Rewriting):
    """Transcriptions have the shape of 2025: `message_type`, `transcript`, `start` and `end`."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.old_shape


@dataclass(frozen=True)
class ErrorShape(Fault, Rewriting):
    """Errors say what is wrong in one of the four places where dialects have it."""

    place: Literal["message", "error", "body.message", "body.error"]

    def rewriter(self) -> rewriting.Rewriter:
        return functools.partial(rewriting.error_in, self.place)


@dataclass(frozen=True)
class Rewrite(Fault, Rewriting):
    """Every message is replaced by those that a function makes of it: none, it, or others."""

    function: Callable[[Message], list[Message]]

    def rewriter(self) -> rewriting.Rewriter:
        return self.function


Strike = After | Close | Error | Garbage
"""What waits for a count of samples."""

AtTheStart = Refuse | Park | CloseBeforeMetadata | RejectMetadata | NeverFinish
"""What a connection has from its start or not at all."""

Entry = Fault | tuple[Fault, ...] | None
"""What one handshake gets."""
