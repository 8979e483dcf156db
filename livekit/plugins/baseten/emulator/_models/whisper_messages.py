"""The messages of Baseten's Whisper server, key by key. Every key is there every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .._recognizers.recognizer import SAMPLE_RATE_HZ, Word
from .languages import SCRIPTS, UNSPACED
from .metadata import WhisperParams
from .session import Job, Message

DETECTION_PROB = 0.98
"""What language detection reports as its certainty here."""


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


def language(params: WhisperParams, words: Sequence[Word] = ()) -> tuple[str, float | None]:
    """The language code and its probability, as the server reports them.

    A fixed language is echoed without a probability. Detection finds what the recognizer heard;
    where it does not say, the first language it may choose, English where it may choose any.
    """
    asked = params.audio_language or "auto"
    if asked != "auto":
        return SCRIPTS.get(asked, asked), None
    heard = words[0].language if words else None
    return heard or (params.language_options or ["en"])[0], DETECTION_PROB


def words_at(words: Sequence[Word], offset_s: float) -> list[Word]:
    """Words of a buffer in seconds from the start of the connection."""
    return [replace(w, start_s=offset_s + w.start_s, end_s=offset_s + w.end_s) for w in words]


def joined(words: Sequence[Word], code: str) -> str:
    return ("" if code in UNSPACED else " ").join(w.text for w in words).strip()


def word_items(words: Sequence[Word], code: str) -> list[Message]:
    return [
        {
            "start_time": w.start_s,
            "end_time": w.end_s,
            "word": w.text,
            "prob": round(w.prob, 2),
            "speaker": w.speaker,
        }
        for w in (_characters(words) if code in UNSPACED else words)
    ]


def _characters(words: Sequence[Word]) -> list[Word]:
    """Where a language has no spaces, the aligner times characters."""
    characters = []
    for w in words:
        step_s = (w.end_s - w.start_s) / max(1, len(w.text))
        for i, character in enumerate(w.text):
            start_s = w.start_s + i * step_s
            characters.append(Word(character, start_s, start_s + step_s, w.prob, w.speaker))
    return characters


def segment(
    words: Sequence[Word],
    start_s: float,
    end_s: float,
    params: WhisperParams,
    *,
    possible_hallucination: bool = False,
) -> Message:
    """A segment; `words` are already in seconds from the start of the connection."""
    code, prob = language(params, words)
    text = "" if params.language_detection_only else joined(words, code)
    return {
        "start_time": start_s,
        "end_time": end_s,
        "text": text,
        "log_prob": sum(math.log(max(w.prob, 1e-9)) for w in words),
        "word_timestamps": word_items(words, code) if params.show_word_timestamps else [],
        "speaker": None,
        "speaker_confidence": None,
        "possible_hallucination": possible_hallucination,
        "beam_results": [text] if params.show_beam_results else [],
        "language_code": code,
        "language_prob": prob,
    }


def buffer_segment(
    job: Job, words: Sequence[Word], params: WhisperParams, *, possible_hallucination: bool
) -> Message:
    """The one segment of an ordinary transcription: it spans the buffer, silence included.

    The recognizer takes every buffer for 16-bit audio at 16 kHz, so that is what the end comes
    from, while the start and `audio_length_sec` follow the rate that the client declared.
    """
    end_s = job.offset_s + len(job.pcm) / 2 / SAMPLE_RATE_HZ
    return segment(
        words_at(words, job.offset_s),
        job.offset_s,
        end_s,
        params,
        possible_hallucination=possible_hallucination,
    )


def transcription(
    job: Job, segments: list[Message], params: WhisperParams, *, pipeline_latency_s: float | None
) -> Message:
    code, prob = language(params)
    if segments:
        code, prob = segments[0]["language_code"], segments[0]["language_prob"]
    message: Message = {
        "segments": segments,
        "language_code": code,
        "language_prob": prob,
        "diarization": [],
        "timing_info": None,
        "enable_chunk_level_language_detection": bool(params.enable_chunk_level_language_detection),
        "audio_length_sec": job.audio_length_s,
        "is_final": job.is_final,
        "transcription_num": job.number,
        "next_partial": None,
        "pipeline_latency": pipeline_latency_s,
        "type": "transcription",
    }
    if job.is_flush:
        message["is_end_of_audio_flush"] = True  # there only when true
    return message
