"""How an agent is tested with a Baseten that hears what the test says: no key, no network.

pytest examples/testing
"""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from agent import CANNOT_HEAR, Booking, Restaurant, TableAgent, take_calls
from call import Call, Mind

from livekit.agents import RunResult
from livekit.plugins import baseten
from livekit.plugins.baseten.emulator import ScriptedServer, WhisperRecognizer, faults
from livekit.plugins.baseten.testing import Caller

RECORDING = Path(__file__).parents[1] / "audio" / "sense_and_sensibility_01-0930.wav"
FOR_FOUR = "a table for four at eight"
BOOK_FOR_FOUR = {"book_table": {"guests": 4, "at": "20:00"}}


@pytest.fixture
async def call(baseten_server: ScriptedServer, baseten_caller: Caller) -> AsyncIterator[Call]:
    mind, restaurant = Mind(), Restaurant()
    ears = baseten.STT(model_endpoint=baseten_server.url, api_key="our-key")
    session = take_calls(ears, mind, restaurant)
    session.input.audio = baseten_caller
    call = Call(session, mind, restaurant)
    call.listen()
    await session.start(TableAgent())
    yield call
    mind.may_finish.set()
    await session.aclose()
    await ears.aclose()


async def test_a_table_is_booked(
    call: Call, baseten_caller: Caller, baseten_server: ScriptedServer
) -> None:
    call.mind.answers[FOR_FOUR] = BOOK_FOR_FOUR
    await baseten_caller.say(FOR_FOUR)
    await call.until_said("assistant", "a table for 4 at 20:00 is booked")
    assert call.restaurant.bookings == [Booking(4, "20:00")]
    baseten_server.assert_heard(FOR_FOUR)


async def test_no_table_is_large_enough_for_nine(call: Call, baseten_caller: Caller) -> None:
    call.mind.answers["a table for nine"] = {"book_table": {"guests": 9, "at": "20:00"}}
    await baseten_caller.say("a table for nine")
    await call.until_said("assistant", "no table has more than 8 seats")
    assert call.restaurant.bookings == []


async def test_what_needs_no_ears_is_run_by_livekit(call: Call) -> None:
    call.mind.answers[FOR_FOUR] = BOOK_FOR_FOUR
    ran: RunResult = await call.session.run(user_input=FOR_FOUR)
    ran.expect.next_event().is_function_call(name="book_table")
    ran.expect.contains_message(role="assistant")
    assert call.restaurant.bookings == [Booking(4, "20:00")]


async def test_a_noise_is_no_turn(call: Call, baseten_caller: Caller) -> None:
    call.mind.answers["hello"] = "Hello!"
    await baseten_caller.say("", seconds=0.1)
    await baseten_caller.say("hello")
    await call.until_said("assistant", "Hello!")
    assert call.said == [("user", "hello"), ("assistant", "Hello!")]


@pytest.mark.baseten_server(faults.Reset(after_samples=12_000))
async def test_a_connection_cut_in_mid_sentence_costs_no_word(
    call: Call, baseten_caller: Caller, baseten_server: ScriptedServer
) -> None:
    call.mind.answers[FOR_FOUR] = BOOK_FOR_FOUR
    await baseten_caller.say(FOR_FOUR)
    await call.until_said("assistant", "a table for 4 at 20:00 is booked")
    assert call.restaurant.bookings == [Booking(4, "20:00")]
    baseten_server.assert_struck()
    baseten_server.assert_connections(2)


@pytest.mark.baseten_server(faults.Park())
async def test_what_is_said_while_the_model_wakes_is_heard_when_it_is_awake(
    call: Call, baseten_caller: Caller, baseten_server: ScriptedServer
) -> None:
    call.mind.answers["hello"] = "Hello!"
    await baseten_caller.say("hello")
    await baseten_server.until(lambda: baseten_server.handshakes)
    assert call.said == []
    baseten_server.wake()
    await call.until_said("assistant", "Hello!")


@pytest.mark.baseten_server(api_key="their-key")
async def test_with_a_wrong_key_the_caller_is_told(
    call: Call, baseten_server: ScriptedServer
) -> None:
    await call.until_over()
    assert call.said == [("assistant", CANNOT_HEAR)]
    assert {handshake.status for handshake in baseten_server.handshakes} == {401}


async def test_the_caller_may_interrupt(call: Call, baseten_caller: Caller) -> None:
    call.mind.answers |= {"what is there to eat": "Today we have", "stop": "As you like."}
    call.mind.may_finish.clear()  # it would go on for ever
    await baseten_caller.say("what is there to eat")
    await call.until_said("user", "what is there to eat")
    await baseten_caller.say("stop")
    await call.until_said("user", "stop")
    call.mind.may_finish.set()
    await call.until_said("assistant", "As you like.")
    menu = call.session.history.messages()[1]
    assert (menu.text_content, menu.interrupted) == ("Today we have", True)


async def test_a_slow_recognizer_mixes_nothing_up(
    call: Call, baseten_caller: Caller, baseten_server: ScriptedServer
) -> None:
    call.mind.answers["yes"] = "Good."
    await baseten_caller.say("a table", after_s=0.4)
    await baseten_caller.say("yes")
    await call.until_said("assistant", "Good.")
    baseten_server.assert_heard("a table", "yes")


async def test_a_language_chosen_in_mid_call_reaches_the_model(
    call: Call, baseten_caller: Caller, baseten_server: ScriptedServer
) -> None:
    call.mind.answers["do you speak german"] = {"speak": {"language": "de"}}
    await baseten_caller.say("do you speak german")
    await call.until_said("assistant", "from now on: de")
    await baseten_caller.say("ein tisch")
    await call.until_said("user", "ein tisch")
    asked = [connection.asked("audio_language") for connection in baseten_server.connections]
    assert asked == ["en", "de"]


@pytest.mark.skipif(not WhisperRecognizer.is_installed(), reason="needs the extra `whisper`")
async def test_a_recording_is_heard_by_a_real_model(
    baseten_serve: Callable[..., ScriptedServer],
) -> None:
    with wave.open(str(RECORDING)) as file:
        pcm = file.readframes(file.getnframes())
    spoken, mind, restaurant = "He might even have been made amiable himself.", Mind(), Restaurant()
    mind.answers[spoken] = "Who?"
    with WhisperRecognizer() as whisper:
        server = baseten_serve(recognizer=whisper)
        caller = Caller(server)
        async with baseten.STT(model_endpoint=server.url, api_key="our-key") as ears:
            session = take_calls(ears, mind, restaurant)
            session.input.audio = caller
            call = Call(session, mind, restaurant)
            call.listen()
            await session.start(TableAgent())
            await caller.play(pcm)
            await caller.be_silent()
            await call.until_said("assistant", "Who?")
            await session.aclose()
    assert call.said == [("user", spoken), ("assistant", "Who?")]
