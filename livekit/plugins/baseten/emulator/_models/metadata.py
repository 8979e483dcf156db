"""The first frame of a Whisper connection, and what makes the server refuse it.

Written from docs/protocol.md (metadata): an unknown key is refused at the top level and in three of
the blocks, values are converted as pydantic does by default, and the blocks for voice activity
and diarization are free.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .._recognizers.recognizer import DecodingOptions
from .languages import SCRIPTS

MAX_DURATION_S = 30
"""The model hears no more than this at once; a longer limit is silently cut down to it."""

ADDED_IN: dict[str, tuple[int, ...]] = {
    "show_word_timestamps": (0, 4, 0),
    "language_options": (0, 5, 0),
    "whisper_sampling_params": (0, 6, 0),
    "show_beam_results": (0, 7, 5),
}
"""Keys of `whisper_params` that runtimes before this version refuse."""


class MetadataRefused(ValueError):
    """The first frame cannot open a session. The client is told nothing but 1011."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SamplingParams(_Strict):
    beam_width: int = 1
    length_penalty: float = 2.0
    repetition_penalty: float = 1.01
    beam_search_diversity_rate: float | None = None
    no_repeat_ngram_size: int | None = None
    sampling_temperatures: list[float] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    max_new_tokens: int = 400


class WhisperParams(_Strict):
    prompt: str | None = ""
    output_language: str | None = "auto"
    audio_language: str | None = "en"
    language_detection_only: bool = False
    language_options: list[str] = []
    use_dynamic_preprocessing: bool = False
    use_missing_chunk_retry: bool = False
    missing_chunk_wpm_threshold: int = 100
    show_word_timestamps: bool = False
    enable_vad: bool = True
    whisper_sampling_params: SamplingParams = Field(default_factory=SamplingParams)
    enable_diarization: bool | None = None
    diarization_granularity: Literal["word", "segment", "sentence", "split_segment"] = "sentence"
    enable_word_level_diarization: bool = False
    enable_sentence_level_diarization: bool = False
    enable_final_diarization: bool = False
    prefix: str | None = ""
    show_beam_results: bool = False
    enable_chunk_level_language_detection: bool | None = False

    @property
    def decoding(self) -> DecodingOptions:
        """What of it concerns the decoder. Without a language it is left to decode English."""
        sampling, language = self.whisper_sampling_params, self.audio_language or "en"
        return DecodingOptions(
            language=None if language == "auto" else SCRIPTS.get(language, language),
            language_options=tuple(self.language_options),
            is_detection_only=self.language_detection_only,
            translates=self.output_language == "en",
            prompt=self.prompt or "",
            word_timestamps=self.show_word_timestamps,
            beam_width=sampling.beam_width,
            length_penalty=sampling.length_penalty,
            repetition_penalty=sampling.repetition_penalty,
            no_repeat_ngram_size=sampling.no_repeat_ngram_size or 0,
            temperatures=tuple(sampling.sampling_temperatures) or (0.0,),
            max_new_tokens=sampling.max_new_tokens,
        )


class StreamingParams(_Strict):
    encoding: str = "pcm_s16le"  # a free string: what is wrong with it shows at the first audio
    sample_rate: int = 16_000
    enable_partial_transcripts: bool = False
    partial_transcript_interval_s: float = 0.5
    final_transcript_max_duration_s: int = MAX_DURATION_S
    prioritize_latency: bool = True
    skip_partial_if_hallucination: bool = True
    include_pipeline_latency_metric: bool = False


class Metadata(_Strict):
    """A valid first frame, with the server's defaults for what it leaves out."""

    whisper_params: WhisperParams = Field(default_factory=WhisperParams)
    streaming_params: StreamingParams = Field(default_factory=StreamingParams)
    streaming_vad_config: dict[str, Any] = {}
    streaming_diarization_config: dict[str, Any] = {}
    diarization_config: dict[str, Any] = {}
    stream_id: str | None = None
    include_timing_info: bool = False


def _numbers(version: str) -> tuple[int, ...] | None:
    """The runtime's version as numbers, `None` for ``"current"``, which knows every key."""
    if version == "current":
        return None
    numbers = [int(part) for part in version.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def metadata(
    frame: str | bytes, *, version: str, has_diarizer: bool
) -> tuple[dict[str, Any], Metadata]:
    """Read the first frame: what was sent, and what the server makes of it.

    Raises:
        MetadataRefused: It is no text, no JSON object, or holds a key or value not known here.
    """
    if isinstance(frame, bytes):
        raise MetadataRefused("the first frame is binary")
    try:
        sent = json.loads(frame)
        settings = Metadata.model_validate(sent)
    except (json.JSONDecodeError, RecursionError, ValidationError) as e:
        raise MetadataRefused(str(e)) from e
    runtime_version = _numbers(version)
    if runtime_version is not None:
        for key in sent.get("whisper_params", {}):
            if runtime_version < ADDED_IN.get(key, runtime_version):
                raise MetadataRefused(f"{key} is not known before {ADDED_IN[key]}")
    _override(settings, has_diarizer=has_diarizer)
    return sent, settings


def _override(settings: Metadata, *, has_diarizer: bool) -> None:
    streaming, whisper = settings.streaming_params, settings.whisper_params
    streaming.final_transcript_max_duration_s = min(
        streaming.final_transcript_max_duration_s, MAX_DURATION_S
    )
    whisper.enable_diarization = bool(whisper.enable_diarization) and has_diarizer
    if not whisper.enable_diarization:
        return
    if whisper.enable_sentence_level_diarization:
        whisper.diarization_granularity = "sentence"
    elif whisper.enable_word_level_diarization:
        whisper.diarization_granularity = "word"
    if whisper.diarization_granularity in ("word", "sentence"):
        whisper.show_word_timestamps = True
