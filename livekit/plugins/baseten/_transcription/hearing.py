"""A recording through streams: pushed at its pace or the server's, heard to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from livekit.agents import APIError, stt
from livekit.agents.utils import is_given

from .._livekit.stream import SpeechStream
from .errors import MediaError, TranscriptionError
from .media import Media
from .merging import InTime
from .mixing import speaker_names
from .pace import Lead
from .selection import Selection
from .sources import Source, name_of
from .transcript import Segment, Transcript, Word, writable

# Long enough not to be noticed, short enough to sound live at the pace of speech.
_LIVE_PIECE_S = 0.05
_PIECE_S = 0.5

# A final takes at most 30 s of speech: so much, and as much again for the server to work on while
# that is transcribed. With interims an answer is never far.
_AHEAD_S = 60.0
_AHEAD_WITH_INTERIMS_S = 10.0


@dataclass(frozen=True)
class Progress:
    """How far a recording is transcribed.

    Attributes:
        done_s: Seconds of it that are done.
        duration_s: How long it is, in seconds; None where the file does not say.
        segment: What has become final, if something has.
        interim: What is being said just now, as far as it is understood; "" takes it back.
    """

    done_s: float
    duration_s: float | None
    segment: Segment | None = None
    interim: str = ""


async def transcribed(
    source: Source,
    open_stream: Callable[[], SpeechStream],
    *,
    selection: Selection,
    at_pace_of_speech: bool,
    has_interims: bool,
    on_progress: Callable[[Progress], None],
) -> Transcript:
    """Transcribe a recording.

    Args:
        open_stream: Opens a stream to the deployment, one for each channel that is heard.
        has_interims: Those streams have.

    Raises:
        MediaError: It cannot be read.
        TranscriptionError: The deployment did not hear it, or not all of it.
    """
    transcript = Transcript(name_of(source))
    async with Media(source, selection) as media:
        on_progress(Progress(0.0, media.duration_s))
        hearing = _Hearing(media, transcript, on_progress)
        if not media.is_empty:
            await hearing.run(open_stream, at_pace_of_speech, has_interims)
        await _note(media, transcript, is_loud=hearing.is_loud)
    return transcript


async def _note(media: Media, transcript: Transcript, *, is_loud: bool) -> None:
    if media.damaged:
        transcript.notes.append(f"damaged; {media.damaged} pieces of it were left out")
    if not transcript.duration_s:
        transcript.notes.append("there is not a moment of sound in it")
    elif not transcript.segments and is_loud:
        transcript.notes.append(f"nobody was heard in {transcript.duration_s:.1f} s of sound")
    elif not transcript.segments:
        where = await media.sound_elsewhere()
        why = f"but there is sound in {where}" if where else "from its beginning to its end"
        transcript.notes.append(f"nobody was heard: it is silent, {why}")


class _Hearing:
    """All streams of one recording."""

    def __init__(
        self, media: Media, transcript: Transcript, on_progress: Callable[[Progress], None]
    ) -> None:
        self.is_loud = False
        self._media = media
        self._transcript = transcript
        self._on_progress = on_progress
        self._streams: list[SpeechStream] = []
        self._leads: list[Lead] = []
        self._in_time = InTime(media.streams)

    async def run(
        self, open_stream: Callable[[], SpeechStream], at_pace_of_speech: bool, has_interims: bool
    ) -> None:
        now_s = asyncio.get_running_loop().time()
        ahead_s = _AHEAD_WITH_INTERIMS_S if has_interims else _AHEAD_S
        names = speaker_names(self._media.streams)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(self._media.streams):
                stream = await stack.enter_async_context(open_stream())
                stream.start_time_offset = self._media.start_s
                self._streams.append(stream)
                self._leads.append(Lead(ahead_s, now_s))
            listening = [self._listen(index, name) for index, name in enumerate(names)]
            try:
                await _all(self._feed(at_pace_of_speech), *listening)
            except APIError as e:
                raise self._incomplete(reason(e)) from e
            except MediaError as e:
                if not self._transcript.segments:
                    raise
                raise self._incomplete(str(e)) from e
        self._transcript.duration_s = self._leads[0].pushed_s
        if lost_s := sum(stream.lost_audio_s for stream in self._streams):
            raise self._incomplete(f"{lost_s:.1f} s of it were not heard")

    def _incomplete(self, why: str) -> TranscriptionError:
        for segment in self._in_time.rest():
            self._said(segment)
        self._transcript.duration_s = min(lead.done_s for lead in self._leads)
        return TranscriptionError(why, self._transcript)

    async def _feed(self, at_pace_of_speech: bool) -> None:
        loop = asyncio.get_running_loop()
        started_s, both = loop.time(), list(zip(self._streams, self._leads, strict=True))
        try:
            length_s = _LIVE_PIECE_S if at_pace_of_speech else _PIECE_S
            async for piece in self._media.pieces(length_s):
                self.is_loud = self.is_loud or not all(piece.quiet)
                for index, (stream, lead) in enumerate(both):
                    column = min(index, len(piece.frames) - 1)
                    await lead.room()
                    stream.push_frame(piece.frames[column])
                    lead.pushed(piece.duration_s, is_quiet=piece.quiet[column])
                if at_pace_of_speech:
                    await asyncio.sleep(started_s + self._leads[0].pushed_s - loop.time())
        finally:
            for stream in self._streams:
                with contextlib.suppress(
                    RuntimeError
                ):  # it has failed, and says why to who listens
                    stream.end_input()

    async def _listen(self, index: int, name: str) -> None:
        loop, offset_s = asyncio.get_running_loop(), self._media.start_s
        lead, is_split = self._leads[index], len(self._streams) > 1
        async for event in self._streams[index]:
            lead.heard(event, loop.time(), offset_s=offset_s)
            if segment := final_of(event):
                self._in_time.said(index, _of_speaker(segment, name) if is_split else segment)
            self._tell(interim_of(event))
            self._in_time.reached(index, offset_s + lead.done_s)
            for segment in self._in_time.due():
                self._said(segment)
        self._in_time.reached(index, float("inf"))
        for segment in self._in_time.due():
            self._said(segment)

    def _said(self, segment: Segment) -> None:
        self._transcript.segments.append(segment)
        self._on_progress(Progress(self._done_s, self._media.duration_s, segment))

    def _tell(self, interim: str) -> None:
        self._on_progress(Progress(self._done_s, self._media.duration_s, None, interim))

    @property
    def _done_s(self) -> float:
        return min(lead.done_s for lead in self._leads)


async def _all(*works: Coroutine[Any, Any, None]) -> None:
    """Do all of it; the first that fails ends the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def final_of(event: stt.SpeechEvent) -> Segment | None:
    """What was said, if something was."""
    if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT and event.alternatives[0].text:
        return segment_of(event.alternatives[0])
    return None


def interim_of(event: stt.SpeechEvent) -> str:
    """What is being said, if the event says so."""
    is_interim = event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT
    return writable(event.alternatives[0].text) if is_interim else ""


def _of_speaker(segment: Segment, name: str) -> Segment:
    words = tuple(replace(word, speaker=name) for word in segment.words)
    return replace(segment, speaker=name, words=words)


def reason(error: APIError) -> str:
    """What is wrong, in a line."""
    cause = error.__cause__
    said = cause.message if isinstance(cause, APIError) else error.message
    return " ".join(said.split())


_DOUBTS = ("possible_hallucination", "no_speech", "is_promoted_interim")


def segment_of(said: stt.SpeechData) -> Segment:
    """A final's words and times."""
    words = [
        Word(
            writable(str(word)),
            round(word.start_time if is_given(word.start_time) else said.start_time, 3),
            round(word.end_time if is_given(word.end_time) else said.end_time, 3),
            round(word.confidence, 3) if is_given(word.confidence) else None,
            word.speaker_id,
        )
        for word in said.words or ()
    ]
    has_confidence = any(word.confidence is not None for word in words)
    metadata = said.metadata or {}
    return Segment(
        text=writable(said.text),
        start_s=round(said.start_time, 3),
        end_s=round(said.end_time, 3),
        language=str(said.language) or None,
        speaker=said.speaker_id,
        confidence=round(said.confidence, 3) if has_confidence else None,
        words=words,
        is_doubtful=any(metadata.get(doubt) for doubt in _DOUBTS),
    )
