"""What a test may say to a scripted server, checked where it says it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from numbers import Real
from typing import Any

from .._recognizers.recognizer import Word


def words_of(said: Any) -> tuple[Word, ...]:
    """The words with times, where there are some and no text.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(said, str):
        return ()
    if not isinstance(said, Sequence) or not all(isinstance(word, Word) for word in said):
        raise TypeError(f"{said!r}: what is heard is text, or a list of `emulator.Word`s")
    return tuple(said)


def check_list_of(kind: type, **argument: Any) -> None:
    """
    Raises:
        TypeError: The argument is something else.
    """
    ((name, given),) = argument.items()
    is_list = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    if not is_list or not all(isinstance(each, kind) for each in given):
        raise TypeError(f"{name}={given!r}: a list of {kind.__name__} is needed")


def check_number(*, most: float = sys.float_info.max, **argument: Any) -> None:
    """
    Raises:
        TypeError: The argument is no number.
        ValueError: It is below 0 or above ``most``.
    """
    ((name, given),) = argument.items()
    if not isinstance(given, Real):
        raise TypeError(f"{name}={given!r}: a number is needed")
    if not 0 <= float(given) <= most:
        raise ValueError(f"{name}={given!r}: out of range")
