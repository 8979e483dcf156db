"""The way to a deployment below its WebSocket: the name, the TCP connection, the certificate."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

_TIMEOUT_S = 10.0


class Unreachable(Exception):
    """The message says what is wrong and what to do."""


class NotVerified(Unreachable):
    """There is somebody, and no TLS with whom it should be."""


@dataclass(frozen=True)
class Reached:
    """
    Attributes:
        address: The IP address that answered.
        round_trip_s: How long TCP took to connect.
    """

    address: str
    round_trip_s: float

    @property
    def is_local(self) -> bool:
        return ipaddress.ip_address(self.address.partition("%")[0]).is_loopback


def host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)


async def reached(host: str, port: int) -> Reached:
    """Connect to the first of the host's addresses that answers.

    Raises:
        Unreachable: There is none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as e:
        raise Unreachable(
            f"there is no host {host} ({e.strerror}): check the URL, and this machine's DNS"
        ) from None
    why: Exception | None = None
    for address in dict.fromkeys(str(info[4][0]) for info in found):
        started_s = loop.time()
        try:
            connecting = asyncio.open_connection(address, port)
            _, writer = await asyncio.wait_for(connecting, _TIMEOUT_S)
        except (OSError, asyncio.TimeoutError) as e:
            why = e
            continue
        round_trip_s = loop.time() - started_s
        await _closed(writer)
        return Reached(address, round_trip_s)
    told = "no answer" if isinstance(why, asyncio.TimeoutError) else _strerror(why)
    raise Unreachable(
        f"{host}:{port} cannot be reached ({told}): check the URL, its port, and whether a "
        "firewall or a proxy is in between"
    )


async def verified(host: str, port: int) -> str:
    """Verify the host's certificate as the client will; says what it is.

    Raises:
        NotVerified: It does not verify, or there is no TLS.
    """
    context = ssl.create_default_context()
    connecting = asyncio.open_connection(host, port, ssl=context)
    try:
        _, writer = await asyncio.wait_for(connecting, _TIMEOUT_S)
    except ssl.SSLCertVerificationError as e:
        raise NotVerified(
            f"the certificate of {host} does not verify: {e.verify_message}. Somebody sits in "
            "between, or it is of a private authority: then put that one's certificate into the "
            "file that SSL_CERT_FILE names, and into STT's http_session"
        ) from None
    except ssl.SSLError as e:
        raise NotVerified(
            f"{host}:{port} does not speak TLS ({e.reason or e}): check the port, or use ws:// if "
            "the way there is private"
        ) from None
    except asyncio.TimeoutError:
        raise NotVerified(f"{host}:{port} does not answer over TLS: check the port") from None
    except OSError as e:
        raise NotVerified(
            f"{host}:{port} hung up on TLS ({_strerror(e)}): check the port"
        ) from None
    channel: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = channel.getpeercert() or {}
    issuer: dict[str, str] = {}
    for field in certificate.get("issuer", ()):
        issuer.update(field)  # type: ignore[arg-type]  # pairs, whatever typeshed says
    by = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed authority"
    described = f"{channel.version()}, certificate by {by}, until {certificate.get('notAfter')}"
    await _closed(writer)
    return described


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, asyncio.TimeoutError):  # it has served its purpose
        await asyncio.wait_for(writer.wait_closed(), 1.0)


def _strerror(error: Exception | None) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else type(error).__name__
