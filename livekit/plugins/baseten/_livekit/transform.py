"""`STT(transform=...)`: a user's function, called so that nothing it does ends a call."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from livekit.agents.types import TimedString

from .._core.clocks import EventClock
from .._core.events import Hypothesis
from ..log import logger
from .speech_events import speech_data

Transform = Callable[[str], str | None] | Callable[[str, Sequence[TimedString]], str | None]
"""From what was said, with its words and their times in the stream if the function takes them, to
what is passed on in its place; None drops it."""


class Transforming:
    """A user's function, as the core calls it.

    What it fails at is dropped: it may be there to keep something from being told.

    Args:
        transform: The function.

    Raises:
        ValueError: It is no function of a text, or of a text and its words.
    """

    def __init__(self, transform: Transform) -> None:
        called = getattr(transform, "__call__", None)  # noqa: B004 - whose kind is looked at
        if not callable(transform) or any(map(inspect.iscoroutinefunction, (transform, called))):
            raise ValueError(f"transform={transform!r}: must be a plain function from text to text")
        self._transform: Callable[..., Any] = transform
        self._takes_words = _takes_words(transform)

    def for_stream(self) -> Callable[[Hypothesis], str | None]:
        """The function for one stream, which says once that it failed."""
        failures = 0

        def change(said: Hypothesis) -> str | None:
            nonlocal failures
            try:
                return self._text(said)
            except Exception as e:  # noqa: BLE001 - whatever it raises, the call goes on
                failures += 1
                if failures == 1:
                    logger.error(
                        "transform has failed (%s); what it fails at is dropped, and the call "
                        "goes on",
                        _described(e),
                    )
                return None

        return change

    def _text(self, said: Hypothesis) -> str | None:
        words = [speech_data(said, EventClock()).words or []] if self._takes_words else []
        text = self._transform(said.text, *words)
        if inspect.iscoroutine(text):
            text.close()
        if text is None or isinstance(text, str):
            return text
        raise _NotText(f"it returned {type(text).__name__} and not str or None")


def _takes_words(transform: Callable[..., Any]) -> bool:
    """Whether the function wants a second argument. One with a default has its own use for it.

    Raises:
        ValueError: It takes neither one argument nor two.
    """
    try:
        signature = inspect.signature(transform)
    except ValueError:  # some functions written in C have none
        return False
    for count in (1, 2):
        try:
            signature.bind(*[""] * count)
        except TypeError:
            continue
        return count == 2 or list(signature.parameters)[1:2] == ["words"]
    raise ValueError(f"transform={transform!r}: must take a text, or a text and its words")


def _described(error: Exception) -> str:
    """What and where, without the message: a word that was said may be in that."""
    if isinstance(error, _NotText):
        return str(error)
    kind, frames = type(error).__name__, traceback.extract_tb(error.__traceback__)
    return f"{kind} in {Path(frames[-1].filename).name}, line {frames[-1].lineno}"


class _NotText(TypeError):
    """The function returned something else."""
