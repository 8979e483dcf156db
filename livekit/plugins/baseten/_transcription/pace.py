"""How fast a recording is sent: as fast as the server takes it, and no faster than that."""

from __future__ import annotations

import asyncio
from collections import deque

from livekit.agents import stt

# Usage is reported for every 5 s that went out; so much more may lie here unsent.
_UNSENT_S = 15.0

# Where no results come, the sound may hold no words: it is sent on at a pace that a busy server
# can stand too.
_PATIENCE_S = 5.0
_WORDLESS_PACE = 8.0


class Lead:
    """How far what was pushed is ahead of what the server has got done.

    Two things bound it. What is not sent yet lies in memory; and of what was sent, only results
    say that the server is done with it. A server sends none for silence, so silence is not counted.

    Args:
        ahead_s: Seconds of sound that the server may have and say nothing about.
        now_s: In seconds, as all times here, of the event loop's clock.
    """

    def __init__(self, ahead_s: float, now_s: float) -> None:
        self._ahead_s = ahead_s
        self._pushed_s = 0.0
        self._sent_s = 0.0
        self._heard_s = 0.0
        self._loud: deque[tuple[float, float]] = deque()  # where a piece ends, and its length
        self._unanswered_s = 0.0
        self._answered_at_s = now_s
        self._changed = asyncio.Event()

    @property
    def pushed_s(self) -> float:
        """Seconds of audio."""
        return self._pushed_s

    @property
    def done_s(self) -> float:
        """Seconds of the audio up to which there is nothing left to wait for."""
        quiet_until_s = self._pushed_s
        if self._loud:
            end_s, length_s = self._loud[0]
            quiet_until_s = end_s - length_s
        return max(self._heard_s, min(quiet_until_s, self._sent_s))

    def pushed(self, length_s: float, *, is_quiet: bool) -> None:
        self._pushed_s += length_s
        if not is_quiet:
            self._loud.append((self._pushed_s, length_s))
            self._unanswered_s += length_s

    def heard(self, event: stt.SpeechEvent, now_s: float, *, offset_s: float) -> None:
        """Something came of it.

        Args:
            offset_s: What the stream adds to its times.
        """
        if event.recognition_usage is not None:
            self._sent_s += event.recognition_usage.audio_duration
        elif event.alternatives and event.alternatives[0].text:
            self._answered_at_s = now_s
            self._heard_s = max(self._heard_s, event.alternatives[0].end_time - offset_s)
            while self._loud and self._loud[0][0] <= self._heard_s:
                self._unanswered_s -= self._loud.popleft()[1]
        self._changed.set()

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until more may be pushed, if nothing happens before; None: not before then."""
        if self._pushed_s - self._sent_s > _UNSENT_S:
            return None
        over_s = self._unanswered_s - self._ahead_s
        if over_s <= 0:
            return 0.0
        due_s = self._answered_at_s + _PATIENCE_S + over_s / _WORDLESS_PACE
        return max(0.0, due_s - now_s)

    async def room(self) -> None:
        """Wait until more may be pushed."""
        loop = asyncio.get_running_loop()
        while (wait_s := self.wait_s(loop.time())) != 0.0:
            self._changed.clear()
            # Not `wait_for`, which before Python 3.12 may not hear that it is cancelled.
            timer = None if wait_s is None else loop.call_later(wait_s, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                if timer is not None:
                    timer.cancel()
