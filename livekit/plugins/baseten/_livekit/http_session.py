"""Which HTTP session connections are opened with: the user's, LiveKit's, or one made here."""

from __future__ import annotations

import asyncio

import aiohttp

from livekit.agents import utils

from .._core.errors import ConnectFailed


class HttpSession:
    """
    Args:
        given: The user's own; it is never closed here.
    """

    def __init__(self, given: aiohttp.ClientSession | None) -> None:
        self._given = given
        self._own: aiohttp.ClientSession | None = None
        self._own_loop: asyncio.AbstractEventLoop | None = None

    def current(self) -> aiohttp.ClientSession:
        """The session for the next connection.

        To be asked for each connection: LiveKit's session ends with its job.

        Raises:
            ConnectFailed: The user's session is closed.
        """
        if self._given is not None:
            if self._given.closed:
                raise ConnectFailed("the http_session passed to STT is closed", permanent=True)
            return self._given
        try:
            return utils.http_context.http_session()
        except RuntimeError:
            pass  # LiveKit has none outside a job, as in a plain script
        loop = asyncio.get_running_loop()
        if self._own is None or self._own.closed or self._own_loop is not loop:
            # aiohttp's defaults are 100 connections at most, and five minutes for each. A model
            # that wakes may keep a handshake waiting for longer.
            self._own = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None), connector=aiohttp.TCPConnector(limit=0)
            )
            self._own_loop = loop
        return self._own

    async def aclose(self) -> None:
        """Close the session that was made here, if there is one."""
        own, self._own = self._own, None
        if own is not None:
            await own.close()
