"""Many recordings, several at a time, each to where its transcript belongs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from ..._transcription.errors import MediaError, TranscriptionError
from ..._transcription.formats import Format, Writer, writer
from ..._transcription.hearing import Progress
from ..._transcription.sources import check_is_there, name_of
from ..._transcription.transcript import Segment, Transcript
from ...stt import STT
from ..deployment import in_options
from .display import Display, about
from .outputs import STDIN, InOrder, Target, Unwritable, kept, prepare, put, stem_of
from .wishes import Wishes

_INDENT = 2  # for a file; on standard output, JSON is a line for each transcript


class Page:
    """One transcript on its way to where it belongs, in each of its formats.

    Args:
        shown: Knows whether standard output can be written.
        write: Where it goes as it comes, if it goes into no file.
        name: What the recording is called.
        heading: A line above it.
    """

    def __init__(
        self,
        wishes: Wishes,
        target: Target,
        shown: Display,
        write: Callable[[str], None],
        *,
        name: str,
        heading: str = "",
    ) -> None:
        self._shown = shown
        self._name = name
        self._files = target.files
        indent = _INDENT if target.files else None
        is_unicode = bool(target.files) or (sys.stdout.encoding or "").lower().startswith("utf")
        self._writers: dict[Format, Writer] = {
            format: writer(format, wishes.style, indent=indent, ascii=not is_unicode)
            for format in wishes.formats
        }
        self._write = write
        self._heading = heading
        self._texts = dict.fromkeys(wishes.formats, "")

    def said(self, segment: Segment) -> None:
        for format, to in self._writers.items():
            self._add(format, to.said(segment))

    def ended(self, transcript: Transcript) -> None:
        """
        Raises:
            Unwritable: A file cannot be written; the message says where the text is instead.
        """
        self._end(transcript)
        failed = []
        for format, path in self._files.items():
            try:
                put(path, self._texts[format])
            except Unwritable as e:
                failed.append(str(e))
        if not self._files and self._shown.unwritable:
            failed.append(f"cannot write to standard output: {self._shown.unwritable}.")
            failed.append(self._kept())
        if failed:
            raise Unwritable(" ".join(failed))

    def failed(self, transcript: Transcript) -> str:
        """Keep what was heard of a recording that was not heard to its end; says where it is."""
        if not transcript.segments:
            return ""
        self._end(transcript)
        return f". {self._kept()}" if self._files or self._shown.unwritable else ""

    def _kept(self) -> str:
        files = self._files or {format: Path(self._name + format.suffix) for format in self._texts}
        return " ".join(kept(path.name, self._texts[format]) for format, path in files.items())

    def _end(self, transcript: Transcript) -> None:
        for format, to in self._writers.items():
            self._add(format, to.ended(transcript))

    def _add(self, format: Format, text: str) -> None:
        if not self._texts[format]:  # not before there is something: what fails leaves no heading
            text = self._heading + self._writers[format].begun() + text
        self._texts[format] += text
        if not self._files and text:
            self._write(text)


class Batch:
    """
    Args:
        sources: What to transcribe: names of files, URLs, or "-".
        targets: Where to, for each of them.
    """

    def __init__(
        self,
        speech_to_text: STT,
        sources: Sequence[str],
        targets: Sequence[Target],
        wishes: Wishes,
        shown: Display,
    ) -> None:
        self.failures = 0
        self.successes = 0
        self.has_speakers = False
        self._speech_to_text = speech_to_text
        self._sources = sources
        self._targets = targets
        self._wishes = wishes
        self._shown = shown
        self._in_order = InOrder(shown.write, len(sources))
        self._free = asyncio.Semaphore(wishes.jobs)

    async def run(self) -> None:
        """Transcribe them all; a file that fails is counted, and named on standard error.

        Raises:
            BrokenPipeError: Nobody reads standard output any more.
        """
        tasks = [
            asyncio.create_task(self._one(index), name=f"transcribe-{index}")
            for index in range(len(self._sources))
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            self._in_order.stopped()
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, index: int) -> None:
        name = name_of(self._sources[index])
        about.set(name)
        try:
            await self._transcribed(index, name)
        except (MediaError, TranscriptionError, Unwritable) as e:
            self.failures += 1
            told = e.message if isinstance(e, TranscriptionError) else str(e)
            self._shown.note(f"{name}: {in_options(told)}")
        else:
            self.successes += 1
        self._shown.ended(index)
        self._in_order.done(index)

    async def _transcribed(self, index: int, name: str) -> None:
        source, target = self._sources[index], self._targets[index]
        if target.clash:
            raise Unwritable(target.clash)
        if source != STDIN:
            check_is_there(source)
        for path in target.files.values():
            prepare(path, source, force=self._wishes.force)
        page = Page(
            self._wishes,
            target,
            self._shown,
            lambda text: self._in_order.add(index, text),
            name=stem_of(source),
            heading=self._heading_of(index, name),
        )
        async with self._free:
            try:
                transcript = await self._heard(index, name, page)
            except TranscriptionError as e:
                e.message += page.failed(e.transcript)
                raise
            page.ended(transcript)
        for note in transcript.notes:
            self._shown.note(f"{name}: {note}")
        self.has_speakers |= any(segment.speaker for segment in transcript.segments)
        if self._shown.is_live:
            for path in target.files.values():
                self._shown.note(f"{name}: {path}")

    async def _heard(self, index: int, name: str, page: Page) -> Transcript:
        has_begun = False

        def progressed(progress: Progress) -> None:
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                self._shown.started(index, PurePath(name).name, progress.duration_s)
            self._shown.progressed(index, progress.done_s)
            if progress.segment is not None:
                page.said(progress.segment)
            self._shown.interim(progress.interim)

        source, selection = self._sources[index], self._wishes.selection
        return await self._speech_to_text.transcribe(
            sys.stdin.buffer if source == STDIN else source,
            track=selection.track,
            channels=selection.channels,
            start_s=selection.start_s,
            duration_s=selection.duration_s,
            at_pace_of_speech=self._wishes.at_pace_of_speech,
            interims=self._speech_to_text.capabilities.interim_results,
            on_progress=progressed,
        )

    def _heading_of(self, index: int, name: str) -> str:
        """As `head` and `tail` have it; between texts only."""
        is_text = self._wishes.formats[0] is Format.text and not self._targets[index].files
        if len(self._sources) == 1 or not is_text:
            return ""
        return f"\n==> {name} <==\n"
