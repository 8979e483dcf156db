"""Which HTTP session connections are opened with: the user's, LiveKit's, or one made here."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from livekit.agents import utils

from .._connection.loops import PerLoop
from .._core.endpoint import is_loopback
from .._core.errors import ConnectFailed


class HttpSession:
    """
    Args:
        given: The user's own; it is never closed here.
        url: Where connections go.

    Raises:
        ValueError: That opens no WebSockets.
    """

    def __init__(self, given: aiohttp.ClientSession | None, url: str) -> None:
        if given is not None and not hasattr(given, "ws_connect"):
            raise ValueError(f"http_session={given!r}: must be an aiohttp.ClientSession")
        self._given = given
        self._own = PerLoop(
            # A handshake that is kept waiting may take longer than aiohttp's default of five
            # minutes. And by default aiohttp makes the 101st connection wait.
            lambda: aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None),
                connector=aiohttp.TCPConnector(limit=0),
                proxy=proxy_for(url),
            ),
            close=aiohttp.ClientSession.close,
            abandon=aiohttp.ClientSession.detach,
        )

    def current(self) -> aiohttp.ClientSession:
        """The session for the next connection.

        To be asked for each connection: LiveKit's session ends with its job.

        Raises:
            ConnectFailed: The user's session is closed, or of another event loop.
        """
        if self._given is not None:
            if self._given.closed:
                raise ConnectFailed("the http_session passed to STT is closed", permanent=True)
            if not _is_of_this_loop(self._given):
                raise ConnectFailed(
                    "the http_session passed to STT belongs to another event loop", permanent=True
                )
            return self._given
        try:
            of_the_job = utils.http_context.http_session()
        except RuntimeError:
            return self._own.here()  # LiveKit has none outside a job, as in a plain script
        # A thread of the job has its context too, and a loop of its own.
        return of_the_job if _is_of_this_loop(of_the_job) else self._own.here()

    async def aclose(self) -> None:
        """Close what was made here."""
        await self._own.aclose()


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a WebSocket's URL, None if it names none.

    LiveKit's jobs take HTTPS_PROXY, or else HTTP_PROXY. aiohttp's own reading of the environment
    knows neither for this: it looks for WSS_PROXY.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    names = ("wss", "https", "all", "http") if parts.scheme == "wss" else ("ws", "http", "all")
    return next((proxies[name] for name in names if proxies.get(name)), None)


def _is_of_this_loop(http: aiohttp.ClientSession) -> bool:
    # It has no public name that is not deprecated. Without it, aiohttp says what is wrong.
    loop = asyncio.get_running_loop()
    return getattr(http, "_loop", loop) is loop
