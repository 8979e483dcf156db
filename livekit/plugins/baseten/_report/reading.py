"""A recording as it is on disk, whole or not. Its format is in `docs/reports.md`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .._core.clocks import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ
from .._recording.files import VERSION

_WAV_HEADER_BYTES = 44
_LONGEST_HEADER_BYTES = 1_000_000


# A call that would last for months is none: one damaged number would drown the figures of others.
MOST_S = 10_000_000
Seconds = Annotated[float, Field(ge=-MOST_S, le=MOST_S)]
Samples = Annotated[int, Field(ge=-MOST_S * SAMPLE_RATE_HZ, le=MOST_S * SAMPLE_RATE_HZ)]


class NotARecording(Exception):
    """The file is none, or one of a format newer than this package; says so in a line."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Header(_Record):
    kind: Literal["call"]
    version: int
    id: str = ""
    started: str = ""
    started_s: float = 0.0
    package: str = ""
    model: str = ""
    url: str = ""
    audio: str = Field("", pattern=r"^[^\x00]*$")
    source: str = ""
    options: dict[str, Any] = Field(default_factory=dict)


class Line(_Record):
    """Attributes:
    at: Seconds since the recording began.
    """

    at: Seconds


class Pushed(Line):
    """Audio of the user, stream samples; spoken from ``since`` to ``at``."""

    kind: Literal["pushed"]
    since: Seconds
    start: Samples = Field(ge=0)
    stop: Samples = Field(ge=0)


class Connected(Line):
    kind: Literal["connected"]
    connection: int
    open_for_s: Seconds = 0.0
    handshake_s: Seconds = 0.0
    acquire_s: Seconds = 0.0
    is_reused: bool = False


class Sent(Line):
    """Audio that went over a connection, and samples of silence made up for it."""

    kind: Literal["sent"]
    connection: int
    since: Seconds
    start: Samples
    stop: Samples
    silence: Samples = 0


class Message(Line):
    kind: Literal["sent_text", "received"]
    connection: int
    text: str


class Closed(Line):
    kind: Literal["closed"]
    connection: int
    error: str | None = None
    code: int | None = None
    reason: str = ""


class Flushed(Line):
    kind: Literal["flush", "input_ended"]
    position: Samples


class RecordedWord(_Record):
    text: str
    start: Seconds | None = None
    end: Seconds | None = None
    confidence: float | None = None
    speaker: str | None = None


class RecordedEvent(Line):
    """A speech event of LiveKit's; ``start`` and ``end`` have ``offset_s`` in them."""

    kind: Literal["event"]
    type: str
    request_id: str = ""
    text: str = ""
    language: str = ""
    start: Seconds | None = None
    end: Seconds | None = None
    confidence: float | None = None
    speaker: str | None = None
    offset_s: Seconds = 0.0
    words: list[RecordedWord] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)


class Problem(Line):
    """An error that LiveKit was told of."""

    kind: Literal["error"]
    message: str
    recoverable: bool = True


class Lost(Line):
    kind: Literal["lost"]
    samples: Samples


class Changed(Line):
    kind: Literal["options"]
    options: dict[str, Any] = Field(default_factory=dict)


class End(Line):
    kind: Literal["end"]


AnyLine = Annotated[
    Pushed
    | Connected
    | Sent
    | Message
    | Closed
    | Flushed
    | RecordedEvent
    | Problem
    | Lost
    | Changed
    | End,
    Field(discriminator="kind"),
]
_LINE: TypeAdapter[Any] = TypeAdapter(AnyLine)


@dataclass
class Recorded:
    """
    Attributes:
        lines: In the order of their times.
        pcm: 16 kHz mono; None where there is no audio beside the recording.
        unreadable: Numbers of the lines that could not be read.
        is_whole: The recording was closed and not cut off.
    """

    path: Path
    header: Header
    lines: list[Line] = field(default_factory=list)
    pcm: NDArray[np.int16] | None = None
    unreadable: list[int] = field(default_factory=list)
    is_whole: bool = False

    @property
    def title(self) -> str:
        """What the call is called: the file that was transcribed, or its identifier."""
        return self.header.source or self.header.id or self.path.stem

    @property
    def sound(self) -> Path:
        """Where the audio is, if it is anywhere."""
        # A name and no path: the recording says which file, not where to look.
        return self.path.with_name(Path(self.header.audio).name or self.path.stem + ".wav")


def read(path: Path) -> Recorded:
    """
    Args:
        path: The recording's ``.jsonl``, or the ``.wav`` beside it.

    Raises:
        NotARecording: It is something else.
        OSError: It cannot be read.
    """
    if path.suffix.lower() == ".wav":
        path = path.with_suffix(".jsonl")
    first, *raw = path.read_bytes().split(b"\n")
    recorded = Recorded(path, _header(path, first))
    # What follows the last line end is a line that was being written.
    for number, text in enumerate(raw[:-1], start=2):
        if text.strip():
            try:
                line = _line(text)
            except (ValidationError, ValueError):
                recorded.unreadable.append(number)
            else:
                recorded.lines += [] if line is None else [line]
    recorded.lines.sort(key=lambda line: line.at)
    recorded.is_whole = any(isinstance(line, End) for line in recorded.lines)
    recorded.pcm = _pcm(recorded.sound)
    return recorded


def header_of(path: Path) -> Header:
    """The first line of a recording alone.

    Raises:
        NotARecording: It is something else.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return _header(path, file.readline(_LONGEST_HEADER_BYTES))


def _header(path: Path, text: bytes) -> Header:
    try:
        header = Header.model_validate_json(text)
    except ValidationError:
        raise NotARecording(
            f"{path}: not a recorded call; STT(record=...) writes those, as .jsonl files"
        ) from None
    if header.version > VERSION:
        raise NotARecording(
            f"{path}: recorded by a newer version of this package ({header.package}); upgrade it"
        )
    return header


def _line(text: bytes) -> Line | None:
    """None for a kind that this version does not know."""
    fields = json.loads(text)
    try:
        line: Line = _LINE.validate_python(fields)
    except ValidationError as e:
        if any(error["type"] == "union_tag_invalid" for error in e.errors(include_url=False)):
            return None
        raise
    return line


def _pcm(path: Path) -> NDArray[np.int16] | None:
    """The audio, also where a crash left the WAV's header behind what follows it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    audio = data[_WAV_HEADER_BYTES:]
    return np.frombuffer(audio[: len(audio) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE], np.int16)
