"""Why a recording was not transcribed, or not all of it."""

from __future__ import annotations

from livekit.agents import APIError

from .transcript import Transcript


class MediaError(ValueError):
    """A recording of which no sound can be had; the message says why."""


class TranscriptionError(APIError):
    """A recording that was not heard to its end; the message says why.

    Attributes:
        transcript: What was heard of it.
    """

    def __init__(self, why: str, transcript: Transcript) -> None:
        super().__init__(why, retryable=False)
        self.transcript = transcript
