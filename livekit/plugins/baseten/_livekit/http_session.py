"""Which HTTP session connections are opened with: the user's, LiveKit's, or one made here."""

from __future__ import annotations

import asyncio

import aiohttp

from livekit.agents import utils

from .._connection.loops import PerLoop
from .._core.errors import ConnectFailed


class HttpSession:
    """
    Args:
        given: The user's own; it is never closed here.

    Raises:
        ValueError: That opens no WebSockets.
    """

    def __init__(self, given: aiohttp.ClientSession | None) -> None:
        if given is not None and not hasattr(given, "ws_connect"):
            raise ValueError(f"http_session={given!r}: must be an aiohttp.ClientSession")
        self._given = given
        self._own = PerLoop(
            # A handshake that is kept waiting may take longer than aiohttp's default of five
            # minutes. And by default aiohttp makes the 101st connection wait.
            lambda: aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None), connector=aiohttp.TCPConnector(limit=0)
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


def _is_of_this_loop(http: aiohttp.ClientSession) -> bool:
    # It has no public name that is not deprecated. Without it, aiohttp says what is wrong.
    loop = asyncio.get_running_loop()
    return getattr(http, "_loop", loop) is loop
