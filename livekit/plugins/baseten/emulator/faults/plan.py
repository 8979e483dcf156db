"""What goes wrong, handshake by handshake, and what may be given for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from typing_extensions import Self

from .. import faults
from .spelling import fault_in, parsed, usage_of

Planned = faults.Entry | str | tuple[faults.Fault | str, ...]
"""What may be given for an entry: a fault may be in the words of the command line."""


class Plan(deque[faults.Entry]):
    """The n-th handshake to come gets the n-th entry, later ones none.

    Args:
        entries: What it begins with.
        is_repeated: Whether it begins again when it has come to its end.

    Raises:
        TypeError: Something in it is no fault.
        ValueError: A fault in words that there is not.
    """

    def __init__(self, entries: Iterable[Planned] = (), *, is_repeated: bool = False) -> None:
        super().__init__(entry_of(given) for given in entries)
        self._is_repeated = is_repeated

    def append(self, given: Planned) -> None:
        super().append(entry_of(given))

    def appendleft(self, given: Planned) -> None:
        super().appendleft(entry_of(given))

    def extend(self, given: Iterable[Planned]) -> None:
        super().extend([entry_of(each) for each in given])

    def __iadd__(self, given: Iterable[Planned]) -> Self:
        self.extend(given)
        return self

    def popleft(self) -> faults.Entry:
        entry = super().popleft()
        if self._is_repeated:
            super().append(entry)
        return entry


def entry_of(given: Any) -> faults.Entry:
    """What one handshake gets, as a plan has it.

    Raises:
        TypeError: It is nothing of the kind.
        ValueError: A fault in words that there is not.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return parsed(given)
    if isinstance(given, tuple):
        return tuple(fault_of(each) for each in given)
    return fault_of(given)


def fault_of(given: Any) -> faults.Fault:
    """One fault, which may be in words.

    Raises:
        TypeError: It is nothing of the kind.
        ValueError: A fault in words that there is not.
    """
    if isinstance(given, faults.Fault):
        return given
    if isinstance(given, str):
        return fault_in(given)
    if isinstance(given, type) and issubclass(given, faults.Fault):
        raise TypeError(
            f"faults.{given.__name__} is a class and strikes nothing: give one of it, "
            f'faults.{given.__name__}(...), or in words "{usage_of(given)}"'
        )
    raise TypeError(
        f"{given!r} is no fault: there are those of `emulator.faults`; several for one "
        "connection are a tuple, None is for a connection without any"
    )
