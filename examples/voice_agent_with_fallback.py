"""A voice agent that goes on hearing, through a second deployment, when the first one fails.

    python examples/voice_agent_with_fallback.py console    or dev, or start: see voice_agent.py

As voice_agent.py, and BASETEN_FALLBACK_ENDPOINT besides: the second deployment, best one in
another region. Without it, the second is a speech-to-text of LiveKit Inference.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    cli,
    inference,
    room_io,
    stt,
)
from livekit.agents.metrics import STTMetrics
from livekit.plugins import baseten

with contextlib.suppress(ImportError):
    from dotenv import load_dotenv

    load_dotenv()

logger = logging.getLogger("voice-agent")
server = AgentServer()


class Ears(stt.FallbackAdapter):
    """The first that works of several speech-to-texts, each by a name for the log."""

    def __init__(self, **named: stt.STT) -> None:
        super().__init__(
            list(named.values()),
            # What is said to one that turns out to be dead is lost: seconds for each handshake.
            attempt_timeout=3.0,
            retry_interval=0.5,
            # Not 0: with one retry Baseten comes back from a cut by itself, and no word is lost.
            max_retry_per_stt=1,
        )
        self._names = {each: name for name, each in named.items()}
        self.heard_s = dict.fromkeys(named, 0.0)
        for name, each in named.items():
            each.on("metrics_collected", functools.partial(self._count, name))
        self.on("stt_availability_changed", self._changed)

    def _count(self, name: str, metrics: STTMetrics) -> None:
        self.heard_s[name] += metrics.audio_duration

    def _changed(self, event: stt.AvailabilityChangedEvent) -> None:
        if event.available:
            logger.info("%s is back, for the next call", self._names[event.stt])
        else:
            logger.warning("%s failed, the next one hears", self._names[event.stt])

    async def aclose(self) -> None:
        await super().aclose()
        for each in self._names:
            await each.aclose()
        logger.info("seconds heard: %s", {name: round(s) for name, s in self.heard_s.items()})


def second() -> stt.STT:
    if endpoint := os.environ.get("BASETEN_FALLBACK_ENDPOINT"):
        return baseten.STT(model_endpoint=endpoint)
    return inference.STT("deepgram/nova-3")


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    # Without patience for a model that sleeps: while it wakes, the second one hears.
    ears = Ears(first=baseten.STT(cold_start_timeout=None), second=second())
    ctx.add_shutdown_callback(ears.aclose)
    session: AgentSession[None] = AgentSession(
        stt=ears,
        llm="openai/gpt-4.1-mini",
        tts="cartesia/sonic-3",
    )
    session.on("error", lambda event: logger.warning("%s", event.error))
    agent = Agent(instructions="You are on a voice call. Answer in one or two short sentences.")
    # What Baseten hears: audio of another rate would have to be resampled, for two milliseconds.
    microphone = room_io.AudioInputOptions(sample_rate=16_000)
    options = room_io.RoomOptions(audio_input=microphone)
    await session.start(agent, room=ctx.room, room_options=options)


if __name__ == "__main__":
    cli.run_app(server)
