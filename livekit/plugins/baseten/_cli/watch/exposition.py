"""What the last probe found, as Prometheus asks for it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..check import sentence
from ..check.diagnosis import REASONS
from .probe import STATES, Probed, State

_PREFIX = "lk_agents_baseten_probe"


@dataclass(frozen=True)
class Seen:
    """All that is told, as it was at one moment: another thread reads it.

    Attributes:
        last: The last probe.
        results: How many probes had which state.
        heard_s: When the sentence was last heard, in seconds since the epoch; 0 is never.
    """

    last: Probed | None = None
    results: Counter[State] = field(default_factory=Counter)
    heard_s: float = 0.0


class Exposition(Collector):
    """
    Args:
        server_address: Host of the deployment.
        model: What is deployed there.

    Attributes:
        seen: Replaced after each probe, and never changed.
    """

    def __init__(self, server_address: str, model: str) -> None:
        self.seen = Seen()
        self._labels = {"server_address": server_address, "model_name": model}

    def collect(self) -> Iterator[Metric]:
        seen = self.seen
        results = CounterMetricFamily(
            f"{_PREFIX}s", "Probes by what they found", labels=[*self._labels, "result"]
        )
        for state in STATES:
            results.add_metric([*self._labels.values(), state], seen.results[state])
        yield results
        if seen.last is None:
            return
        last, measured = seen.last, seen.last.measured
        failing = GaugeMetricFamily(
            f"{_PREFIX}_failing",
            "1 for the reason why the last probe found the deployment down or degraded",
            labels=[*self._labels, "reason"],
        )
        for reason in REASONS:
            failing.add_metric([*self._labels.values(), reason], float(reason == last.reason))
        yield failing
        # What was not measured is not there, and no old figure stands for it.
        for name, value, meaning in (
            ("up", float(last.state != "down"), "1 if the last probe heard the sentence"),
            (
                "last_success_timestamp_seconds",
                seen.heard_s,
                "When a probe last heard it, 0: never",
            ),
            ("duration_seconds", last.took_s, "How long the last probe took"),
            ("handshake_seconds", measured.connect_s, "Until the metadata was accepted"),
            ("round_trip_seconds", measured.round_trip_s, "Of TCP"),
            ("first_interim_seconds", measured.first_interim_s, "From the start of speech"),
            ("final_delay_seconds", measured.final_s, "From the last word to the final"),
            ("flush_delay_seconds", measured.flush_s, "From flush() to the final"),
            ("lateness_seconds", measured.late_s, "By how much this machine was late with audio"),
            ("words_heard", float(last.words), "Of the words spoken"),
            ("words_spoken", float(len(sentence.WORDS)), "In the sentence of a probe"),
        ):
            if value is not None:
                gauge = GaugeMetricFamily(f"{_PREFIX}_{name}", meaning, labels=list(self._labels))
                gauge.add_metric(list(self._labels.values()), value)
                yield gauge


@contextlib.contextmanager
def exposed(exposition: Exposition, host: str, port: int) -> Iterator[str]:
    """Prometheus is answered, by a thread; its URL.

    Raises:
        OSError: It cannot listen there.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exposition)
    server, thread = start_http_server(port, host, registry)
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
