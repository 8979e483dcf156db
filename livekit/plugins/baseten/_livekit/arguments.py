"""The arguments of `STT` as LiveKit's users give them: some not given, some of former versions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from pydantic import TypeAdapter, ValidationError

from livekit.agents.types import NotGivenOr
from livekit.agents.utils import is_given

from .._core.options import Granularity


class OptionChanges(TypedDict, total=False):
    """What `update_options` takes: arguments of `STT`, see there. What is left out stays."""

    language: NotGivenOr[str]
    language_options: NotGivenOr[Sequence[str] | None]
    translate: NotGivenOr[bool]
    enable_partial_transcripts: NotGivenOr[bool]
    partial_transcript_interval_s: NotGivenOr[float]
    final_transcript_max_duration_s: NotGivenOr[int]
    show_word_timestamps: NotGivenOr[bool]
    vad_threshold: NotGivenOr[float]
    vad_min_silence_duration_ms: NotGivenOr[int]
    vad_speech_pad_ms: NotGivenOr[int]
    prompt: NotGivenOr[str | None]
    keyterms: NotGivenOr[Sequence[str] | None]
    use_dynamic_preprocessing: NotGivenOr[bool]
    beam_width: NotGivenOr[int]
    length_penalty: NotGivenOr[float]
    repetition_penalty: NotGivenOr[float]
    beam_search_diversity_rate: NotGivenOr[float]
    no_repeat_ngram_size: NotGivenOr[int]
    enable_diarization: NotGivenOr[bool]
    diarization_granularity: NotGivenOr[Granularity]
    stream_id: NotGivenOr[str | None]
    extra_metadata: NotGivenOr[Mapping[str, Any] | None]
    buffer_size_seconds: NotGivenOr[float]
    """Has no effect and never had."""


def changed_options(changes: OptionChanges) -> dict[str, Any]:
    """Those of ``changes`` that are given, by the names that `Options` has for them.

    Raises:
        TypeError: There is no such option.
    """
    unknown = changes.keys() - OptionChanges.__annotations__.keys()
    if unknown:
        names = ", ".join(sorted(unknown))
        raise TypeError(f"update_options() got an unexpected keyword argument: {names}")
    given: dict[str, Any] = {name: value for name, value in changes.items() if is_given(value)}
    if given.pop("buffer_size_seconds", None) is not None:
        _warn_of_buffer_size()
    return given


def options_in(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the constructor's arguments that are options of recognition, and given."""
    names = OptionChanges.__annotations__.keys() - {"buffer_size_seconds"}
    return {name: arguments[name] for name in names if is_given(arguments[name])}


def check_former_arguments(
    sample_rate: int | str, encoding: NotGivenOr[str], buffer_size_seconds: NotGivenOr[float]
) -> None:
    """What livekit-plugins-baseten 1.8.9 took and could not do."""
    if str(sample_rate) != "16000":
        raise ValueError(
            f"sample_rate={sample_rate!r}: the server hears everything as 16000 Hz, whatever it is "
            "told. Audio of any rate can be pushed; it is resampled here."
        )
    if is_given(encoding) and encoding != "pcm_s16le":
        raise ValueError(
            f"encoding={encoding!r}: the server recognizes pcm_s16le only; it would transcribe "
            "mu-law as noise. Decode it before pushing."
        )
    if is_given(buffer_size_seconds):
        _warn_of_buffer_size()


def _warn_of_buffer_size() -> None:
    warnings.warn(
        "buffer_size_seconds has no effect and never had: audio goes out every 32 ms, as the "
        "server requires",
        DeprecationWarning,
        stacklevel=4,  # where the user called: above this, its caller and the method
    )


def above(bound: float, **argument: Any) -> float:
    """The argument, if it is a number of seconds above ``bound``, be it as text."""
    ((name, value),) = argument.items()
    number = _number(value)
    if not bound < number < math.inf:
        raise ValueError(f"{name}={value!r}: must be a number of seconds above {bound:g}")
    return number


def at_least(bound: float, **argument: Any) -> float:
    """The argument, if it is a number of seconds not below ``bound``, be it as text."""
    ((name, value),) = argument.items()
    number = _number(value)
    if not bound <= number < math.inf:
        raise ValueError(f"{name}={value!r}: must be a number of seconds, at least {bound:g}")
    return number


def is_true(**argument: Any) -> bool:
    """The argument, if it is true or false, be it as text: the text "false" is not true."""
    ((name, value),) = argument.items()
    try:
        return _FLAG.validate_python(value)
    except ValidationError:
        raise ValueError(f"{name}={value!r}: must be True or False") from None


def _number(value: Any) -> float:
    """NaN if it is none."""
    try:
        return math.nan if isinstance(value, bool) else _NUMBER.validate_python(value)
    except ValidationError:
        return math.nan


_FLAG, _NUMBER = TypeAdapter(bool), TypeAdapter(float)
