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

# What to check, by HTTP status of the refused handshake (docs/protocol.md, handshake failures).
_HANDSHAKE_HINTS = {
    400: "the URL is not right for a WebSocket; it must end in /websocket",
    401: "the API key is missing or invalid: check api_key or BASETEN_API_KEY",
    402: "the Baseten account has a billing problem",
    403: "the API key may not use this deployment: check api_key or BASETEN_API_KEY",
    404: "no such model, deployment or environment: check model_endpoint",
    408: "no replica took the connection in time",
    429: "the deployment is at its capacity",
    500: "the model failed to start or to answer",
    502: "the model cannot be reached; it may be starting",
    503: "the model is unavailable; it may be starting or draining",
    504: "no replica was ready in time; a model that sleeps takes minutes to wake: see "
    "cold_start_timeout and prewarm()",
}


def to_api_error(error: BasetenError) -> APIError:
    """LiveKit's name for ``error``, and whether trying again can help."""
    message, retryable = str(error), rule_for(error).is_retried
    if isinstance(error, HandshakeRefused):
        hint = _HANDSHAKE_HINTS.get(error.status, message)
        if error.status < 400:
            hint = "the URL answers plain HTTP and is no WebSocket: is it a streaming model?"
        return APIStatusError(
            f"Baseten refused the connection with HTTP {error.status}: {hint}",
            status_code=error.status,
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
