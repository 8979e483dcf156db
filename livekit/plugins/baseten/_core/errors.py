"""What can go wrong between a stream and its deployment, each named for what happened.

    BasetenError
    +-- LocalProtocolError   we asked for what the protocol forbids: a bug here, never retried
    +-- UnreadableFrame      one message that is no frame; the session skips it
    +-- ConnectFailed        no connection: refused, reset, no such host, bad certificate
    +-- ConnectTimedOut      no answer to the handshake in time
    +-- HandshakeRefused     an HTTP status instead of a WebSocket
    +-- MetadataRefused      closed before it took any audio
    +-- WrongDialect         the deployment speaks another protocol than the one configured
    +-- ServerFailed         an error frame after which the server gives up
    +-- SessionLost          the connection ended before its work was done, or went silent
        +-- DrainTimedOut    the last result never came

The core raises and returns these; `_speech.to_api_error` alone turns them into LiveKit's, so the
retry policy has one address.
"""

from __future__ import annotations


class BasetenError(Exception):
    """Base of every error of this package's core."""


class LocalProtocolError(BasetenError):
    pass


class UnreadableFrame(BasetenError):
    pass


class ConnectFailed(BasetenError):
    """
    Attributes:
        permanent: Trying again would fail the same way (a certificate that does not verify).
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class ConnectTimedOut(BasetenError):
    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"no answer to the WebSocket handshake within {timeout_s:.3g} s")
        self.timeout_s = timeout_s


class HandshakeRefused(BasetenError):
    """
    Attributes:
        status: HTTP status of the failed upgrade.
        retry_after_s: What the server's ``Retry-After`` asked for, or 0.
    """

    def __init__(self, status: int, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class MetadataRefused(BasetenError):
    """
    Attributes:
        permanent: It happened before with the same metadata.
    """

    def __init__(self, code: int, reason: str, *, sent: str, permanent: bool = False) -> None:
        super().__init__(
            f"the deployment closed the connection before taking any audio (code {code}"
            + (f", {reason!r}" if reason else "")
            + "), as it does when it rejects the metadata; sent were: "
            + sent
        )
        self.code = code
        self.permanent = permanent


class WrongDialect(BasetenError):
    pass


class ServerFailed(BasetenError):
    """
    Attributes:
        error_type: ``body.error_type`` of the error frame, or "".
        permanent: Sending the same again would fail the same way.
    """

    def __init__(self, error_type: str, message: str, *, permanent: bool = False) -> None:
        super().__init__(f"{error_type or 'error'}: {message}")
        self.error_type = error_type
        self.permanent = permanent


# RFC 6455 section 7.4.1: the peer objects to what was sent and not to when.
_PERMANENT_CLOSE_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 1010})


class SessionLost(BasetenError):
    """
    Attributes:
        code: WebSocket close code; 1006 where there was no close frame.
        permanent: Another connection would end the same way.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.permanent = code in _PERMANENT_CLOSE_CODES

    def __str__(self) -> str:
        detail = f": {self.reason}" if self.reason else ""
        return f"connection lost (close code {self.code}){detail}"


class DrainTimedOut(SessionLost):
    """The end of audio was asked for and the last result did not come.

    Attributes:
        acknowledged: The server had confirmed the end.
    """

    def __init__(self, waited_s: float, *, acknowledged: bool) -> None:
        super().__init__(1006, f"no last result within {waited_s:.1f} s of the end of the audio")
        self.acknowledged = acknowledged
