"""Speakers for a recognizer that tells nobody apart, so that diarization can be tried."""

from __future__ import annotations

from dataclasses import replace

from .recognizer import (
    DecodingOptions,
    Ear,
    Heard,
    Recognizer,
    Transcript,
    heard_by,
    transcript_of,
)

SPEAKERS = ("SPEAKER_00", "SPEAKER_01")


class TurnTaking:
    """Each utterance of a connection is the other speaker's; a name before a colon says whose.

    Args:
        recognizer: Hears what is said.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self.blocking = recognizer.blocking
        self.workers = getattr(recognizer, "workers", 8)

    def connected(self) -> Ear:
        return _TurnTakingEar(self._recognizer)

    def recognize(self, pcm: bytes, *, is_final: bool) -> Heard:
        """For whoever has one connection and no more."""
        return _TurnTakingEar(self._recognizer).recognize(pcm, is_final=is_final)


class _TurnTakingEar:
    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self.blocking = recognizer.blocking
        self._finals = 0

    def latency_s(self, pcm: bytes, *, is_final: bool) -> float:
        return 0.0

    def recognize(self, pcm: bytes, *, is_final: bool) -> Transcript:
        return self._told(self._recognizer.recognize(pcm, is_final=is_final), is_final)

    def transcribe(self, pcm: bytes, options: DecodingOptions, *, is_final: bool) -> Transcript:
        """As the client asked, where the recognizer heeds that."""
        return self._told(heard_by(self._recognizer, pcm, options, is_final=is_final), is_final)

    def _told(self, heard: Heard, is_final: bool) -> Transcript:
        transcript = transcript_of(heard)
        words, speaker = transcript.words, SPEAKERS[self._finals % len(SPEAKERS)]
        self._finals += is_final and bool(words)
        if transcript.text is None and words and words[0].text.endswith(":"):  # of a script
            speaker, words = words[0].text.rstrip(":"), words[1:]
        return replace(transcript, words=tuple(replace(word, speaker=speaker) for word in words))
