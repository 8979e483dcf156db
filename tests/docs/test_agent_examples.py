"""The examples that need a room: as they are in their files, but called by a script of recordings.

In place of LiveKit's cloud there are a microphone that plays the script, an LLM that is told what
to say, and a voice that says it in silence. Baseten is the local one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import inspect
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, get_args
from unittest import mock

import numpy as np
import pytest
from kit.harness import Played, play
from kit.prompter import Prompter
from kit.stage import (
    SELFISH,
    YOUNG_MAN,
    Call,
    Loudspeaker,
    Microphone,
    Recording,
    Script,
    SilentTTS,
    script,
)
from numpy.typing import NDArray
from paths import EXAMPLES

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    Agent,
    AgentSession,
    APIConnectOptions,
    AutoSubscribe,
    inference,
    llm,
    room_io,
)
from livekit.agents.inference.tts import TTSModels
from livekit.plugins import baseten
from livekit.plugins.baseten.emulator import (
    CodedSpeech,
    Server,
    SileroDetector,
    coded_speech,
    faults,
    serve,
)

KEY = "secret-4711"


def example(name: str) -> ModuleType:
    """The file as a module of its own, each time."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """Scenes write to it, as users do: none of that is left to other tests."""
    with mock.patch.dict(os.environ, BASETEN_API_KEY=KEY):
        for name in ("BASETEN_MODEL_ENDPOINT", "BASETEN_FALLBACK_ENDPOINT"):
            os.environ.pop(name, None)
        os.environ.update(LIVEKIT_API_KEY="any", LIVEKIT_API_SECRET="any")
        yield


# A call.


class Thinker(llm.LLM):
    """Calls tools as it was told to, such as ``tool({"argument": "value"})``, and says "yes" then.

    Which call comes next, the conversation says: LiveKit asks ahead, and may throw an answer away.

    Attributes:
        instructions: Those that it had for each answer.
        results: What its tools have said so far.
    """

    def __init__(self, *calls: str) -> None:
        super().__init__()
        self._calls = calls
        self.instructions: list[str] = []
        self.results: list[str] = []

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        system = [m.text_content or "" for m in chat_ctx.messages() if m.role == "system"]
        self.instructions.append(" ".join(system))
        self.results = [i.output for i in chat_ctx.items if i.type == "function_call_output"]
        answer = [*self._calls, "yes"][min(len(self.results), len(self._calls))]
        return _Thought(self, answer, chat_ctx, tools or [], conn_options)


class _Thought(llm.LLMStream):
    def __init__(
        self,
        thinker: Thinker,
        text: str,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
    ) -> None:
        self._text = text
        super().__init__(thinker, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)

    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content=self._text)
        if call := re.fullmatch(r"(\w+)\(({.*})\)", self._text):
            tool = llm.FunctionToolCall(name=call[1], arguments=call[2], call_id=self._text)
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[tool])
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


def names(of: Any) -> set[str]:
    return {of} if isinstance(of, str) else {name for part in get_args(of) for name in names(part)}


class Voice(SilentTTS):
    """In place of LiveKit Inference's, and takes the same options."""

    def __init__(self, model: str, *, language: str) -> None:
        assert model in names(TTSModels), model
        super().__init__()
        self.languages = [language]

    def update_options(self, **options: Any) -> None:
        inspect.signature(inference.TTS.update_options).bind(None, **options)
        self.languages.append(options["language"])


@dataclass
class Scene:
    """A call of an example's agent, and what it logged."""

    call: Call
    agent: Agent
    session: AgentSession[None]
    thinker: Thinker
    log: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """What the user said, however many turns LiveKit makes of it."""
        return " ".join(self.call.turn_texts)

    async def answered(self, line: int = -1) -> None:
        """Wait until a line of the script is in a turn, and the agent has spoken after that."""
        last = self.call.script.lines[line].text.split()[-1]
        await self.call.until(
            lambda: last in self.said.split() and self.call.is_answered(len(self.call.turns))
        )


@contextlib.asynccontextmanager
async def calling(name: str, spoken: Script, *calls: str, **variables: str) -> AsyncIterator[Scene]:
    """Run the entrypoint of an example, with ``variables`` in the environment."""
    module = example(name)
    thinker, scenes = Thinker(*calls), []

    class Session(AgentSession[None]):
        def __init__(self, *, llm: str, tts: str | Voice, **options: Any) -> None:
            assert llm in names(inference.LLMModels), llm
            assert isinstance(tts, Voice) or tts in names(TTSModels), tts
            voice = tts if isinstance(tts, Voice) else SilentTTS()
            super().__init__(llm=thinker, tts=voice, aec_warmup_duration=None, **options)

        async def start(  # type: ignore[override]
            self, agent: Agent, *, room: None, room_options: room_io.RoomOptions
        ) -> None:
            asked = room_options.audio_input
            assert isinstance(asked, room_io.AudioInputOptions)
            assert asked.sample_rate == 16_000  # what is heard as it is
            microphone = Microphone(spoken, sample_rate=asked.sample_rate)
            call = Call(self, microphone, Loudspeaker(), spoken)
            self.input.audio, self.output.audio = call.microphone, call.loudspeaker
            call.listen()
            scenes.append(Scene(call, agent, self, thinker, log))
            await super().start(agent, record=False)

    log: list[str] = []
    callbacks: list[Callable[[], Awaitable[None]]] = []
    replaced = {
        "AgentSession": Session,
        "inference": SimpleNamespace(TTS=Voice, STT=inference.STT),
        "logger": recorder(log),
    }
    vars(module).update(replaced)
    job = SimpleNamespace(room=None, add_shutdown_callback=callbacks.append)
    os.environ.update(variables)  # read before the first await: other scenes have others
    await module.entrypoint(job)
    try:
        yield scenes[0]
    finally:
        await scenes[0].session.aclose()
        for close in callbacks:
            await close()
        if speech_to_text := scenes[0].session.stt:
            await speech_to_text.aclose()


def recorder(log: list[str], logged: Callable[[], None] = lambda: None) -> logging.Logger:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.append(record.getMessage())
            logged()

    logger = logging.Logger("example")
    logger.addHandler(Handler())
    return logger


# An agent with a fallback.

SPOKEN = script(1.5, YOUNG_MAN, 1.6, SELFISH, 1.4)


@dataclass
class Rescue:
    scene: Scene
    first: Server
    second: Server

    @property
    def finals(self) -> tuple[int, int]:
        """How many the two servers have sent."""
        first, second = (
            sum('"is_final":true' in text for each in server.connections for text in each.sent)
            for server in (self.first, self.second)
        )
        return first, second


@contextlib.asynccontextmanager
async def rescue(*plan: faults.Entry) -> AsyncIterator[Rescue]:
    serving = functools.partial(serve, recognizer=Prompter(SPOKEN), voice_detector=SileroDetector)
    async with (
        serving(*plan) as first,
        serving() as second,
        calling(
            "voice_agent_with_fallback",
            SPOKEN,
            BASETEN_MODEL_ENDPOINT=first.url,
            BASETEN_FALLBACK_ENDPOINT=second.url,
        ) as scene,
    ):
        yield Rescue(scene, first, second)


async def refused() -> Rescue:
    async with rescue(*[faults.Refuse(401)] * 20) as played:
        await played.scene.answered()
    return played


async def cut() -> Rescue:
    async with rescue() as played:
        await played.scene.call.microphone.reaches(SPOKEN.lines[1].start + 4000)
        played.first.connections[-1].reset()
        await played.scene.answered()
    return played


async def gone() -> Rescue:
    async with rescue() as played:
        call = played.scene.call
        await call.microphone.reaches(SPOKEN.lines[1].start + 4000)
        played.first.plan.extend([faults.Refuse(503)] * 20)
        played.first.connections[-1].reset()
        await played.scene.answered()
    return played


# An agent of several languages.


class Okay(Recording):
    """Half a second of speech, as an "okay" is."""

    @property
    def samples(self) -> NDArray[np.int16]:
        return YOUNG_MAN.samples[:9600]


FOREIGN = script(1.5, YOUNG_MAN, 2.0, SELFISH, 2.0, Okay("", "okay"), 2.0)
DETECTED = {"young": "en", "selfish": "de", "okay": "fr"}


def detected(message: dict[str, Any]) -> list[dict[str, Any]]:
    """What language detection makes of the lines if each is in a language of its own."""
    if message.get("type") == "transcription":
        text = " ".join(segment["text"] for segment in message["segments"])
        for word, language in DETECTED.items():
            if word in text.split():
                message["language_code"] = language
                message["segments"][0]["language_code"] = language
    return [message]


@contextlib.asynccontextmanager
async def abroad(
    spoken: Script, *calls: str, plan: tuple[faults.Entry, ...] = ()
) -> AsyncIterator[tuple[Scene, Server]]:
    serving = serve(*plan, recognizer=Prompter(spoken), voice_detector=SileroDetector)
    async with (
        serving as server,
        calling("multilingual_agent", spoken, *calls, BASETEN_MODEL_ENDPOINT=server.url) as scene,
    ):
        yield scene, server


async def follows() -> tuple[Scene, Server]:
    plan = (faults.Rewrite(detected),)
    async with abroad(FOREIGN, plan=plan) as (scene, server):
        await scene.answered()
    return scene, server


async def told() -> tuple[Scene, Server]:
    languages = ("klingon", "es")
    calls = [f'expect_language({{"language": "{language}"}})' for language in languages]
    async with abroad(SPOKEN, *calls) as (scene, server):
        await scene.answered()
    return scene, server


# How they went.

SCENES: dict[str, Callable[[], Awaitable[Any]]] = {
    "refused": refused,
    "cut": cut,
    "gone": gone,
    "follows": follows,
    "told": told,
}


@pytest.fixture(scope="module")
def played(environment: None) -> dict[str, Played[Any]]:
    return play(SCENES)  # all at once: each takes as long as its script


def test_the_second_deployment_hears_where_the_first_refuses(
    played: dict[str, Played[Any]],
) -> None:
    rescued: Rescue = played["refused"].value
    assert rescued.scene.said == SPOKEN.text
    assert rescued.finals[0] == 0
    assert rescued.scene.log[0] == "first failed, the next one hears"
    assert re.fullmatch(r"seconds heard: {'first': 0, 'second': \d+}", rescued.scene.log[-1])


def test_one_cut_is_the_first_ones_own_affair(played: dict[str, Played[Any]]) -> None:
    rescued: Rescue = played["cut"].value
    assert rescued.scene.said == SPOKEN.text
    assert rescued.finals == (2, 0)
    assert "first failed" not in "".join(rescued.scene.log)


def test_the_second_goes_on_where_the_first_goes_away(played: dict[str, Played[Any]]) -> None:
    rescued: Rescue = played["gone"].value
    assert rescued.scene.said.startswith(SPOKEN.texts[0])
    assert rescued.scene.said.split()[-1] == SPOKEN.texts[1].split()[-1]
    assert rescued.finals == (1, 1)
    assert "first failed, the next one hears" in rescued.scene.log


def test_the_key_is_not_in_the_log(played: dict[str, Played[Any]]) -> None:
    for name in ("refused", "gone"):
        assert KEY not in "".join(played[name].value.scene.log)


def test_without_a_second_deployment_another_vendor_is_the_second(
    monkeypatch: pytest.MonkeyPatch, environment: None
) -> None:
    monkeypatch.delenv("BASETEN_FALLBACK_ENDPOINT", raising=False)
    second = example("voice_agent_with_fallback").second()
    assert isinstance(second, inference.STT)
    assert second.model in names(inference.STTModels)


def test_the_agent_answers_in_the_language_that_it_hears(
    played: dict[str, Played[Any]],
) -> None:
    scene, server = played["follows"].value
    assert scene.said == FOREIGN.text
    metadata = server.connections[0].metadata["whisper_params"]
    assert metadata["audio_language"] == "auto"
    assert metadata["language_options"] == ["en", "de", "es", "fr"]
    assert "German" in scene.thinker.instructions[-1]
    # From when the caller spoke German; an "okay" makes nobody French.
    assert scene.session.tts.languages == ["en", "de"]


def test_the_caller_may_ask_for_a_language(played: dict[str, Played[Any]]) -> None:
    scene, server = played["told"].value
    assert "'klingon': not a language" in scene.thinker.results[0]
    assert "Spanish" in scene.thinker.results[1]
    assert server.connections[-1].metadata["whisper_params"]["audio_language"] == "es"
    assert scene.session.tts.languages == ["en", "es"]
    assert "Spanish" in scene.thinker.instructions[-1]
    assert scene.said == SPOKEN.text  # no word is lost on the way


# Captions.


@dataclass
class Caption:
    """A text stream, as whoever is in the room reads it."""

    topic: str
    sender_identity: str
    attributes: dict[str, str]
    text: str = ""
    is_closed: bool = False

    async def write(self, text: str) -> None:
        assert not self.is_closed
        self.text += text

    async def aclose(self) -> None:
        self.is_closed = True

    @property
    def is_final(self) -> bool:
        return self.attributes["lk.transcription_final"] == "true"


class Room(rtc.EventEmitter[str]):
    """What captions need of a room, and those that were published in it."""

    def __init__(self) -> None:
        super().__init__()
        self.captions: list[Caption] = []
        self.local_participant = self
        self.changed = asyncio.Event()

    async def stream_text(self, **options: Any) -> Caption:
        inspect.signature(rtc.LocalParticipant.stream_text).bind(None, **options)
        caption = Caption(**options)
        self.captions.append(caption)
        self.changed.set()
        return caption

    async def until(self, predicate: Callable[[], object]) -> None:
        async def becomes_so() -> None:
            while not predicate():
                self.changed.clear()
                await self.changed.wait()

        await asyncio.wait_for(becomes_so(), 10)

    def finals(self, who: str) -> list[Caption]:
        return [c for c in self.captions if c.sender_identity == who and c.is_final]

    def text(self, who: str) -> str:
        return " ".join(caption.text for caption in self.finals(who))

    async def connect(self, *, auto_subscribe: Any) -> None:
        assert auto_subscribe is AutoSubscribe.AUDIO_ONLY


class Speaker:
    """Somebody in a room with a microphone of LiveKit's own kind."""

    def __init__(self, room: Room, who: str, *, is_agent: bool = False) -> None:
        kinds = rtc.ParticipantKind
        kind = kinds.PARTICIPANT_KIND_AGENT if is_agent else kinds.PARTICIPANT_KIND_STANDARD
        self._room = room
        self._source = rtc.AudioSource(16_000, 1, queue_size_ms=0)  # as fast as it is given
        self._event = (
            rtc.LocalAudioTrack.create_audio_track(who, self._source),
            SimpleNamespace(sid=f"TR_{who}"),
            SimpleNamespace(identity=who, kind=kind),
        )

    def comes(self) -> None:
        self._room.emit("track_subscribed", *self._event)

    def goes(self) -> None:
        self._room.emit("track_unsubscribed", *self._event)

    async def says(self, speech: CodedSpeech) -> None:
        for at in range(0, len(speech.pcm) // 320 * 320, 320):
            frame = rtc.AudioFrame(speech.pcm[at : at + 320], 16_000, 1, 160)
            await self._source.capture_frame(frame)


def utterance(words: int, first_word: int = 1) -> CodedSpeech:
    return coded_speech(words, first_word=first_word, trailing_samples=8_000)


@contextlib.asynccontextmanager
async def captioned(
    *plan: faults.Entry, ears: type[baseten.STT] = baseten.STT
) -> AsyncIterator[tuple[Room, Server, list[str]]]:
    """A room in which the example runs, its server, and what it logs."""
    module, room = example("captions"), Room()
    log: list[str] = []
    vars(module).update(logger=recorder(log, room.changed.set), baseten=SimpleNamespace(STT=ears))
    callbacks: list[Callable[[], Awaitable[None]]] = []
    async with serve(*plan) as server:
        os.environ["BASETEN_MODEL_ENDPOINT"] = server.url
        await module.entrypoint(
            SimpleNamespace(room=room, connect=room.connect, add_shutdown_callback=callbacks.append)
        )
        try:
            yield room, server, log
        finally:
            for close in callbacks:
                await close()


async def test_each_track_is_captioned_by_itself(environment: None) -> None:
    alice_says, bob_says = utterance(6), utterance(5, first_word=101)
    async with captioned() as (room, _, log):
        alice, bob = Speaker(room, "alice"), Speaker(room, "bob")
        for speaker in (alice, bob):
            speaker.comes()
        await asyncio.gather(alice.says(alice_says), bob.says(bob_says))
        await room.until(lambda: room.finals("alice") and room.finals("bob"))
    assert room.text("alice") == alice_says.text
    assert room.text("bob") == bob_says.text
    assert not log
    for caption in room.captions:
        assert caption.topic == "lk.transcription"
        assert caption.attributes["lk.transcribed_track_id"] == f"TR_{caption.sender_identity}"
        assert caption.is_closed


async def test_a_final_stands_where_its_interims_were(environment: None) -> None:
    async with captioned() as (room, _, _):
        alice = Speaker(room, "alice")
        alice.comes()
        await alice.says(utterance(8))
        await room.until(lambda: len(room.finals("alice")) == 1)
        await alice.says(utterance(4, first_word=9))
        await room.until(lambda: len(room.finals("alice")) == 2)
    first, second = (caption.attributes["lk.segment_id"] for caption in room.finals("alice"))
    assert first != second
    segments = [caption.attributes["lk.segment_id"] for caption in room.captions]
    assert segments == [first] * segments.count(first) + [second] * segments.count(second)
    assert segments.count(first) > 1  # it was seen growing
    assert not room.captions[0].is_final
    assert room.captions[0].text


async def test_the_last_words_of_a_track_that_goes_are_shown(environment: None) -> None:
    speech = coded_speech(6)  # without a pause that would end it
    async with captioned() as (room, server, log):
        alice = Speaker(room, "alice")
        alice.comes()
        await alice.says(speech)
        await server.until(
            lambda: (
                server.connections
                and server.connections[0].received_samples >= len(speech.pcm) // 2 - 1024
            )
        )
        alice.goes()
        await room.until(lambda: room.finals("alice"))
        await server.until(lambda: not server.connections[0].is_open)
        alice.comes()  # and may come back
        await server.wait_for_connection(2)
    assert room.text("alice").split()[:5] == speech.text.split()[:5]
    assert not log


async def test_agents_are_not_captioned_again(environment: None) -> None:
    async with captioned() as (room, server, _):
        Speaker(room, "agent", is_agent=True).comes()
        Speaker(room, "alice").comes()
        await server.wait_for_connection()
        await server.until(lambda: server.connections[0].metadata is not None)
    assert len(server.handshakes) == 1


class Impatient(baseten.STT):
    """Without retries, so that a test need not wait for them."""

    def stream(self, **_: Any) -> baseten.SpeechStream:
        return super().stream(conn_options=APIConnectOptions(max_retry=0))


async def test_captions_outlast_an_outage(environment: None) -> None:
    plan = [faults.Refuse(503)] * 2
    async with captioned(*plan, ears=Impatient) as (room, server, log):
        alice = Speaker(room, "alice")
        alice.comes()
        await server.wait_for_connection()
        speech = utterance(5)
        await alice.says(speech)
        await room.until(lambda: room.finals("alice"))
    assert room.text("alice") == speech.text
    assert len(log) == 2
    assert all("no captions of alice: " in line and KEY not in line for line in log)


async def test_a_wrong_key_is_said_in_one_line(environment: None) -> None:
    async with captioned(faults.Refuse(401), ears=Impatient) as (room, server, log):
        alice = Speaker(room, "alice")
        alice.comes()
        await room.until(lambda: log)
        alice.goes()
    assert len(server.handshakes) == 1
    assert log == [
        "no captions of alice: Baseten refused the connection with HTTP 401: the API key is "
        "missing or invalid: check api_key or BASETEN_API_KEY"
    ]
