"""Transcripts of recordings: what `STT.transcribe` returns, reports and raises, and as files.

transcript = await stt.transcribe("talk.mp4")
Path("talk.srt").write_text(formatted(transcript, "srt"), encoding="utf-8")
"""

from ._transcription.errors import MediaError, TranscriptionError
from ._transcription.formats import Format, formatted
from ._transcription.hearing import Progress
from ._transcription.transcript import Segment, Transcript, Word

__all__ = [
    "Format",
    "MediaError",
    "Progress",
    "Segment",
    "Transcript",
    "TranscriptionError",
    "Word",
    "formatted",
]
