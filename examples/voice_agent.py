"""A voice agent that hears through Baseten.

    python examples/voice_agent.py console    talk to it here, in the terminal
    python examples/voice_agent.py dev        join LiveKit rooms, while you work on it
    python examples/voice_agent.py start      the same, in production

LiveKit 1.8.9 says that `console` and `dev` are deprecated, and that its own tool takes their place:
`lk agent console`, and `lk agent dev`, which starts again when this file changes. See README.md.

BASETEN_MODEL_ENDPOINT and BASETEN_API_KEY come from the environment or from .env, and so do
LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET: the LLM and the voice are LiveKit Inference's.
"""

from __future__ import annotations

import contextlib
import logging

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, room_io
from livekit.plugins import baseten

with contextlib.suppress(ImportError):
    from dotenv import load_dotenv

    load_dotenv()

logger = logging.getLogger("voice-agent")
server = AgentServer()


class Assistant(Agent):
    def __init__(self) -> None:
        super().__init__(
            instructions="You are a friendly assistant on a voice call. Answer in one or two "
            "short sentences, without lists or symbols."
        )

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the user and offer your help.")


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session: AgentSession[None] = AgentSession(
        stt=baseten.STT(language="en"),
        llm="openai/gpt-4.1-mini",
        tts="cartesia/sonic-3",
    )
    session.on("error", lambda event: logger.warning("%s", event.error))
    # What Baseten hears: audio of another rate would have to be resampled, for two milliseconds.
    microphone = room_io.AudioInputOptions(sample_rate=16_000)
    options = room_io.RoomOptions(audio_input=microphone)
    await session.start(Assistant(), room=ctx.room, room_options=options)


if __name__ == "__main__":
    cli.run_app(server)
