"""What can go wrong between a stream and its deployment, each named for what happened.

    BasetenError
    +-- LocalProtocolError   this package did what the protocol forbids: a defect, never retried
    +-- UnreadableFrame      one message that is no frame; the session skips it
    +-- ConnectFailed        no connection: refused, reset, no such host, bad certificate
    +-- ConnectTimedOut      no answer to the handshake in time
    +-- HandshakeRefused     an HTTP status instead of a WebSocket
    +-- MetadataRefused      closed before it took any audio
    +-- WrongDialect         the deployment speaks another protocol than the one configured
    +-- ServerFailed         an error frame after which the server gives up
    +-- SessionLost          the connection ended before its work was done, or went silent
        +-- DrainTimedOut    the last result never came

An error is a value: what is known of it is given when it is made. Which errors are retried says
`retries`; LiveKit is told of them by `_livekit/api_errors`, and by nothing else.
"""

from __future__ import annotations

from typing import Final


class BasetenError(Exception):
    """Base of every error of this package's core."""


class LocalProtocolError(BasetenError):
    pass


class UnreadableFrame(BasetenError):
    pass


class ConnectFailed(BasetenError):
    """
    Attributes:
        permanent: Another attempt would fail the same way (a certificate that does not verify).
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent: Final = permanent


class ConnectTimedOut(BasetenError):
    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"no answer to the WebSocket handshake within {timeout_s:.3g} s")
        self.timeout_s: Final = timeout_s


class HandshakeRefused(BasetenError):
    """
    Attributes:
        status: HTTP status of the failed upgrade.
        said: What the answer says, in one short line without secrets; "" if nothing.
        location: Where a redirect points to.
        retry_after_s: What the server's ``Retry-After`` asked for, or 0.
    """

    def __init__(
        self, status: int, *, said: str = "", location: str = "", retry_after_s: float = 0.0
    ) -> None:
        super().__init__(f"HTTP {status}")
        self.status: Final = status
        self.said: Final = said
        self.location: Final = location
        self.retry_after_s: Final = retry_after_s


class MetadataRefused(BasetenError):
    """
    Attributes:
        code: WebSocket close code.
        reason: The text of the close frame.
        sent: The metadata, as far as it may be shown.
        permanent: It happened before with the same metadata.
    """

    def __init__(self, code: int, reason: str, *, sent: str, permanent: bool = False) -> None:
        super().__init__(
            f"the deployment closed the connection before taking any audio (code {code}"
            + (f", {reason!r}" if reason else "")
            + "), as it does when it rejects the metadata; sent were: "
            + sent
        )
        self.code: Final = code
        self.reason: Final = reason
        self.sent: Final = sent
        self.permanent: Final = permanent

    def as_permanent(self) -> MetadataRefused:
        return MetadataRefused(self.code, self.reason, sent=self.sent, permanent=True)


class WrongDialect(BasetenError):
    pass


class ServerFailed(BasetenError):
    """
    Attributes:
        error_type: ``body.error_type`` of the error frame, or "".
        permanent: The same audio would fail the same way.
    """

    def __init__(self, error_type: str, message: str, *, permanent: bool = False) -> None:
        super().__init__(f"{error_type or 'error'}: {message}")
        self.error_type: Final = error_type
        self.permanent: Final = permanent


_NO_CLOSE_FRAME = 1006


class SessionLost(BasetenError):
    """
    Attributes:
        code: WebSocket close code; 1006 where there was no close frame.
        reason: The text of that frame, or what is known instead.
        given_up: This side has ended it: no sign of life, or a result that never came.
    """

    def __init__(self, code: int, reason: str = "", *, given_up: bool = False) -> None:
        super().__init__(code, reason)
        self.code: Final = code
        self.reason: Final = reason
        self.given_up: Final = given_up

    def __str__(self) -> str:
        detail = f": {self.reason}" if self.reason else ""
        if self.code == _NO_CLOSE_FRAME:  # no server has said that
            return f"connection lost{detail}"
        return f"connection lost (close code {self.code}){detail}"


class DrainTimedOut(SessionLost):
    """The end of audio was asked for and the last result did not come.

    Attributes:
        acknowledged: The server had confirmed the end.
    """

    def __init__(self, waited_s: float, *, acknowledged: bool) -> None:
        super().__init__(1006, f"no last result within {waited_s:.1f} s of the end of the audio")
        self.acknowledged: Final = acknowledged
