"""What the kit is given and cannot use it refuses: no test passes because nothing happened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from livekit.plugins.baseten.emulator import (
    ScriptedServer,
    Word,
    coded_speech,
    faults,
    utterance,
)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


NO_FAULTS: list[tuple[Any, type[Exception], str]] = [
    (faults.Reset, TypeError, r'faults.Reset is a class .* in words "reset\[@SAMPLES\]"'),
    ([faults.Reset()], TypeError, "several for one connection are a tuple"),
    ((faults.Reset(), faults.Stall), TypeError, "faults.Stall is a class"),
    (503, TypeError, "503 is no fault"),
    ("resett@3000", ValueError, "resett@3000: there is none of this name; use none, refuse"),
    ("reset@often", ValueError, "'often' is not a whole number"),
]


@pytest.mark.parametrize(("given", "kind", "told"), NO_FAULTS)
def test_what_is_no_fault_is_refused_where_it_is_given(
    server: ScriptedServer, given: Any, kind: type[Exception], told: str
) -> None:
    takers: list[Callable[[Any], object]] = [server.fail_next, ScriptedServer]
    if not isinstance(given, tuple):
        takers.append(server.fail_now)
    for take in takers:
        with pytest.raises(kind, match=told):
            take(given)
    assert server.pending == []


def test_the_words_of_the_command_line_are_taken_for_what_they_say() -> None:
    with ScriptedServer("duplicate+reset@9", "none") as server:
        server.fail_next("reset@3000", ("duplicate", faults.Close(1012)))
        assert server.pending == [
            (faults.Duplicate(), faults.Reset(9)),
            faults.Reset(3000),
            (faults.Duplicate(), faults.Close(1012)),
        ]


untyped: Any = faults  # as it is to whoever has no type checker


@pytest.mark.parametrize(
    ("make", "kind", "told"),
    [
        (lambda: untyped.Reset("3000"), TypeError, "Reset: after_samples='3000' is no int"),
        (lambda: untyped.Reset(-1), ValueError, "after_samples=-1 is out of range"),
        (lambda: untyped.Refuse("503"), TypeError, "Refuse: status='503' is no int"),
        (lambda: untyped.Park("2"), TypeError, "Park: seconds='2' is no"),
        (lambda: untyped.ErrorShape("there"), TypeError, "ErrorShape: place='there' is no Literal"),
        (lambda: untyped.Rewrite("x"), TypeError, "Rewrite: function='x' is no"),
        (lambda: untyped.Error(recoverable="yes"), TypeError, "recoverable='yes' is no bool"),
        (lambda: untyped.SlowReading(float("nan")), ValueError, "out of range"),
    ],
)
def test_a_fault_with_a_wrong_value_is_none(
    make: Callable[[], Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        make()


def calling(server: ScriptedServer) -> ClientConnection:
    return connect(
        server.url, additional_headers={"Authorization": "Api-Key any"}, compression=None
    )


@pytest.mark.parametrize(
    "fault",
    [
        faults.Reset(16_000),
        faults.FailTranscription(2),
        faults.Duplicate(),
        faults.ErrorShape("error"),
        faults.Hallucination(),
        faults.NeverFinish(),
        faults.NeverAcknowledge(),
        faults.SlowRecognition(0.1),
        faults.RejectMetadata(),
        (faults.Refuse(503), faults.Reset()),
    ],
    ids=str,
)
def test_a_fault_without_its_occasion_has_not_struck(fault: faults.Entry) -> None:
    with ScriptedServer(fault) as server:
        try:
            with calling(server):
                pass
        except Exception:  # noqa: BLE001 - refused
            assert isinstance(fault, tuple)
        named = fault[1] if isinstance(fault, tuple) else fault
        with pytest.raises(AssertionError) as failed:
            server.assert_struck()
        assert f"not struck: [{named}]" in str(failed.value)


def test_a_fault_has_struck_when_it_has_changed_something() -> None:
    plan = (faults.FailTranscription(2), faults.Duplicate(), faults.NeverFinish())
    with ScriptedServer(plan) as server:
        server.hear("hello")
        with calling(server) as socket:
            socket.send("{}")
            heard(socket, utterance(0.512))
            assert server.pending == [faults.FailTranscription(2), faults.NeverFinish()]
            heard(socket, utterance(0.512))
            socket.send('{"type": "end_audio"}')
            with pytest.raises(TimeoutError):
                while True:
                    socket.recv(timeout=0.2)
        server.assert_struck()


def heard(socket: ClientConnection, sound: bytes) -> None:
    """Say it, and wait for its final or the error in its place."""
    pcm = sound + bytes(1024 * 20)
    for at in range(0, len(pcm), 1024):
        socket.send(pcm[at : at + 1024])
    while not (message := json.loads(socket.recv(timeout=10))).get("is_final", "body" in message):
        pass


def test_no_fault_at_all_is_none_that_has_struck(server: ScriptedServer) -> None:
    with pytest.raises(AssertionError, match="no fault was planned"):
        server.assert_struck()


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda s: s.hear(b"hello"), TypeError, "what is heard is text, or a list"),
        (lambda s: s.hear(["hello"]), TypeError, "what is heard is text, or a list"),
        (lambda s: s.hear("hello", partials="hel"), TypeError, "partials='hel': a list of str"),
        (lambda s: s.hear("hello", after_s="1"), TypeError, "after_s='1': a number"),
        (lambda s: s.hear("hello", confidence=95), ValueError, "confidence=95: out of range"),
        (lambda s: s.hear("hello", speaker="A"), ValueError, "diarizer=True"),
        (lambda s: s.hear([Word("a", 0, 1, speaker="A")]), ValueError, "diarizer=True"),
        (lambda s: s.assert_asked(), TypeError, "asks nothing"),
        (lambda s: s.connections[0].messages("end_audoi"), ValueError, "end_audio, health_check"),
    ],
)
def test_what_would_do_nothing_is_refused(
    server: ScriptedServer, call: Callable[[Any], object], kind: type[Exception], told: str
) -> None:
    with calling(server) as socket:
        socket.send("{}")
        asyncio.run(server.until(lambda: server.connections))
        with pytest.raises(kind, match=told):
            call(server)


async def test_waiting_sees_what_no_frame_changes(server: ScriptedServer) -> None:
    over: list[bool] = []
    asyncio.get_running_loop().call_later(0.1, over.append, True)
    await server.until(lambda: over)


async def test_waiting_takes_nothing_that_is_always_true(server: ScriptedServer) -> None:
    async def is_so() -> bool:
        return False

    for given in (True, is_so, lambda: is_so()):
        with pytest.raises(TypeError, match="function is needed"):
            await server.until(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"port": -1}, {"host": "no.such.host.invalid"}])
def test_a_server_that_cannot_start_says_why_at_once(options: dict[str, Any]) -> None:
    with pytest.raises((OSError, OverflowError)), ScriptedServer(**options):
        pass


@pytest.mark.parametrize("options", [{"diarizer": True}, {"runtime": "0.4"}])
def test_what_qwen3_asr_does_not_have_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="qwen3-asr has none"):
        ScriptedServer(model="qwen3-asr", **options)


@pytest.mark.parametrize("layout", ["hello", [1, 2]])
def test_coded_speech_says_how_it_is_written(layout: Any) -> None:
    with pytest.raises(TypeError, match=r"words are w1, w2 and so on.*coded_speech\(\[\(8_000"):
        coded_speech(layout)
    with pytest.raises(ValueError, match="silence before a word of 0 samples or more"):
        coded_speech([(-1, 4_000)])
