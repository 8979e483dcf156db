"""The work of `transcribe`, once it is known what to do."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..._core.endpoint import Endpoint
from ...stt import STT
from ..deployment import speech_to_text
from .batch import Batch, Page
from .display import Display, display, show_log, stop_writing
from .microphone import hear_microphone
from .outputs import Unwritable, prepare
from .recording import PATIENT_S, Ears, Unheard
from .style import MICROPHONE, Style

BROKEN_PIPE = 128 + 13  # as of a process that SIGPIPE ended
INTERRUPTED = 128 + 2  # and of one that Ctrl-C did

# Between interims of a recording that is sent faster than speech, in seconds of it.
_SPARSE_S = 1.0


def transcribe_all(
    endpoint: Endpoint,
    arguments: Mapping[str, Any],
    sources: Sequence[Path],
    targets: Sequence[Path | None],
    style: Style,
    *,
    device: str | None,
    wants_interims: bool,
) -> int:
    """Transcribe files, or the microphone where there are none; returns the exit status.

    Args:
        arguments: Of `STT`.
        targets: Where to, for each source; None is standard output.
        device: Which microphone.
        wants_interims: Show them, where somebody sees them.
    """
    shown = display(len(sources))
    show_log(shown)
    has_interims = shown.is_live and len(sources) <= 1 and wants_interims
    defaults: dict[str, Any] = PATIENT_S if sources else {}
    if has_interims and sources and not style.at_pace_of_speech:
        defaults = {**defaults, "partial_transcript_interval_s": _SPARSE_S}
    ears = speech_to_text(
        endpoint, enable_partial_transcripts=has_interims, **{**defaults, **arguments}
    )
    if sources:
        work = _transcribe_files(ears, sources, targets, style, shown)
    else:
        work = _transcribe_microphone(ears, device, targets[0], style, shown)
    with shown.running():
        return _run(work)


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
            page.ended(await hear_microphone(speech_to_text, device, ears, stopped))
    except (Unheard, Unwritable) as e:
        shown.note(f"{MICROPHONE}: {e}")
        return 1
    return 0


def _on_ctrl_c(what: Callable[[], object]) -> None:
    with contextlib.suppress(NotImplementedError):  # Windows: it is a KeyboardInterrupt there
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, what)
