"""The shell on loopback: upgrades, records, what a test can do to a connection, and closing."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from livekit.plugins.baseten.emulator import (
    CodedRecognizer,
    Connection,
    ScriptRecognizer,
    Server,
    Word,
    coded_speech,
    faults,
    serve,
)

KEY = {"Authorization": "Api-Key k"}
LOUD = np.ones(512, "<i2").tobytes()
QUIET = bytes(1024)
UTTERANCE = [LOUD, *[QUIET] * 11]


def opening(server: Server, **options: Any) -> connect:
    return connect(
        options.pop("url", server.url),
        additional_headers=options.pop("headers", KEY),
        compression=None,
        ping_interval=None,
        **options,
    )


async def opened(server: Server) -> ClientConnection:
    return await opening(server)


async def say(client: ClientConnection, *frames: str | bytes) -> None:
    for frame in frames:
        await client.send(frame)


async def until_finished(client: ClientConnection) -> list[dict[str, Any]]:
    messages = []
    while True:
        messages.append(json.loads(await client.recv()))
        if messages[-1].get("body") == {"status": "finished"}:
            return messages


async def test_a_call_from_upgrade_to_finished() -> None:
    speech = coded_speech([(512, 4000), (96, 4000)], trailing_samples=512 * 12)
    pcm = speech.pcm + bytes(-len(speech.pcm) % 1024)
    chunks = [pcm[at : at + 1024] for at in range(0, len(pcm), 1024)]
    async with serve() as server, opening(server) as client:
        await say(client, '{"stream_id":null}', *chunks, '{"type":"end_audio"}')
        messages = await until_finished(client)
        assert [m["type"] for m in messages].count("transcription") == 1
        assert any(m.get("segments", [{}])[0].get("text") == speech.text for m in messages)
        (connection,) = server.connections
        assert connection.metadata == {"stream_id": None}
        assert connection.audio == pcm
        assert connection.frames == ['{"stream_id":null}', *chunks, '{"type":"end_audio"}']
        assert connection.frame_sizes == [1024] * len(chunks)
        assert [json.loads(text) for text in connection.sent] == messages
        await client.close(1000, "bye")
        await server.until(lambda: not connection.is_open)
        assert (connection.close_code, connection.close_reason) == (1000, "bye")


async def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"'qwen'.*'whisper' and 'qwen3-asr'"):
        async with serve(model="qwen"):  # type: ignore[arg-type]
            pass


async def test_bad_metadata_closes_1011_without_a_word() -> None:
    async with serve() as server, opening(server) as client:
        await client.send('{"language":"en"}')
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.protocol.close_code == 1011
        assert client.protocol.close_reason == "Internal Server Error (in model/chainlet)."
        await server.until(lambda: not server.connections[0].is_open)
        assert server.connections[0].close_code == 1011
        assert server.connections[0].sent == []


async def test_the_error_of_a_bad_frame_comes_before_the_close() -> None:
    async with serve() as server, opening(server) as client:
        await say(client, "{}", bytes(100))
        assert json.loads(await client.recv())["body"]["recoverable"] is False
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.protocol.close_code == 1000


@pytest.mark.parametrize(
    ("authorization", "api_key", "is_let_in"),
    [
        ("Api-Key anything", None, True),
        ("Bearer anything", None, True),
        ("Bearer k", "k", True),
        ("Api-Key k", "k", True),
        ("Api-Key other", "k", False),
        ("Bearer ", None, False),
        ("Basic abc", None, False),
        ("k", None, False),
        (None, None, False),
    ],
)
async def test_a_key_is_asked_for_before_the_upgrade(
    authorization: str | None, api_key: str | None, is_let_in: bool
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with serve(api_key=api_key) as server:
        if is_let_in:
            async with opening(server, headers=headers):
                pass
            assert server.handshakes[0].status == 101
            return
        with pytest.raises(InvalidStatus) as refused:
            await opening(server, headers=headers)
        response = refused.value.response
        assert response.status_code == 401
        assert json.loads(response.body or b"") == {
            "error": "please check the api-key you provided"
        }
        assert server.handshakes[0].status == 401
        assert server.connections == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/websocket", 101),
        ("/deployment/abc/websocket?x=1", 101),
        ("/websocket", 101),
        ("/", 404),
        ("/environments/production/predict", 404),
    ],
)
async def test_the_path_ends_in_websocket(path: str, status: int) -> None:
    async with serve() as server:
        url = server.url.replace("/environments/production/websocket", path)
        try:
            async with opening(server, url=url):
                pass
        except InvalidStatus as refused:
            assert refused.response.status_code == 404
        assert server.handshakes[0].status == status
        assert server.handshakes[0].path == path
        assert server.handshakes[0].headers["authorization"] == "Api-Key k"


async def test_it_serves_tls() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serve(ssl=context) as server, opening(server, ssl=trusting) as client:
        assert server.url.startswith("wss://127.0.0.1:")
        await say(client, "{}", '{"type":"health_check"}')
        assert json.loads(await client.recv())["body"] == {"healthy": True}
        server.connections[0].reset()
        with pytest.raises(ConnectionClosed):
            await client.recv()


class Failing:
    blocking = False

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[Word]:
        raise RuntimeError("no model")


async def test_a_recognizer_that_fails_costs_the_final_only() -> None:
    async with serve(recognizer=Failing()) as server, opening(server) as client:
        await say(client, "{}", *UTTERANCE, '{"type":"end_audio"}')
        errors = [m["body"] for m in await until_finished(client) if m["type"] == "error"]
        assert [body["error_type"] for body in errors] == ["TRANSCRIPTION_ERROR"]
        assert "RuntimeError: no model" in errors[0]["message"]
        assert errors[0]["recoverable"] is True


class Blocking(CodedRecognizer):
    blocking = True


async def test_a_blocking_recognizer_is_kept_off_the_loop() -> None:
    speech = coded_speech([(512, 4000)], trailing_samples=512 * 12 + 96)
    chunks = [speech.pcm[at : at + 1024] for at in range(0, len(speech.pcm), 1024)]
    async with serve(recognizer=Blocking()) as server, opening(server) as client:
        await say(client, "{}", *chunks, '{"type":"end_audio"}')
        messages = await until_finished(client)
        assert messages[1]["segments"][0]["text"] == "w1"


class Held(CodedRecognizer):
    """Says nothing before it may."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[Word]:
        assert self.may.wait(60)
        return super().recognize(pcm, is_final=is_final)


async def test_health_checks_overtake_slow_recognition_and_finals_do_not() -> None:
    held = Held()
    async with serve(recognizer=held) as server, opening(server) as client:
        await say(client, "{}", *UTTERANCE, *UTTERANCE, '{"type":"health_check"}')
        await say(client, '{"type":"end_audio"}')
        assert [json.loads(await client.recv())["type"] for _ in range(2)] == [
            "health_check",
            "end_audio",
        ]
        held.may.set()
        messages = await until_finished(client)
        kinds = [m.get("transcription_num") or m["type"] for m in messages]
        assert kinds == [1, 2, "end_audio"]


async def test_messages_are_under_way_for_a_while_and_keep_their_order() -> None:
    loop = asyncio.get_running_loop()
    async with serve(delay_s=0.05) as server, opening(server) as client:
        start_s = loop.time()
        await say(client, "{}", '{"type":"health_check"}', '{"type":"end_audio"}')
        messages = await until_finished(client)
        assert [m["type"] for m in messages] == ["health_check", "end_audio", "end_audio"]
        assert loop.time() - start_s >= 0.05


async def test_a_test_can_speak_between_the_messages() -> None:
    async with serve() as server, opening(server) as client:
        connection = await server.wait_for_connection()
        await connection.send('{"type":"news"}')
        assert await client.recv() == '{"type":"news"}'
        assert connection.sent == ['{"type":"news"}']


async def test_a_test_can_close() -> None:
    async with serve() as server, opening(server) as client:
        connection = await server.wait_for_connection()
        await connection.close(1012, "restart")
        assert (client.protocol.close_code, client.protocol.close_reason) == (1012, "restart")
        assert (connection.close_code, connection.close_reason) == (1012, "restart")


async def test_a_test_can_reset() -> None:
    async with serve() as server, opening(server) as client:
        connection = await server.wait_for_connection()
        connection.reset()
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.protocol.close_code == 1006
        await server.until(lambda: not connection.is_open)
        assert connection.close_code == 1006


async def test_a_mute_connection_answers_pings_and_nothing_else() -> None:
    async with serve() as server, opening(server) as client:
        connection = await server.wait_for_connection()
        connection.mute()
        await say(client, "{}", '{"type":"health_check"}')
        await (await client.ping())
        await server.until(lambda: len(connection.frames) == 2)
        assert connection.sent == []


async def test_a_stalled_connection_answers_no_ping_and_reads_nothing() -> None:
    async with serve() as server, opening(server) as client:
        connection = await server.wait_for_connection()
        connection.stall()
        await client.send("{}")
        pong = await client.ping()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pong, 0.05)
        assert connection.frames == []
        assert connection.is_open
        client.transport.abort()


async def test_until_gives_up() -> None:
    async with serve() as server:
        with pytest.raises(TimeoutError, match="still not so"):
            await server.until(lambda: False, timeout_s=0.01)


async def test_connections_stay_in_the_list_in_order() -> None:
    async with serve() as server:
        for n in range(3):
            async with opening(server) as client:
                await client.send(json.dumps({"stream_id": str(n)}))
                connection = await server.wait_for_connection(n + 1)
                await client.send('{"type":"health_check"}')
                await client.recv()
                assert connection.metadata == {"stream_id": str(n)}
        await server.until(lambda: not server.connections[-1].is_open)
        assert [c.metadata for c in server.connections] == [{"stream_id": str(n)} for n in range(3)]


async def test_an_observer_sees_a_connection_come_and_go() -> None:
    events: list[str] = []

    def observer(connection: Connection, event: str) -> None:
        events.append(event)

    async with serve(observer=observer) as server:
        async with opening(server) as client:
            await say(client, "{}", '{"type":"health_check"}')
            await client.recv()
        await server.until(lambda: "closed" in events)
    assert events == ["opened", "received", "received", "sent", "closed"]


async def test_a_server_can_keep_no_records() -> None:
    async with serve(record=False) as server, opening(server) as client:
        await say(client, "{}", *UTTERANCE, '{"type":"end_audio"}')
        await until_finished(client)
        (connection,) = server.connections
        assert (connection.frames, connection.sent, connection.audio) == ([], [], b"")
        assert connection.received_samples == 12 * 512


async def test_a_script_goes_on_over_reconnects() -> None:
    async with serve(recognizer=ScriptRecognizer(["one", "two"])) as server:
        texts = []
        for _ in range(3):
            async with opening(server) as client:
                await say(client, "{}", *UTTERANCE)
                texts.append(json.loads(await client.recv())["segments"][0]["text"])
        assert texts == ["one", "two", ""]


async def test_closing_waits_for_nobody() -> None:
    """Not for a parked handshake, a stalled connection or a request of which half came."""
    loop = asyncio.get_running_loop()
    async with serve(faults.Park(), faults.Stall(), None) as server:
        parked = asyncio.ensure_future(opened(server))
        await server.until(lambda: server.handshakes)
        stalled = await opening(server)
        await stalled.send("{}")
        quiet = await opening(server)
        await quiet.send("{}")
        address = urlsplit(server.url)
        _, half = await asyncio.open_connection(address.hostname, address.port)
        half.write(b"GET / HTTP/1.1\r\n")
        await server.until(lambda: len(server.connections) == 2)
        start_s = loop.time()
    assert loop.time() - start_s < 4  # the close handshake alone would be given 5 s
    with pytest.raises(InvalidStatus):
        await parked
    half.close()
    for client in (stalled, quiet):
        await client.wait_closed()
    assert quiet.protocol.close_code == 1001
