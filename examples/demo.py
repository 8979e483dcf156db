"""A recording transcribed on this machine, as a stream and as an agent. No key, no account.

    make demo

Starts a Baseten on loopback that really listens, with a small Whisper (or pocketsphinx, far less
accurate, where there is none), and speaks a recording to it at the pace of speech: first through
`stt.stream()`, then through an `AgentSession` without an LLM. Exit status 0 only if the words came
in finals (20 of 22 from Whisper, half of them from pocketsphinx), and the user's turns were
committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from livekit import rtc
from livekit.agents import Agent, AgentSession, UserInputTranscribedEvent, llm, stt
from livekit.agents.voice.io import AudioInput
from livekit.plugins import baseten
from livekit.plugins.baseten.emulator import (
    SileroDetector,
    WhisperRecognizer,
    real_recognizer,
    serve,
)

RECORDING = Path(__file__).parent / "audio" / "sense_and_sensibility_01-0870.wav"
SPOKEN = (
    "and mister john dashwood had then leisure to consider how much there might be prudently in "
    "his power to do for them"
)
ENOUGH_OF_WHISPER = 20  # of the 22 words
FRAME_S = 0.02
SILENCE_AFTER_S = 1.0  # a caller who waits for the answer
TURN_WITHIN_S = 10.0  # from the end of the recording; a second is enough on an idle machine
GIVE_UP_AFTER_S = 60.0


class Screen:
    """Interims rewrite one line of a terminal; in a pipe each is a line of its own."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def line(self, *parts: str | tuple[str, str]) -> None:
        self._console.print(Text.assemble(*parts))

    @contextlib.contextmanager
    def interims(self) -> Iterator[None]:
        with self._live if self._console.is_terminal else contextlib.nullcontext():
            yield

    def interim(self, text: str) -> None:
        shown = Text.assemble(("  interim  ", "yellow"), (text, "dim"))
        if self._console.is_terminal:
            shown.truncate(self._console.width - 1, overflow="ellipsis")
            self._live.update(shown, refresh=True)
        else:
            self.line(shown.plain)

    def settled(self, kind: str, text: str, when: str) -> None:
        """What stays, in place of the interim before it."""
        if self._console.is_terminal:
            self._live.update(Text(""), refresh=True)
            row = Table.grid(padding=(0, 2))
            row.add_row(Text(f"  {kind:7}", "bold green"), Text(text, "bold"))
            row.add_row("", Text(when, "cyan"))
            self._console.print(row)
        else:
            self.line(f"  {kind:7}  {text}  ({when})")


class Recording(AudioInput):
    """The recording as a microphone would give it: each frame once it has been spoken."""

    def __init__(self, path: Path, *, silence_after_s: float = 0.0) -> None:
        super().__init__(label=path.name)
        with wave.open(str(path)) as wav:
            self._rate_hz, self._channels = wav.getframerate(), wav.getnchannels()
            self._pcm = wav.readframes(wav.getnframes())
        self.duration_s = len(self._pcm) / 2 / self._channels / self._rate_hz
        self._pcm += bytes(2 * self._channels * round(silence_after_s * self._rate_hz))
        self._frames = self._paced()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.__anext__()

    async def _paced(self) -> AsyncIterator[rtc.AudioFrame]:
        loop, samples = asyncio.get_running_loop(), round(FRAME_S * self._rate_hz)
        started_s, step = loop.time(), samples * 2 * self._channels
        for at in range(0, len(self._pcm), step):
            block = self._pcm[at : at + step].ljust(step, b"\0")
            due_s = started_s + (at + step) / 2 / self._channels / self._rate_hz
            await asyncio.sleep(due_s - loop.time())  # against the start: errors do not add up
            yield rtc.AudioFrame(block, self._rate_hz, self._channels, samples)


class Listener(Agent):
    """Says nothing; shows each user turn that the session commits."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(instructions="Listen.")
        self._screen = screen
        self.turns: list[str] = []
        self.heard = asyncio.Event()

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        text = new_message.text_content or ""
        delay_s = new_message.metrics.get("end_of_turn_delay", 0.0)
        self._screen.settled("turn", text, f"committed {delay_s:.2f} s after its last word")
        self.turns.append(text)
        self.heard.set()


async def stream_demo(speech_to_text: baseten.STT, screen: Screen) -> list[str]:
    """The finals of the recording, shown as they come."""
    finals: list[str] = []
    recording = Recording(RECORDING)
    async with speech_to_text.stream() as stream:

        async def speak() -> None:
            async for frame in recording:
                stream.push_frame(frame)
            stream.end_input()

        speaking = asyncio.create_task(speak())
        with screen.interims():
            async for event in stream:
                if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
                    screen.interim(event.alternatives[0].text)
                elif event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                    data = event.alternatives[0]
                    delay_s = (data.metadata or {}).get("delay_s", 0.0)
                    when = f"{data.start_time:.2f} to {data.end_time:.2f} s of the recording"
                    screen.settled(
                        "final", data.text, f"{when}, {delay_s:.2f} s after its last word"
                    )
                    finals.append(data.text)
        await speaking
    return finals


async def agent_demo(speech_to_text: baseten.STT, screen: Screen) -> list[str]:
    """The user turns that an agent makes of the recording."""
    session: AgentSession[None] = AgentSession(
        stt=speech_to_text, vad=None, turn_handling={"turn_detection": "stt"}
    )
    listener = Listener(screen)

    @session.on("user_input_transcribed")
    def _(event: UserInputTranscribedEvent) -> None:
        if event.transcript and not event.is_final:
            screen.interim(event.transcript)

    with screen.interims():
        recording = Recording(RECORDING, silence_after_s=SILENCE_AFTER_S)
        session.input.audio = recording
        await session.start(listener)
        await asyncio.sleep(recording.duration_s)
        while wanted(" ".join(listener.turns)) < len(SPOKEN.split()) / 2:
            listener.heard.clear()
            try:
                await asyncio.wait_for(listener.heard.wait(), TURN_WITHIN_S)
            except asyncio.TimeoutError:
                break
        await session.aclose()
    return listener.turns


def wanted(heard: str) -> int:
    """How many of the spoken words are among those heard, each counted as often as spoken."""
    left = re.findall(r"[a-z']+", re.sub(r"\bmr\b", "mister", heard.lower()))
    hits = 0
    for word in SPOKEN.split():
        if word in left:
            left.remove(word)
            hits += 1
    return hits


async def main() -> int:
    screen = Screen()
    total = len(SPOKEN.split())
    recognizer, ears = real_recognizer()
    enough = ENOUGH_OF_WHISPER if isinstance(recognizer, WhisperRecognizer) else total / 2
    with recognizer:
        async with serve(recognizer=recognizer, voice_detector=SileroDetector) as server:
            screen.line(("A Baseten on this machine: ", "bold"), server.url)
            screen.line(ears)
            screen.line(("Spoken: ", "bold"), SPOKEN)
            screen.line("An interim may still change and replaces the one before; a final stays.\n")
            speech_to_text = baseten.STT(model_endpoint=server.url, api_key="any")
            try:
                screen.line(("1  stt.stream(): ", "bold"), f"{RECORDING.name}, as it is spoken")
                finals = await stream_demo(speech_to_text, screen)
                screen.line(
                    ("\n2  AgentSession(stt=...): ", "bold"), 'turn detection "stt", no LLM'
                )
                turns = await agent_demo(speech_to_text, screen)
            finally:
                await speech_to_text.aclose()
    in_finals, in_turns = wanted(" ".join(finals)), wanted(" ".join(turns))
    is_good = in_finals >= enough and in_turns > 0
    screen.line(
        "\n",
        ("Good. " if is_good else "Not good. ", "bold green" if is_good else "bold red"),
        f"Finals: {in_finals} of {total} words. "
        f"User turns: {len(turns)}, with {in_turns} of {total} words.",
    )
    return 0 if is_good else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(asyncio.wait_for(main(), GIVE_UP_AFTER_S)))
    except asyncio.TimeoutError:
        sys.exit(f"not done within {GIVE_UP_AFTER_S:g} s")
