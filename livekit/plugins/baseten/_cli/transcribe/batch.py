"""Many recordings, several at a time, each to where its transcript belongs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from ...stt import STT
from .display import Display, about
from .formats import Format, Writer, writer
from .media import MediaError, check_is_there
from .outputs import InOrder, Unwritable, prepare, put
from .recording import Ears, Unheard, hear
from .style import Style
from .transcript import Segment, Transcript

_INDENT = 2  # for a file; on standard output, JSON is a line for each transcript


class Page:
    """One transcript on its way to where it belongs.

    Args:
        destination: A file that is written when the transcript is complete.
        write: Where it goes as it comes, if there is no such file.
        heading: A line above it.
    """

    def __init__(
        self,
        style: Style,
        destination: Path | None,
        write: Callable[[str], None],
        *,
        heading: str = "",
    ) -> None:
        indent = None if destination is None else _INDENT
        self._writer: Writer = writer(style.format, timestamps=style.timestamps, indent=indent)
        self._destination = destination
        self._write = write
        self._heading = heading
        self._collected: list[str] = []
        self._is_begun = False

    def said(self, segment: Segment) -> None:
        self._add(self._writer.said(segment))

    def ended(self, transcript: Transcript) -> None:
        """
        Raises:
            Unwritable: The file cannot be written.
        """
        self._add(self._writer.ended(transcript))
        if self._destination is not None:
            put(self._destination, "".join(self._collected))

    def _add(self, text: str) -> None:
        if not self._is_begun:  # not before there is something: what fails leaves no heading
            self._is_begun = True
            text = self._heading + self._writer.begun() + text
        if self._destination is not None:
            self._collected.append(text)
        elif text:
            self._write(text)


class Batch:
    """
    Args:
        sources: What to transcribe.
        destinations: Where to, for each of them; None is standard output.
    """

    def __init__(
        self,
        speech_to_text: STT,
        sources: Sequence[Path],
        destinations: Sequence[Path | None],
        style: Style,
        shown: Display,
    ) -> None:
        self.failures = 0
        self.successes = 0
        self._speech_to_text = speech_to_text
        self._sources = sources
        self._destinations = destinations
        self._style = style
        self._shown = shown
        self._in_order = InOrder(shown.write, len(sources))
        self._free = asyncio.Semaphore(style.jobs)

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
        name = str(self._sources[index])
        about.set(name)
        try:
            await self._transcribed(index, name)
        except (MediaError, Unheard, Unwritable) as e:
            self.failures += 1
            self._shown.note(f"{name}: {e}")
        else:
            self.successes += 1
        self._shown.ended(index)
        self._in_order.done(index)

    async def _transcribed(self, index: int, name: str) -> None:
        source, destination = self._sources[index], self._destinations[index]
        check_is_there(source)
        if destination is not None:
            prepare(destination, source, force=self._style.force)
        page = Page(
            self._style,
            destination,
            lambda text: self._in_order.add(index, text),
            heading=self._heading_of(index, name),
        )
        async with self._free:
            heard = await hear(
                source,
                self._speech_to_text,
                self._ears(index, name, page),
                at_pace_of_speech=self._style.at_pace_of_speech,
            )
            page.ended(heard.transcript)
        if heard.damaged:
            self._shown.note(f"{name}: damaged; {heard.damaged} pieces of it were left out")
        if not heard.transcript.duration_s:
            self._shown.note(f"{name}: there is not a moment of sound in it")
        if destination is not None and self._shown.is_live:
            self._shown.note(f"{name}: {destination}")

    def _ears(self, index: int, name: str, page: Page) -> Ears:
        return Ears(
            opened=lambda duration_s: self._shown.started(index, Path(name).name, duration_s),
            said=page.said,
            interim=self._shown.interim,
            progressed=lambda done_s: self._shown.progressed(index, done_s),
        )

    def _heading_of(self, index: int, name: str) -> str:
        """As `head` and `tail` have it; between texts only."""
        is_text = self._style.format is Format.text and self._destinations[index] is None
        if len(self._sources) == 1 or not is_text:
            return ""
        return f"\n==> {name} <==\n"
