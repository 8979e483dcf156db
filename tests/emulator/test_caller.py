"""Somebody who calls an agent in a test: heard by a session as by a scripted Baseten."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from livekit.agents import Agent, AgentSession, UserInputTranscribedEvent, llm
from livekit.plugins import baseten
from livekit.plugins.baseten import testing
from livekit.plugins.baseten.emulator import ScriptedServer, faults, utterance
from livekit.plugins.baseten.testing import Caller

WITHIN_S = 10.0


class Listener(Agent):
    """Keeps the user's turns."""

    def __init__(self) -> None:
        super().__init__(instructions="listen")
        self.turns: asyncio.Queue[str] = asyncio.Queue()

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        self.turns.put_nowait(new_message.text_content or "")

    async def turn(self) -> str:
        return await asyncio.wait_for(self.turns.get(), WITHIN_S)


@contextlib.asynccontextmanager
async def listening(
    server: ScriptedServer, caller: Caller, **options: Any
) -> AsyncIterator[tuple[AgentSession, Listener]]:
    ears = baseten.STT(model_endpoint=server.url, api_key="any", model=server.model, **options)
    session: AgentSession = AgentSession(
        stt=ears,
        vad=None,
        turn_handling={
            "turn_detection": "stt",
            "endpointing": {"min_delay": 0.0, "max_delay": 0.0},
        },
    )
    session.input.audio = caller
    listener = Listener()
    await session.start(listener)
    try:
        yield session, listener
    finally:
        await session.aclose()
        await ears.aclose()


@pytest.fixture(params=["whisper", "qwen3-asr"])
def server(request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    with ScriptedServer(model=request.param) as server:
        yield server


async def test_what_is_said_is_a_turn_each_time(server: ScriptedServer) -> None:
    caller = Caller(server)
    async with listening(server, caller) as (_, listener):
        for text in ("a table for two", "at eight", "in the name of Elinor Dashwood please"):
            await caller.say(text)
            assert await listener.turn() == text
    server.assert_script_is_over()
    server.assert_connections(1)


async def test_a_cut_in_mid_sentence_uses_up_no_turn(server: ScriptedServer) -> None:
    server.fail_next(faults.Reset(after_samples=8_000), faults.Close(1012, after_samples=12_000))
    caller = Caller(server)
    async with listening(server, caller) as (_, listener):
        for text in ("a table for two", "at eight"):
            await caller.say(text)
            assert await listener.turn() == text
    server.assert_struck()
    server.assert_connections(3)
    server.assert_heard("a table for two", "at eight")


async def test_how_it_is_said_reaches_the_session(server: ScriptedServer) -> None:
    caller = Caller(server)
    async with listening(server, caller, language="auto") as (session, listener):
        heard: list[UserInputTranscribedEvent] = []
        session.on("user_input_transcribed", heard.append)
        spelled = "de" if server.model == "whisper" else "German"
        await caller.say("guten tag", partials=["gut"], seconds=2.0, language=spelled)
        assert await listener.turn() == "guten tag"
    shown = {event.transcript for event in heard if not event.is_final}
    assert shown - {""} == {"gut"}
    assert [event.language for event in heard if event.is_final] == ["de"]


async def test_one_server_hears_many_callers() -> None:
    async def call(server: ScriptedServer, name: str) -> str:
        caller = Caller(server)
        async with listening(server, caller) as (_, listener):
            turn = await caller.say(name)
            assert await listener.turn() == turn.text
        return turn.text

    with ScriptedServer() as server:
        names = [f"caller {number}" for number in range(4)]
        # One after the other on the line, all of them at once connected.
        assert [await call(server, name) for name in names] == names
        server.assert_heard(*names)


async def test_the_pace_is_that_of_speech_where_asked() -> None:
    with ScriptedServer() as server:
        caller = Caller(server, pace=1.0)
        async with listening(server, caller) as (_, listener):
            started_s = asyncio.get_running_loop().time()
            await caller.say("hello", seconds=0.3, silence_s=0.5)
            took_s = asyncio.get_running_loop().time() - started_s
            assert await listener.turn() == "hello"
            await server.until(lambda: server.connections[0].seconds >= 0.8)
        assert took_s >= 0.79


async def test_nobody_to_talk_to_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "TAKEN_WITHIN_S", 0.1)
    with ScriptedServer() as server:
        with pytest.raises(RuntimeError, match="nobody has taken what the caller says"):
            await Caller(server).say("hello")
        with pytest.raises(ValueError, match="seconds=0"):
            await Caller(server).say("hello", seconds=0)
        with pytest.raises(ValueError, match="middle of a sample"):
            await Caller(server).play(b"\0")


async def test_who_hangs_up_on_the_caller_does_not_keep_the_test_waiting() -> None:
    with ScriptedServer() as server:
        caller = Caller(server)
        async with listening(server, caller):
            pass
        speaking = asyncio.create_task(caller.play(utterance()))
        await asyncio.sleep(0)
        assert not speaking.done()
        caller.on_detached()
        await asyncio.wait_for(speaking, WITHIN_S)
