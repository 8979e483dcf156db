"""For tests of agents: a caller in place of a room.

With the fixtures of the extra `emulator`, `session.input.audio = baseten_caller` is all there is
to do (docs/testing.md).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import TypedDict

from typing_extensions import Unpack

from livekit import rtc
from livekit.agents.voice.io import AudioInput

from .emulator import ScriptedServer, Turn, Word, utterance

__all__ = ["Caller", "Manner"]

SAMPLE_RATE_HZ = 16_000
FRAME_S = 0.02
SECONDS_PER_WORD = 0.25
TAKEN_WITHIN_S = 10.0  # after which nobody is taken to be there
SILENCE_S = 1.0  # twice what either model waits for before an utterance is over


class Manner(TypedDict, total=False):
    """How something is said, and heard. See `ScriptedServer.hear`."""

    after_s: float
    partials: Sequence[str] | None
    language: str | None
    speaker: str | None
    confidence: float


class Caller(AudioInput):
    """Somebody on the line. Says what a test wants said, and nothing in between.

    Args:
        server: Who hears it.
        pace: Seconds of audio in a second. 1 is the pace of speech, and 0 as fast as it is taken.

    Raises:
        ValueError: ``pace`` is below 0.
    """

    def __init__(self, server: ScriptedServer, *, pace: float = 0.0) -> None:
        super().__init__(label="Caller")
        if not 0 <= pace < math.inf:
            raise ValueError(
                f"pace={pace!r}: how many seconds of audio in a second; 0 does not wait"
            )
        self.pace = pace
        self._server = server
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()
        self._taken = 0

    async def say(
        self,
        said: str | Sequence[Word] = "",
        *,
        seconds: float | None = None,
        silence_s: float = SILENCE_S,
        **manner: Unpack[Manner],
    ) -> Turn:
        """Say something, then be silent; done when the session has taken all of it.

        Args:
            said: What; nothing is a noise.
            seconds: How long it takes, a quarter of a second for each word if not given.
            silence_s: How long to be silent after it, in seconds of audio. With less than 0.6 the
                server may take what follows for the same utterance.
            manner: How, see `ScriptedServer.hear`.

        Returns:
            The turn as the server knows it.

        Raises:
            RuntimeError: No session takes what is said.
            TypeError: An argument is of a wrong kind.
            ValueError: An argument is out of range.
        """
        if (seconds is not None and not 0 < seconds < math.inf) or not 0 <= silence_s < math.inf:
            raise ValueError(f"seconds={seconds!r}, silence_s={silence_s!r}: out of range")
        turn = self._server.hear(said, **manner)
        if seconds is None:
            seconds = SECONDS_PER_WORD * max(2, len(turn.text.split()))
        await self.play(utterance(seconds))
        await self.be_silent(silence_s)
        return turn

    async def be_silent(self, seconds: float = SILENCE_S) -> None:
        """Send so many seconds of silence."""
        await self.play(bytes(2 * round(seconds * SAMPLE_RATE_HZ)))

    async def play(self, pcm: bytes) -> None:
        """Send any audio, 16-bit little-endian mono at 16 kHz, for which there may be a script.

        Raises:
            RuntimeError: No session takes it.
            ValueError: Half a sample.
        """
        if len(pcm) % 2:
            raise ValueError("pcm ends in the middle of a sample: samples have 16 bits")
        loop, step = asyncio.get_running_loop(), 2 * round(FRAME_S * SAMPLE_RATE_HZ)
        started_s = loop.time()
        for at in range(0, len(pcm), step):
            block = pcm[at : at + step]
            if self.pace:  # a frame is there when it has been spoken
                spoken_s = (at + len(block)) / 2 / SAMPLE_RATE_HZ
                await asyncio.sleep(started_s + spoken_s / self.pace - loop.time())
            self._frames.put_nowait(rtc.AudioFrame(block, SAMPLE_RATE_HZ, 1, len(block) // 2))
        await self._until_taken()

    async def _until_taken(self) -> None:
        all_taken = asyncio.ensure_future(self._frames.join())
        try:
            while not all_taken.done():
                before = self._taken
                await asyncio.wait([all_taken], timeout=TAKEN_WITHIN_S)
                if not all_taken.done() and self._taken == before:
                    raise RuntimeError(
                        f"nobody has taken what the caller says for {TAKEN_WITHIN_S:g} s: set "
                        "session.input.audio to the caller, start the session, and do not block "
                        "its event loop"
                    )
        finally:
            all_taken.cancel()

    async def __anext__(self) -> rtc.AudioFrame:
        frame = await self._frames.get()
        self._taken += 1
        self._frames.task_done()
        return frame

    def on_detached(self) -> None:
        """Throw away what nobody will hear, so that `play` returns."""
        while not self._frames.empty():
            self._frames.get_nowait()
            self._frames.task_done()
