"""What a user may set about recognition: names, defaults and ranges, checked at construction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Self

Model = Literal["whisper", "qwen3-asr"]
Granularity = Literal["word", "segment", "sentence", "split_segment"]

# Where the two models' own defaults differ (docs/protocol.md, metadata and handshake fields).
_MODEL_DEFAULTS: dict[str, dict[str, Any]] = {
    "whisper": {
        "language": "en",
        "vad_min_silence_duration_ms": 300,
        "vad_speech_pad_ms": 30,
        "show_word_timestamps": True,
    },
    "qwen3-asr": {
        "language": "auto",
        "vad_min_silence_duration_ms": 500,
        "vad_speech_pad_ms": 100,
        # The aligner is opt-in on the deployment, so it is opt-in here.
        "show_word_timestamps": False,
    },
}


class Options(BaseModel):
    """One stream's recognition options. Immutable: a change is a new value (`updated`)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )

    model: Model = "whisper"
    language: str = "en"
    language_options: tuple[str, ...] = ()

    vad_threshold: float = Field(0.5, ge=0, le=1)
    vad_min_silence_duration_ms: int = Field(300, ge=0, le=10_000)
    vad_speech_pad_ms: int = Field(30, ge=0, le=10_000)

    enable_partial_transcripts: bool = True
    partial_transcript_interval_s: float = Field(0.5, gt=0, le=30)
    final_transcript_max_duration_s: int = Field(30, ge=1, le=30)
    show_word_timestamps: bool = True

    prompt: str | None = None
    keyterms: tuple[str, ...] = ()
    use_dynamic_preprocessing: bool | None = None

    beam_width: int | None = Field(None, ge=1, le=64)
    length_penalty: float | None = Field(None, ge=0)
    repetition_penalty: float | None = Field(None, gt=0)
    beam_search_diversity_rate: float | None = Field(None, ge=0)
    no_repeat_ngram_size: int | None = Field(None, ge=0)

    enable_diarization: bool = False
    diarization_granularity: Granularity | None = None

    extra_metadata: Mapping[str, Any] = Field(default_factory=dict)

    @classmethod
    def create(cls, model: Model, **given: Any) -> Options:
        """The options of a model, what is not ``given`` at that model's defaults.

        Raises:
            ValueError: A value out of range; names the parameter, the value and the range.
        """
        if model not in _MODEL_DEFAULTS:
            raise ValueError(f'model={model!r}: must be one of "whisper", "qwen3-asr"')
        try:
            return cls(model=model, **{**_MODEL_DEFAULTS[model], **given})
        except ValidationError as e:
            raise ValueError(_plainly(e)) from None

    def updated(self, **given: Any) -> Self:
        """These options with some changed; ``self`` if nothing would change.

        Raises:
            ValueError: A value out of range; names the parameter, the value and the range.
        """
        try:
            changed = type(self)(**{**dict(self), **given})
        except ValidationError as e:
            raise ValueError(_plainly(e)) from None
        return self if changed == self else changed


def _plainly(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    parameter = str(first["loc"][0]) if first["loc"] else ""
    told = first["msg"].removeprefix("Input should be ")
    return f"{parameter}={first['input']!r}: must be {_allowed(parameter) or told}"


def _allowed(parameter: str) -> str:
    """What `Options` says of a numeric field: its type and range, in words."""
    field = Options.model_fields.get(parameter)
    if field is None or not field.metadata:
        return ""
    kind = "a whole number" if "int" in str(field.annotation) else "a number"
    bounds: list[str] = []
    for constraint in field.metadata:
        if isinstance(constraint, Ge):
            bounds.append(f"at least {constraint.ge:g}")
        elif isinstance(constraint, Gt):
            bounds.append(f"above {constraint.gt:g}")
        elif isinstance(constraint, Le):
            bounds.append(f"at most {constraint.le:g}")
    return f"{kind}, {' and '.join(bounds)}"
