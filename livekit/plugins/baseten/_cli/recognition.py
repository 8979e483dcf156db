"""The options that say how to recognize: those of `STT`, for whoever transcribes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from .console import fail

_PANEL = "Recognition"


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=_PANEL, **settings)


Language = Annotated[
    str | None,
    _option(
        help='Such as "en" or "de"; "auto" detects it.',
        show_default="en; auto for Qwen3-ASR and with --language-options",
    ),
]
LanguageOptions = Annotated[
    str | None, _option(metavar="EN,DE", help="Languages to detect among, with commas between.")
]
Translate = Annotated[
    bool, _option("--translate", help="To English; Whisper large-v3 can, turbo was not taught to.")
]
Prompt = Annotated[str | None, _option(help="What was said before: names, spellings, style.")]
Keyterm = Annotated[list[str] | None, _option(help="A term to listen for; may be repeated.")]
Diarize = Annotated[bool, _option("--diarize", help="Tell speakers apart; needs a chain that can.")]
DiarizationGranularity = Annotated[
    Literal["word", "segment", "sentence", "split_segment"] | None,
    _option(help="What carries a speaker."),
]
NoWordTimestamps = Annotated[
    bool, _option("--no-word-timestamps", help="Ask for no times of words.")
]
DropHallucinations = Annotated[
    bool, _option("--drop-hallucinations", help="Leave out what the server doubts.")
]
MaxDuration = Annotated[
    int | None,
    _option(
        "--final-transcript-max-duration-s",
        help="Seconds after which speech that goes on is made final in parts.",
    ),
]
VadThreshold = Annotated[float | None, _option(help="From 0 to 1: what is speech.")]
VadMinSilence = Annotated[
    int | None,
    _option("--vad-min-silence-duration-ms", help="Silence that ends an utterance."),
]
VadSpeechPad = Annotated[int | None, _option("--vad-speech-pad-ms", help="Padding around speech.")]
BeamWidth = Annotated[int | None, _option(help="Of Whisper's decoding, as those below.")]
LengthPenalty = Annotated[float | None, _option()]
RepetitionPenalty = Annotated[float | None, _option()]
BeamSearchDiversityRate = Annotated[float | None, _option()]
NoRepeatNgramSize = Annotated[int | None, _option()]
DynamicPreprocessing = Annotated[
    bool | None, _option("--use-dynamic-preprocessing/--no-dynamic-preprocessing")
]
ExtraMetadata = Annotated[
    str | None,
    _option(metavar="JSON", help="As of STT: a JSON object laid over the metadata."),
]


def extra_metadata(text: str | None) -> dict[str, Any]:
    """What `--extra-metadata` says; ends with exit status 2 if it cannot be read."""
    try:
        extra = json.loads(text or "{}")
    except ValueError as e:
        fail(f"--extra-metadata: not JSON: {e}", status=2)
    if not isinstance(extra, dict):
        fail("--extra-metadata: not a JSON object", status=2)
    return extra


def arguments(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a command was told of recognition, as arguments of `STT`: those alone that were given.

    Args:
        parameters: All that the command has, by name.
    """
    from .._core.options import Options

    told = {name: value for name, value in parameters.items() if value is not None}
    as_they_are = Options.model_fields.keys() - {"model", "language_options", "extra_metadata"}
    given = {name: value for name, value in told.items() if name in as_they_are}
    languages = told.get("language_options", "").split(",")
    if languages := [one.strip() for one in languages if one.strip()]:
        given["language_options"] = tuple(languages)
        given.setdefault("language", "auto")
    if keyterms := told.get("keyterm"):
        given["keyterms"] = tuple(keyterms)
    if told.get("diarize"):
        given["enable_diarization"] = True
    if told.get("no_word_timestamps"):
        given["show_word_timestamps"] = False
    if extra := told.get("extra_metadata"):
        given["extra_metadata"] = extra_metadata(extra)
    return given
