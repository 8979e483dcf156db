"""`transcribe`: recordings or the microphone to text, JSON or captions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import deployment, recognition
from ..console import err

if TYPE_CHECKING:
    from ..._transcription.formats import Format
    from ..._transcription.selection import Channels

_OUTPUT, _SOUND, _PACE = "Transcript", "Recording", "Pace"


def transcribe(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE|URL|-", help="What to transcribe; - is standard input."),
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Transcribe the microphone.")] = False,
    device: Annotated[
        str | None,
        typer.Option(help="Which microphone: name or number, of `python -m sounddevice`."),
    ] = None,
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="text|json|srt|vtt|tsv|all",
            help="Several with commas between. Default: what --output ends in, else text.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="A file; for several transcripts, a folder.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    output_dir: Annotated[
        str | None,
        typer.Option("--output-dir", help="A folder, made if need be.", rich_help_panel=_OUTPUT),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what is there.", rich_help_panel=_OUTPUT)
    ] = False,
    timestamps: Annotated[
        bool,
        typer.Option(
            "--timestamps", help="Text with the times of each line.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    word_times: Annotated[
        bool,
        typer.Option(
            "--word-times", help="WebVTT with the time of each word.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    max_line_width: Annotated[
        int | None,
        typer.Option(
            min=10,
            help="Of captions, in columns; a Chinese character takes two.",
            show_default="42",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    max_lines: Annotated[
        int | None,
        typer.Option(min=1, help="Of a caption.", show_default="2", rich_help_panel=_OUTPUT),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Where to begin: 90, 1:30 or 0:01:30.", rich_help_panel=_SOUND
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How much to transcribe.", rich_help_panel=_SOUND),
    ] = None,
    track: Annotated[
        int | None,
        typer.Option(min=1, help="Which of several sound tracks.", rich_help_panel=_SOUND),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(
            metavar="mix|split|NUMBER",
            help="All as one; each as a speaker, on a connection of its own; or this one.",
            rich_help_panel=_SOUND,
        ),
    ] = "mix",
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Files at once; each takes a connection, or one for each channel.",
            rich_help_panel=_PACE,
        ),
    ] = 4,
    real_time: Annotated[
        bool,
        typer.Option(
            "--real-time",
            help="At the pace of speech; else as fast as the server.",
            rich_help_panel=_PACE,
        ),
    ] = False,
    no_interims: Annotated[
        bool,
        typer.Option(
            "--no-interims",
            help="Ask for none, not even on a terminal: faster.",
            rich_help_panel=_PACE,
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds to wait for a model that is asleep.", rich_help_panel=_PACE
        ),
    ] = 0,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Record there what goes over the wire, and the sound; `report` shows it.",
        ),
    ] = None,
    language: recognition.Language = None,
    language_options: recognition.LanguageOptions = None,
    translate: recognition.Translate = False,
    prompt: recognition.Prompt = None,
    keyterm: recognition.Keyterm = None,
    diarize: recognition.Diarize = False,
    diarization_granularity: recognition.DiarizationGranularity = None,
    no_word_timestamps: recognition.NoWordTimestamps = False,
    drop_hallucinations: recognition.DropHallucinations = False,
    final_transcript_max_duration_s: recognition.MaxDuration = None,
    vad_threshold: recognition.VadThreshold = None,
    vad_min_silence_duration_ms: recognition.VadMinSilence = None,
    vad_speech_pad_ms: recognition.VadSpeechPad = None,
    beam_width: recognition.BeamWidth = None,
    length_penalty: recognition.LengthPenalty = None,
    repetition_penalty: recognition.RepetitionPenalty = None,
    beam_search_diversity_rate: recognition.BeamSearchDiversityRate = None,
    no_repeat_ngram_size: recognition.NoRepeatNgramSize = None,
    use_dynamic_preprocessing: recognition.DynamicPreprocessing = None,
    extra_metadata: recognition.ExtraMetadata = None,
    endpoint: deployment.Endpoint = None,
    model: deployment.Model = deployment.ModelName.whisper,
    api_key: deployment.ApiKey = None,
    model_id: deployment.ModelId = None,
    chain_id: deployment.ChainId = None,
    environment: deployment.Environment = "production",
    allow_plaintext: deployment.AllowPlaintext = False,
) -> None:
    """Transcribe recordings, or what the microphone hears.

    Any format that FFmpeg reads will do: sound, and the sound of videos.
    Standard output carries the transcript and nothing else.

    \b
      transcribe talk.mp3                      a line for each utterance
      transcribe talk.mp4 -o talk.srt          captions for a video
      transcribe talk.mp3 -f json | jq .       words, times, speakers
      transcribe calls/*.wav --output-dir out  a folder, four files at once
      transcribe call.wav --channels split     each side of a call a speaker
      transcribe --mic                         what you say, until Ctrl-C

    To try it without a key: run `serve` in another terminal, and pass the
    URL that it prints: --endpoint URL --api-key any.

    Exit status: 0 if all went well; 1 if a file failed, which does not stop
    the others; 2 if the command makes no sense; 130 after Ctrl-C.
    """
    sources = files or []
    if mic == bool(sources):
        raise typer.BadParameter("name files to transcribe, or --mic")
    # Not for --help and --version: what captions are made with takes time to import.
    from ..._transcription.captions import Layout
    from ..._transcription.formats import Format, Style
    from ..._transcription.selection import Selection
    from .outputs import STDIN, formats_of, targets
    from .wishes import MICROPHONE, Wishes

    if sources.count(STDIN) > 1:
        raise typer.BadParameter("standard input can be read once only")
    if device is not None and not mic:
        raise typer.BadParameter("--device is for --mic")
    try:
        formats = formats_of(format or [], output)
        goals = targets(sources or [MICROPHONE], formats, output=output, folder=output_dir)
        selection = Selection(
            track=track,
            channels=_channels(channels),
            start_s=_seconds("--start", start),
            duration_s=None if duration is None else _seconds("--duration", duration),
        )
    except ValueError as e:
        raise typer.BadParameter(str(e)) from None
    if mic and (selection != Selection() or real_time):
        raise typer.BadParameter(
            "--start, --duration, --track, --channels and --real-time are for recordings"
        )
    resolved = deployment.resolved(
        model_endpoint=endpoint,
        model_id=model_id,
        chain_id=chain_id,
        environment=environment,
        api_key=api_key,
        allow_plaintext=allow_plaintext,
    )
    given = recognition.arguments(locals())
    deployment.check_recognition(model, **given)
    without_effect = {
        "--timestamps": timestamps and Format.text not in formats,
        "--word-times": word_times and Format.vtt not in formats,
        "--max-line-width": max_line_width and not _has_captions(formats),
        "--max-lines": max_lines and not _has_captions(formats),
        "--force": force and not goals[0].files,
        "--diarization-granularity": diarization_granularity and not diarize,
    }
    for option in (name for name, has_none in without_effect.items() if has_none):
        err.print(f"{option} has no effect here")
    layout = Layout(max_line_width or Layout.columns, max_lines or Layout.lines)
    from .work import transcribe_all  # not before all is right: it imports LiveKit

    status = transcribe_all(
        resolved,
        {
            "model": model.value,
            "cold_start_timeout": wait or None,
            "record": report,
            "drop_hallucinations": drop_hallucinations,
            **given,
        },
        sources,
        goals,
        Wishes(formats, Style(timestamps, layout, word_times), selection, force, jobs, real_time),
        device=device,
        wants_interims=not no_interims,
    )
    raise typer.Exit(status)


def _has_captions(formats: Sequence[Format]) -> bool:
    return any(format.is_captions for format in formats)


def _channels(text: str) -> Channels:
    if text in ("mix", "split"):
        return "mix" if text == "mix" else "split"
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"--channels {text}: mix, split, or the number of one, from 1")
    return int(text)


def _seconds(option: str, text: str | None) -> float:
    """What ``90``, ``1:30`` and ``0:01:30.5`` stand for."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text or "0"):
        raise ValueError(f"{option} {text}: a time such as 90, 1:30 or 0:01:30")
    seconds = 0.0
    for part in (text or "0").split(":"):
        seconds = 60 * seconds + float(part)
    if option == "--duration" and not seconds:
        raise ValueError(f"{option} {text}: more than nothing")
    return seconds
