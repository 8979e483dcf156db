"""A transcript as text, JSON, tab-separated values, SubRip or WebVTT."""

from __future__ import annotations

import abc
import enum
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from . import captions
from .captions import Cue, Layout, Part
from .transcript import Segment, Transcript


class Format(str, enum.Enum):
    text = "text"
    json = "json"
    srt = "srt"
    vtt = "vtt"
    tsv = "tsv"

    @property
    def suffix(self) -> str:
        return ".txt" if self is Format.text else f".{self.value}"

    @property
    def is_captions(self) -> bool:
        return self in (Format.srt, Format.vtt)


@dataclass(frozen=True)
class Style:
    """How a transcript is written.

    Attributes:
        timestamps: Text with the times of each line.
        layout: How large captions may be.
        word_times: WebVTT with the time of each word, so that players show how far it is.
    """

    timestamps: bool = False
    layout: Layout = field(default_factory=Layout)
    word_times: bool = False


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


def writer(
    format: Format, style: Style, *, indent: int | None = None, ascii: bool = False
) -> Writer:
    """
    Args:
        indent: Columns by which JSON is indented; None for one line.
        ascii: JSON in letters that any code page has.
    """
    if format is Format.json:
        return Json(indent, ascii=ascii)
    if format is Format.tsv:
        return Tsv()
    if format is Format.srt:
        return SubRip(style)
    return WebVtt(style) if format is Format.vtt else Text(style)


def formatted(
    transcript: Transcript,
    format: Format | Literal["text", "json", "srt", "vtt", "tsv"],
    *,
    timestamps: bool = False,
    max_line_width: int = Layout.columns,
    max_lines: int = Layout.lines,
    word_times: bool = False,
) -> str:
    """A whole transcript as a file has it.

    Args:
        timestamps: Text with the times of each line.
        max_line_width: Of captions, in columns; a Chinese character takes two.
        max_lines: Of captions.
        word_times: WebVTT with the time of each word.

    Raises:
        ValueError: There is no such format.
    """
    style = Style(timestamps, Layout(max_line_width, max_lines), word_times)
    to = writer(Format(format), style, indent=2)
    said = "".join(to.said(segment) for segment in transcript.segments)
    return to.begun() + said + to.ended(transcript)


class Text(Writer):
    """A line for each segment, with who said it where that is known."""

    def __init__(self, style: Style) -> None:
        self._timestamps = style.timestamps

    def said(self, segment: Segment) -> str:
        line = " ".join(segment.text.split())
        if segment.speaker:
            line = f"{' '.join(segment.speaker.split())}: {line}"
        if self._timestamps:
            line = f"[{clock(segment.start_s)} --> {clock(segment.end_s)}] {line}"
        return line + "\n"


class Tsv(Writer):
    """Start and end in whole milliseconds, and the text, with tabs between: as Whisper has it."""

    def begun(self) -> str:
        return "start\tend\ttext\n"

    def said(self, segment: Segment) -> str:
        text = " ".join(segment.text.split())
        return f"{round(segment.start_s * 1000)}\t{round(segment.end_s * 1000)}\t{text}\n"


class Json(Writer):
    """One object, when everything is known."""

    def __init__(self, indent: int | None, *, ascii: bool) -> None:
        self._indent = indent
        self._ascii = ascii

    def said(self, segment: Segment) -> str:
        return ""

    def ended(self, transcript: Transcript) -> str:
        whole = as_json(transcript)
        return json.dumps(whole, ensure_ascii=self._ascii, indent=self._indent) + "\n"


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

    def __init__(self, style: Style) -> None:
        self._layout = style.layout
        self._held: Cue | None = None
        self._number = 0

    def said(self, segment: Segment) -> str:
        out = ""
        before = self._held.speaker if self._held else None
        for cue in captions.cues(segment, self._layout, speaker_before=before):
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

    def __init__(self, style: Style) -> None:
        super().__init__(style)
        self._layout = replace(style.layout, names_speakers=True)

    def _block(self, number: int, cue: Cue) -> str:
        text = "\n".join(cue.lines).replace("-->", "->")  # else it might be read as times
        times = f"{timecode(cue.start_s, ',')} --> {timecode(cue.end_s, ',')}"
        return f"{number}\n{times}\n{text}\n\n"


class WebVtt(_Captions):
    """Captions for the web (W3C WebVTT), with timestamp tags where word times are wanted."""

    def __init__(self, style: Style) -> None:
        super().__init__(style)
        self._has_word_times = style.word_times

    def begun(self) -> str:
        return "WEBVTT\n\n"

    def _block(self, number: int, cue: Cue) -> str:
        text = "\n".join(self._line(cue, line).strip() for line in cue.parts)
        if cue.speaker:
            text = f"<v {html.escape(cue.speaker, quote=False)}>{text}"
        times = f"{timecode(cue.start_s, '.')} --> {timecode(cue.end_s, '.')}"
        return f"{times}\n{text}\n\n"

    def _line(self, cue: Cue, line: Sequence[Part]) -> str:
        out = ""
        for part in line:
            # A tag has to lie inside the caption's time.
            if self._has_word_times and cue.start_s < part.start_s < cue.end_s:
                out += f"<{timecode(part.start_s, '.')}>"
            out += html.escape(part.text, quote=False)
        return out


def timecode(seconds: float, point: str) -> str:
    """``HH:MM:SS`` and milliseconds after ``point``, as captions have it."""
    ms = round(max(0.0, seconds) * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def clock(seconds: float) -> str:
    """As short as it can be: hours only where there are some."""
    code = timecode(seconds, ".")
    return code.removeprefix("00:")
