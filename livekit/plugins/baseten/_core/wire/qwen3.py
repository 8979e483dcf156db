"""Qwen3-ASR streaming v1, as in `docs/protocol.md`."""

from __future__ import annotations

import base64
from typing import Any

from ..clocks import SAMPLE_RATE_HZ
from ..errors import LocalProtocolError, UnreadableFrame, WrongDialect
from ..options import Options
from . import keyterms as _prompt
from . import languages as _language
from . import reading as _reading
from . import writing as _writing
from .frames import EndOfUtterance, Failure, ServerFrame, Transcript, Unknown

# The server takes any length. Longer chunks are longer delays: this is 32 ms.
CHUNK_SAMPLES = 512

_AUDIO_HEAD = '{"type":"input_audio_buffer.append","audio":"'
_AUDIO_TAIL = '"}'
_COMMIT = '{"type":"input_audio_buffer.commit"}'

# The options that this model knows.
_TAKEN = frozenset(
    {
        "model",
        "language",
        "enable_partial_transcripts",
        "partial_transcript_interval_s",
        "final_transcript_max_duration_s",
        "show_word_timestamps",
        "vad_threshold",
        "vad_min_silence_duration_ms",
        "vad_speech_pad_ms",
        "prompt",
        "keyterms",
        "extra_metadata",
    }
)

# The model's errors have no types, and the server closes the socket after each. An error with one
# of these words is about what was sent, and would come again. Others, such as "capacity", pass.
_PERMANENT = ("invalid", "unsupported", "malformed", "not supported", "unknown model", "binary")


class Qwen3:
    """Base64 audio in JSON, and ``commit``, which the server answers with a flagged final.

    Raises:
        ValueError: A language that the model does not know, or an option that it does not have.
    """

    chunk_samples = CHUNK_SAMPLES
    pads_chunks = False
    segments_span_buffer = False
    trailing_samples = 0
    answers_each_end = True
    holds_back_sentences = False
    speaker_wait_s = 0.0
    acknowledges_end = False
    can_probe = False
    audio_head = _AUDIO_HEAD
    cut_keyterms = ()  # they have a field of their own, without a limit
    doubts = ()
    translates = False
    stream_id = ""

    def __init__(self, options: Options) -> None:
        if name := options.not_among(_TAKEN):
            value = getattr(options, name)
            raise ValueError(f"{name}={value!r}: Whisper has this option, Qwen3-ASR does not")
        self._introduction = _writing.Introduction(_handshake(options), options.extra_metadata)
        self.language = self._introduction.language
        self.sends_partials = options.enable_partial_transcripts
        self.partial_interval_samples = round(
            options.partial_transcript_interval_s * SAMPLE_RATE_HZ
        )
        # A segment has the length of the speech in the buffer, and not of the buffer.
        limit_samples = options.final_transcript_max_duration_s * SAMPLE_RATE_HZ
        self.forced_samples = limit_samples - SAMPLE_RATE_HZ // 2

    def opening(self, number: int = 0) -> str:
        return self._introduction.text

    def described(self) -> str:
        return self._introduction.described()

    def audio(self, pcm: bytes) -> str:
        return _AUDIO_HEAD + base64.b64encode(pcm).decode("ascii") + _AUDIO_TAIL

    def end_of_utterance(self, number: int) -> EndOfUtterance:
        return EndOfUtterance(silence_samples=0, frame=_COMMIT, trace_id="")

    def end_of_audio(self) -> str:
        return _COMMIT

    def probe(self, trace_id: str) -> str:
        raise LocalProtocolError("Qwen3-ASR knows no health check")

    def decode(self, text: str) -> ServerFrame:
        raw = _reading.parsed(text)
        if _reading.is_transcription(raw):
            return _reading.transcript(raw)
        kind = raw.get("type")
        if kind == "error":
            message = _reading.error_text(raw)
            _refuse_other_dialect(raw)
            is_full = message.lower().startswith("capacity")
            permanent = not is_full and any(said in message.lower() for said in _PERMANENT)
            return Failure("", message, recoverable=False, permanent=permanent)
        if not isinstance(kind, str):
            raise UnreadableFrame("a message without a type")
        return Unknown(kind)

    def is_last(self, frame: ServerFrame) -> bool:
        return isinstance(frame, Transcript) and frame.is_flush


def _refuse_other_dialect(raw: dict[str, Any]) -> None:
    """Refuse an error with a type, which only Whisper has: it takes no audio in text frames."""
    body = raw.get("body")
    if isinstance(body, dict) and body.get("error_type") == "STREAM_ERROR":
        raise WrongDialect(
            "the deployment does not speak Qwen3-ASR's protocol. Is it Whisper? Then leave out "
            'model="qwen3-asr".'
        )


def _handshake(options: Options) -> dict[str, Any]:
    whisper_params: dict[str, Any] = {
        "audio_language": _language.to_qwen3("language", options.language)
    }
    if options.prompt:
        whisper_params["prompt"] = options.prompt
    if terms := _prompt.unique(options.keyterms):
        whisper_params["keyterms"] = terms
    return _writing.metadata(options, whisper_params)
