"""The messages of Baseten's Whisper server, key by key."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from pydantic import BaseModel

from .message import Message
from .segments import Segment
from .session import Job


class MessageType(Enum):
    """What a client may say in text."""

    END_AUDIO = "end_audio"
    HEALTH_CHECK = "health_check"
    ERROR = "error"


class Control(BaseModel):
    """A text frame after the metadata. Keys beyond these are ignored."""

    type: MessageType
    trace_id: str | None = None
    timestamp: float | None = None
    body: dict[str, Any] | None = None


def envelope(type_: str, body: dict[str, Any], **fields: Any) -> Message:
    """Everything that is no transcription comes in this shape, unset keys as null."""
    return {"type": type_, "trace_id": None, "timestamp": None, "body": body} | fields


def error(kind: str, text: str, *, recoverable: bool, stream_id: str, now_s: float) -> Message:
    body = {
        "error_type": kind,
        "message": text,
        "stream_id": stream_id,
        "recoverable": recoverable,
        "timestamp": now_s,
    }
    return envelope("error", body)


def transcription(
    job: Job,
    segments: Sequence[Segment],
    *,
    latency_s: float | None,
    language: str | None = None,
    language_prob: float | None = None,
    diarization: Sequence[Message] = (),
    next_partial: Segment | None = None,
) -> Message:
    """A result. Whether it is the flush of the end of the audio is a key that others add."""
    return {
        "segments": [segment.message() for segment in segments],
        "language_code": language,
        "language_prob": language_prob,
        "diarization": list(diarization),
        "timing_info": None,
        "enable_chunk_level_language_detection": False,
        "audio_length_sec": job.audio_length_s,
        "is_final": job.is_final,
        "transcription_num": job.number,
        "next_partial": None if next_partial is None else next_partial.message(),
        "pipeline_latency": latency_s,
        "type": "transcription",
    }
