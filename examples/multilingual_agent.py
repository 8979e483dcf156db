"""A voice agent that answers in the language it is spoken to.

    python examples/multilingual_agent.py console      or dev, or start: see voice_agent.py

It needs what voice_agent.py needs, and a Whisper runtime of v0.5.0 or newer: `language_options`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterable

from livekit import rtc
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
from livekit.agents.llm import ToolError, function_tool
from livekit.agents.voice import ModelSettings
from livekit.plugins import baseten

with contextlib.suppress(ImportError):
    from dotenv import load_dotenv

    load_dotenv()

logger = logging.getLogger("multilingual-agent")
server = AgentServer()

LANGUAGES = {"en": "English", "de": "German", "es": "Spanish", "fr": "French"}
EVIDENCE_S = 1.0  # of speech: "okay" is a word in all of them


class Polyglot(Agent):
    def __init__(self, ears: baseten.STT, voice: inference.TTS) -> None:
        super().__init__(instructions=instructions("en"))
        self._ears, self._voice, self._language = ears, voice, "en"

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterable[stt.SpeechEvent]:
        """Hear as ever, and change the language before the session sees the words."""
        async for event in Agent.default.stt_node(self, audio, model_settings):
            if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                said = event.alternatives[0]
                if said.end_time - said.start_time >= EVIDENCE_S:
                    await self._speak(said.language)
            yield event

    async def _speak(self, language: str) -> None:
        if language in LANGUAGES and language != self._language:
            logger.info("from now on in %s", LANGUAGES[language])
            self._language = language
            self._voice.update_options(language=language)
            await self.update_instructions(instructions(language))

    @function_tool
    async def expect_language(self, language: str) -> str:
        """Use it when the caller asks for a language, or is misheard because it was mistaken.

        Args:
            language: What to listen for, as "de"; "auto" goes by what the caller speaks.
        """
        try:
            self._ears.update_options(language=language)
        except ValueError as e:
            raise ToolError(str(e)) from None
        await self._speak(language)
        return f"I listen for {LANGUAGES.get(language, language)} now."


def instructions(language: str) -> str:
    return f"You are on a voice call. Answer in {LANGUAGES[language]}, in one or two sentences."


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    ears = baseten.STT(language="auto", language_options=list(LANGUAGES))
    voice = inference.TTS("cartesia/sonic-3", language="en")
    session: AgentSession[None] = AgentSession(stt=ears, llm="openai/gpt-4.1-mini", tts=voice)
    session.on("error", lambda event: logger.warning("%s", event.error))
    # What Baseten hears: audio of another rate would have to be resampled, for two milliseconds.
    microphone = room_io.AudioInputOptions(sample_rate=16_000)
    options = room_io.RoomOptions(audio_input=microphone)
    await session.start(Polyglot(ears, voice), room=ctx.room, room_options=options)


if __name__ == "__main__":
    cli.run_app(server)
