"""Why a connection was not had or did not last, in a word: one of a few."""

from __future__ import annotations

from .._core.errors import (
    BasetenError,
    ConnectFailed,
    ConnectTimedOut,
    DrainTimedOut,
    HandshakeRefused,
    MetadataRefused,
    ServerFailed,
    SessionLost,
    WrongDialect,
)

_REASONS: dict[type[BasetenError], str] = {
    ConnectTimedOut: "timeout",
    ConnectFailed: "unreachable",
    MetadataRefused: "metadata_refused",
    ServerFailed: "server_failed",
    DrainTimedOut: "no_last_result",
    WrongDialect: "wrong_dialect",
}
_GIVEN_UP = "given_up"
DEFECT = "defect"

# What is frequent: these are there with a zero from the start, see `zeroed`.
FREQUENT_FAILURES = ("401", "429", "503", "timeout", "unreachable")
FREQUENT_LOSSES = ("1001", "1006", "1011", "given_up", "server_failed", "no_last_result")
WORDS = {*_REASONS.values(), _GIVEN_UP, DEFECT}


def reason_of(error: BasetenError) -> str:
    """An HTTP status, a WebSocket close code (1006 where there was none), or a word."""
    if isinstance(error, HandshakeRefused):
        return str(error.status)
    if isinstance(error, SessionLost) and error.given_up:
        return _GIVEN_UP
    if type(error) is SessionLost:
        return str(error.code)
    return _REASONS.get(type(error), DEFECT)
