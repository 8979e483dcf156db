"""Asking again to be sure, where a server has said all that it owed: that may fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .._core.errors import BasetenError
from .._core.recognition import Recognition


async def heard_out(recognition: Recognition, carry: Callable[[], Awaitable[None]]) -> None:
    """Carry ``recognition`` over one connection, and over another one if only to be sure.

    Args:
        carry: Works with a new connection until everything has been said.

    Raises:
        BasetenError: A connection could not be had, or ended before, and something is still owed.
    """
    try:
        await carry()
    except BasetenError:
        if not recognition.asks_to_be_sure:
            raise
        try:
            await carry()
        except BasetenError:
            if not recognition.asks_to_be_sure:
                raise
            recognition.give_up()
