"""Faults in words, as on a command line: ``reset@16000``, ``refuse:503``, ``duplicate+stall@8000``.

What there is and what it takes comes from the classes in `emulator.faults`; nothing is said twice.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal

from .. import faults

NONE = "none"
_AT = "after_samples"  # what @ stands for
_KINDS: tuple[type, ...] = (int, float, bool, str)
_NAMED = {int: "a whole number", float: "a number", bool: "true or false"}


class BadFault(ValueError):
    """The message says in one line what is wrong with it, and what is right."""


def parsed(text: str) -> faults.Entry:
    """What one handshake gets.

    Raises:
        BadFault: There is no such fault, or not with these values.
    """
    if text == NONE:
        return None
    entry = tuple(fault_in(part) for part in text.split("+"))
    return entry[0] if len(entry) == 1 else entry


def described(fault: faults.Fault) -> str:
    """``fault`` in the words of a command line, what is as usual left out."""
    at, values = "", []
    for one in fields(fault):  # type: ignore[arg-type]  # each fault is a dataclass
        value = getattr(fault, one.name)
        if value != one.default and isinstance(value, _KINDS):
            if one.name == _AT:
                at = f"@{value}"
            else:
                values.append(str(value).lower() if isinstance(value, bool) else str(value))
    return _name(type(fault)) + (f":{','.join(values)}" if values else "") + at


def listing() -> Iterable[tuple[str, str]]:
    """Each fault as it is written, and what it does."""
    yield NONE, "Nothing goes wrong with this one."
    for kind in _faults().values():
        first = re.split(r"\n\n|; ", kind.__doc__ or "")[0]
        yield usage_of(kind), " ".join(first.split()).rstrip(".") + "."


def _faults() -> dict[str, type[faults.Fault]]:
    """Those that can be written in words, by name."""
    return {
        _name(kind): kind
        for kind in vars(faults).values()
        if isinstance(kind, type)
        and issubclass(kind, faults.Fault)
        and is_dataclass(kind)
        and all(one.name in _types(kind) for one in fields(kind) if _is_required(one))
    }


def fault_in(text: str) -> faults.Fault:
    """One fault.

    Raises:
        BadFault: There is no such fault, or not with these values.
    """
    head, at, samples = text.strip().partition("@")
    name, _, rest = head.partition(":")
    kind = _faults().get(name)
    if kind is None:
        raise BadFault(f"{text}: there is none of this name; use {_names()}")
    known = _types(kind)
    taken = [field for field in known if field != _AT]
    given = rest.split(",", len(taken) - 1) if rest and taken else [rest] if rest else []
    if len(given) > len(taken) or (at and _AT not in known):
        raise BadFault(f"{text}: it is written {usage_of(kind)}")
    texts = dict(zip(taken, given, strict=False)) | ({_AT: samples} if at else {})
    try:
        return kind(**{field: _value(known[field], value) for field, value in texts.items()})
    except (TypeError, ValueError) as e:
        why = f"; {e}" if isinstance(e, ValueError) else ""
        raise BadFault(f"{text}: it is written {usage_of(kind)}{why}") from None


def _value(kind: Any, text: str) -> Any:
    if typing.get_origin(kind) is Literal:
        allowed = typing.get_args(kind)
        if text not in allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(allowed)}")
        return text
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError(f"{text!r} is not {_NAMED[bool]}")
        return text == "true"
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {_NAMED[kind]}") from None
    if kind is not str and not 0 <= value < float("inf"):
        raise ValueError(f"{text} is out of range")
    return value


def usage_of(kind: type[faults.Fault]) -> str:
    """``close:CODE[,REASON][@SAMPLES]``"""
    known, text = _types(kind), _name(kind)
    separator = ":"
    for one in fields(kind):  # type: ignore[arg-type]
        if one.name in known and one.name != _AT:
            value = f"{separator}{one.name.upper()}"
            text += value if _is_required(one) else f"[{value}]"
            separator = ","
    return text + ("[@SAMPLES]" if _AT in known else "")


def _types(kind: type[faults.Fault]) -> dict[str, Any]:
    """What each field that can be written is read as."""
    hints = typing.get_type_hints(kind)
    out: dict[str, Any] = {}
    for one in fields(kind):  # type: ignore[arg-type]
        hint = hints[one.name]
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            hint = next((part for part in typing.get_args(hint) if part in _KINDS), hint)
        if hint in _KINDS or typing.get_origin(hint) is Literal:
            out[one.name] = hint
    return out


def _is_required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _name(kind: type[faults.Fault]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()


def _names() -> str:
    return ", ".join([NONE, *_faults()])
