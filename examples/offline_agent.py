"""A voice agent without an account: local ears, an LLM of your choice, answers as text.

    python -m livekit.plugins.baseten serve        in one terminal: it hears with Whisper
    python examples/offline_agent.py console       in another: talk to it, it answers in writing
    python examples/offline_agent.py say FILE.wav  or let a recording talk to it

The LLM is anything that speaks OpenAI's protocol: LLM_URL (default: Ollama on this machine),
LLM_MODEL, LLM_API_KEY. BASETEN_MODEL_ENDPOINT names the ears, if they are not where `serve` puts
them. All three may be in .env. It needs: pip install livekit-plugins-openai
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from demo import Recording

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    ConversationItemAddedEvent,
    JobContext,
    cli,
    llm,
)
from livekit.plugins import baseten, openai

with contextlib.suppress(ImportError):
    from dotenv import load_dotenv

    load_dotenv()

EARS_URL = "ws://127.0.0.1:8765/environments/production/websocket"
LLM_URL = "http://127.0.0.1:11434/v1"
SILENCE_AFTER_S = 2.0  # a caller who waits for the answer
ANSWER_WITHIN_S = 60.0

server = AgentServer()


class Assistant(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Answer in one or two short sentences.")


def session_of_this_machine() -> AgentSession[None]:
    return AgentSession(
        stt=baseten.STT(
            model_endpoint=os.environ.get("BASETEN_MODEL_ENDPOINT", EARS_URL),
            api_key=os.environ.get("BASETEN_API_KEY") or "any",
        ),
        llm=openai.LLM(
            base_url=os.environ.get("LLM_URL", LLM_URL),
            model=os.environ.get("LLM_MODEL", "llama3.2"),
            api_key=os.environ.get("LLM_API_KEY") or "none",
        ),
        vad=None,
        turn_handling={"turn_detection": "stt"},
    )


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    await session_of_this_machine().start(Assistant(), room=ctx.room)


async def say(path: Path) -> int:
    """Let a recording talk; 0 if it was answered."""
    session, answered = session_of_this_machine(), asyncio.Event()

    @session.on("conversation_item_added")
    def _(event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.text_content:
            print(f"{event.item.role:9}  {event.item.text_content}", flush=True)
            if event.item.role == "assistant":
                answered.set()

    recording = Recording(path, silence_after_s=SILENCE_AFTER_S)
    session.input.audio = recording
    await session.start(Assistant())
    try:
        await asyncio.wait_for(answered.wait(), recording.duration_s + ANSWER_WITHIN_S)
    except asyncio.TimeoutError:
        print("no answer", file=sys.stderr)
        return 1
    finally:
        await session.aclose()
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["say"] and len(sys.argv) == 3:
        sys.exit(asyncio.run(say(Path(sys.argv[2]))))
    cli.run_app(server)
