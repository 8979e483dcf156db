"""What a refused handshake tells the user, where the key goes, and the way through a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import trustme
from kit.client import frame
from kit.loopback import client, serve

from livekit.agents import APIConnectOptions, APIError, APIStatusError
from livekit.plugins.baseten import STT
from livekit.plugins.baseten._connection.handshake import retry_after_s
from livekit.plugins.baseten._livekit.http_session import proxy_for
from livekit.plugins.baseten.emulator import coded_speech, faults

SPEECH = coded_speech(3, trailing_samples=8000, first_word=1001)
ONCE = APIConnectOptions(max_retry=0, timeout=10.0)
KEY = "a-key-of-some-length"


async def refused(stt: STT) -> APIError:
    with pytest.raises(APIError) as raised:
        await stt.recognize(frame(SPEECH.pcm), conn_options=ONCE)
    return raised.value


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, "Model is paused", "The answer says: Model is paused"),
        (400, '{"error": "Model is paused"}', "The answer says: Model is paused"),
        (503, '{"error": {"message": "no replica"}}', "The answer says: no replica"),
        (
            403,
            "<html><head><title>Access\ndenied</title></head>",
            "the title 'Access denied', perhaps a proxy's",
        ),
        (407, "<!DOCTYPE html><html><body>Log in", "a page of HTML, perhaps a proxy's"),
        (418, "\n\nshort and stout\nmore", "The answer says: short and stout"),
        (429, "x" * 5000, "x" * 200 + "..."),
        (500, f"no such key: {KEY}", "no such key: ..."),
        (500, "Authorization: Bearer abc.def", "Bearer ..."),
        (500, "see https://me:pw@example.com/a?token=1", "see https://example.com/a"),
    ],
)
async def test_a_refusal_says_what_the_server_said(status: int, body: str, told: str) -> None:
    async with (
        serve(faults.Refuse(status, body)) as server,
        STT(model_endpoint=server.url, api_key=KEY) as stt,
    ):
        error = await refused(stt)
    assert isinstance(error, APIStatusError)
    assert error.status_code == status
    assert f"HTTP {status}" in error.message
    assert error.message.endswith(told)
    assert KEY not in f"{error!r}{error.body}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_named_and_the_key_is_sent_to_nobody_else(status: int) -> None:
    async with serve() as other:
        to = {"Location": f"{other.url}?token=secret"}
        async with serve(faults.Refuse(status, headers=to)) as server, client(server) as stt:
            error = await refused(stt)
            assert len(server.handshakes) == 1
        assert not other.handshakes
    assert f"it sends the connection on to {other.url}, where the API key is not" in error.message
    assert "secret" not in error.message
    assert not error.retryable


@pytest.mark.parametrize(
    ("asked", "date", "seconds"),
    [
        ("120", "", 120.0),
        (" 1.5 ", "", 1.5),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:27:30 GMT", 30.0),
        ("Wednesday, 21-Oct-26 07:28:00 GMT", "Wed, 21 Oct 2026 07:27:30 GMT", 30.0),
        ("Wed Oct 21 07:28:00 2026", "Wed, 21 Oct 2026 07:27:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:30 GMT", 0.0),
        ("-5", "", 0.0),
        ("inf", "", 0.0),
        ("nan", "", 0.0),
        ("soon", "", 0.0),
        ("", "", 0.0),
    ],
)
def test_retry_after_is_understood_in_any_of_its_forms(
    asked: str, date: str, seconds: float
) -> None:
    headers = {"Retry-After": asked} | ({"Date": date} if date else {})
    assert retry_after_s(headers) == seconds


async def test_what_the_server_asks_to_wait_is_said() -> None:
    asking = faults.Refuse(503, headers={"Retry-After": "30"})
    async with serve(asking) as server, client(server) as stt:
        assert "It asks to wait for 30 s" in (await refused(stt)).message


async def test_the_limit_of_a_session_that_was_given_does_not_end_the_handshake() -> None:
    limit = aiohttp.ClientTimeout(total=1.0)
    async with (
        serve(faults.Park(3.0)) as server,
        aiohttp.ClientSession(timeout=limit) as http,
        client(server, http_session=http, cold_start_timeout=600) as stt,
        stt.stream(conn_options=ONCE) as stream,
    ):
        stream.push_frame(frame(SPEECH.pcm))
        stream.end_input()
        assert [event async for event in stream]
        assert len(server.handshakes) == 1


# Through a proxy


class Proxy:
    """A proxy on this machine that knows CONNECT.

    Attributes:
        asked: The request line and headers of each connection.
    """

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.asked: list[str] = []
        self.url = ""
        self._answer = answer

    @contextlib.asynccontextmanager
    async def running(self, to: int) -> AsyncIterator[Proxy]:
        """Connect whoever asks to this port, whatever name was asked for."""
        self._to = to
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as listener:
            self.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self._answer)
        if b" 200 " not in self._answer:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(_copied(reader, far_writer), _copied(far_reader, writer))


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


HOST = "model-abc.api.baseten.test"


@pytest.fixture
def authority(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """One that plain scripts trust, too."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    return authority


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_a_plain_script_goes_through_the_proxy_of_its_environment(
    name: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    async with serve(ssl=context) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        async with Proxy().running(to=port) as proxy:
            monkeypatch.setenv(name, proxy.url)
            url = f"wss://{HOST}/environments/production/websocket"
            async with STT(model_endpoint=url, api_key=KEY) as stt:
                event = await stt.recognize(frame(SPEECH.pcm), conn_options=ONCE)
        assert event.alternatives[0].text.split() == [word.text for word in SPEECH.words]
    (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT {HOST}:443 ")
    assert KEY not in asked, "the key is for the deployment, inside of TLS"


async def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Proxy(b"HTTP/1.1 407 Log in\r\n\r\n").running(to=0) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:password@"))
        async with STT(model_endpoint=f"wss://{HOST}/websocket", api_key=KEY) as stt:
            error = await refused(stt)
    assert "the proxy refuses the way there with HTTP 407" in error.message
    assert "password" not in repr(error)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8765/websocket", "wss://a.internal/websocket"])
def test_no_proxy_is_asked_where_none_is_wanted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", ".internal")
    assert proxy_for(url) is None
    assert proxy_for(f"wss://{HOST}/websocket") == "http://proxy:3128"
