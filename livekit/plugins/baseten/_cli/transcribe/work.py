"""The work of `transcribe`, once it is known what to do."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from ..._core.endpoint import Endpoint
from ...stt import STT
from ..console import stop_writing
from ..deployment import speech_to_text
from .batch import Batch, Page
from .display import Display, display, show_log
from .microphone import Unheard, hear_microphone
from .outputs import Target, Unwritable, prepare
from .wishes import MICROPHONE, Wishes

BROKEN_PIPE = 128 + 13  # as of a process that SIGPIPE ended
INTERRUPTED = 128 + 2  # and of one that Ctrl-C did


def transcribe_all(
    endpoint: Endpoint,
    arguments: Mapping[str, Any],
    sources: Sequence[str],
    targets: Sequence[Target],
    wishes: Wishes,
    *,
    device: str | None,
    wants_interims: bool,
) -> int:
    """Transcribe recordings, or the microphone where there are none; returns the exit status.

    Args:
        arguments: Of `STT`.
        targets: Where to, for each source.
        device: Which microphone.
        wants_interims: Show them, where somebody sees them.
    """
    shown = display(len(sources))
    show_log(shown)
    has_interims = shown.is_live and len(sources) <= 1 and wants_interims
    ears = speech_to_text(endpoint, enable_partial_transcripts=has_interims, **arguments)
    if sources:
        work = _transcribe_files(ears, sources, targets, wishes, shown)
    else:
        work = _transcribe_microphone(ears, device, targets[0], wishes, shown)
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
    sources: Sequence[str],
    targets: Sequence[Target],
    wishes: Wishes,
    shown: Display,
) -> int:
    work = asyncio.current_task()
    assert work is not None
    _on_ctrl_c(work.cancel)
    async with speech_to_text:
        batch = Batch(speech_to_text, sources, targets, wishes, shown)
        try:
            await batch.run()
        except asyncio.CancelledError:
            shown.note(f"Stopped; {batch.successes} of {len(sources)} files are transcribed.")
            raise
    if speech_to_text.capabilities.diarization and batch.successes and not batch.has_speakers:
        shown.note("--diarize: no speaker came; only a chain with a diarizer tells them apart")
    if shown.is_live and len(sources) > 1:
        shown.note(f"{batch.successes} of {len(sources)} files are transcribed.")
    return 1 if batch.failures else 0


async def _transcribe_microphone(
    speech_to_text: STT, device: str | None, target: Target, wishes: Wishes, shown: Display
) -> int:
    work = asyncio.current_task()
    assert work is not None
    stopped = asyncio.Event()
    _on_ctrl_c(lambda: work.cancel() if stopped.is_set() else stopped.set())
    page = Page(wishes, target, shown, shown.write, name=MICROPHONE)
    try:
        for path in target.files.values():
            prepare(path, None, force=wishes.force)
        async with speech_to_text:
            page.ended(
                await hear_microphone(
                    speech_to_text,
                    device,
                    stopped,
                    opened=lambda: shown.note("Listening. Ctrl-C ends."),
                    said=page.said,
                    interim=shown.interim,
                )
            )
    except Unheard as e:
        shown.note(f"{MICROPHONE}: {e}{page.failed(e.transcript)}")
        return 1
    except Unwritable as e:
        shown.note(f"{MICROPHONE}: {e}")
        return 1
    return 0


def _on_ctrl_c(what: Callable[[], object]) -> None:
    with contextlib.suppress(NotImplementedError):  # Windows: it is a KeyboardInterrupt there
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, what)
