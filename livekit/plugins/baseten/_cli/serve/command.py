"""`serve`: a Baseten on this machine, in a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from ..console import fail, out
from ..deployment import ModelName
from .ears import DEFAULT_MODEL, Ears, RecognizerName

if TYPE_CHECKING:
    from ...emulator import faults

NOT_INSTALLED = 'the emulator is not installed: pip install "livekit-plugins-baseten[emulator]"'


class ServeCommand(TyperCommand):
    """Its help ends with the faults that there are, where the emulator is installed."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        try:
            from ...emulator.faults.spelling import listing
        except ImportError:
            out.print(f" Faults: {NOT_INSTALLED}")
            return
        table = Table(
            "--fault", "what goes wrong", box=None, padding=(0, 1), header_style="bold", expand=True
        )
        for usage, meaning in listing():
            table.add_row(Text(usage, style="cyan", overflow="fold"), Text(meaning))
        out.print(table, soft_wrap=False)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on, 0 for a free one.", min=0, max=65535)
    ] = 8765,
    recognizer: Annotated[
        RecognizerName | None,
        typer.Option(
            help="Hear with Whisper, hear English with pocketsphinx, say the lines of a script, or "
            "read words that are coded into the audio (emulator.coded_speech).",
            show_default="whisper where it is installed, else sphinx",
        ),
    ] = None,
    whisper_model: Annotated[
        str | None,
        typer.Option(
            help="Which Whisper hears: tiny.en, base, large-v3-turbo and so on, or a folder with a "
            "model for CTranslate2.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where that Whisper runs.")
    ] = "auto",
    script: Annotated[
        Path | None,
        typer.Option(help="What to say, a line for each utterance.", exists=True, dir_okay=False),
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="The one key to let in; else any.")] = None,
    model: Annotated[ModelName, typer.Option(help="Which model to be.")] = ModelName.whisper,
    latency: Annotated[
        float, typer.Option(help="Seconds that every recognition takes longer.", min=0)
    ] = 0.0,
    delay: Annotated[
        float, typer.Option(help="Seconds that every message is under way.", min=0)
    ] = 0.0,
    runtime: Annotated[
        str,
        typer.Option(help="Version of Whisper's runtime, such as 0.4: it refuses newer fields."),
    ] = "current",
    diarizer: Annotated[
        bool,
        typer.Option(
            "--diarizer",
            help="Tell speakers apart, as a chain with a diarizer does: two take turns by the "
            "utterance; in a script, the name before a colon.",
        ),
    ] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="What goes wrong: the first for the first connection, the second for the second, "
            "and so on; none for one that works. See below for what there is."
        ),
    ] = None,
    repeat: Annotated[
        bool,
        typer.Option(
            "--repeat",
            help="Begin again with the first --fault after the last; with one it is for all.",
        ),
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines, as in a pipe, in place of the live view.")
    ] = False,
) -> None:
    """Serve a Baseten on this machine, for trying things out without a key.

    It is as strict as the real one, and breaks on request:

    --fault reset@16000 cuts the first connection after a second of audio

    --fault none --fault refuse:503 refuses the second one only

    --fault park:20 --repeat holds each handshake back, as a waking model does
    """
    ears = Ears(recognizer, script, whisper_model, device)
    if mistake := ears.mistake():
        raise typer.BadParameter(mistake)
    if repeat and not fault:
        raise typer.BadParameter("--repeat is for --fault: there is nothing to repeat")
    if diarizer and model is not ModelName.whisper:
        raise typer.BadParameter("--diarizer is for --model whisper")
    if runtime != "current" and model is not ModelName.whisper:
        raise typer.BadParameter("--runtime is for --model whisper")
    if runtime != "current" and not re.fullmatch(r"\d+(\.\d+){0,2}", runtime):
        raise typer.BadParameter(f"--runtime {runtime}: a version such as 0.4, or current")
    try:
        plan = _plan(fault or [])
        from .work import Setting, serve_until_stopped  # not before all is right: it takes time

        setting = Setting(
            model=model,
            ears=ears,
            host=host,
            port=port,
            api_key=api_key,
            plan=plan,
            repeat=repeat,
            latency_s=latency,
            delay_s=delay,
            runtime=runtime,
            diarizer=diarizer,
            plain=plain or not out.is_terminal,
        )
        serve_until_stopped(setting)
    except ImportError as e:
        fail(str(e) if "pip install" in str(e) else NOT_INSTALLED)


def _plan(texts: list[str]) -> tuple[faults.Entry, ...]:
    from ...emulator.faults.spelling import BadFault, parsed

    try:
        return tuple(parsed(text) for text in texts)
    except BadFault as e:
        fail(f"--fault {e}", status=2)
