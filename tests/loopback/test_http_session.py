"""Which HTTP session connections are opened with, and whom it trusts."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import trustme
from kit.client import (
    SPEECH,
    an_stt,
    certified,
    errors_of,
    new_stt,
    transcribed,
    words,
)

from livekit import rtc
from livekit.agents import (
    APIConnectionError,
    utils,
)
from livekit.plugins.baseten.emulator import (
    Server,
    serve,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


# Sessions of HTTP


class Sessions:
    """Every HTTP session that is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[aiohttp.ClientSession] = []
        original = aiohttp.ClientSession.__init__

        def noted(session: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
            self.opened.append(session)
            original(session, *args, **options)

        monkeypatch.setattr(aiohttp.ClientSession, "__init__", noted)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sessions]:
    yield Sessions(monkeypatch)


async def test_in_a_plain_script_the_stt_has_one_session_of_its_own_and_closes_it(
    server: Server, sessions: Sessions
) -> None:
    stt = new_stt(server)
    assert not sessions.opened
    for _ in range(2):
        assert words(await transcribed(stt, SPEECH.pcm)) == ["w1", "w2", "w3"]
    (own,) = sessions.opened
    assert not own.closed
    await stt.aclose()
    assert own.closed


async def test_a_session_that_was_passed_in_is_used_and_never_closed(
    server: Server, sessions: Sessions
) -> None:
    async with aiohttp.ClientSession() as session:
        async with an_stt(server, http_session=session) as stt:
            assert words(await transcribed(stt, SPEECH.pcm)) == ["w1", "w2", "w3"]
        assert not session.closed
        assert sessions.opened == [session]


async def test_in_a_livekit_job_its_session_is_used_and_never_closed(
    server: Server, sessions: Sessions
) -> None:
    async with utils.http_context.open() as session:
        async with an_stt(server) as stt:
            assert words(await transcribed(stt, SPEECH.pcm)) == ["w1", "w2", "w3"]
        assert not session.closed
        assert sessions.opened == [session]


async def test_a_session_that_was_passed_in_closed_is_an_error_that_says_so(
    server: Server,
) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    async with an_stt(server, http_session=session) as stt:
        errors = errors_of(stt)
        with pytest.raises(APIConnectionError, match="http_session") as e:
            await transcribed(stt, SPEECH.pcm)
    assert not e.value.retryable
    assert len(errors) == 1
    assert not server.handshakes


async def test_an_stt_that_was_closed_opens_no_stream(server: Server) -> None:
    async with an_stt(server) as stt:
        await transcribed(stt, SPEECH.pcm)
    await stt.aclose()  # a second time is no error
    opened = len(server.handshakes)
    silence = rtc.AudioFrame(bytes(3200), 16_000, 1, 1600)
    closed = "this STT is closed: make another one"
    with pytest.raises(RuntimeError, match=closed):
        stt.stream()
    with pytest.raises(RuntimeError, match=closed):
        stt.prewarm()
    with pytest.raises(RuntimeError, match=closed):
        stt.update_options(language="de")
    for later in (stt.warm_up(), stt.recognize(silence), stt.transcribe("talk.wav")):
        with pytest.raises(RuntimeError, match=closed):
            await later
    assert len(server.handshakes) == opened


# TLS


async def test_a_self_signed_certificate_is_refused_and_not_tried_again() -> None:
    async with serve(ssl=certified(trustme.CA())) as server, an_stt(server) as stt:
        errors = errors_of(stt)
        with pytest.raises(APIConnectionError, match="certificate") as e:
            await transcribed(stt, SPEECH.pcm)
        assert not e.value.retryable
        assert len(errors) == 1
        assert not errors[0].recoverable
        assert not server.handshakes


async def test_a_certificate_for_another_host_is_refused() -> None:
    authority, client = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(client)
    async with (
        serve(ssl=certified(authority, "elsewhere.example.com")) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client)) as session,
        an_stt(server, http_session=session) as stt,
    ):
        with pytest.raises(APIConnectionError, match="certificate") as e:
            await transcribed(stt, SPEECH.pcm)
        assert not e.value.retryable


async def test_a_private_authority_goes_in_through_the_session() -> None:
    authority, client = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(client)
    async with (
        serve(ssl=certified(authority)) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client)) as session,
        an_stt(server, http_session=session) as stt,
    ):
        assert server.url.startswith("wss://")
        assert words(await transcribed(stt, SPEECH.pcm)) == ["w1", "w2", "w3"]
