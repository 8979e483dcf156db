"""Asking again to be sure, where a server has said all that it owed: that may fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .._core.clocks import SAMPLE_RATE_HZ
from .._core.errors import BasetenError
from .._core.recognition import Recognition
from ..log import logger


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
        journal = recognition.journal
        logger.debug(
            "the last %.1f s are not silent, and Baseten heard no words in them: it is asked once "
            "more, to be sure",
            (journal.stop - journal.start) / SAMPLE_RATE_HZ,
        )
        try:
            await carry()
        except BasetenError as e:
            if not recognition.asks_to_be_sure:
                raise
            logger.info(
                "the end of the audio is not silent, and Baseten heard no words in it; it could "
                "not be asked once more (%s), so that stands. Nothing is lost that it heard",
                e,
            )
            recognition.give_up()
