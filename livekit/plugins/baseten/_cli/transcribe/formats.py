"""A transcript as text, JSON, SubRip or WebVTT."""

from __future__ import annotations

import abc
import enum
import html
import json
from typing import Any

from . import captions
from .captions import Cue
from .transcript import Segment, Transcript


class Format(str, enum.Enum):
    text = "text"
    json = "json"
    srt = "srt"
    vtt = "vtt"

    @property
    def suffix(self) -> str:
        return ".txt" if self is Format.text else f".{self.value}"


class Writer(abc.ABC):
    """Writes one transcript, in the order in which it comes; each method returns what is next."""

    def begun(self) -> str:
        return ""

    @abc.abstractmethod
    def said(self, segment: Segment) -> str:
        """One more segment."""

    def ended(self, transcript: Transcript) -> str:
        """That was all of them."""
        return ""


def writer(format: Format, *, timestamps: bool = False, indent: int | None = None) -> Writer:
    """
    Args:
        timestamps: Text with the times of each line.
        indent: Columns by which JSON is indented; None for one line.
    """
    if format is Format.text:
        return Text(timestamps=timestamps)
    if format is Format.json:
        return Json(indent)
    return SubRip() if format is Format.srt else WebVtt()


class Text(Writer):
    """A line for each segment, with who said it where that is known."""

    def __init__(self, *, timestamps: bool) -> None:
        self._timestamps = timestamps

    def said(self, segment: Segment) -> str:
        line = " ".join(segment.text.split())
        if segment.speaker:
            line = f"{segment.speaker}: {line}"
        if self._timestamps:
            line = f"[{clock(segment.start_s)} --> {clock(segment.end_s)}] {line}"
        return line + "\n"


class Json(Writer):
    """One object, when everything is known."""

    def __init__(self, indent: int | None) -> None:
        self._indent = indent

    def said(self, segment: Segment) -> str:
        return ""

    def ended(self, transcript: Transcript) -> str:
        return json.dumps(as_json(transcript), ensure_ascii=False, indent=self._indent) + "\n"


def as_json(transcript: Transcript) -> dict[str, Any]:
    """The transcript's JSON object; docs/command_line.md describes it."""
    return {
        "file": transcript.name,
        "duration_s": round(transcript.duration_s, 3),
        "language": transcript.language,
        "text": transcript.text,
        "segments": [
            {
                "start_s": segment.start_s,
                "end_s": segment.end_s,
                "text": segment.text,
                "language": segment.language,
                "speaker": segment.speaker,
                "confidence": segment.confidence,
                "doubtful": segment.is_doubtful,
                "words": [
                    {
                        "start_s": word.start_s,
                        "end_s": word.end_s,
                        "text": word.text,
                        "speaker": word.speaker,
                        "confidence": word.confidence,
                    }
                    for word in segment.words
                ],
            }
            for segment in transcript.segments
        ],
    }


class _Captions(Writer):
    """One caption is held back: only the next one says how long it may stay."""

    def __init__(self) -> None:
        self._held: Cue | None = None
        self._number = 0

    def said(self, segment: Segment) -> str:
        out = ""
        for cue in captions.cues(segment):
            out += self._shown(until_s=cue.start_s)
            self._held = cue
        return out

    def ended(self, transcript: Transcript) -> str:
        return self._shown(until_s=float("inf"))

    def _shown(self, until_s: float) -> str:
        if self._held is None:
            return ""
        cue, self._held = captions.followed_by(self._held, until_s), None
        self._number += 1
        return self._block(self._number, cue)

    @abc.abstractmethod
    def _block(self, number: int, cue: Cue) -> str: ...


class SubRip(_Captions):
    """Captions as numbered blocks. Nothing can be escaped, and a speaker is part of the text."""

    def __init__(self) -> None:
        super().__init__()
        self._speaker: str | None = None

    def _block(self, number: int, cue: Cue) -> str:
        text = "\n".join(cue.lines).replace("-->", "->")  # else it might be read as times
        if cue.speaker and cue.speaker != self._speaker:
            text = f"{cue.speaker}: {text}"
        self._speaker = cue.speaker
        times = f"{timecode(cue.start_s, ',')} --> {timecode(cue.end_s, ',')}"
        return f"{number}\n{times}\n{text}\n\n"


class WebVtt(_Captions):
    """Captions for the web (W3C WebVTT)."""

    def begun(self) -> str:
        return "WEBVTT\n\n"

    def _block(self, number: int, cue: Cue) -> str:
        text = html.escape("\n".join(cue.lines), quote=False)
        if cue.speaker:
            voice = html.escape(" ".join(cue.speaker.split()), quote=False)
            text = f"<v {voice}>{text}"
        times = f"{timecode(cue.start_s, '.')} --> {timecode(cue.end_s, '.')}"
        return f"{times}\n{text}\n\n"


def timecode(seconds: float, point: str) -> str:
    """``HH:MM:SS`` and milliseconds after ``point``, as captions have it."""
    ms = round(max(0.0, seconds) * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def clock(seconds: float) -> str:
    """As short as it can be: hours only where there are some."""
    code = timecode(seconds, ".")
    return code.removeprefix("00:")
