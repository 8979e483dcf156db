"""What every fault is: something that changes how a handshake or a connection goes.

A fault changes `Conditions`, which the server looks at wherever it matters. One that waits for a
count of samples puts itself on a list there, and does something to the connection when its time
has come.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from .rewriting import Rewriter
from .values import check_values

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusal(NamedTuple):
    """What an upgrade is answered with in place of a 101."""

    status: int
    body: str
    headers: Mapping[str, str]


@dataclass
class Conditions:
    """How a handshake and its connection go. Without faults everything is as it is here.

    Attributes:
        refusal: What the upgrade is answered with, `None` where it is accepted.
        parkings_s: How long the handshake is held back, one time after the other, in seconds;
            `None` is until somebody wakes the server.
        first_close: The code and reason with which the connection is closed before anything comes.
        refuses_metadata: Whether all metadata is refused.
        read_delay_s: How late each frame is read, in seconds.
        recognition_delay_s: How much longer each recognition takes, in seconds.
        failing_finals: The numbers of the finals whose transcription fails.
        hallucinates_after: After how many results all look like hallucinations; `None` is never.
        ignores_end: Whether the end of the audio is ignored.
        finishes: Whether the end of the audio is answered to its end.
        rewriters: What becomes of every message, one after the other.
        strikes: The faults that wait for their count of samples.
        waiting: All that have had no occasion yet to do anything.
    """

    refusal: Refusal | None = None
    parkings_s: list[float | None] = field(default_factory=list)
    first_close: tuple[int, str] | None = None
    refuses_metadata: bool = False
    read_delay_s: float = 0.0
    recognition_delay_s: float = 0.0
    failing_finals: set[int] = field(default_factory=set)
    hallucinates_after: int | None = None
    ignores_end: bool = False
    finishes: bool = True
    rewriters: list[Rewriter] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)
    waiting: list[Fault] = field(default_factory=list)

    def take(self, fault: Fault) -> None:
        """Let a fault have its way from now on."""
        if fault.waits:
            self.waiting.append(fault)
        fault.apply(self)

    def struck(self, kind: type[Fault], **values: object) -> None:
        """The faults of a kind, and with these values, have done something."""
        self.waiting = [
            fault
            for fault in self.waiting
            if not isinstance(fault, kind)
            or any(getattr(fault, name) != value for name, value in values.items())
        ]


class Target(Protocol):
    """The connection that a fault strikes."""

    def reset(self) -> None: ...

    def stall(self) -> None: ...

    def mute(self) -> None: ...

    def rewrite(self, rewriter: Rewriter) -> None:
        """Let every message from now on go through this, too."""

    def post(self, payload: str | bytes) -> None:
        """Send this between the messages of the server's own making."""

    def post_error(self, error_type: str, message: str, *, recoverable: bool) -> None:
        """Send an error in the words of the dialect."""

    def end(self, code: int, reason: str = "") -> None:
        """Close it after what is waiting to be sent."""


class Fault:
    """Anything that may be in a plan.

    Attributes:
        is_of_the_start: Whether a connection has it from its start or not at all.
        waits: Whether it waits for an occasion to strike, which may never come.

    Raises:
        TypeError: A value of another type, as ``Reset("3000")``.
        ValueError: One below 0.
    """

    is_of_the_start: ClassVar[bool] = False
    waits: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_values(self)

    def apply(self, conditions: Conditions) -> None:
        """Change how the handshake and its connection go."""
        raise NotImplementedError

    def delayed(self, samples: int) -> Fault:
        """The same fault for a connection that has received so many samples already."""
        return self


class FromTheStart(Fault):
    """A fault that a connection has from its start or not at all."""

    is_of_the_start = True
    waits = False


class Strike(Fault):
    """A fault that waits for a count of samples, and then strikes once.

    Attributes:
        after_samples: How many samples that is; 0 is right after the metadata.
    """

    after_samples: int

    def apply(self, conditions: Conditions) -> None:
        conditions.strikes.append(self)

    def delayed(self, samples: int) -> Strike:
        changes: dict[str, Any] = {"after_samples": self.after_samples + samples}
        return replace(self, **changes)  # type: ignore[type-var]  # each is a dataclass

    def strike(self, target: Target) -> None:
        """Do to the connection what this fault is about."""
        raise NotImplementedError


class Rewriting(Fault):
    """A fault that changes messages. Each connection gets a rewriter of its own."""

    def apply(self, conditions: Conditions) -> None:
        conditions.rewriters.append(_Watched(self, self.rewriter(), conditions))

    def rewriter(self) -> Rewriter:
        raise NotImplementedError


class _Watched:
    """A fault's rewriter, and whether it has changed anything."""

    def __init__(self, fault: Fault, rewriter: Rewriter, conditions: Conditions) -> None:
        self._fault = fault
        self._rewriter = rewriter
        self._conditions = conditions

    def __call__(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        if self._fault not in self._conditions.waiting:
            return self._rewriter(message)
        before = copy.deepcopy(message)  # which a rewriter may change in place
        after = self._rewriter(message)
        if after != [before]:
            self._conditions.waiting.remove(self._fault)
        return after
