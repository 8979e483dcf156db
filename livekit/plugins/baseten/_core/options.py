"""What a user may set about recognition: each option once, with all that is known of it.

A line of `Options` says an option's name, type, default and range, what the default is for another
model, and the field of the metadata that it becomes. Options that are not sent as they are, such as
the language, have no such field here: their dialect in `wire/` knows what becomes of them.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from typing_extensions import Self

# One name for each dialect that `wire/__init__` lists.
Model = Literal["whisper", "qwen3-asr"]
Granularity = Literal["word", "segment", "sentence", "split_segment"]


class Sent:
    """The option goes into the metadata as it is, at this path; None is left out."""

    def __init__(self, *path: str) -> None:
        self.path = path


class DefaultOf(NamedTuple):
    """What the option is for a model that has another default than Whisper."""

    model: Model
    value: Any


def _as_tuple(given: object) -> object:
    if given is None:
        return ()
    return tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else given


def _as_own_dict(given: object) -> object:
    """A copy, so that nobody can change it later."""
    if given is None:
        return {}
    return copy.deepcopy(dict(given)) if isinstance(given, Mapping) else given


def _sendable(given: Any) -> Any:
    """Text or texts; a lone surrogate is half a character, of bytes that were decoded wrongly."""
    for text in (given,) if isinstance(given, str) else given or ():
        text.encode()
    return given


def _uuid(given: Any) -> Any:
    try:
        return None if given is None else str(uuid.UUID(given))
    except (AttributeError, TypeError, ValueError):
        raise PydanticCustomError(_NO_UUID, "UUID") from None


_NO_UUID = "no_uuid"
_Strings = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), AfterValidator(_sendable)]
_Metadata = Annotated[Mapping[str, Any], BeforeValidator(_as_own_dict)]

_WHISPER, _STREAMING, _VAD = "whisper_params", "streaming_params", "streaming_vad_config"
_SAMPLING = (_WHISPER, "whisper_sampling_params")


class Options(BaseModel, frozen=True):
    """One stream's recognition options. Immutable: a change is a new value (`updated`)."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    model: Model = "whisper"
    language: Annotated[str, DefaultOf("qwen3-asr", "auto")] = "en"
    language_options: _Strings = ()
    translate: bool = False

    enable_partial_transcripts: Annotated[bool, Sent(_STREAMING, "enable_partial_transcripts")] = (
        True
    )
    partial_transcript_interval_s: Annotated[
        float, Field(gt=0, le=30), Sent(_STREAMING, "partial_transcript_interval_s")
    ] = 0.5
    final_transcript_max_duration_s: Annotated[
        int, Field(ge=1, le=30), Sent(_STREAMING, "final_transcript_max_duration_s")
    ] = 29
    # Word times need an aligner on a deployment of Qwen3-ASR, which few have.
    show_word_timestamps: Annotated[
        bool, Sent(_WHISPER, "show_word_timestamps"), DefaultOf("qwen3-asr", False)
    ] = True

    vad_threshold: Annotated[float, Field(ge=0, le=1), Sent(_VAD, "threshold")] = 0.5
    vad_min_silence_duration_ms: Annotated[
        int,
        Field(ge=0, le=10_000),
        Sent(_VAD, "min_silence_duration_ms"),
        DefaultOf("qwen3-asr", 500),
    ] = 300
    vad_speech_pad_ms: Annotated[
        int, Field(ge=0, le=10_000), Sent(_VAD, "speech_pad_ms"), DefaultOf("qwen3-asr", 100)
    ] = 30

    prompt: Annotated[str | None, AfterValidator(_sendable)] = None
    keyterms: _Strings = ()
    use_dynamic_preprocessing: Annotated[
        bool | None, Sent(_WHISPER, "use_dynamic_preprocessing")
    ] = None

    beam_width: Annotated[int | None, Field(ge=1, le=64), Sent(*_SAMPLING, "beam_width")] = None
    length_penalty: Annotated[float | None, Field(ge=0), Sent(*_SAMPLING, "length_penalty")] = None
    repetition_penalty: Annotated[
        float | None, Field(gt=0), Sent(*_SAMPLING, "repetition_penalty")
    ] = None
    beam_search_diversity_rate: Annotated[
        float | None, Field(ge=0), Sent(*_SAMPLING, "beam_search_diversity_rate")
    ] = None
    no_repeat_ngram_size: Annotated[
        int | None, Field(ge=0), Sent(*_SAMPLING, "no_repeat_ngram_size")
    ] = None

    enable_diarization: bool = False
    diarization_granularity: Granularity | None = None

    stream_id: Annotated[str | None, BeforeValidator(_uuid), Sent("stream_id")] = None
    extra_metadata: _Metadata = Field(default_factory=dict)

    @classmethod
    def create(cls, model: Model, **given: Any) -> Options:
        """The options of a model, what is not ``given`` at that model's defaults.

        Raises:
            ValueError: A value out of range; names the parameter, the value and the range.
        """
        if model not in get_args(Model):
            names = ", ".join(f'"{name}"' for name in get_args(Model))
            raise ValueError(f"model={model!r}: must be one of {names}")
        defaults = {"model": model, **_defaults_of(model), "language": _language_of(model, given)}
        return cls._made({**defaults, **given}, is_language_said="language" in given)

    def updated(self, **given: Any) -> Self:
        """These options with some changed; ``self`` if nothing would change.

        Raises:
            ValueError: A value out of range; names the parameter, the value and the range.
        """
        is_language_said = "language" in given or "language" in self.model_fields_set
        values = {**dict(self), **given}
        if "language" not in given and (not is_language_said or given.get("language_options")):
            values["language"] = _language_of(self.model, values)
        changed = self._made(values, is_language_said=is_language_said)
        return self if changed == self else changed

    @classmethod
    def _made(cls, values: Mapping[str, Any], *, is_language_said: bool) -> Self:
        """
        Args:
            is_language_said: Otherwise the language follows from the model, `language_options` and
                `translate`, also when those change; then it is not among the fields that were set.
        """
        try:
            made = cls(**values)
        except ValidationError as e:
            raise ValueError(_plainly(e)) from None
        if not is_language_said:
            made.model_fields_set.discard("language")
        return made

    def sent(self) -> dict[str, Any]:
        """The blocks of the metadata, of those options that are sent as they are."""
        blocks: dict[str, Any] = {}
        for name, path in _SENT.items():
            value = getattr(self, name)
            if value is not None:
                block = blocks
                for part in path[:-1]:
                    block = block.setdefault(part, {})
                block[path[-1]] = value
        return blocks

    def not_among(self, names: frozenset[str]) -> str:
        """An option that is set and not one of ``names``, "" if there is none."""
        for name, field in type(self).model_fields.items():
            if name not in names and getattr(self, name) != field.get_default():
                return name
        return ""


_SENT = {
    name: marker.path
    for name, field in Options.model_fields.items()
    for marker in field.metadata
    if isinstance(marker, Sent)
}


def _defaults_of(model: Model) -> dict[str, Any]:
    """What `Options` has another default of, for this model."""
    return {
        name: marker.value
        for name, field in Options.model_fields.items()
        for marker in field.metadata
        if isinstance(marker, DefaultOf) and marker.model == model
    }


def _language_of(model: Model, given: Mapping[str, Any]) -> str:
    """The language where nobody says it, as the other options among ``given`` have it."""
    if given.get("language_options") or given.get("translate"):
        return "auto"
    default: str = _defaults_of(model).get("language", Options.model_fields["language"].default)
    return default


def _plainly(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    parameter = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "value_error":  # the value is somebody's words
        return f"{parameter}: must be text that can be sent as UTF-8: it has half a character"
    if first["type"] == "tuple_type":
        return f"{parameter}={first['input']!r}: must be a list, as [{first['input']!r}]"
    told = _WANTED.get(first["type"]) or first["msg"].removeprefix("Input should be ")
    return f"{parameter}={first['input']!r}: must be {_allowed(parameter) or told}"


_WANTED = {
    "bool_parsing": "True or False",
    "bool_type": "True or False",
    "dict_type": "a mapping",
    "string_type": "a string",
    _NO_UUID: "a UUID, as str(uuid.uuid4()): a chain ignores any other name",
}


def _allowed(parameter: str) -> str:
    """What `Options` says of a numeric field: its type and range, in words."""
    field = Options.model_fields.get(parameter)
    if field is None:
        return ""
    bounds: list[str] = []
    for constraint in field.metadata:
        if isinstance(constraint, Ge):
            bounds.append(f"at least {constraint.ge:g}")
        elif isinstance(constraint, Gt):
            bounds.append(f"above {constraint.gt:g}")
        elif isinstance(constraint, Le):
            bounds.append(f"at most {constraint.le:g}")
    if not bounds:
        return ""
    kind = "a whole number" if "int" in str(field.annotation) else "a number"
    return f"{kind}, {' and '.join(bounds)}"
