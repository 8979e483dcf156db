"""Figures in the words of all pages."""

from __future__ import annotations


def seconds(value: float | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001  # a dash in a table, for a reader
    return f"{value:.2f} s" if 0 < value < 10 else f"{value:.0f} s"


def clock(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def many(count: int, what: str, plural: str = "") -> str:
    return f"{count} {what}" if count == 1 else f"{count} {plural or what + 's'}"
