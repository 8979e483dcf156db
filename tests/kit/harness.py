"""Our speech-to-text in a session, a Baseten on loopback behind it; scenes that run together."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from kit.tasks import leaked_tasks

from livekit.agents import Agent, stt
from livekit.agents.metrics import STTMetrics
from livekit.agents.stt import SpeechEventType as Kind
from livekit.plugins import baseten
from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten._livekit.continuation import Fate
from livekit.plugins.baseten.emulator import Connection, Server, SileroDetector, faults, serve

from . import clock, grammar
from .prompter import Prompter
from .stage import Call, Mode, Script, calling

T = TypeVar("T")

KEY = "secret-4711"


# Each model as it is when everything is asked of it that a session can use.
STT_OPTIONS: dict[Model, dict[str, Any]] = {
    "whisper": {"model": "whisper"},
    "qwen3-asr": {"model": "qwen3-asr", "show_word_timestamps": True},
}
SERVER_OPTIONS: dict[Model, dict[str, Any]] = {
    "whisper": {"model": "whisper", "word_step_s": 0},  # words have their exact times
    "qwen3-asr": {"model": "qwen3-asr", "aligner": True},
}


# Streams, overheard.


@dataclass
class Overheard:
    """A stream, and every event that it sent, whoever took them."""

    stream: baseten.SpeechStream
    events: list[stt.SpeechEvent] = field(default_factory=list)

    @property
    def finals(self) -> list[stt.SpeechEvent]:
        """Those with words in them."""
        return [
            e for e in self.events if e.type is Kind.FINAL_TRANSCRIPT and e.alternatives[0].text
        ]

    @property
    def text(self) -> str:
        return " ".join(event.alternatives[0].text for event in self.finals)

    @property
    def has_failed(self) -> bool:
        return self.stream.unfinished.fate is not Fate.FINISHED


def overhear(speech_to_text: baseten.STT) -> list[Overheard]:
    """Record what every stream says that is opened from now on."""
    streams: list[Overheard] = []
    open_stream = speech_to_text.stream

    def stream(**options: Any) -> baseten.SpeechStream:
        opened = open_stream(**options)
        overheard = Overheard(opened)
        send = opened._event_ch.send_nowait

        def recorded(event: stt.SpeechEvent) -> None:
            overheard.events.append(event)
            send(event)

        opened._event_ch.send_nowait = recorded  # type: ignore[method-assign, assignment]
        streams.append(overheard)
        return opened

    speech_to_text.stream = stream  # type: ignore[method-assign]
    return streams


# One session.


@dataclass
class Scene:
    """A call, and both ends of the wire behind it."""

    call: Call
    stt: baseten.STT
    server: Server
    streams: list[Overheard]
    usage: list[STTMetrics] = field(default_factory=list)

    @property
    def used_s(self) -> float:
        """Seconds of audio that the speech-to-text itself has accounted for."""
        return sum(each.audio_duration for each in self.usage)

    @property
    def connection(self) -> Connection:
        """The one that is in use."""
        return self.server.connections[-1]


@contextlib.asynccontextmanager
async def scene(
    spoken: Script,
    mode: Mode,
    *plan: faults.Entry,
    model: Model = "whisper",
    stt_options: Mapping[str, Any] | None = None,
    server_options: Mapping[str, Any] | None = None,
    wrapped: Callable[[baseten.STT], stt.STT] = lambda ours: ours,
    agent: Callable[[baseten.STT], Agent | None] = lambda ours: None,
    **session_options: Any,
) -> AsyncIterator[Scene]:
    """A session with our speech-to-text, closed and checked at the end.

    Args:
        plan: What goes wrong at the server.
        model: Which dialect both ends speak.
        wrapped: Puts an adapter between the session and us.
        agent: Makes the agent, if it is one of its own.
        session_options: See `stage.calling`.
    """
    serving: dict[str, Any] = {
        "recognizer": Prompter(spoken),
        "voice_detector": SileroDetector,
        **SERVER_OPTIONS[model],
        **(server_options or {}),
    }
    asking = {**STT_OPTIONS[model], **(stt_options or {})}
    async with serve(*plan, **serving) as server:
        speech_to_text = baseten.STT(model_endpoint=server.url, api_key=KEY, **asking)
        streams = overhear(speech_to_text)
        try:
            listens = {"agent": agent(speech_to_text), **session_options}
            async with calling(wrapped(speech_to_text), spoken, mode, **listens) as call:
                played = Scene(call, speech_to_text, server, streams)
                speech_to_text.on("metrics_collected", played.usage.append)
                yield played
        finally:
            await speech_to_text.aclose()
        for overheard in streams:
            grammar.check(overheard.events, goes_on=overheard.has_failed)


# Scenes that run side by side.

_scene_name = contextvars.ContextVar("_scene_name", default="")


@dataclass
class Played(Generic[T]):
    """How a scene went: what it returned or raised, and what was logged meanwhile."""

    result: T | None = None
    error: Exception | None = None
    records: list[logging.LogRecord] = field(default_factory=list)

    @property
    def value(self) -> T:
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result

    def logged(self, logger: str, level: int = logging.WARNING) -> list[str]:
        return [
            record.getMessage()
            for record in self.records
            if record.name.startswith(logger) and record.levelno >= level
        ]


def play(scenes: Mapping[str, Callable[[], Awaitable[T]]]) -> dict[str, Played[T]]:
    """Run scenes in one event loop, in which time passes while all of them wait.

    Raises:
        AssertionError: A task outlived its scene, or an exception was never retrieved.
    """
    played: dict[str, Played[T]] = {name: Played() for name in scenes}
    handler = _Recorder(played)
    root = logging.getLogger("livekit")
    root.addHandler(handler)
    try:
        clock.run(_play(scenes, played))
    finally:
        root.removeHandler(handler)
    return played


def play_once(
    scenes: Callable[[Model], Mapping[str, Callable[[], Awaitable[T]]]],
) -> Callable[[Model], dict[str, Played[T]]]:
    """The scenes of a model as they went, played when they are first asked for."""
    begun: set[Model] = set()
    over: dict[Model, dict[str, Played[T]]] = {}

    def of_model(model: Model) -> dict[str, Played[T]]:
        if model not in begun:
            begun.add(model)
            over[model] = play(scenes(model))
        assert model in over, "these scenes did not end well: see who asked for them first"
        return over[model]

    return of_model


async def _play(
    scenes: Mapping[str, Callable[[], Awaitable[T]]], played: Mapping[str, Played[T]]
) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: complaints.append(f"{context['message']}: {context.get('exception')!r}")
    )

    async def one(name: str) -> None:
        _scene_name.set(name)
        try:
            played[name].result = await scenes[name]()
        except Exception as e:  # noqa: BLE001 - it is raised again by the test that asks
            played[name].error = e

    await asyncio.gather(*(asyncio.create_task(one(name), name=name) for name in scenes))
    complaints += [f"left over: {task}" for task in await leaked_tasks()]
    gc.collect()  # an exception that nobody asked for is complained about when its task goes
    assert not complaints, "\n".join(complaints)


class _Recorder(logging.Handler):
    def __init__(self, played: Mapping[str, Played[Any]]) -> None:
        super().__init__(logging.DEBUG)
        self._played = played

    def emit(self, record: logging.LogRecord) -> None:
        scene = self._played.get(_scene_name.get())
        if scene is not None:
            scene.records.append(record)
