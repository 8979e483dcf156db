"""Errors in LiveKit's words."""

from __future__ import annotations

from livekit.agents import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
)

from .._core.errors import (
    BasetenError,
    ConnectFailed,
    ConnectTimedOut,
    HandshakeRefused,
    LocalProtocolError,
    SessionLost,
)
from .._core.retries import rule_for

# What an HTTP status means at Baseten (docs/protocol.md, handshake failures). What the answer says
# itself is put behind it: a status has more than one cause, and a proxy has statuses too.
_HANDSHAKE_HINTS = {
    400: "check the path, which ends in /websocket, and that the deployment is active",
    401: "the API key is missing or invalid: check api_key or BASETEN_API_KEY",
    402: "the Baseten account has a billing problem",
    403: "the API key may not use this deployment, or something on the way forbids it: check "
    "api_key or BASETEN_API_KEY",
    404: "no such model, deployment or environment: check model_endpoint",
    408: "no replica took the connection in time",
    429: "the deployment is at its capacity",
    500: "the model failed to start or to answer, or waited too long for its place",
    502: "the model, or something on the way to it, cannot be reached; it may be starting",
    503: "the model is unavailable; it may be starting, draining or paused",
    504: "no replica was ready in time; a model that sleeps takes minutes to wake: see "
    "cold_start_timeout and prewarm()",
}


def to_api_error(error: BasetenError) -> APIError:
    """LiveKit's name for ``error``, and whether trying again can help."""
    message, retryable = str(error), rule_for(error).is_retried
    if isinstance(error, HandshakeRefused):
        return APIStatusError(
            f"Baseten refused the connection with HTTP {error.status}: {_refusal(error)}",
            status_code=error.status,
            body=error.said or None,
            retryable=retryable,
        )
    if isinstance(error, ConnectTimedOut):
        return APITimeoutError(
            f"Baseten: {message}. A model that sleeps holds the handshake until it is awake: see "
            "cold_start_timeout and prewarm()"
        )
    if isinstance(error, ConnectFailed):
        return APIConnectionError(f"Baseten cannot be reached: {message}", retryable=retryable)
    if isinstance(error, SessionLost):
        if error.code == 1003:
            message += ": the deployment takes no WebSockets; is it a streaming model?"
        return APIConnectionError(f"Baseten: {message}", retryable=retryable)
    if isinstance(error, LocalProtocolError):
        return APIError(f"{type(error).__name__}: {message}", retryable=retryable)
    return APIError(f"Baseten: {message}", retryable=retryable)


def _refusal(error: HandshakeRefused) -> str:
    hint = "a status that Baseten's documentation does not have"
    hint = _HANDSHAKE_HINTS.get(error.status, hint)
    if error.location:
        hint = (
            f"it sends the connection on to {error.location}, where the API key is not sent; if "
            "that is the right address, put it into model_endpoint"
        )
    elif error.status < 400:
        hint = "the URL answers plain HTTP and is no WebSocket: is it a streaming model?"
    if error.said:
        hint += f". The answer says: {error.said}"
    if error.retry_after_s:
        hint += f". It asks to wait for {error.retry_after_s:.3g} s"
    return hint
