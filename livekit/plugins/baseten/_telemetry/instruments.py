"""The metrics, by their names and units; `docs/monitoring.md` says what each is for.

They are OpenTelemetry's own objects, made where nobody may have set a provider yet: they do nothing
until somebody does. What is alive is counted here and read when metrics are collected, so that a
provider that comes late sees it too.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence

from opentelemetry.metrics import CallbackOptions, Histogram, Observation, get_meter

from ..version import __version__
from .reasons import FREQUENT_FAILURES, FREQUENT_LOSSES

Labels = tuple[tuple[str, str], ...]

_PREFIX = "lk.agents.baseten"

FINAL_OUTCOMES = ("recognized", "promoted", "dropped")

# Below the first nobody notices a delay, above the last nobody waits any more.
DELAY_BOUNDARIES_S: Sequence[float] = (
    *(0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8),
    *(1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0),
)

_meter = get_meter("livekit-plugins-baseten", __version__)


class Alive:
    """How many there are at this moment, for each deployment."""

    def __init__(self) -> None:
        self._counts = Counter[Labels]()
        self._lock = threading.Lock()

    def add(self, labels: Labels, number: int) -> None:
        with self._lock:
            self._counts[labels] += number

    def observed(self, options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            counts = list(self._counts.items())
        return [Observation(number, dict(labels)) for labels, number in counts]


def _delay(name: str, description: str) -> Histogram:
    return _meter.create_histogram(
        f"{_PREFIX}.{name}",
        unit="s",
        description=description,
        explicit_bucket_boundaries_advisory=DELAY_BOUNDARIES_S,
    )


streams_alive = Alive()
connections_alive = Alive()

_meter.create_observable_up_down_counter(
    f"{_PREFIX}.stream.alive",
    [streams_alive.observed],
    unit="{stream}",
    description="Streams and calls of recognize() under way",
)
_meter.create_observable_up_down_counter(
    f"{_PREFIX}.connection.alive",
    [connections_alive.observed],
    unit="{connection}",
    description="Connections that are open, those that are kept ready included",
)

stream_retries = _meter.create_counter(
    f"{_PREFIX}.stream.retries",
    unit="{retry}",
    description="Retries that streams have spent of their budgets",
)
stream_failures = _meter.create_counter(
    f"{_PREFIX}.stream.failures",
    unit="{stream}",
    description="Streams that have failed, their retries spent or of no use",
)
connections_opened = _meter.create_counter(
    f"{_PREFIX}.connection.opened",
    unit="{connection}",
    description="Handshakes that came to a connection",
)
connections_reused = _meter.create_counter(
    f"{_PREFIX}.connection.reused",
    unit="{connection}",
    description="Connections that were open before they were asked for",
)
connection_failures = _meter.create_counter(
    f"{_PREFIX}.connection.failures",
    unit="{connection}",
    description="Handshakes that came to no connection, by HTTP status or what else went wrong",
)
connection_losses = _meter.create_counter(
    f"{_PREFIX}.connection.losses",
    unit="{connection}",
    description="Connections that ended before their work was done, by close code or other reason",
)
changeovers = _meter.create_counter(
    f"{_PREFIX}.connection.changeovers",
    unit="{changeover}",
    description="Changes of options in a stream under way, by what became of them",
)
handshake_time = _delay(
    "connection.handshake_time", "From the request for a connection until it is open"
)

audio_sent = _meter.create_counter(
    f"{_PREFIX}.audio.sent", unit="s", description="Audio sent, each second of a user's once"
)
audio_resent = _meter.create_counter(
    f"{_PREFIX}.audio.resent", unit="s", description="Audio sent again after a connection was lost"
)
audio_lost = _meter.create_counter(
    f"{_PREFIX}.audio.lost", unit="s", description="Audio dropped that no server has heard"
)

interim_delay = _delay(
    "interim.delay", "From the end of a word until the first interim that has it"
)
final_delay = _delay("final.delay", "From the end of a final's last word until the final came")
flush_delay = _delay("flush.delay", "From a flush until its answer, by whether that has words")
finals = _meter.create_counter(
    f"{_PREFIX}.finals",
    unit="{final}",
    description="Finals with words, by whether the server's, dropped, or made of an interim",
)
messages_unreadable = _meter.create_counter(
    f"{_PREFIX}.messages.unreadable",
    unit="{message}",
    description="Messages that could not be read",
)


def zeroed(labels: Labels) -> None:
    """Have counters tell a zero before there is anything to count.

    Prometheus sees how much a counter has grown, and nothing of what it was born with. A job of
    LiveKit is a process, whose counters would be born with the first loss.
    """
    common = dict(labels)
    plain = (stream_retries, audio_sent, audio_resent, audio_lost, messages_unreadable)
    for counter in (*plain, connections_opened, connections_reused):
        counter.add(0, common)
    for outcome in FINAL_OUTCOMES:
        finals.add(0, {**common, "outcome": outcome})
    for reason in FREQUENT_FAILURES:
        connection_failures.add(0, {**common, "error.type": reason})
    for reason in FREQUENT_LOSSES:
        connection_losses.add(0, {**common, "error.type": reason})
    for reason in (*FREQUENT_FAILURES, *FREQUENT_LOSSES):
        stream_failures.add(0, {**common, "error.type": reason})
