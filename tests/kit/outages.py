"""Sessions that live through an outage, for the tests and for the table of docs/reliability.md."""

from __future__ import annotations

from dataclasses import dataclass

from livekit.plugins.baseten._core.options import Model
from livekit.plugins.baseten.emulator import Server, faults

from .harness import Scene, scene
from .stage import LEISURE, SAMPLE_RATE_HZ, SELFISH, YOUNG_MAN, Call, Mode, Script, script


@dataclass(frozen=True)
class Outage:
    """The deployment is away for so long, from within the second line or from before it."""

    seconds: float
    is_in_speech: bool
    mode: Mode

    @property
    def script(self) -> Script:
        """A line before it, lines in it, and one after it."""
        pauses_s = max(1.5, self.seconds - 20.0)
        return script(0.5, YOUNG_MAN, 2.0, SELFISH, pauses_s, LEISURE, 12.0, YOUNG_MAN, 1.4)

    @property
    def begins(self) -> int:
        line = self.script.lines[1]
        within = (line.start + line.end) // 2
        return within if self.is_in_speech else line.start - SAMPLE_RATE_HZ // 2

    @property
    def ends(self) -> int:
        return self.begins + round(self.seconds * SAMPLE_RATE_HZ)


def go_away(server: Server) -> None:
    server.plan.extend([faults.Refuse(503)] * 1000)
    for connection in server.connections:
        if connection.is_open:
            connection.reset()


def said(call: Call) -> str:
    """All that became a turn. Closing a session in manual mode adds an empty one."""
    return " ".join(filter(None, call.turn_texts))


def has_said_all(call: Call) -> bool:
    return said(call) == call.script.text


def has_failed(call: Call) -> bool:
    """A stream of its session has."""
    return any(not event.error.recoverable for event in call.errors)


async def lived_through(model: Model, outage: Outage) -> Scene:
    async with scene(outage.script, outage.mode, model=model) as played:
        call = played.call
        await call.microphone.reaches(outage.begins)
        go_away(played.server)
        if outage.mode == "manual":
            await call.hears(1, plus_s=0.1)
            committed = call.session.commit_user_turn(transcript_timeout=90)
        await call.microphone.reaches(outage.ends)
        played.server.plan.clear()
        if outage.mode == "manual":
            await committed
            await call.is_heard()
            await call.session.commit_user_turn(transcript_timeout=90)
        await call.is_heard()
        await call.until(lambda: has_said_all(call), 60)
    return played


def off_s(played: Scene) -> list[float]:
    """By how much the time of each word differs from its place in the script."""
    spoken = [start for line in played.call.script.lines for _, start, _ in line.words]
    words = [
        word
        for stream in played.streams
        for final in stream.finals
        for word in final.alternatives[0].words or []
    ]
    heard = [word.start_time for word in words if isinstance(word.start_time, float)]
    return [at - start / SAMPLE_RATE_HZ for at, start in zip(heard, spoken, strict=True)]
