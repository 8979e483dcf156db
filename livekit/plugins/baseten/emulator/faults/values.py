"""Whether the values of a fault are of the types that its class says."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from numbers import Integral, Real
from typing import Any

_NUMBERS: dict[Any, type] = {int: Integral, float: Real}


def check_values(fault: Any) -> None:
    """
    Args:
        fault: A dataclass.

    Raises:
        TypeError: A value is of another type than its field.
        ValueError: A number is below 0, or not finite.
    """
    name = type(fault).__name__
    for field, hint in _fields_of(type(fault)).items():
        value = getattr(fault, field)
        if not _is_a(value, hint):
            kind = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            raise TypeError(f"{name}: {field}={value!r} is no {kind}")
        if isinstance(value, Real) and not 0 <= float(value) < math.inf:
            raise ValueError(f"{name}: {field}={value!r} is out of range")


def _fields_of(kind: type) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(kind)
    except NameError:  # somebody's own fault, whose annotations are for a type checker only
        return {}
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _is_a(value: object, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if hint is Any:
        return True
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_is_a(value, part) for part in typing.get_args(hint))
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, _NUMBERS.get(hint, origin or hint))
