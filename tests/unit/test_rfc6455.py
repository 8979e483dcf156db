"""WebSocket frames as the library `websockets` has them, and frames that nobody may send."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from livekit.plugins.baseten._connection import rfc6455
from livekit.plugins.baseten._connection.rfc6455 import Reader, Violation

MOST_BYTES = 1 << 20

SIZES = st.sampled_from([0, 1, 2, 3, 4, 5, 125, 126, 127, 1024, 65_535, 65_536])
PAYLOADS = SIZES.flatmap(
    lambda size: st.binary(min_size=min(size, 16), max_size=16).map(
        lambda seed: (seed * (size // max(1, len(seed)) + 1))[:size]
    )
)


@given(PAYLOADS, st.sampled_from([rfc6455.TEXT, rfc6455.BINARY]))
def test_a_strict_server_reads_what_is_framed(payload: bytes, kind: int) -> None:
    peer = Protocol(Side.SERVER, state=State.OPEN)
    peer.receive_data(rfc6455.framed(kind, payload))
    [frame] = peer.events_received()
    assert isinstance(frame, Frame)
    assert (int(frame.opcode), bytes(frame.data), frame.fin) == (kind, payload, True)
    assert peer.parser_exc is None


@given(PAYLOADS, st.binary(min_size=4, max_size=4))
def test_whoever_masks_the_mask_is_that_of_the_standard(payload: bytes, key: bytes) -> None:
    ours, others = bytearray(payload), bytearray(payload)
    rfc6455.mask(key, ours)
    rfc6455._mask(key, others)
    assert ours == others == bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def test_no_two_frames_have_the_same_mask() -> None:
    frames = {rfc6455.framed(rfc6455.BINARY, b"the same") for _ in range(50)}
    assert len(frames) == 50


def from_server(kind: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode(kind), payload, fin).serialize(mask=False)


def fragmented(kind: int, payload: bytes, parts: int) -> Iterator[bytes]:
    """With a ping between them."""
    step = len(payload) // parts + 1
    cuts = [payload[at : at + step] for at in range(0, max(1, len(payload)), step)]
    for i, cut in enumerate(cuts):
        if i:
            yield from_server(rfc6455.PING, b"%d" % i)
        yield from_server(kind if i == 0 else 0, cut, fin=i == len(cuts) - 1)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(PAYLOADS, st.sampled_from([1, 2]), st.integers(1, 4)), max_size=5),
    st.integers(1, 70_000),
)
def test_messages_come_out_whole_however_they_come_in(
    messages: list[tuple[bytes, int, int]], piece: int
) -> None:
    wire = b"".join(b"".join(fragmented(kind, p, parts)) for p, kind, parts in messages)
    piece = max(piece, len(wire) // 500)
    reader = Reader(MOST_BYTES)
    got: list[tuple[int, bytes]] = []
    for at in range(0, len(wire), piece):
        got += reader.feed(wire[at : at + piece])
    assert [each for each in got if each[0] != rfc6455.PING] == [(k, p) for p, k, _ in messages]


ODD = {
    "compressed": (1002, bytes([0xC1, 1, 0])),
    "another reserved bit": (1002, bytes([0xA1, 1, 65])),
    "and the last": (1002, bytes([0x91, 1, 65])),
    "an unknown kind of data": (1002, bytes([0x83, 1, 65])),
    "an unknown control frame": (1002, bytes([0x8B, 1, 65])),
    "masked": (1002, rfc6455.framed(rfc6455.TEXT, b"hello")),
    "a long ping": (1002, bytes([0x89, 126, 0, 126]) + bytes(126)),
    "a ping in fragments": (1002, bytes([0x09, 1, 65])),
    "a rest of nothing": (1002, bytes([0x80, 1, 65])),
    "a message within another": (1002, bytes([0x01, 1, 65, 0x81, 1, 66])),
    "too long": (1009, bytes([0x82, 127]) + struct.pack("!Q", MOST_BYTES + 1)),
    "of an impossible length": (1009, bytes([0x82, 127]) + struct.pack("!Q", 2**64 - 1)),
    "too long in fragments": (
        1009,
        from_server(2, bytes(MOST_BYTES), fin=False) + from_server(0, b"1"),
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_what_nobody_may_send_is_refused_and_what_came_before_is_not(what: str) -> None:
    code, wire = ODD[what]
    got = []
    with pytest.raises(Violation) as e:
        for message in Reader(MOST_BYTES).feed(from_server(1, b"before") + wire):
            got.append(message)
    assert e.value.code == code
    assert got == [(1, b"before")]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_a_close_says_why(code: int) -> None:
    assert rfc6455.close_reason(struct.pack("!H", code) + "für heute".encode()) == (
        code,
        "für heute",
    )


def test_a_close_may_say_nothing() -> None:
    assert rfc6455.close_reason(b"") == (1005, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_a_close_cannot_say_anything(code: int) -> None:
    with pytest.raises(Violation, match="impossible"):
        rfc6455.close_reason(struct.pack("!H", code))


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xe8\xff"], ids=["half a code", "no text"])
def test_a_close_that_makes_no_sense_is_a_violation(payload: bytes) -> None:
    with pytest.raises(Violation):
        rfc6455.close_reason(payload)


def test_the_longest_message_is_joined_in_linear_time() -> None:
    """Each piece is looked at a few times, not once for each piece after it."""
    size = 16 << 20
    reader = Reader(size)
    wire = from_server(2, bytes(size))
    got: list[tuple[int, bytes]] = []
    for at in range(0, len(wire), 4096):
        got += reader.feed(wire[at : at + 4096])
    assert [len(payload) for _, payload in got] == [size]
