"""The optional handshake of Qwen3-ASR. Keys that are not known are ignored."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from .._recognizers.recognizer import DecodingOptions
from .languages import QWEN3_NAMES

BLOCKS = ("whisper_params", "streaming_params", "streaming_vad_config", "include_timing_info")
"""What makes an object without a type a handshake."""


class WhisperParams(BaseModel):
    audio_language: str | None = "auto"  # a name such as "English", and no code
    show_word_timestamps: bool = False
    prompt: str | None = None
    keyterms: Any = None

    @property
    def decoding(self) -> DecodingOptions:
        """What of it concerns the decoder. Keyterms are read out to it after the prompt."""
        terms = self.keyterms if isinstance(self.keyterms, list) else []
        prompt = " ".join(filter(None, [self.prompt, ", ".join(map(str, terms))]))
        codes = {name.casefold(): code for code, name in QWEN3_NAMES.items()}
        return DecodingOptions(
            language=codes.get((self.audio_language or "auto").casefold()), prompt=prompt
        )


class StreamingParams(BaseModel):
    enable_partial_transcripts: bool = True
    partial_transcript_interval_s: float = 0.5
    final_transcript_max_duration_s: float = 30.0


class VoiceParams(BaseModel):
    threshold: float = 0.5
    min_silence_duration_ms: float = 500
    speech_pad_ms: float = 100


class Settings(BaseModel):
    whisper_params: WhisperParams = Field(default_factory=WhisperParams)
    streaming_params: StreamingParams = Field(default_factory=StreamingParams)
    streaming_vad_config: VoiceParams = Field(default_factory=VoiceParams)
    include_timing_info: bool = False
