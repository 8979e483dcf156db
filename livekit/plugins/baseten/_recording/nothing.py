"""What stands in for a recorder and a recording where no call is recorded: it does nothing."""

from __future__ import annotations

from livekit.agents import APIError, stt

from .._connection.tap import Tap
from .._core.journal import Journal
from .._core.options import Options


class NoRecorder:
    """Takes what a `Recorder` takes."""

    def start(self, name: str, options: Options, source: str = "") -> NoRecording:
        return NOT_RECORDED

    async def aclose(self) -> None:
        pass


class NoRecording:
    """Takes what a `Recording` takes."""

    is_recorded = False

    def went_on(self, journal: Journal) -> None:
        pass

    def pushed(self, pcm: bytes | memoryview) -> None:
        pass

    def flushed(self) -> None:
        pass

    def input_ended(self) -> None:
        pass

    def changed(self, options: Options) -> None:
        pass

    def said(self, event: stt.SpeechEvent, offset_s: float) -> None:
        pass

    def failed(self, error: APIError, *, recoverable: bool) -> None:
        pass

    def lost(self, samples: int) -> None:
        pass

    def connected(
        self, *, open_for_s: float, handshake_s: float, acquire_s: float, is_reused: bool
    ) -> Tap | None:
        return None

    def close(self) -> None:
        pass


NOT_RECORDED = NoRecording()
