"""Spans of connections, flushes and changed options within LiveKit's trace of a session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kit.harness import Scene, play, scene
from kit.stage import SELFISH, YOUNG_MAN, script
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from livekit.agents.telemetry import set_tracer_provider, tracer
from livekit.plugins.baseten.emulator import faults

TWO_LINES = script(0.5, YOUNG_MAN, 2.0, SELFISH, 3.0)


@pytest.fixture(scope="module")
def spans() -> Iterator[list[ReadableSpan]]:
    """Of a session whose connection is cut, refused, and changed, and which flushes each turn."""
    before = tracer._tracer_provider
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    set_tracer_provider(provider)
    try:
        play({"session": session})["session"].value  # noqa: B018
    finally:
        set_tracer_provider(before)
    yield list(exporter.get_finished_spans())


async def session() -> Scene:
    plan = (faults.Reset(after_samples=TWO_LINES.lines[0].start + 16_000), faults.Refuse(503))
    async with scene(TWO_LINES, "vad", *plan) as played:
        connections = played.server.connections
        await played.server.until(lambda: len(connections) == 2 and connections[1].received_samples)
        played.stt.update_options(vad_threshold=0.4)
        await played.call.is_heard()
        await played.call.until(lambda: len(played.call.turns) == 2, 60)
    return played


def of(spans: list[ReadableSpan], name: str) -> list[ReadableSpan]:
    found = [span for span in spans if span.name == name]
    return sorted(found, key=lambda span: span.start_time or 0)


def happened(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    common = {"model_name": "whisper", "model_provider": "Baseten", "server.address": "127.0.0.1"}
    own = dict(span.attributes or {})
    own.pop("gen_ai.conversation.id", None)  # LiveKit's
    assert common.items() <= own.items()
    return {name: value for name, value in own.items() if name not in common}


def test_they_are_parts_of_the_session(spans: list[ReadableSpan]) -> None:
    (session,) = of(spans, "agent_session")
    assert session.context is not None
    by_id = {span.context.span_id: span for span in spans if span.context is not None}
    ours = [span for span in spans if span.name.startswith("baseten_")]
    assert ours
    for span in ours:
        assert span.context is not None and span.parent is not None
        assert span.context.trace_id == session.context.trace_id
        assert by_id[span.parent.span_id].name.startswith(("agent_session", "start_agent"))


def test_a_connection_says_what_it_went_through(spans: list[ReadableSpan]) -> None:
    cut, refused, second, changed = of(spans, "baseten_connection")
    assert happened(cut) == ["opened", "taken over ready", "lost"]  # a session prewarms
    assert attributes(cut) == {"error.type": "1006"}
    assert happened(refused) == []
    assert attributes(refused) == {"error.type": "503"}
    assert cut.status.status_code is refused.status.status_code is StatusCode.ERROR
    assert happened(second)[:2] == ["opened", "replay"]
    (replay,) = [event for event in second.events if event.name == "replay"]
    assert replay.attributes is not None
    audio_s = replay.attributes["audio_s"]
    assert isinstance(audio_s, float) and 0.5 < audio_s < 5
    for span in (second, changed):
        assert happened(span)[-1] == "closed"
        assert span.status.is_ok
    assert [span.end_time is not None for span in (cut, refused, second, changed)] == [True] * 4


def test_a_changeover_says_what_became_of_it(spans: list[ReadableSpan]) -> None:
    (span,) = of(spans, "baseten_changeover")
    assert attributes(span) == {"outcome": "done"}


def test_a_flush_lasts_until_its_answer(spans: list[ReadableSpan]) -> None:
    flushes = of(spans, "baseten_flush")
    assert len(flushes) >= 2
    assert "words" in [attributes(span)["answer"] for span in flushes]
    for span in flushes:
        assert span.start_time is not None and span.end_time is not None
        assert 0 <= span.end_time - span.start_time < 5e9


def test_nothing_of_what_was_said_is_in_them(spans: list[ReadableSpan]) -> None:
    ours = [span.to_json() for span in spans if span.name.startswith("baseten_")]
    words = {word for line in TWO_LINES.lines for word in line.text.split() if len(word) > 4}
    assert words
    assert not [word for word in words if any(word in span for span in ours)]
