"""Faults in what the server says, as functions from one message to those sent in its place."""

from __future__ import annotations

import copy
from collections.abc import Callable

from .._models.message import Message

Rewriter = Callable[[Message], list[Message]]


def is_final(message: Message) -> bool:
    return message.get("type") == "transcription" and bool(message.get("is_final"))


def is_partial(message: Message) -> bool:
    return message.get("type") == "transcription" and not message.get("is_final")


def without_results(message: Message) -> list[Message]:
    return [] if message.get("type") == "transcription" else [message]


def finals_twice(message: Message) -> list[Message]:
    return [message, copy.deepcopy(message)] if is_final(message) else [message]


def without_language(message: Message) -> list[Message]:
    pending = message.get("next_partial") or {}
    for part in [message, pending, *message.get("segments", [])]:
        if "language_code" in part:
            part |= {"language_code": None, "language_prob": None}
    return [message]


def without_times(message: Message) -> list[Message]:
    for segment in message.get("segments", []):
        for key in ("start_time", "end_time", "word_timestamps"):
            segment.pop(key, None)
    return [message]


def old_shape(message: Message) -> list[Message]:
    if message.get("type") != "transcription":
        return [message]
    segments = [
        {"start": s.get("start_time"), "end": s.get("end_time"), "text": s.get("text")}
        for s in message.get("segments", [])
    ]
    return [
        {
            "message_type": "final_transcript" if is_final(message) else "partial_transcript",
            "transcript": " ".join(s["text"] or "" for s in segments).strip(),
            "is_final": is_final(message),
            "confidence": 0.9,
            "language": message.get("language_code"),
            "segments": segments,
        }
    ]


def error_in(place: str, message: Message) -> list[Message]:
    if message.get("type") != "error":
        return [message]
    body = message.get("body") or {}
    text = message.get("error") or body.get("message") or body.get("error")
    outer, _, inner = place.partition(".")
    return [{"type": "error", outer: {inner: text} if inner else text}]


class EmptyFinalInserted:
    """Adds a final without words after the n-th one; all numbers behind it are one higher."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._finals = 0
        self._inserted = 0

    def __call__(self, message: Message) -> list[Message]:
        if message.get("type") != "transcription":
            return [message]
        if "transcription_num" in message:
            message["transcription_num"] += self._inserted
        if not is_final(message):
            return [message]
        self._finals += 1
        if self._finals != self._number:
            return [message]
        self._inserted = 1
        return [message, _emptied(message)]


def _emptied(final: Message) -> Message:
    """A final without words right after another one."""
    empty = copy.deepcopy(final)
    empty.pop("is_end_of_audio_flush", None)
    if "transcription_num" in empty:
        empty["transcription_num"] += 1
    if "audio_length_sec" in empty:
        empty["audio_length_sec"] = 0.0
    for segment in empty["segments"]:
        segment |= {"text": "", "start_time": segment.get("end_time")}
        if "word_timestamps" in segment:
            segment["word_timestamps"] = []
    return empty


class StalePartialInserted:
    """Sends an utterance's last partial again before the first one of the next."""

    def __init__(self) -> None:
        self._last: Message | None = None
        self._stale: Message | None = None

    def __call__(self, message: Message) -> list[Message]:
        if is_final(message):
            self._stale, self._last = self._last, None
            return [message]
        if not is_partial(message):
            return [message]
        self._last = copy.deepcopy(message)
        stale, self._stale = self._stale, None
        return [message] if stale is None else [stale, message]
