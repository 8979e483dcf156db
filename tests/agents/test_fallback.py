"""Under LiveKit's FallbackAdapter: as a primary that fails or recovers, and as a secondary."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from kit import grammar
from kit.harness import KEY, SERVER_OPTIONS, STT_OPTIONS, Overheard, Played, overhear, play_once
from kit.prompter import Prompter
from kit.stage import SELFISH, YOUNG_MAN, Call, calling, script

from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError, stt
from livekit.agents.stt import AvailabilityChangedEvent, FallbackAdapter, STTError
from livekit.plugins import baseten
from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import Server, SileroDetector, faults, serve

# Who fails is found out before the first word, and recovery is heard in the second line.
SPOKEN = script(1.5, YOUNG_MAN, 1.6, SELFISH, 1.4)


@dataclass
class Rescue:
    """A call over two of ours, each with its own server."""

    call: Call
    primary: Server
    secondary: Server
    streams: list[Overheard]
    errors: list[STTError] = field(default_factory=list)
    availability: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def served_by(self) -> list[str]:
        """Which of the two transcribed anything."""
        servers = {"primary": self.primary, "secondary": self.secondary}
        return [
            name
            for name, server in servers.items()
            if any('"is_final":true' in text for c in server.connections for text in c.sent)
        ]


@contextlib.asynccontextmanager
async def rescue(
    model: Model, *plan: faults.Entry, endpoint: str = "", attempt_timeout_s: float = 10.0
) -> AsyncIterator[Rescue]:
    async with contextlib.AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                serve(
                    *faulty,
                    **SERVER_OPTIONS[model],
                    recognizer=Prompter(SPOKEN),
                    voice_detector=SileroDetector,
                )
            )
            for faulty in (plan, ())
        ]
        ours = [
            baseten.STT(model_endpoint=url, api_key=KEY, **STT_OPTIONS[model])
            for url in (endpoint or servers[0].url, servers[1].url)
        ]
        names = dict(zip(map(id, ours), ("primary", "secondary"), strict=True))
        streams = [stream for each in ours for stream in (overhear(each),)]
        adapter = FallbackAdapter(list(ours), attempt_timeout=attempt_timeout_s, retry_interval=0.1)
        errors: list[STTError] = []
        availability: list[tuple[str, bool]] = []

        def changed(event: AvailabilityChangedEvent) -> None:
            availability.append((names[id(event.stt)], event.available))

        adapter.on("stt_availability_changed", changed)
        ours[0].on("error", errors.append)
        try:
            async with calling(adapter, SPOKEN, "stt") as call:
                played = Rescue(call, servers[0], servers[1], [], errors, availability)
                yield played
        finally:
            await adapter.aclose()
            for each in ours:
                await each.aclose()
        played.streams = [stream for opened in streams for stream in opened]
        for stream in played.streams:
            grammar.check(stream.events)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def told(
    model: Model, plan: tuple[faults.Entry, ...], attempt_timeout_s: float = 10.0
) -> Rescue:
    """The primary fails before anybody speaks."""
    async with rescue(model, *plan, attempt_timeout_s=attempt_timeout_s) as played:
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def refused_connection(model: Model) -> Rescue:
    endpoint = f"ws://127.0.0.1:{free_port()}/environments/production/websocket"
    async with rescue(model, endpoint=endpoint) as played:
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def cut_in_mid_sentence(model: Model) -> Rescue:
    """The primary reconnects on its own: nobody has to step in for one cut."""
    async with rescue(model) as played:
        line = SPOKEN.lines[1]
        await played.call.microphone.reaches((line.start + line.end) // 2)
        played.primary.connections[-1].reset()
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


async def gone_in_mid_sentence(model: Model) -> Rescue:
    """The primary goes away for good while somebody speaks."""
    async with rescue(model) as played:
        line = SPOKEN.lines[1]
        await played.call.until(lambda: played.call.turns)
        await played.call.microphone.reaches(line.start + 4000)
        played.primary.plan.extend([faults.Refuse(503)] * 20)
        played.primary.connections[-1].reset()
        await played.call.until(lambda: len(played.call.turns) == 2)
    return played


ALWAYS_REFUSED: dict[str, tuple[faults.Entry, ...]] = {
    "401": (faults.Refuse(401),) * 20,
    "503": (faults.Refuse(503),) * 20,
    "parked": (faults.Park(),) * 20,
}

SCENES: dict[str, Callable[[Model], Awaitable[Rescue]]] = {
    "401": functools.partial(told, plan=ALWAYS_REFUSED["401"]),
    "503": functools.partial(told, plan=ALWAYS_REFUSED["503"]),
    "parked": functools.partial(told, plan=ALWAYS_REFUSED["parked"], attempt_timeout_s=0.3),
    "refused connection": refused_connection,
    # The first connection is the one that the session warms up.
    "back again": functools.partial(told, plan=(faults.Refuse(503),) * 3),
    "cut": cut_in_mid_sentence,
    "gone": gone_in_mid_sentence,
}

CLASSES: dict[str, type[APIError]] = {
    "401": APIStatusError,
    "503": APIStatusError,
    "parked": APITimeoutError,
    "refused connection": APIConnectionError,
}


@pytest.fixture(scope="module")
def of_model() -> Callable[[Model], dict[str, Played[Rescue]]]:
    return play_once(  # which fails if an exception is never retrieved
        lambda model: {name: functools.partial(each, model) for name, each in SCENES.items()}
    )


@pytest.fixture
def rescues(
    of_model: Callable[[Model], dict[str, Played[Rescue]]], model: Model
) -> dict[str, Played[Rescue]]:
    return of_model(model)


@pytest.mark.parametrize("name", list(CLASSES))
def test_the_secondary_takes_over_before_a_word_is_lost(
    rescues: dict[str, Played[Rescue]], name: str
) -> None:
    played = rescues[name].value
    assert played.call.turn_texts == SPOKEN.texts
    assert played.served_by == ["secondary"]
    assert played.availability == [("primary", False)]


@pytest.mark.parametrize("name", list(CLASSES))
def test_the_primary_says_what_is_wrong_with_it(
    rescues: dict[str, Played[Rescue]], name: str
) -> None:
    for event in rescues[name].value.errors:
        assert isinstance(event.error, APIError)
        last = event.error.__cause__ or event.error
        assert isinstance(last, (CLASSES[name], APIConnectionError))
    first = rescues[name].value.errors[0].error
    assert isinstance(first, CLASSES[name])


def test_what_cannot_help_is_not_tried_again(rescues: dict[str, Played[Rescue]]) -> None:
    # The session's own warm-up, the stream, and the stream that waits for a recovery.
    assert len(rescues["401"].value.primary.handshakes) <= 3


@pytest.mark.parametrize("name", list(CLASSES))
def test_nothing_unexpected_is_logged(rescues: dict[str, Played[Rescue]], name: str) -> None:
    logged = rescues[name].logged("livekit")
    bad = [line for line in logged if "unexpected" in line or "error happened" in line]
    assert not bad
    switched = [line for line in logged if "switching to next STT" in line]
    assert len(switched) == 1


def test_the_turn_is_labelled_with_the_model_that_served(
    rescues: dict[str, Played[Rescue]],
) -> None:
    for turn in rescues["503"].value.call.turns:
        assert turn.metrics["stt_metadata"]["model_provider"] == "Baseten"


def test_a_primary_that_is_back_is_available_again(rescues: dict[str, Played[Rescue]]) -> None:
    played = rescues["back again"].value
    assert played.availability == [("primary", False), ("primary", True)]
    assert played.call.turn_texts == SPOKEN.texts  # and its words are not said twice


def test_one_cut_is_no_reason_to_fall_back(rescues: dict[str, Played[Rescue]]) -> None:
    played = rescues["cut"].value
    assert played.call.turn_texts == SPOKEN.texts
    assert played.served_by == ["primary"]
    assert played.availability == []


def test_a_primary_that_goes_in_mid_sentence_is_replaced(
    rescues: dict[str, Played[Rescue]],
) -> None:
    played = rescues["gone"].value
    first, second = played.call.turn_texts
    assert first == YOUNG_MAN.text
    # LiveKit hands on what is spoken from then on; what was shown before stands.
    assert second.split()[-1] == SELFISH.text.split()[-1]
    assert played.served_by == ["primary", "secondary"]
    assert played.availability == [("primary", False)]


def test_the_key_is_in_no_error(rescues: dict[str, Played[Rescue]]) -> None:
    errors = [event for played in rescues.values() for event in played.value.errors]
    assert errors
    for event in errors:
        assert KEY not in repr(event)
        assert KEY not in repr(event.error.__cause__)


async def test_where_everything_fails_the_adapter_says_so(model: Model) -> None:
    async with serve(*[faults.Refuse(401)] * 4, **SERVER_OPTIONS[model]) as server:
        ours = baseten.STT(model_endpoint=server.url, api_key=KEY, **STT_OPTIONS[model])
        adapter = FallbackAdapter([ours])
        async with adapter.stream() as stream:
            with pytest.raises(APIConnectionError, match="all STTs failed"):
                await asyncio.wait_for(_read(stream), 10)
        await adapter.aclose()
        await ours.aclose()


async def _read(stream: stt.RecognizeStream) -> None:
    async for _ in stream:
        pass
