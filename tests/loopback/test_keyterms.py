"""Keyterms: the user's and LiveKit's, in Whisper's prompt, and no word lost to a change."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from kit.client import frame, metadata_of, new_stt
from kit.loopback import Listener, check, client, listening
from kit.stage import calling, script

from livekit.agents.stt import FallbackAdapter
from livekit.plugins import baseten
from livekit.plugins.baseten.emulator import Connection, Server, coded_speech, serve

LOGGER = "livekit.plugins.baseten"

# Three utterances: before a change, across it, and after it.
SPEECH = coded_speech(
    [(8000, 4000), (800, 4000), (16_000, 4000), (800, 4000), (16_000, 4000), (800, 4000)],
    trailing_samples=8000,
    first_word=1001,
)


async def prompt_of(stt: baseten.STT) -> str | None:
    """What a stream of ``stt`` would send."""
    prompt: str | None = (await metadata_of(stt))["whisper_params"].get("prompt")
    return prompt


def prompt_on(connection: Connection) -> str | None:
    """What was sent."""
    assert connection.metadata is not None
    prompt: str | None = connection.metadata["whisper_params"].get("prompt")
    return prompt


def warned(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [r for r in caplog.records if r.name == LOGGER and r.levelno >= logging.WARNING]


# What goes into the prompt


async def test_keyterms_are_whispers_prompt() -> None:
    prompt = await prompt_of(new_stt(keyterms=["Dashwood", "Norland Park"]))
    assert prompt == "Dashwood, Norland Park."


async def test_they_stand_behind_the_users_own_prompt() -> None:
    prompt = await prompt_of(new_stt(prompt="On Jane Austen.", keyterms=["Elinor"]))
    assert prompt == "On Jane Austen. Elinor."


@pytest.mark.parametrize("keyterms", [None, [], ["", "  "]])
async def test_without_any_there_is_no_prompt(keyterms: list[str] | None) -> None:
    assert await prompt_of(new_stt(keyterms=keyterms)) is None
    assert await prompt_of(new_stt(keyterms=keyterms, prompt="Only this.")) == "Only this."


async def test_the_sessions_come_behind_the_users() -> None:
    stt = new_stt(keyterms=["Elinor", "Marianne"])
    stt._update_session_keyterms(["Willoughby"])
    assert await prompt_of(stt) == "Elinor, Marianne, Willoughby."


async def test_each_is_said_once_whatever_its_case_and_blanks_are_none() -> None:
    stt = new_stt(keyterms=["Elinor", " ", "Norland  Park", "ELINOR"])
    stt._update_session_keyterms(["", "elinor", "norland park", "Barton", "barton"])
    assert await prompt_of(stt) == "Elinor, Norland Park, Barton."


async def test_both_kinds_are_kept_apart() -> None:
    stt = new_stt(keyterms=["Elinor"])
    stt._update_session_keyterms(["Barton"])
    stt._update_session_keyterms(["Willoughby"])
    assert await prompt_of(stt) == "Elinor, Willoughby."
    stt.update_options(keyterms=["Marianne"])
    assert await prompt_of(stt) == "Marianne, Willoughby."
    stt._update_session_keyterms([])
    assert await prompt_of(stt) == "Marianne."
    stt.update_options(keyterms=[])
    assert await prompt_of(stt) is None


async def test_other_options_leave_them_alone() -> None:
    stt = new_stt(keyterms=["Elinor"])
    stt._update_session_keyterms(["Barton"])
    stt.update_options(vad_threshold=0.4, prompt="Novels.")
    assert await prompt_of(stt) == "Novels. Elinor, Barton."


async def test_a_keyterm_taken_over_from_the_caller_is_a_copy() -> None:
    terms = ["Elinor"]
    stt = new_stt(keyterms=terms)
    session_terms = ["Barton"]
    stt._update_session_keyterms(session_terms)
    terms.append("x")
    session_terms.append("y")
    assert await prompt_of(stt) == "Elinor, Barton."


async def test_recognize_and_prewarmed_connections_know_them_too() -> None:
    async with serve() as server, client(server, keyterms=["Elinor"]) as stt:
        stt._update_session_keyterms(["Barton"])
        stt.prewarm()
        await server.wait_for_connection()
        await server.until(lambda: server.connections[0].metadata)
        for _ in range(2):  # the first has the connection that was kept ready
            await stt.recognize(frame(SPEECH.pcm))
        assert [prompt_on(c) for c in server.connections] == ["Elinor, Barton."] * 2


@pytest.mark.parametrize("model", ["whisper", "qwen3-asr"])
def test_the_capability_is_declared(model: Any) -> None:
    assert new_stt(model=model).capabilities.keyterms


async def test_qwen3_takes_them_as_they_are() -> None:
    stt = new_stt(model="qwen3-asr", keyterms=["Elinor", "elinor", ""], prompt="Novels.")
    stt._update_session_keyterms(["Barton"])
    params = (await metadata_of(stt))["whisper_params"]
    assert params["keyterms"] == ["Elinor", "Barton"]
    assert params["prompt"] == "Novels."


# What does not fit

# Four tokens each with its comma, by the plugin's own estimate: 56 of them are 224.
MANY = [f"Bar{number:06d}" for number in range(80)]


async def test_what_does_not_fit_is_cut_from_the_end(caplog: pytest.LogCaptureFixture) -> None:
    stt = new_stt(keyterms=MANY)
    prompt = await prompt_of(stt)
    assert prompt is not None
    kept = prompt.removesuffix(".").split(", ")
    assert kept == MANY[: len(kept)]
    assert 40 <= len(kept) <= 56, "224 tokens, at about three characters each"
    (record,) = warned(caplog)
    assert f"{80 - len(kept)} of 80" in record.getMessage()
    assert getattr(record, "lk.pii.keyterms") == MANY[len(kept) :]


async def test_the_prompt_takes_of_the_room(caplog: pytest.LogCaptureFixture) -> None:
    prompt = await prompt_of(new_stt(keyterms=MANY, prompt="word " * 100))
    assert prompt is not None
    assert prompt.startswith("word word")
    assert prompt.count("Bar") < 30


async def test_the_users_own_go_before_the_sessions(caplog: pytest.LogCaptureFixture) -> None:
    stt = new_stt(keyterms=MANY[:50])
    assert warned(caplog) == []
    stt._update_session_keyterms(["Willoughby the Younger", *MANY[50:]])
    prompt = await prompt_of(stt)
    assert prompt is not None
    assert prompt.startswith(", ".join(MANY[:50]))
    assert len(warned(caplog)) == 1


async def test_no_message_quotes_a_keyterm(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stt = new_stt(keyterms=MANY)
    stt._update_session_keyterms(["Willoughby"])
    stt.update_options(keyterms=[*MANY, "Dashwood"])
    assert len(warned(caplog)) == 3
    for record in caplog.records:
        said = record.getMessage()
        assert not any(term in said for term in (*MANY, "Willoughby", "Dashwood"))


async def test_the_warning_comes_once_and_not_with_each_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve() as server, client(server, keyterms=MANY) as stt:
        for _ in range(3):
            async with listening(stt) as listener:
                listener.push(SPEECH.pcm)
                listener.stream.end_input()
                check(await listener.ended(), SPEECH)
        stt.update_options(vad_threshold=0.4)
    assert len(warned(caplog)) == 1


@pytest.mark.parametrize("term", ["", "naïveté", "東京都庁", "🎻" * 40])
async def test_terms_of_any_script_are_measured_and_sent(term: str) -> None:
    prompt = await prompt_of(new_stt(keyterms=[term, "Elinor"]))
    assert prompt is not None
    assert prompt.endswith("Elinor.")


# While somebody speaks

TO = {"between utterances": 50_000, "in mid-word": 34_000}  # samples; w1003 is 32,800 to 36,800


async def changed_while_speaking(listener: Listener, server: Server, at: int, change: Any) -> None:
    """Push up to ``at``, change the keyterms, and push the rest over the new connection."""
    listener.push(SPEECH.pcm[: at * 2])
    await server.until(lambda: server.connections and server.connections[0].received_samples)
    change()
    # The sooner it hears a pause the sooner it changes; none comes in mid-word until more is said.
    listener.push(SPEECH.pcm[at * 2 : -1600])
    await server.wait_for_connection(2)
    await listener.until(lambda: len(listener.acquired) == 2)
    listener.push(SPEECH.pcm[-1600:])
    listener.stream.end_input()


@pytest.mark.parametrize("at", TO.values(), ids=TO)
@pytest.mark.parametrize("whose", ["the user's", "the session's"])
async def test_a_live_stream_gets_them_and_loses_no_word(at: int, whose: str) -> None:
    async with serve() as server, client(server, keyterms=["Elinor"]) as stt:

        def change() -> None:
            if whose == "the user's":
                stt.update_options(keyterms=["Elinor", "Barton"])
            else:
                stt._update_session_keyterms(["Barton"])

        async with listening(stt) as listener:
            await changed_while_speaking(listener, server, at, change)
            check(await listener.ended(), SPEECH)
            assert listener.used_s == pytest.approx(len(SPEECH.pcm) / 32_000)
        assert [prompt_on(c) for c in server.connections] == ["Elinor.", "Elinor, Barton."]


async def test_clearing_them_works_on_a_live_stream_too() -> None:
    async with serve() as server, client(server) as stt:
        stt._update_session_keyterms(["Barton"])
        async with listening(stt) as listener:
            await changed_while_speaking(
                listener, server, TO["between utterances"], lambda: stt._update_session_keyterms([])
            )
            check(await listener.ended(), SPEECH)
        assert [prompt_on(c) for c in server.connections] == ["Barton.", None]


async def test_what_changes_nothing_costs_no_connection() -> None:
    async with serve() as server, client(server, keyterms=["Elinor"]) as stt:
        async with listening(stt) as listener:
            await server.wait_for_connection()
            stt._update_session_keyterms([])
            stt._update_session_keyterms(["ELINOR", " "])
            stt.update_options(keyterms=["Elinor"])
            listener.push(SPEECH.pcm)
            await listener.until_said(SPEECH)
            listener.stream.end_input()
            check(await listener.ended(), SPEECH)
        assert len(server.handshakes) == 1


async def test_many_changes_at_once_are_one_connection() -> None:
    async with serve() as server, client(server) as stt:
        async with listening(stt) as listener:
            await server.wait_for_connection()
            for number in range(10):
                stt._update_session_keyterms([f"Term{number}"])
            await listener.until(lambda: len(listener.acquired) == 2)
            listener.push(SPEECH.pcm)
            listener.stream.end_input()
            check(await listener.ended(), SPEECH)
        assert [prompt_on(c) for c in server.connections] == [None, "Term9."]


# In LiveKit's hands


async def test_an_agent_session_gives_and_changes_them() -> None:
    async with serve() as server, client(server, keyterms=["Elinor"]) as stt:
        context = {"keyterms": ["Barton"]}
        async with calling(stt, script(0.2), "manual", stt_context_options=context) as call:
            await server.until(lambda: server.connections and server.connections[-1].metadata)
            call.session.update_options(keyterms=["Willoughby"])
            await server.until(
                lambda: (
                    prompt_on(server.connections[-1]) == "Elinor, Willoughby."
                    if server.connections[-1].metadata
                    else False
                )
            )
            assert call.errors == []


async def test_a_fallback_adapter_passes_them_on() -> None:
    stt = new_stt(keyterms=["Elinor"])
    adapter = FallbackAdapter([stt])
    assert adapter.capabilities.keyterms
    adapter._update_session_keyterms(["Barton"])
    assert await prompt_of(stt) == "Elinor, Barton."
    await adapter.aclose()
