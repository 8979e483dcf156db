"""Settings to be compared: `vad_threshold=0.3,0.5` and the like, each with each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """Some arguments of `STT`.

    Attributes:
        name: These arguments in words; "as given" without any.
        arguments: What differs from the others.
    """

    name: str = "as given"
    arguments: dict[str, Any] = field(default_factory=dict)


def variants_of(varied: Sequence[str]) -> list[Variant]:
    """Every combination of what is varied.

    Args:
        varied: ``NAME=VALUE,VALUE``, an argument of `STT` each. Values that have commas are parted
            by ``|``.

    Raises:
        ValueError: One is not written like that.
    """
    axes = [_axis(text) for text in varied]
    return [_variant(dict(chosen)) for chosen in itertools.product(*axes)] if axes else [Variant()]


def _variant(arguments: dict[str, Any]) -> Variant:
    name = ", ".join(f"{argument}={_shown(value)}" for argument, value in arguments.items())
    return Variant(name, arguments)


def _axis(text: str) -> list[tuple[str, Any]]:
    name, equals, values = text.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    if not equals or not name.isidentifier() or not values:
        raise ValueError(f"--vary {text}: it is written NAME=VALUE,VALUE")
    parts = values.split("|" if "|" in values else ",")
    return [(name, _value(name, part.strip())) for part in parts]


def _value(name: str, text: str) -> Any:
    if name in ("keyterms", "language_options"):
        return tuple(filter(None, (part.strip() for part in text.replace(";", ",").split(","))))
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _shown(value: Any) -> str:
    return ";".join(value) if isinstance(value, tuple) else str(value)
