"""One recording through one stream: pushed at its pace or the server's, heard to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from livekit.agents import APIError, stt
from livekit.agents.utils import is_given

from ..._livekit.stream import SpeechStream
from ...stt import STT
from ..deployment import in_options
from .media import Media
from .pace import Lead
from .transcript import Segment, Transcript, Word

# Long enough not to be noticed, short enough to sound live at the pace of speech.
_LIVE_PIECE_S = 0.05
_PIECE_S = 0.5

# A final takes at most 30 s of speech: so much, and as much again for the server to work on while
# that is transcribed. With interims an answer is never far.
_AHEAD_S = 60.0
_AHEAD_WITH_INTERIMS_S = 10.0

# What suits a recording and not a call: nobody waits, and everything is worth another try.
PATIENT_S = {
    "replay_buffer_s": 600.0,
    "drain_timeout_s": 30.0,
    "health_check_timeout_s": 30.0,
}


class Unheard(Exception):
    """A recording that was not transcribed, or not all of it; the message says why."""


@dataclass(frozen=True)
class Ears:
    """Who is told of a recording while it is heard.

    Attributes:
        opened: It is one, of so many seconds or of a length that it does not say.
        said: What was said.
        interim: What is being said, as far as it is understood; "" takes it back.
        progressed: So many seconds of it are done.
    """

    opened: Callable[[float | None], None]
    said: Callable[[Segment], None]
    interim: Callable[[str], None]
    progressed: Callable[[float], None]


@dataclass(frozen=True)
class Heard:
    """
    Attributes:
        damaged: Pieces of the file that could not be decoded; their sound is missing.
    """

    transcript: Transcript
    damaged: int


async def hear(path: Path, speech_to_text: STT, ears: Ears, *, at_pace_of_speech: bool) -> Heard:
    """Transcribe a file.

    Raises:
        MediaError: It cannot be read.
        Unheard: The deployment did not hear it, or not all of it.
    """
    async with Media(path) as media:
        transcript = Transcript(str(path))
        ears.opened(media.duration_s)
        if not media.is_empty:
            try:
                await _heard(media, speech_to_text, transcript, ears, at_pace_of_speech)
            except APIError as e:
                raise Unheard(reason(e)) from None
        return Heard(transcript, media.damaged)


async def _heard(
    media: Media,
    speech_to_text: STT,
    transcript: Transcript,
    ears: Ears,
    at_pace_of_speech: bool,
) -> None:
    with_interims = speech_to_text.capabilities.interim_results
    lead = Lead(
        _AHEAD_WITH_INTERIMS_S if with_interims else _AHEAD_S, asyncio.get_running_loop().time()
    )
    async with speech_to_text.stream() as stream:
        stream.start_time_offset = media.start_s
        feeding = asyncio.create_task(_feed(media, stream, lead, at_pace_of_speech))
        try:
            await _listen(stream, transcript, ears, lead, media.start_s)
            await feeding
        finally:
            feeding.cancel()
            await asyncio.wait({feeding})
        transcript.duration_s = lead.pushed_s
        if stream.lost_audio_s:
            raise Unheard(f"{stream.lost_audio_s:.1f} s of it were not heard")


async def _feed(media: Media, stream: SpeechStream, lead: Lead, at_pace_of_speech: bool) -> None:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    try:
        async for piece in media.pieces(_LIVE_PIECE_S if at_pace_of_speech else _PIECE_S):
            await lead.room()
            stream.push_frame(piece.frame)
            lead.pushed(piece.duration_s, is_quiet=piece.is_quiet)
            if at_pace_of_speech:
                await asyncio.sleep(started_s + lead.pushed_s - loop.time())
    finally:
        with contextlib.suppress(RuntimeError):  # it has failed, and says why to who listens
            stream.end_input()


async def _listen(
    stream: SpeechStream, transcript: Transcript, ears: Ears, lead: Lead, offset_s: float
) -> None:
    loop = asyncio.get_running_loop()
    async for event in stream:
        lead.heard(event, loop.time(), offset_s=offset_s)
        ears.progressed(lead.done_s)
        if segment := final_of(event):
            transcript.segments.append(segment)
            ears.said(segment)
        elif event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
            ears.interim(event.alternatives[0].text)


def final_of(event: stt.SpeechEvent) -> Segment | None:
    """What was said, if something was."""
    if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT and event.alternatives[0].text:
        return segment_of(event.alternatives[0])
    return None


def reason(error: APIError) -> str:
    """What is wrong, in a line, and what to do in the words of the command line."""
    cause = error.__cause__
    said = cause.message if isinstance(cause, APIError) else error.message
    return " ".join(in_options(said).split())


_DOUBTS = ("possible_hallucination", "no_speech", "is_promoted_interim")


def segment_of(said: stt.SpeechData) -> Segment:
    """A final's words and times."""
    words = [
        Word(
            str(word),
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
        text=said.text,
        start_s=round(said.start_time, 3),
        end_s=round(said.end_time, 3),
        language=str(said.language) or None,
        speaker=said.speaker_id,
        confidence=round(said.confidence, 3) if has_confidence else None,
        words=words,
        is_doubtful=any(metadata.get(doubt) for doubt in _DOUBTS),
    )
