"""Reads transcription frames of any runtime version and dialect.

A frame that cannot be read is refused. A detail that is wrong costs only itself: a word with an
impossible time keeps its text and loses its time.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import from_json

from ..errors import UnreadableFrame, WrongDialect
from ..text import joined
from .frames import ServerWord, Transcript, mean_confidence
from .languages import to_standard

_FINAL_TYPE = "final_transcript"  # of 2025
# A named tuple made without a frame of Python's own: words are most of what is made of a message.
_tuple: Callable[[type[ServerWord], tuple[Any, ...]], ServerWord] = tuple.__new__

_LONGEST_S = 3e7  # a year, which no call lasts
_RESULT_TYPES = ("transcription", _FINAL_TYPE, "partial_transcript")


def parsed(text: str) -> dict[str, Any]:
    """
    Raises:
        UnreadableFrame: ``text`` is not a JSON object.
        WrongDialect: A frame that only a server of another protocol sends.
    """
    try:
        raw = _from_json(text)
    except (ValueError, RecursionError) as e:
        raise UnreadableFrame(f"not JSON: {type(e).__name__}") from None
    if not isinstance(raw, dict):
        raise UnreadableFrame(f"not a JSON object but {type(raw).__name__}")
    if raw.get("type") == "session.created":
        raise WrongDialect(
            "the deployment opened with session.created: it speaks the unified speech-to-text "
            "protocol v2 (or is a speech-to-speech model), which this version does not support. "
            "Point model_endpoint at a streaming Whisper or Qwen3-ASR (v1) deployment."
        )
    if "processed_s" in raw and "num_speakers" in raw:
        raise WrongDialect(
            "the deployment is a speaker-attributed preset (Nemotron diarization with Qwen3-ASR or "
            "Parakeet), whose cumulative results this version does not support. Point "
            "model_endpoint at a streaming Whisper or Qwen3-ASR deployment."
        )
    return raw


def _from_json(text: str) -> Any:
    try:
        return from_json(text)
    except (TypeError, ValueError):
        return json.loads(text)  # which takes more, half a surrogate pair for one


def is_transcription(raw: dict[str, Any]) -> bool:
    """``raw`` is a result. Deployments of 2025 named this type differently, or not at all."""
    kind = _kind(raw)
    if kind is None:
        return "transcript" in raw or "segments" in raw
    return kind in _RESULT_TYPES


def transcript(raw: dict[str, Any]) -> Transcript:
    """Read a result, of a current runtime or an older one with ``transcript`` at the top level."""
    segments = [s for s in _list(raw.get("segments")) if isinstance(s, dict)]
    whole = _read(raw, segments)
    if len(segments) > 1:
        runs = [list(run) for _, run in itertools.groupby(segments, key=_speaker)]
        if len(runs) > 1:
            whole = whole._replace(parts=tuple(_read(raw, run) for run in runs))
    held_back = raw.get("next_partial")
    if isinstance(held_back, dict) and _text(held_back.get("text")):
        whole = whole._replace(pending=_read({}, [held_back]))
    return whole


def _read(raw: dict[str, Any], segments: list[dict[str, Any]]) -> Transcript:
    words = tuple(_words(segments))
    text = joined([t for s in segments if (t := _text(s.get("text")))])
    if not text:
        text = _text(raw.get("transcript", raw.get("text")))
    speakers = [speaker for s in segments if (speaker := _speaker(s)) is not None]
    is_diarized = bool(_list(raw.get("diarization"))) or bool(speakers)
    start_s, end_s = _span(segments)
    if is_diarized and end_s is not None:
        # In sentence mode a segment ends where its last word starts.
        end_s = max([end_s, *(w.end_s for w in words if w.end_s is not None)])
    return Transcript(
        text=text,
        is_final=_is_final(raw),
        words=words,
        start_s=start_s,
        end_s=end_s,
        audio_s=_seconds(raw.get("audio_length_sec")),
        number=_number(raw.get("transcription_num")),
        is_flush=raw.get("is_end_of_audio_flush") is True,
        is_diarized=is_diarized,
        is_suspect=any(s.get("possible_hallucination") is True for s in segments),
        language=_language(raw, segments),
        speaker=max(speakers, key=speakers.count) if speakers else None,
        confidence=mean_confidence([each for _, _, _, each, _ in words])
        if words
        else _probability(raw.get("confidence")),
        language_prob=_probability(raw.get("language_prob")),
        beams=() if is_diarized else _beams(segments),
    )


def _span(segments: list[dict[str, Any]]) -> tuple[float | None, float | None]:
    start_s = end_s = None
    for segment in segments:
        start = _seconds(_either(segment, "start_time", "start"))
        end = _seconds(_either(segment, "end_time", "end"))
        start_s = start if start_s is None or (start is not None and start < start_s) else start_s
        end_s = end if end_s is None or (end is not None and end > end_s) else end_s
    if start_s is not None and end_s is not None and start_s > end_s:
        start_s = None
    return start_s, end_s


def _speaker(segment: dict[str, Any]) -> str | None:
    speaker = segment.get("speaker")
    return speaker if isinstance(speaker, str) else None


def error_text(raw: dict[str, Any]) -> str:
    """The text of an error frame. Servers have it in different places."""
    body = raw.get("body")
    body = body if isinstance(body, dict) else {"message": body}
    for candidate in (body.get("message"), body.get("error"), raw.get("message"), raw.get("error")):
        if isinstance(candidate, str) and candidate.strip():
            return candidate.strip()
        if isinstance(candidate, dict) and isinstance(candidate.get("message"), str):
            return str(candidate["message"])
    return "no reason given"


def _is_final(raw: dict[str, Any]) -> bool:
    flag = raw.get("is_final")
    if isinstance(flag, bool):
        return flag
    # All known servers send the flag. Without it, better a partial: a wrong final is said twice.
    return _kind(raw) == _FINAL_TYPE or raw.get("is_end_of_audio_flush") is True


def _kind(raw: dict[str, Any]) -> str | None:
    kind = raw.get("type", raw.get("message_type"))
    return kind if isinstance(kind, str) else None


def _words(segments: Iterable[dict[str, Any]]) -> list[ServerWord]:
    words: list[ServerWord] = []
    for segment in segments:
        speaker = _speaker(segment)
        for raw in _list(_either(segment, "word_timestamps", "words")):
            if not isinstance(raw, dict):
                continue
            try:
                text, own = raw["word"].strip(), raw.get("speaker")
                start_s, end_s, confidence = raw["start_time"], raw["end_time"], raw["prob"]
                is_plain = (  # as nearly all are
                    type(start_s) is type(end_s) is type(confidence) is float
                    and 0.0 <= start_s <= end_s < _LONGEST_S
                    and 0.0 <= confidence <= 1.0
                    and text
                )
            except (LookupError, AttributeError):
                is_plain = False
            if is_plain:
                own = own if type(own) is str else speaker
                words.append(_tuple(ServerWord, (text, start_s, end_s, confidence, own)))
            elif (word := _odd_word(raw, speaker)) is not None:
                words.append(word)
    return words


def _odd_word(raw: dict[str, Any], speaker: str | None) -> ServerWord | None:
    text = _text(_either(raw, "word", "w"))
    if not text:
        return None
    start_s, end_s = _seconds(raw.get("start_time")), _seconds(raw.get("end_time"))
    if start_s is None:
        start_s = _seconds(raw.get("start"))
    if end_s is None:
        end_s = _seconds(raw.get("end"))
    if start_s is not None and end_s is not None and end_s < start_s:
        end_s = start_s
    return ServerWord(text, start_s, end_s, _probability(raw.get("prob")), _speaker(raw) or speaker)


def _language(raw: dict[str, Any], segments: list[dict[str, Any]]) -> str:
    for source in (raw, *segments):
        named = _either(source, "language_code", "language")
        if isinstance(named, str) and (code := to_standard(named)):
            return code
    return ""


def _beams(segments: list[dict[str, Any]]) -> tuple[str, ...]:
    """Of the one segment that there is without diarization."""
    if len(segments) != 1 or not (beams := segments[0].get("beam_results")):
        return ()
    return tuple(beam for beam in map(_text, _list(beams)) if beam)


def _either(raw: dict[str, Any], key: str, older: str) -> Any:
    value = raw.get(key)
    return raw.get(older) if value is None else value


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []


def _text(raw: Any) -> str:
    return raw.strip() if isinstance(raw, str) else ""


def _number(raw: Any) -> int | None:
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else None


def _seconds(raw: Any) -> float | None:
    # NaN compares false.
    if type(raw) is float and 0.0 <= raw < _LONGEST_S:
        return raw
    ok = isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < _LONGEST_S
    return float(raw) if ok else None


def _probability(raw: Any) -> float | None:
    ok = isinstance(raw, (int, float)) and not isinstance(raw, bool) and 0 <= raw <= 1
    return float(raw) if ok else None
