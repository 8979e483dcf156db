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
from typing import Literal

from .._models.message import Message as Message
from . import rewriting
from .fault import Conditions, FromTheStart, Refusal, Rewriting, Strike, Target
from .fault import Fault as Fault

# At the handshake.


@dataclass(frozen=True)
class Refuse(FromTheStart):
    """The upgrade is answered with an HTTP status that is not 101."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def apply(self, conditions: Conditions) -> None:
        conditions.refusal = Refusal(self.status, self.body, self.headers)


@dataclass(frozen=True)
class Park(FromTheStart):
    """The handshake is held back, as it is while a model wakes; `None` is until `Server.wake`."""

    seconds: float | None = None

    def apply(self, conditions: Conditions) -> None:
        conditions.parkings_s.append(self.seconds)


@dataclass(frozen=True)
class CloseBeforeMetadata(FromTheStart):
    """The upgrade is accepted and the connection closed at once."""

    code: int = 1011
    reason: str = ""

    def apply(self, conditions: Conditions) -> None:
        conditions.first_close = (self.code, self.reason)


@dataclass(frozen=True)
class RejectMetadata(FromTheStart):
    """Whatever the metadata says, it is answered as metadata with an unknown key is: 1011."""

    waits = True

    def apply(self, conditions: Conditions) -> None:
        conditions.refuses_metadata = True


# At a count of samples.


@dataclass(frozen=True)
class Reset(Strike):
    """The TCP connection is reset, without a close frame."""

    after_samples: int = 0

    def strike(self, target: Target) -> None:
        target.reset()


@dataclass(frozen=True)
class Stall(Strike):
    """Nothing is read or answered any more, pings included, while TCP stays up."""

    after_samples: int = 0

    def strike(self, target: Target) -> None:
        target.stall()


@dataclass(frozen=True)
class Mute(Strike):
    """Frames are read and pings answered, but no message is sent any more, whatever its kind."""

    after_samples: int = 0

    def strike(self, target: Target) -> None:
        target.mute()


@dataclass(frozen=True)
class MuteResults(Strike):
    """No transcription is sent any more; everything else is, health checks included."""

    after_samples: int = 0

    def strike(self, target: Target) -> None:
        target.rewrite(rewriting.without_results)


@dataclass(frozen=True)
class Close(Strike):
    """The connection is closed with a code; 1006 is no code to send, there is `Reset` for that."""

    code: int
    reason: str = ""
    after_samples: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.code in (1005, 1006, 1015):
            raise ValueError(f"{self.code} cannot be sent; Reset ends a connection without a code")

    def strike(self, target: Target) -> None:
        target.end(self.code, self.reason)


@dataclass(frozen=True)
class Error(Strike):
    """An error frame is sent, and the connection closed after it where `then_close` has a code."""

    error_type: str = "STREAM_ERROR"
    message: str = "something broke"
    recoverable: bool = False
    after_samples: int = 0
    then_close: int | None = None

    def strike(self, target: Target) -> None:
        target.post_error(self.error_type, self.message, recoverable=self.recoverable)
        if self.then_close is not None:
            target.end(self.then_close)


@dataclass(frozen=True)
class Garbage(Strike):
    """A message of the test's own making is sent between the others."""

    payload: str | bytes = "<html>"
    after_samples: int = 0

    def strike(self, target: Target) -> None:
        target.post(self.payload)


@dataclass(frozen=True)
class SlowReading(FromTheStart):
    """Every frame is read so many seconds late, so that what the client writes backs up."""

    waits = True
    seconds: float

    def apply(self, conditions: Conditions) -> None:
        conditions.read_delay_s += self.seconds


# In recognition.


@dataclass(frozen=True)
class FailTranscription(Fault):
    """The n-th final's transcription fails: an error frame in its place, its words are lost."""

    number: int = 1

    def apply(self, conditions: Conditions) -> None:
        conditions.failing_finals.add(self.number)


@dataclass(frozen=True)
class SlowRecognition(Fault):
    """Every recognition takes so many seconds longer."""

    seconds: float

    def apply(self, conditions: Conditions) -> None:
        conditions.recognition_delay_s += self.seconds


@dataclass(frozen=True)
class Hallucination(Fault):
    """Every result is flagged as a possible hallucination, so that partials are held back.

    From the n-th result on, where `after_results` says so: what was stored before is sent again.
    """

    after_results: int = 0

    def apply(self, conditions: Conditions) -> None:
        conditions.hallucinates_after = self.after_results


# In what is said.


@dataclass(frozen=True)
class NeverAcknowledge(Fault):
    """`end_audio`, or a commit, is ignored altogether."""

    def apply(self, conditions: Conditions) -> None:
        conditions.ignores_end = True


@dataclass(frozen=True)
class NeverFinish(Fault):
    """`end_audio` is acknowledged and acted upon, but `finished` never comes.

    From Qwen3-ASR, what never comes is the flagged final that answers a commit.
    """

    def apply(self, conditions: Conditions) -> None:
        conditions.finishes = False


@dataclass(frozen=True)
class Duplicate(Rewriting):
    """Every final is sent twice."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.finals_twice


@dataclass(frozen=True)
class EmptyFinalAfter(Rewriting):
    """After the n-th final comes one without words, as after a click, with its own number."""

    number: int = 1

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.EmptyFinalInserted(self.number)


@dataclass(frozen=True)
class StalePartial(Rewriting):
    """Before the first partial of an utterance, the last one of the one before comes again."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.StalePartialInserted()


@dataclass(frozen=True)
class NullLanguage(Rewriting):
    """Every language is null, as with diarization."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.without_language


@dataclass(frozen=True)
class NoTimes(Rewriting):
    """Segments come without start and end, and without words."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.without_times


@dataclass(frozen=True)
class OldShape(Rewriting):
    """Transcriptions have the shape of 2025: `message_type`, `transcript`, `start` and `end`."""

    def rewriter(self) -> rewriting.Rewriter:
        return rewriting.old_shape


@dataclass(frozen=True)
class ErrorShape(Rewriting):
    """Errors say what is wrong in one of the four places where dialects have it."""

    place: Literal["message", "error", "body.message", "body.error"]

    def rewriter(self) -> rewriting.Rewriter:
        return functools.partial(rewriting.error_in, self.place)


@dataclass(frozen=True)
class Rewrite(Rewriting):
    """Every message is replaced by those that a function makes of it: none, it, or others."""

    function: Callable[[Message], list[Message]]

    def rewriter(self) -> rewriting.Rewriter:
        return self.function


Entry = Fault | tuple[Fault, ...] | None
"""What one handshake gets."""
