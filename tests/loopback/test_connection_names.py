"""`stream_id`: the names of connections in a chain's log."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from kit.client import SPEECH, finals, new_stt, transcribed
from kit.loopback import client, serve

from livekit.plugins.baseten.emulator import Connection, Diarizer, Server, faults

NAME = "4f0c1c0e-0000-4000-8000-000000000001"
EXTRA = {"extra_metadata": {"stream_id": NAME}}


def told(server: Server) -> list[str]:
    return [_metadata(connection)["stream_id"] for connection in server.connections]


def _metadata(connection: Connection) -> dict[str, Any]:
    assert connection.metadata is not None
    return connection.metadata


@pytest.mark.parametrize("options", [{"stream_id": NAME}, EXTRA], ids=["option", "metadata"])
async def test_no_two_connections_have_one_name_and_all_can_be_computed(
    options: dict[str, Any],
) -> None:
    async with (
        serve(faults.Reset(after_samples=8000), diarizer=Diarizer()) as server,
        client(server, **options) as stt,
    ):
        stt.prewarm()
        assert len(finals(await transcribed(stt, SPEECH.pcm))) == 2
        await transcribed(stt, SPEECH.pcm)
    derived = [str(uuid.uuid5(uuid.UUID(NAME), str(number))) for number in (1, 2)]
    assert told(server) == [NAME, *derived]


async def test_another_call_may_have_another_name() -> None:
    other = str(uuid.uuid4())
    async with serve(diarizer=Diarizer()) as server, client(server, stream_id=NAME) as stt:
        await transcribed(stt, SPEECH.pcm)
        stt.update_options(stream_id=other)
        await transcribed(stt, SPEECH.pcm)
    assert told(server) == [NAME, other]


@pytest.mark.parametrize("name", ["call 17", "", 17])
def test_a_name_that_no_chain_would_take_is_an_error(name: Any) -> None:
    with pytest.raises(ValueError, match=r"stream_id=.*: must be a UUID"):
        new_stt(stream_id=name)
