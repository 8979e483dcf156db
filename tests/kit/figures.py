"""What OpenTelemetry is told: its own readers, in memory."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from opentelemetry import metrics
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
)

from livekit.plugins.baseten._telemetry import instruments

PREFIX = "lk.agents.baseten."


@dataclass(frozen=True)
class Figure:
    """One number of a metric, or how many and what sum, with the labels that it has of its own."""

    name: str
    reason: str
    number: float
    sum: float
    labels: dict[str, object]
    boundaries: tuple[float, ...]


@functools.cache
def _reader() -> InMemoryMetricReader:
    """Of this process: a provider can be set once. It tells what came since it was asked last."""
    delta = AggregationTemporality.DELTA
    reader = InMemoryMetricReader(preferred_temporality={Counter: delta, Histogram: delta})
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    return reader


def forget() -> None:
    """Begin anew, whatever other tests in this process have told or left alive."""
    for alive in (instruments.streams_alive, instruments.connections_alive):
        alive._counts.clear()
    figures()


def figures() -> list[Figure]:
    """What this package's metrics have come to since they were asked last."""
    data = _reader().get_metrics_data()
    scopes = [s for r in data.resource_metrics for s in r.scope_metrics] if data else []
    return [
        _figure(metric, point)
        for scope in scopes
        if scope.scope.name == "livekit-plugins-baseten"
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


def told() -> dict[str, float]:
    """As `figures`: how many of each, as "connection.losses 1006"; nothing that is zero."""
    return {f"{f.name} {f.reason}".strip(): f.number for f in figures() if f.number}


def _figure(metric: Metric, point: object) -> Figure:
    assert isinstance(point, (NumberDataPoint, HistogramDataPoint))
    labels: dict[str, object] = dict(point.attributes or {})
    own = [str(labels[name]) for name in ("error.type", "outcome", "answer") if name in labels]
    return Figure(
        name=metric.name.removeprefix(PREFIX),
        reason=" ".join(own),
        number=point.count if isinstance(point, HistogramDataPoint) else point.value,
        sum=point.sum if isinstance(point, HistogramDataPoint) else 0.0,
        labels=labels,
        boundaries=tuple(point.explicit_bounds) if isinstance(point, HistogramDataPoint) else (),
    )
