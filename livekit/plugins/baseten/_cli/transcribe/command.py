"""`transcribe`: files or the microphone to text, JSON or captions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import deployment
from .formats import Format
from .outputs import destinations, format_of
from .style import MICROPHONE, Style


def transcribe(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="What to transcribe.")
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Transcribe the microphone.")] = False,
    device: Annotated[
        str | None,
        typer.Option(help="Which microphone: name or number, of `python -m sounddevice`."),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option("--format", "-f", help="Default: what --output ends in, else text."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file; for several transcripts, a folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", help="Text with the times of each line.")
    ] = False,
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", min=1, help="Files at once; each takes a connection."),
    ] = 4,
    real_time: Annotated[
        bool,
        typer.Option("--real-time", help="At the pace of speech; else as fast as the server."),
    ] = False,
    no_interims: Annotated[
        bool,
        typer.Option("--no-interims", help="Ask for none, not even on a terminal: faster."),
    ] = False,
    language: Annotated[
        str | None, typer.Option(help='Such as "en" or "de"; "auto" detects it.')
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What was said before: names, spellings, style.")
    ] = None,
    keyterm: Annotated[
        list[str] | None, typer.Option(help="A term to listen for; may be repeated.")
    ] = None,
    diarize: Annotated[
        bool, typer.Option("--diarize", help="Tell speakers apart; needs a chain that can.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a model that is asleep.")
    ] = 0,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Record there what goes over the wire, and the sound; `report` shows it.",
        ),
    ] = None,
    endpoint: deployment.Endpoint = None,
    model: deployment.Model = deployment.ModelName.whisper,
    api_key: deployment.ApiKey = None,
    model_id: deployment.ModelId = None,
    chain_id: deployment.ChainId = None,
    environment: deployment.Environment = "production",
    allow_plaintext: deployment.AllowPlaintext = False,
) -> None:
    """Transcribe files, or what the microphone hears.

    Any format that FFmpeg reads will do: sound, and the sound of videos.
    Standard output carries the transcript and nothing else.

    \b
      transcribe talk.mp3                   a line for each utterance
      transcribe talk.mp4 -o talk.srt       captions for a video
      transcribe talk.mp3 -f json | jq .    words, times, speakers
      transcribe calls/*.wav -o texts -j 8  a folder, eight files at once
      transcribe --mic                      what you say, until Ctrl-C
      transcribe talk.mp3 --report calls    and what went over the wire

    To try it without a key: run `serve` in another terminal, and pass the
    URL that it prints: --endpoint URL --api-key any.

    Exit status: 0 if all went well; 1 if a file failed, which does not stop
    the others; 2 if the command makes no sense; 130 after Ctrl-C.
    """
    sources = files or []
    if mic == bool(sources):
        raise typer.BadParameter("name files to transcribe, or --mic")
    format = format or format_of(output)
    try:
        targets = destinations(sources or [Path(MICROPHONE)], output, format)
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
    recognition: dict[str, Any] = {
        "prompt": prompt,
        "keyterms": tuple(keyterm or ()),
        "enable_diarization": diarize,
    }
    if language is not None:
        recognition["language"] = language
    deployment.check_recognition(model, **recognition)
    from .work import transcribe_all  # not before all is right: it imports LiveKit

    status = transcribe_all(
        resolved,
        {"model": model.value, "cold_start_timeout": wait or None, "record": report, **recognition},
        sources,
        targets,
        Style(format, timestamps, force, jobs, real_time),
        device=device,
        wants_interims=not no_interims,
    )
    raise typer.Exit(status)
