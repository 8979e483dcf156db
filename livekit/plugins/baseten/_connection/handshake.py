"""The upgrade to a WebSocket, and why there is none, by name.

The key goes to the endpoint and nowhere else: a redirect is an answer, and is not followed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import math
import os
import re
import ssl
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import aiohttp

from .._core.errors import BasetenError, ConnectFailed, ConnectTimedOut, HandshakeRefused
from .timeout import timeout

# Of a refusal's body so much is read, for so long, and so much is shown.
_READ_BYTES, _READ_S, _SHOWN_CHARACTERS = 4096, 1.0, 200

# `timeout_s` is the bound. That of the session, often five minutes, would end a longer handshake.
_UNBOUNDED = aiohttp.ClientTimeout(total=None)

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455


async def upgraded(
    http: aiohttp.ClientSession, url: str, headers: Mapping[str, str], *, timeout_s: float
) -> aiohttp.ClientResponse:
    """The answer to an upgrade, with the connection that is a WebSocket now.

    Raises:
        HandshakeRefused: The server answered with an HTTP status.
        ConnectTimedOut: It did not answer in time.
        ConnectFailed: It could not be reached.
    """
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }
    try:
        async with timeout(timeout_s):
            response = await http.get(
                url,
                headers={**headers, **upgrade},
                allow_redirects=False,
                read_until_eof=False,
                raise_for_status=False,
                timeout=_UNBOUNDED,
            )
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError, RuntimeError, ValueError) as e:
        error = _named(e, timeout_s)
    else:
        if _is_upgraded(response, key):
            return response
        said = _first_line(await _body(response))
        response.close()
        secret = headers.get("Authorization", "").rpartition(" ")[2]
        error = _refused(response, url, _without_secrets(said, secret))
    raise error  # out here: the original, which holds the key, is not even its context


def _is_upgraded(response: aiohttp.ClientResponse, key: str) -> bool:
    accept = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
    given = response.headers
    return (
        response.status == 101
        and given.get("Upgrade", "").lower() == "websocket"
        and given.get("Connection", "").lower() == "upgrade"
        and given.get("Sec-WebSocket-Accept") == accept
    )


async def _body(response: aiohttp.ClientResponse) -> bytes:
    with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError, OSError):
        async with timeout(_READ_S):
            return await response.content.read(_READ_BYTES)
    return b""


def _refused(response: aiohttp.ClientResponse, url: str, said: str) -> HandshakeRefused:
    to = response.headers.get("Location", "")
    return HandshakeRefused(
        response.status,
        said=said,
        location=_without_secrets(urljoin(url, to), "") if to else "",
        retry_after_s=retry_after_s(response.headers),
    )


def _named(error: Exception, timeout_s: float) -> BasetenError:
    if isinstance(error, asyncio.TimeoutError):
        return ConnectTimedOut(timeout_s)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return ConnectFailed(f"the proxy refuses the way there with HTTP {error.status}")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return _unreachable(f"the proxy {error.host}, port {error.port}", error.os_error)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ConnectFailed(
            f"the certificate of {error.host} does not verify: {error.certificate_error}",
            permanent=True,
        )
    if isinstance(error, aiohttp.InvalidURL):
        return ConnectFailed(f"not a URL that can be connected to: {error}", permanent=True)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ConnectFailed(f"there is no host {error.host}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unreachable(f"{error.host}, port {error.port}", error.os_error)
    return ConnectFailed(f"{type(error).__name__}: {error}")


def _unreachable(where: str, error: OSError) -> ConnectFailed:
    if isinstance(error, ssl.SSLError):  # whose number is none of the system's
        why = error.reason or str(error)
        return ConnectFailed(f"{where}: the TLS handshake failed ({why}): is it ws:// there?")
    why = os.strerror(error.errno).lower() if error.errno else str(error)
    if not why:
        return ConnectFailed(f"{where}: closed in the TLS handshake: is it ws:// there?")
    return ConnectFailed(f"{where}: {why}")


def retry_after_s(headers: Mapping[str, str]) -> float:
    """What ``Retry-After`` asks for, be it in seconds or a time of day; 0 for anything else."""
    asked = headers.get("Retry-After", "").strip()
    with contextlib.suppress(ValueError):
        seconds = float(asked)
        return seconds if 0 < seconds < math.inf else 0.0
    until = _time_of(asked)
    # By the server's own clock, if it tells it.
    now = _time_of(headers.get("Date", "")) or datetime.now(timezone.utc)
    return 0.0 if until is None else max(0.0, (until - now).total_seconds())


def _time_of(text: str) -> datetime | None:
    """An HTTP date, of any of its three forms."""
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


# What a refusal says


def _first_line(body: bytes) -> str:
    """What the body of a refusal says in one line: its message, its title or its first line."""
    text = body.decode("utf-8", "replace").strip()
    if title := re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S):
        return f"a page with the title {' '.join(title[1].split())!r}, perhaps a proxy's"
    if re.match(r"<(!doctype|html)", text, re.I):
        return "a page of HTML, perhaps a proxy's"
    if message := _message_in(text):
        text = message
    return text.partition("\n")[0].strip()


def _message_in(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    return found if isinstance(found, str) else ""


def _without_secrets(text: str, secret: str) -> str:
    """``text`` as it can be shown, in one short line."""
    if secret:
        text = text.replace(secret, "...")
    text = re.sub(r"(?i)\b(api-key|bearer|basic)\s+\S+", r"\1 ...", text)
    text = re.sub(r"(\w+://)[^/\s@]*@", r"\1", text)
    text = re.sub(r"(\w+://[^\s?#]*)[?#]\S*", r"\1", text)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
