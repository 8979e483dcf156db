"""Whisper streaming v1 (truss and chain), as in `docs/protocol.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..clocks import SAMPLE_RATE_HZ
from ..errors import UnreadableFrame, WrongDialect
from ..options import Options
from . import keyterms as _prompt
from . import languages as _language
from . import reading as _reading
from . import writing as _writing
from .frames import Alive, EndAudio, EndOfUtterance, Failure, ServerFrame, Unknown

# One window of the server's voice activity detector. It ends the session at any other size.
CHUNK_SAMPLES = 512

# The server's own default, sentences, holds back everything after the last full stop. Of the others
# this one alone tells apart who spoke in one utterance.
DEFAULT_GRANULARITY = "word"

# The diarizer knows who spoke five seconds later, and a final that ends in silence waits until
# somebody speaks again, or for a time that is not known.
SPEAKER_WAIT_S = 12.0

# Frames of silence that are sent on top of the server's rule: its detector needs a few to decide
# that speech has ended.
_SILENCE_MARGIN_CHUNKS = 8

# What engines are built for if nothing else was asked for.
_BEAMS = 5

# Words in errors about audio that the server cannot use. The same audio would fail again.
_PERMANENT = ("too short", "number of samples", "multiple of element size", "unsupported encoding")


class Whisper:
    """Binary audio, ``end_audio`` and ``finished``.

    Raises:
        ValueError: A language that Whisper does not know.
    """

    chunk_samples = CHUNK_SAMPLES
    pads_chunks = True
    segments_span_buffer = True
    answers_each_end = False
    acknowledges_end = True
    can_probe = True
    audio_head = None

    def __init__(self, options: Options) -> None:
        metadata = _metadata(options)
        self._introduction = _writing.Introduction(metadata, options.extra_metadata)
        self.language = self._introduction.language
        self.stream_id = self._introduction.stream_id
        asked = metadata["whisper_params"]
        self.translates = asked.get("output_language") == "en"
        self.doubts = tuple(_doubts(options, asked))
        self._suspicion = _suspicion(asked)
        self.cut_keyterms = _prompt.fitted(options.prompt or "", options.keyterms)[1]
        granularity = options.diarization_granularity or DEFAULT_GRANULARITY
        self.holds_back_sentences = options.enable_diarization and granularity == "sentence"
        self.speaker_wait_s = SPEAKER_WAIT_S if options.enable_diarization else 0.0
        self.sends_partials = options.enable_partial_transcripts
        self.partial_interval_samples = round(
            options.partial_transcript_interval_s * SAMPLE_RATE_HZ
        )
        limit_samples = options.final_transcript_max_duration_s * SAMPLE_RATE_HZ
        self.forced_samples = limit_samples // CHUNK_SAMPLES * CHUNK_SAMPLES
        # The server declares the end of speech at the frame that makes the silence long enough.
        silence_samples = options.vad_min_silence_duration_ms * SAMPLE_RATE_HZ // 1000
        chunks = -(-silence_samples // CHUNK_SAMPLES) + 1
        self.trailing_samples = chunks * CHUNK_SAMPLES
        self._silence_samples = (chunks + _SILENCE_MARGIN_CHUNKS) * CHUNK_SAMPLES

    def opening(self, number: int = 0) -> str:
        return self._introduction.numbered(number)

    def described(self) -> str:
        return self._introduction.described()

    def audio(self, pcm: bytes) -> bytes:
        return pcm

    def end_of_utterance(self, number: int) -> EndOfUtterance:
        """So much silence, sent at once, that the server's detector finds the end of speech now.

        The detector counts samples and not seconds. The health check behind the silence is answered
        when the silence was heard.
        """
        trace_id = f"flush-{number}"
        frame = _writing.compact({"type": "health_check", "trace_id": trace_id})
        return EndOfUtterance(self._silence_samples, frame, trace_id)

    def end_of_audio(self) -> str:
        return _writing.compact({"type": "end_audio"})

    def probe(self, trace_id: str) -> str:
        return _writing.compact({"type": "health_check", "trace_id": trace_id})

    def decode(self, text: str) -> ServerFrame:
        raw = _reading.parsed(text)
        if _reading.is_transcription(raw):
            return _reading.transcript(raw)
        kind = raw.get("type")
        if kind == "end_audio":
            body = raw.get("body")
            return EndAudio(str(body.get("status", "")) if isinstance(body, dict) else "")
        if kind == "health_check":
            return Alive(str(raw.get("trace_id") or ""))
        if kind == "error":
            _refuse_other_dialect(raw)
            return _failure(raw, self._suspicion)
        if not isinstance(kind, str):
            raise UnreadableFrame("a message without a type")
        return Unknown(kind)

    def is_last(self, frame: ServerFrame) -> bool:
        # "acknowledged" comes first, and finals may still follow it.
        return isinstance(frame, EndAudio) and frame.status == "finished"


def _metadata(options: Options) -> dict[str, Any]:
    """What the user has set, and what every runtime accepts: older ones refuse unknown fields."""
    whisper_params: dict[str, Any] = {
        "audio_language": _language.to_whisper("language", options.language)
    }
    if options.language_options:
        whisper_params["language_options"] = [
            _language.to_whisper("language_options", language, may_be_auto=False)
            for language in options.language_options
        ]
    if options.translate:
        whisper_params["output_language"] = "en"
    if prompt := _prompt.with_keyterms(options.prompt, options.keyterms):
        whisper_params["prompt"] = prompt
    if options.enable_diarization:
        whisper_params["enable_diarization"] = True
        granularity = options.diarization_granularity or DEFAULT_GRANULARITY
        whisper_params["diarization_granularity"] = granularity
    return _writing.metadata(options, whisper_params)


def _doubts(options: Options, asked: Mapping[str, Any]) -> Iterator[str]:
    """Messages about what may not be done as it is asked for."""
    if (beams := _beams(asked)) > _BEAMS:
        message = (
            f"beam_width={beams}: engines are built for {_BEAMS} beams if nothing else was asked "
            "for, and fail every transcription with more"
        )
        yield message
    tokens = _prompt.least_tokens(options.prompt or "")
    if tokens > _prompt.MAX_PROMPT_TOKENS:
        message = (
            f"prompt: at least {tokens} tokens, and Whisper takes {_prompt.MAX_PROMPT_TOKENS}: its "
            "beginning was left out"
        )
        yield message
    if asked.get("output_language") == "en" == asked["audio_language"]:
        message = (
            'translate=True has no effect on language="en": name the language that is spoken, or '
            '"auto"'
        )
        yield message


def _suspicion(asked: Mapping[str, Any]) -> str:
    """What may be why a transcription fails, as far as the metadata tell; "" if nothing."""
    prompt = asked.get("prompt")
    hints: list[str] = []
    if (beams := _beams(asked)) > _BEAMS:
        hint = f"beam_width={beams} is more than most engines are built for"
        hints.append(hint)
    if isinstance(prompt, str) and _prompt.estimated_tokens(prompt) > _prompt.MAX_PROMPT_TOKENS:
        limit = _prompt.MAX_PROMPT_TOKENS
        hint = f"the prompt may have more than the {limit} tokens that Whisper takes"
        hints.append(hint)
    return f" (it may be why: {'; '.join(hints)})" if hints else ""


def _beams(asked: Mapping[str, Any]) -> int:
    sampling = asked.get("whisper_sampling_params")
    beams = sampling.get("beam_width") if isinstance(sampling, Mapping) else None
    return beams if isinstance(beams, int) else 0


def _refuse_other_dialect(raw: dict[str, Any]) -> None:
    """Refuse an error of Qwen3-ASR: without a body, and about a frame that only Whisper knows."""
    said = _reading.error_text(raw)
    if raw.get("body") is None and any(word in said.lower() for word in ("health_check", "binary")):
        raise WrongDialect(
            "the deployment does not speak Whisper's protocol. Is it Qwen3-ASR? Then pass "
            f'model="qwen3-asr". It said: {said}'
        )


def _failure(raw: dict[str, Any], suspicion: str) -> Failure:
    body = raw.get("body")
    body = body if isinstance(body, dict) else {}
    error_type = str(body.get("error_type") or "")
    message = _reading.error_text(raw)
    is_lost_result = error_type == "TRANSCRIPTION_ERROR"
    return Failure(
        error_type=error_type,
        message=message + suspicion if is_lost_result else message,
        # An error without this flag answers a control frame that the server does not know.
        recoverable=body.get("recoverable") is not False,
        permanent=any(said in message.lower() for said in _PERMANENT),
        is_lost_result=is_lost_result,
    )
