"""`transcribe`: files or the microphone to text, JSON or captions."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ... import STT
from .. import deployment
from . import microphone
from .batch import Batch, Page, Style
from .display import Display, display, show_log, stop_writing
from .formats import Format
from .outputs import Unwritable, destinations, format_of, prepare
from .recording import PATIENT_S, Ears, Unheard

BROKEN_PIPE = 128 + 13  # as of a process that SIGPIPE ended
INTERRUPTED = 128 + 2  # and of one that Ctrl-C did

# Between interims of a recording that is sent faster than speech, in seconds of it.
_SPARSE_S = 1.0


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
        targets = destinations(sources or [Path(microphone.NAME)], output, format)
    except ValueError as e:
        raise typer.BadParameter(str(e)) from None
    shown = display(len(sources))
    show_log(shown)
    has_interims = shown.is_live and len(sources) <= 1 and not no_interims
    arguments: dict[str, Any] = {} if mic else dict(PATIENT_S)
    if has_interims and not mic and not real_time:
        arguments["partial_transcript_interval_s"] = _SPARSE_S
    if language is not None:
        arguments["language"] = language
    speech_to_text = deployment.speech_to_text(
        model_endpoint=endpoint,
        model=model.value,
        api_key=api_key,
        model_id=model_id,
        chain_id=chain_id,
        environment=environment,
        allow_plaintext=allow_plaintext,
        enable_partial_transcripts=has_interims,
        prompt=prompt,
        keyterms=keyterm,
        enable_diarization=diarize,
        cold_start_timeout=wait or None,
        record=report,
        **arguments,
    )
    style = Style(format, timestamps, force, jobs, real_time)
    if mic:
        work = _transcribe_microphone(speech_to_text, device, targets[0], style, shown)
    else:
        work = _transcribe_files(speech_to_text, sources, targets, style, shown)
    with shown.running():
        status = _run(work)
    raise typer.Exit(status)


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Do it, or as much of it as somebody waits for; returns the exit status."""
    try:
        return asyncio.run(work)
    except (asyncio.CancelledError, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        stop_writing()
        return BROKEN_PIPE


async def _transcribe_files(
    speech_to_text: STT,
    sources: Sequence[Path],
    targets: Sequence[Path | None],
    style: Style,
    shown: Display,
) -> int:
    work = asyncio.current_task()
    assert work is not None
    _on_ctrl_c(work.cancel)
    async with speech_to_text:
        batch = Batch(speech_to_text, sources, targets, style, shown)
        try:
            await batch.run()
        except asyncio.CancelledError:
            shown.note(f"Stopped; {batch.successes} of {len(sources)} files are transcribed.")
            raise
    if shown.is_live and len(sources) > 1:
        shown.note(f"{batch.successes} of {len(sources)} files are transcribed.")
    return 1 if batch.failures else 0


async def _transcribe_microphone(
    speech_to_text: STT, device: str | None, target: Path | None, style: Style, shown: Display
) -> int:
    work = asyncio.current_task()
    assert work is not None
    stopped = asyncio.Event()
    _on_ctrl_c(lambda: work.cancel() if stopped.is_set() else stopped.set())
    page = Page(style, target, shown.write)

    def opened(_: float | None) -> None:
        shown.note("Listening. Ctrl-C ends.")

    ears = Ears(opened, page.said, shown.interim, lambda done_s: None)
    try:
        if target is not None:
            prepare(target, None, force=style.force)
        async with speech_to_text:
            page.ended(await microphone.hear_microphone(speech_to_text, device, ears, stopped))
    except (Unheard, Unwritable) as e:
        shown.note(f"{microphone.NAME}: {e}")
        return 1
    return 0


def _on_ctrl_c(what: Callable[[], object]) -> None:
    with contextlib.suppress(NotImplementedError):  # Windows: it is a KeyboardInterrupt there
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, what)
