"""What an `AgentSession` needs around it to be heard talking: a room without a room.

Nothing here knows Baseten, so that another speech-to-text can stand on the same stage
(`benchmarks/turns.py` puts one there).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from paths import AUDIO

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    Agent,
    AgentSession,
    APIConnectOptions,
    NotGivenOr,
    io,
    llm,
    stt,
    tts,
)
from livekit.agents.metrics import AgentMetrics, EOUMetrics, STTMetrics
from livekit.agents.voice import (
    CloseEvent,
    ConversationItemAddedEvent,
    ErrorEvent,
    UserInputTranscribedEvent,
    UserStateChangedEvent,
)

SAMPLE_RATE_HZ = 16_000
RECORDINGS = AUDIO

Mode = Literal["stt", "vad", "manual", "default"]


def epoch_s() -> float:
    return time.time()  # noqa: TID251 - the clock that the session's own events are on


# What is said.


@dataclass(frozen=True)
class Recording:
    """One of the recordings in ``examples/audio``, without a pause that would end an utterance."""

    number: str
    text: str

    @property
    def samples(self) -> NDArray[np.int16]:
        return _read(RECORDINGS / f"sense_and_sensibility_01-{self.number}.wav")


YOUNG_MAN = Recording("0880", "he was not an ill disposed young man")
SELFISH = Recording(
    "0890", "unless to be rather cold hearted and rather selfish is to be ill disposed"
)
LEISURE = Recording(
    "0870",
    "and mister john dashwood had then leisure to consider how much there might be prudently "
    "in his power to do for them",
)


@cache
def _read(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path)) as file:
        assert file.getframerate() == SAMPLE_RATE_HZ
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@dataclass(frozen=True)
class Line:
    """Something that somebody says, between the samples where it is loud."""

    text: str
    start: int
    end: int

    @property
    def words(self) -> list[tuple[str, int, int]]:
        """Each word with its share of the line: what a recognizer would time exactly."""
        texts = self.text.split()
        edges = np.linspace(self.start, self.end, len(texts) + 1).round().astype(int).tolist()
        return list(zip(texts, edges[:-1], edges[1:], strict=True))


@dataclass(frozen=True)
class Script:
    """Lines with silence between them, over the noise of a quiet room.

    The noise makes every stretch of it one of its kind, silence included, so that audio that comes
    out somewhere can be found in here again.
    """

    pcm: NDArray[np.int16]
    lines: tuple[Line, ...]

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def seconds(self) -> float:
        return len(self.pcm) / SAMPLE_RATE_HZ


def script(*parts: Recording | NDArray[np.int16] | float, seed: int = 0) -> Script:
    """
    Args:
        parts: Recordings, sounds that are no speech, and seconds of silence.
        seed: Of the noise.
    """
    pieces: list[NDArray[np.int16]] = []
    lines = []
    at = 0
    for part in parts:
        if isinstance(part, Recording):
            piece = part.samples
            start, end = _loud(piece)
            lines.append(Line(part.text, at + start, at + end))
        elif isinstance(part, np.ndarray):
            piece = part
        else:
            piece = np.zeros(round(part * SAMPLE_RATE_HZ), np.int16)
        pieces.append(piece)
        at += len(piece)
    spoken = np.concatenate(pieces).astype(np.int32)
    noise = np.random.default_rng(seed).integers(-3, 4, len(spoken))
    return Script(np.clip(spoken + noise, -32768, 32767).astype(np.int16), tuple(lines))


def _loud(pcm: NDArray[np.int16]) -> tuple[int, int]:
    windows = pcm[: len(pcm) // 256 * 256].astype(np.float64).reshape(-1, 256)
    loud = np.flatnonzero(np.sqrt((windows**2).mean(axis=1)) > 300)
    return int(loud[0]) * 256, int(loud[-1] + 1) * 256


# The room.


class Microphone(io.AudioInput):
    """Plays a script at the pace of speech, against absolute deadlines, and silence after it.

    Args:
        sample_rate: Of the frames, in Hz; LiveKit's rooms give 24 kHz.

    Attributes:
        is_muted: Frames are spoken and not delivered.
        late_s: By how much the latest frame missed its deadline.
    """

    FRAME_MS = 50

    def __init__(self, spoken: Script, *, sample_rate: int = SAMPLE_RATE_HZ) -> None:
        super().__init__(label="Microphone")
        self._script = spoken
        self._sample_rate_hz = sample_rate
        self._resampler = (
            rtc.AudioResampler(SAMPLE_RATE_HZ, sample_rate)
            if sample_rate != SAMPLE_RATE_HZ
            else None
        )
        self._rng = np.random.default_rng(12_345)
        self._ready: list[rtc.AudioFrame] = []
        self._start_s = 0.0
        self._delivered_at_s: list[float] = []
        self._moved = asyncio.Event()
        self.is_muted = False
        self.late_s = 0.0

    @property
    def position(self) -> int:
        """Script samples that were delivered."""
        return len(self._delivered_at_s) * self._block

    async def reaches(self, sample: int) -> None:
        while self.position < sample:
            self._moved.clear()
            await self._moved.wait()

    def spoken_at_s(self, sample: int) -> float:
        """Epoch seconds at which a sample was spoken, as the session's clock has it."""
        block, within = divmod(sample, self._block)
        return self._delivered_at_s[block] - (self._block - within) / SAMPLE_RATE_HZ

    async def __anext__(self) -> rtc.AudioFrame:
        loop = asyncio.get_running_loop()
        while not self._ready:
            if not self._delivered_at_s:
                self._start_s = loop.time()
            number = len(self._delivered_at_s)
            due_s = self._start_s + (number + 1) * self.FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            self.late_s = max(self.late_s, loop.time() - due_s)
            self._delivered_at_s.append(epoch_s())
            self._moved.set()
            if not self.is_muted:
                self._ready = self._frames(number * self._block)
        return self._ready.pop(0)

    @property
    def _block(self) -> int:
        return SAMPLE_RATE_HZ * self.FRAME_MS // 1000

    def _frames(self, start: int) -> list[rtc.AudioFrame]:
        pcm = self._script.pcm[start : start + self._block]
        missing = self._block - len(pcm)
        if missing:
            pcm = np.concatenate([pcm, self._rng.integers(-3, 4, missing).astype(np.int16)])
        frame = rtc.AudioFrame(pcm.tobytes(), SAMPLE_RATE_HZ, 1, len(pcm))
        return [frame] if self._resampler is None else list(self._resampler.push(frame))


class Loudspeaker(io.AudioOutput):
    """Takes as long for what it is given as playing it would."""

    def __init__(self) -> None:
        super().__init__(label="Loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False))
        self._pushed_s = 0.0
        self._started_s = 0.0
        self._over: asyncio.TimerHandle | None = None
        self.segments: list[io.PlaybackFinishedEvent] = []
        self.on("playback_finished", self.segments.append)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._pushed_s:
            self._started_s = asyncio.get_running_loop().time()
            self.on_playback_started(created_at=epoch_s())
        self._pushed_s += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._pushed_s and self._over is None:
            loop = asyncio.get_running_loop()
            self._over = loop.call_at(
                self._started_s + self._pushed_s, self._finish, self._pushed_s, False
            )

    def clear_buffer(self) -> None:
        if self._pushed_s:
            played_s = asyncio.get_running_loop().time() - self._started_s
            self._finish(min(played_s, self._pushed_s), True)

    def _finish(self, position_s: float, interrupted: bool) -> None:
        if self._over is not None:
            self._over.cancel()
            self._over = None
        self._pushed_s = 0.0
        self.on_playback_finished(playback_position=position_s, interrupted=interrupted)


class ScriptedLLM(llm.LLM):
    """Answers with what it was told to, and "yes" after that."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self._answers: Iterator[str] = iter(answers)

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        answer = next(self._answers, "yes")
        return _Answer(self, answer, chat_ctx, tools or [], conn_options)


class _Answer(llm.LLMStream):
    def __init__(
        self,
        model: ScriptedLLM,
        text: str,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
    ) -> None:
        self._text = text
        super().__init__(model, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)

    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content=self._text)
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


class SilentTTS(tts.TTS):
    """Says everything in silence, a fifth of a second for each word."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=SAMPLE_RATE_HZ,
            num_channels=1,
        )

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Silence(tts=self, input_text=text, conn_options=conn_options)


class _Silence(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id="silence",
            sample_rate=SAMPLE_RATE_HZ,
            num_channels=1,
            mime_type="audio/pcm",
        )
        words = len(self.input_text.split())
        output_emitter.push(bytes(words * SAMPLE_RATE_HZ // 5 * 2))
        output_emitter.flush()


# The call.


@dataclass(frozen=True)
class Turn:
    """What the session took for one turn of the user's, and when (epoch seconds)."""

    text: str
    committed_at_s: float
    metrics: llm.MetricsReport


@dataclass
class Call:
    """One `AgentSession`, and everything that it told its user."""

    session: AgentSession
    microphone: Microphone
    loudspeaker: Loudspeaker
    script: Script
    transcripts: list[UserInputTranscribedEvent] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    states: list[UserStateChangedEvent] = field(default_factory=list)
    metrics: list[AgentMetrics] = field(default_factory=list)
    errors: list[ErrorEvent] = field(default_factory=list)
    close_reason: str = ""
    closing_took_s: float = 0.0
    _last_spoke: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_answered(self, turns: int) -> bool:
        """So many turns were committed, and the agent has spoken after the last of them.

        Not: after each. On a busy machine the user's next line may come before the answer.
        """
        return len(self.turns) == turns and self._last_spoke == "assistant"

    @property
    def turn_texts(self) -> list[str]:
        return [turn.text for turn in self.turns]

    @property
    def finals(self) -> list[str]:
        return [ev.transcript for ev in self.transcripts if ev.is_final]

    @property
    def interims(self) -> list[str]:
        return [ev.transcript for ev in self.transcripts if not ev.is_final]

    @property
    def eou_metrics(self) -> list[EOUMetrics]:
        return [m for m in self.metrics if isinstance(m, EOUMetrics)]

    @property
    def stt_metrics(self) -> list[STTMetrics]:
        return [m for m in self.metrics if isinstance(m, STTMetrics)]

    async def until(self, predicate: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Wait until something is so, looking again whenever the session says something."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while not predicate():
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), deadline_s - loop.time())
            except asyncio.TimeoutError:
                raise AssertionError(
                    f"not so after {timeout_s} s: turns {self.turn_texts}, finals {self.finals}, "
                    f"errors {self.errors}"
                ) from None

    async def hears(self, line: int, *, plus_s: float = 0.0) -> None:
        """Wait until a line of the script was spoken to its end, and some seconds more."""
        end = self.script.lines[line].end + round(plus_s * SAMPLE_RATE_HZ)
        await self.microphone.reaches(end)

    async def is_heard(self) -> None:
        """Wait until the script was spoken to its end."""
        await self.microphone.reaches(len(self.script.pcm))

    def spoken_at_s(self, line: int) -> float:
        """Epoch seconds at which a line of the script was over."""
        return self.microphone.spoken_at_s(self.script.lines[line].end)

    # What the session says.

    def listen(self) -> None:
        self.session.on("user_input_transcribed", self._transcribed)
        self.session.on("conversation_item_added", self._added)
        self.session.on("user_state_changed", self._state_changed)
        self.session.on("metrics_collected", self._measured)
        self.session.on("error", self._failed)
        self.session.on("close", self._closed)

    def _transcribed(self, event: UserInputTranscribedEvent) -> None:
        self.transcripts.append(event)
        self._changed.set()

    def _added(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if isinstance(item, llm.ChatMessage):
            self._last_spoke = item.role
            if item.role == "user":
                turn = Turn(item.text_content or "", event.created_at, item.metrics)
                self.turns.append(turn)
            else:
                self.answers.append(item.text_content or "")
        self._changed.set()

    def _state_changed(self, event: UserStateChangedEvent) -> None:
        self.states.append(event)
        self._changed.set()

    def _measured(self, event: Any) -> None:
        self.metrics.append(event.metrics)
        self._changed.set()

    def _failed(self, event: ErrorEvent) -> None:
        self.errors.append(event)
        self._changed.set()

    def _closed(self, event: CloseEvent) -> None:
        self.close_reason = event.reason.value
        self._changed.set()


@contextlib.asynccontextmanager
async def calling(
    speech_to_text: stt.STT,
    spoken: Script,
    mode: Mode,
    *,
    answers: tuple[str, ...] = (),
    agent: Agent | None = None,
    microphone_hz: int = SAMPLE_RATE_HZ,
    vad: NotGivenOr[None] = NOT_GIVEN,
    **session_options: Any,
) -> AsyncIterator[Call]:
    """Start a session and close it; the speech-to-text is the caller's.

    Args:
        mode: Of turn detection; "default" leaves it to LiveKit.
        answers: What the agent says, turn after turn.
        vad: `None` for a session without LiveKit's own voice activity detection.
    """
    turn_handling = session_options.pop("turn_handling", {})
    if mode != "default":
        turn_handling = {**turn_handling, "turn_detection": mode}
    session: AgentSession = AgentSession(
        stt=speech_to_text,
        llm=ScriptedLLM(*answers),
        tts=SilentTTS(),
        vad=vad,
        turn_handling=turn_handling,
        aec_warmup_duration=None,  # it gives the speech-to-text silence while the agent speaks
        **session_options,
    )
    microphone = Microphone(spoken, sample_rate=microphone_hz)
    loudspeaker = Loudspeaker()
    session.input.audio = microphone
    session.output.audio = loudspeaker
    call = Call(session, microphone, loudspeaker, spoken)
    call.listen()
    await session.start(agent or Agent(instructions="listen"), record=False)
    try:
        yield call
    finally:
        begun_s = time.perf_counter()
        await session.aclose()
        call.closing_took_s = time.perf_counter() - begun_s
