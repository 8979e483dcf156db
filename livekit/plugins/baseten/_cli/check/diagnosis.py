"""What is wrong with a deployment, and what to do about it: each in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from livekit.agents import APIError

from ..._core.errors import (
    ConnectFailed,
    ConnectTimedOut,
    HandshakeRefused,
    MetadataRefused,
    ServerFailed,
    SessionLost,
    WrongDialect,
)
from ..deployment import in_options

Reason = Literal[
    "network", "tls", "no_answer", "full", "key", "not_found", "http", "metadata", "protocol",
    "lost", "model", "no_transcript", "wrong_words", "far", "no_interims", "slow", "busy_here",
    "hung", "other",
]  # fmt: skip
"""Why a deployment is not right, in a word: for those who count."""

REASONS: tuple[Reason, ...] = get_args(Reason)

# It hears, and a voice agent would suffer.
DEGRADED: frozenset[Reason] = frozenset({"far", "no_interims", "slow", "busy_here"})

# What a voice agent can do with. Of an answer that a caller finds quick, about a second, most
# belongs to the language model and the voice.
FAR_S = 0.12  # a round trip; within a continent it is below
FIRST_INTERIM_S = 1.2  # later, and the agent talks on after it was interrupted
FINAL_S = 1.5  # with 0.35 of it the silence that the server waits for by default
FLUSH_S = 0.7
BUSY_S = 0.1  # so late is no machine with its audio that has nothing else to do
SLOW_CONNECT_S = 1.0
ASLEEP_S = 3.0  # who takes this long to answer a handshake was not awake

# The upgrade was refused because there is no room or no replica yet (docs/protocol.md, handshake
# failures).
_WAITING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


@dataclass
class Measured:
    """In seconds; `None` where it did not come so far.

    Attributes:
        round_trip_s: To connect a TCP socket.
        connect_s: From nothing to a WebSocket whose metadata is accepted.
        woke_s: The same for the first connection, where the model was asleep.
        first_interim_s: From the start of speech.
        final_s: From the last word, the server finding the end by itself.
        flush_s: From `flush()`.
        late_s: By how much this machine was too late with its own audio, at the most.
        is_here: The deployment is on this machine.
    """

    round_trip_s: float | None = None
    connect_s: float | None = None
    woke_s: float | None = None
    first_interim_s: float | None = None
    final_s: float | None = None
    flush_s: float | None = None
    late_s: float = 0.0
    is_here: bool = False


def unsuitable(measured: Measured) -> dict[Reason, str]:
    """What a voice agent would suffer from, each with what to change; empty if it is right."""
    out: dict[Reason, str] = {}
    round_trip_s = measured.round_trip_s or 0.0
    if round_trip_s > FAR_S:
        out["far"] = (
            f"it is far away ({round_trip_s:.2f} s a round trip): run the agent and the deployment "
            "in one region"
        )
    if measured.first_interim_s is None:
        out["no_interims"] = (
            "it sends no partial transcripts, so an agent notices interruptions late: deploy a "
            "model that streams them"
        )
    slow = [
        f"{what} took {seconds:.2f} s"
        for what, seconds, limit_s in (
            ("the first interim", measured.first_interim_s, FIRST_INTERIM_S),
            ("the final", measured.final_s, FINAL_S),
            ("the answer to flush()", measured.flush_s, FLUSH_S),
        )
        if seconds is not None and seconds - round_trip_s > limit_s
    ]
    if slow:
        reason: Reason = "busy_here" if measured.late_s > BUSY_S else "slow"
        out[reason] = f"it is slow ({', '.join(slow)}): {_remedy(measured)}"
    return out


def _remedy(measured: Measured) -> str:
    if measured.late_s > BUSY_S:
        return _busy(measured)
    if measured.is_here:
        return "it runs on this machine and is as fast as that is; a deployment has a GPU"
    return "give it a faster GPU, or fewer calls to a replica by a lower concurrency target"


def where_to_look(measured: Measured) -> str:
    """What to do where an answer did not come in time."""
    if measured.late_s > BUSY_S:
        return _busy(measured)
    return "look at the deployment's logs on Baseten, and whether it has too many calls"


def _busy(measured: Measured) -> str:
    return (
        f"but this machine is busy, and was {measured.late_s:.2f} s late with its own audio; "
        "try again when it has time"
    )


def notes(measured: Measured) -> list[str]:
    """What is right and still worth knowing."""
    out: list[str] = []
    if measured.woke_s is not None:
        out.append(
            f"It was asleep, or starting, for {measured.woke_s:.0f} s: a minimum of 1 replica keeps"
            " it awake; else give STT a cold_start_timeout and call prewarm()."
        )
    elif measured.connect_s is not None and measured.connect_s > SLOW_CONNECT_S:
        out.append(
            f"Connecting takes {measured.connect_s:.1f} s: call prewarm() when a call comes in."
        )
    return out


def failed_step(cause: BaseException | None) -> tuple[str, str]:
    """Which step of a connection it is the failure of, and how in a few words."""
    if isinstance(cause, HandshakeRefused):
        step = "key" if cause.status in (401, 402, 403) else "handshake"
        return step, f"HTTP {cause.status}"
    if isinstance(cause, ConnectTimedOut):
        return "handshake", f"no answer within {cause.timeout_s:.3g} s"
    if isinstance(cause, MetadataRefused):
        return "metadata", f"refused with code {cause.code}"
    if isinstance(cause, WrongDialect):
        return "protocol", "another than expected"
    if isinstance(cause, ServerFailed):
        return "model", "gave up"
    if isinstance(cause, SessionLost):
        return "connection", f"lost with code {cause.code}"
    return "connection", "failed"


def reason_of(cause: BaseException | None) -> Reason:
    """The same, in a word."""
    if isinstance(cause, HandshakeRefused):
        return _reason_of_status(cause.status)
    kinds: dict[type[BaseException], Reason] = {
        ConnectTimedOut: "no_answer",
        ConnectFailed: "network",
        MetadataRefused: "metadata",
        WrongDialect: "protocol",
        ServerFailed: "model",
        SessionLost: "lost",
    }
    return next((reason for kind, reason in kinds.items() if isinstance(cause, kind)), "other")


def _reason_of_status(status: int) -> Reason:
    if status in (401, 402, 403):
        return "key"
    if status in (400, 404):
        return "not_found"
    if status in _WAITING_STATUSES:
        return "full"
    return "protocol" if status < 400 else "http"


def explained(error: APIError, cause: BaseException | None, *, url: str, wait_s: float) -> str:
    """What LiveKit's users are told, and what to do about it from here, in one line.

    Args:
        cause: What ``error`` was before it was put into LiveKit's words.
    """
    told = in_options(error.message.rstrip("."))
    if isinstance(cause, HandshakeRefused):
        return told + _refused(cause.status, url, wait_s)
    if isinstance(cause, (SessionLost, ServerFailed)) and error.retryable:
        return f"{told}. If it happens again, look at the deployment's logs on Baseten"
    return told


def _refused(status: int, url: str, wait_s: float) -> str:
    if status in (400, 404) and not urlsplit(url).path.endswith("/websocket"):
        return f". The path of {url} does not end in /websocket"
    if status == 404:
        return f". The endpoint is {url}"
    if status in _WAITING_STATUSES:
        return (
            f". Tried for {wait_s:g} s: wait longer with --wait 600, end other calls, or allow "
            "more replicas"
        )
    if status < 400:
        return " In Baseten's model library their names say (Streaming)"
    return ""


def reported(warnings: Sequence[str]) -> str:
    """What the server said last about its own trouble, to be put behind a sentence."""
    if not warnings:
        return ""
    is_about_words = "align" in warnings[-1] or "word_timestamp" in warnings[-1]
    hint = " To do without words' times: show_word_timestamps=False" * is_about_words
    return f" It reported: {warnings[-1]}.{hint}"
