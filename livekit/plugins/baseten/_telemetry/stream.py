"""What one stream tells, over all its connections. Nothing is told for a push of audio."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.context import get_current

from .._core.clocks import SAMPLE_RATE_HZ
from .._core.errors import BasetenError
from .._core.events import (
    Event,
    Final,
    FlushAnswered,
    HallucinationDropped,
    Interim,
    MessageSkipped,
    Used,
)
from .._core.recognition import Recognition
from .._core.session import Session
from . import instruments, spans
from .instruments import Labels
from .reasons import DEFECT, reason_of


class StreamTelemetry:
    """
    Args:
        labels: Of the deployment.
        recognition: What the stream works on.
    """

    def __init__(self, labels: Labels, recognition: Recognition) -> None:
        self._labels = labels
        self._attributes = dict(labels)
        self._recognition = recognition
        self._context = get_current()  # messages come in another one
        self._is_alive = True
        self._runs = 0
        self._reason = DEFECT
        self._reached = 0  # stream sample up to which words were shown
        self._lost_samples = 0
        # The session of the moment, what of it was sent before, and what was told of it.
        self._session: Session | None = None
        self._resent_to = self._resend_to = 0
        self._unreadable = 0
        self._takes: dict[type, Callable[[Any, float, float], None]] = {
            Interim: self._interim,
            Final: self._final,
            FlushAnswered: self._flush_answered,
            HallucinationDropped: self._dropped,
            Used: lambda event, now, now_wall_s: self.used(event.samples),
            MessageSkipped: lambda event, now, now_wall_s: self._count_unreadable(),
        }
        instruments.zeroed(labels)
        instruments.streams_alive.add(labels, 1)

    def take(self, event: Event, now: float, now_wall_s: float) -> None:
        """The recognition says so.

        Args:
            now: Seconds, of the clock by which flushes are asked for.
            now_wall_s: Epoch seconds.
        """
        take = self._takes.get(type(event))
        if take is not None:
            take(event, now, now_wall_s)

    def began_run(self) -> None:
        """It sets out to work with a connection. Each time after the first is a retry."""
        if self._runs:
            instruments.stream_retries.add(1, self._attributes)
        self._runs += 1

    def attached(self, session: Session, sent: int) -> None:
        """Another session carries it.

        Args:
            sent: Up to this stream sample, audio was sent before.
        """
        self.detached()
        self._session = session
        self._resent_to, self._resend_to = session.cursor, sent

    def detached(self) -> None:
        """No session carries it."""
        self._count_resent()
        self._count_unreadable()
        self._session = None
        self._unreadable = 0

    def judged(self, error: BasetenError) -> None:
        """This has ended its connection, or it had none."""
        self._reason = reason_of(error)

    def failed(self) -> None:
        """It works no more, for what `judged` said last."""
        attributes = {**self._attributes, "error.type": self._reason}
        instruments.stream_failures.add(1, attributes)

    def used(self, samples: int) -> None:
        """So many samples more were sent for the first time."""
        instruments.audio_sent.add(samples / SAMPLE_RATE_HZ, self._attributes)
        self._count_resent()

    def lost(self, samples: int) -> None:
        """So many samples of it were dropped so far, and no server has heard them."""
        more, self._lost_samples = samples - self._lost_samples, samples
        instruments.audio_lost.add(more / SAMPLE_RATE_HZ, self._attributes)

    @contextlib.contextmanager
    def changeover(self) -> Iterator[Changeover]:
        """It moves to a connection with other options."""
        changing = Changeover()
        span = spans.begun("changeover", self._labels, self._context)
        try:
            yield changing
        finally:
            attributes = {**self._attributes, "outcome": changing.outcome}
            instruments.changeovers.add(1, attributes)
            span.set_attribute("outcome", changing.outcome)
            span.end()

    def close(self) -> None:
        """It is over; whoever says so again is not heard."""
        if self._is_alive:
            self._is_alive = False
            self.detached()
            instruments.streams_alive.add(self._labels, -1)

    def _interim(self, event: Interim, now: float, now_wall_s: float) -> None:
        end = event.hypothesis.end
        if end > self._reached:  # else it says again what was shown before
            self._reached = end
            late_s = max(0.0, now_wall_s - self._recognition.wall.at(end))
            instruments.interim_delay.record(late_s, self._attributes)

    def _final(self, event: Final, now: float, now_wall_s: float) -> None:
        said = event.hypothesis
        if said.text:
            late_s = max(0.0, now_wall_s - self._recognition.wall.at(said.end))
            instruments.final_delay.record(late_s, self._attributes)
            self._count_final("promoted" if said.is_promoted else "recognized")

    def _dropped(self, event: HallucinationDropped, now: float, now_wall_s: float) -> None:
        self._count_final("dropped")

    def _count_final(self, outcome: str) -> None:
        instruments.finals.add(1, {**self._attributes, "outcome": outcome})

    def _flush_answered(self, event: FlushAnswered, now: float, now_wall_s: float) -> None:
        waited_s = max(0.0, now - event.asked_s)
        answer = "words" if event.has_words else "empty"
        instruments.flush_delay.record(waited_s, {**self._attributes, "answer": answer})
        span = spans.begun("flush", self._labels, self._context, now_wall_s - waited_s)
        span.set_attribute("answer", answer)
        span.end(round(now_wall_s * 1e9))

    def _count_resent(self) -> None:
        if self._session is None:
            return
        sent_to = min(self._session.cursor, self._resend_to)
        if sent_to > self._resent_to:
            samples, self._resent_to = sent_to - self._resent_to, sent_to
            instruments.audio_resent.add(samples / SAMPLE_RATE_HZ, self._attributes)

    def _count_unreadable(self) -> None:
        if self._session is None:
            return
        more = sum(self._session.unreadable.values()) - self._unreadable
        if more:
            self._unreadable += more
            instruments.messages_unreadable.add(more, self._attributes)


class Changeover:
    """
    Attributes:
        outcome: "done", "failed", or "abandoned" where neither came to pass.
    """

    def __init__(self) -> None:
        self.outcome = "abandoned"
