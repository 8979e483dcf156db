"""`evaluate`: what a deployment makes of recordings whose words are known, setting by setting."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from .. import deployment, recognition
from ..console import fail

_COMPARISON, _RESULT = "Comparison", "Result"


def evaluate(
    recordings: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|CSV",
            exists=True,
            help="Recordings with a .txt of the same name beside each, or a CSV with the columns "
            "audio and text.",
        ),
    ],
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,VALUE",
            help="An argument of STT and values to compare; may be repeated: each with each.",
            rich_help_panel=_COMPARISON,
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", min=1, help="Clips at once.", rich_help_panel=_COMPARISON),
    ] = 4,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="As fast as the server takes it, not at the pace of speech: no delays.",
            rich_help_panel=_COMPARISON,
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            dir_okay=False,
            help="A page of HTML in which each utterance can be heard.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            dir_okay=False,
            allow_dash=True,
            help="All figures for a program to read; - is standard output, without the table.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a model that is asleep.")
    ] = 0,
    language: recognition.Language = None,
    language_options: recognition.LanguageOptions = None,
    prompt: recognition.Prompt = None,
    keyterm: recognition.Keyterm = None,
    drop_hallucinations: recognition.DropHallucinations = False,
    vad_threshold: recognition.VadThreshold = None,
    vad_min_silence_duration_ms: recognition.VadMinSilence = None,
    beam_width: recognition.BeamWidth = None,
    extra_metadata: recognition.ExtraMetadata = None,
    endpoint: deployment.Endpoint = None,
    model: deployment.Model = deployment.ModelName.whisper,
    api_key: deployment.ApiKey = None,
    model_id: deployment.ModelId = None,
    chain_id: deployment.ChainId = None,
    environment: deployment.Environment = "production",
    allow_plaintext: deployment.AllowPlaintext = False,
) -> None:
    """Measure what a deployment hears, and which settings it should have.

    Plays each recording as a caller speaks it, and compares what comes back
    with what is said there: wrong words, delays, what was missed or made up.

    \b
      evaluate calls/                                     how well, how soon
      evaluate calls/ --vary vad_threshold=0.3,0.5,0.7    which one to take
      evaluate calls/ --vary "prompt=|Lake Tahoe, Aria."  does a prompt help
      evaluate calls/ -o calls.html                       see and hear it

    The rest of the options are those of `transcribe`, for all settings alike.

    Exit status: 0 if all were heard; 1 if a recording was not; 2 if the
    command makes no sense.
    """
    for package in ("jiwer", "whisper_normalizer"):
        if importlib.util.find_spec(package) is None:
            name = package.replace("_", "-")
            fail(f'{name} is missing: pip install "livekit-plugins-baseten[evaluate]"')
    from ..._evaluation.clips import clips_of
    from ..._evaluation.variants import variants_of

    try:
        clips, variants = clips_of(recordings), variants_of(vary or [])
    except ValueError as e:
        raise typer.BadParameter(str(e)) from None
    resolved = deployment.resolved(
        model_endpoint=endpoint,
        model_id=model_id,
        chain_id=chain_id,
        environment=environment,
        api_key=api_key,
        allow_plaintext=allow_plaintext,
    )
    given = recognition.arguments(locals())
    arguments = {
        "model": model.value,
        "cold_start_timeout": wait or None,
        "drop_hallucinations": drop_hallucinations,
        **given,
    }
    from .work import Wishes, evaluate_all  # not before all is right: it imports LiveKit

    wishes = Wishes(jobs, not fast, output, json)
    raise typer.Exit(evaluate_all(resolved, arguments, clips, variants, wishes))
