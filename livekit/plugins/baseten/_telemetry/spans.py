"""Spans by LiveKit's own tracer, so that they are in the trace of the session they belong to.

None of them is ever made current: whatever else the session does is no child of theirs. Where
nobody traces, they are OpenTelemetry's empty ones.
"""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from livekit.agents.telemetry import tracer

from .instruments import Labels


def begun(
    what: str, labels: Labels, context: Context | None = None, at_wall_s: float | None = None
) -> Span:
    """
    Args:
        what: A connection, a flush, a changeover.
        context: Of what it is a part. Default: of what the caller is.
        at_wall_s: When it began, in epoch seconds. Default: now.
    """
    return tracer.start_span(
        f"baseten_{what}",
        context=context,
        attributes=dict(labels),
        start_time=None if at_wall_s is None else round(at_wall_s * 1e9),
    )


def mark_failed(span: Span, reason: str) -> None:
    span.set_attribute("error.type", reason)
    span.set_status(Status(StatusCode.ERROR, reason))
