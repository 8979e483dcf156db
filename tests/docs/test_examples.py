"""Each example as a user runs it: a process of its own, against the local Baseten."""

from __future__ import annotations

import asyncio
import re
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
import soxr
from kit import python
from paths import EXAMPLES

from livekit.plugins.baseten.emulator import (
    ScriptRecognizer,
    Server,
    SileroDetector,
    faults,
    serve,
)

RECORDING = EXAMPLES / "audio" / "sense_and_sensibility_01-0870.wav"
SPOKEN = (
    "and mister john dashwood had then leisure to consider how much there might be prudently in "
    "his power to do for them"
)


class Ran(python.Ran):
    @property
    def share_of_words(self) -> float:
        """How much of what is spoken in the recording was printed."""
        heard = re.findall(r"[a-z]+", self.out.lower())
        spoken = SPOKEN.split()
        return sum(word in heard for word in spoken) / len(spoken)


async def run(*arguments: str | Path, url: str = "", cwd: Path = EXAMPLES, **variables: str) -> Ran:
    """Run Python as a user would, with what `.env` would have set."""
    environment = {
        "BASETEN_MODEL_ENDPOINT": url,
        "BASETEN_API_KEY": "any",
        "COLUMNS": "200",
        **variables,
    }
    done = await python.ran(*arguments, cwd=cwd, **environment)
    return Ran(done.status, done.out, done.err)


def resampled(path: Path, rate_hz: int, channels: int) -> Path:
    """The recording at another rate, the same on every channel."""
    with wave.open(str(RECORDING)) as recording:
        pcm = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
        pcm = soxr.resample(pcm, recording.getframerate(), rate_hz)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(np.repeat(pcm, channels).astype("<i2").tobytes())
    return path


def samples_in(path: Path) -> int:
    with wave.open(str(path)) as recording:
        return int(recording.getnframes())


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (44_100, 2)])
async def test_a_file_is_transcribed_with_times(
    server: Server, tmp_path: Path, rate_hz: int, channels: int
) -> None:
    recording = resampled(tmp_path / "recording.wav", rate_hz, channels)
    ran = await run("transcribe_file.py", recording, "--speed", "10", url=server.url)
    assert (ran.status, ran.complaints) == (0, [])
    assert ran.share_of_words >= 0.5, ran.out
    for line in ran.out.splitlines():
        start, end, _ = line.split(maxsplit=2)
        assert 0 <= float(start) < float(end) <= 7.2


async def test_a_file_is_sent_at_the_pace_of_speech_unless_asked(
    server: Server, tmp_path: Path
) -> None:
    silence = tmp_path / "silence.wav"
    with wave.open(str(silence), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(bytes(2 * 8_000))
    started_s = asyncio.get_running_loop().time()
    ran = await run("transcribe_file.py", silence, url=server.url)
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert asyncio.get_running_loop().time() - started_s >= 1.0


async def test_what_cannot_work_is_said_in_a_line(server: Server) -> None:
    no_key = await run("transcribe_file.py", RECORDING, url=server.url, BASETEN_API_KEY="")
    assert no_key.status == 1
    assert no_key.err == "error: no Baseten API key: pass api_key or set BASETEN_API_KEY\n"

    server.plan.append(faults.Refuse(401))
    wrong_key = await run("transcribe_file.py", RECORDING, url=server.url)
    assert wrong_key.status == 1
    assert "error: Baseten refused the connection with HTTP 401" in wrong_key.err
    assert "Traceback" not in wrong_key.err


# There is no sound card here. This stands in for `sounddevice`: it plays a recording to the
# callback from a thread of its own, as a device does, and then presses Ctrl-C.
SOUNDDEVICE = """
import os, signal, threading, time, wave

class PortAudioError(Exception):
    pass

class RawInputStream:
    def __init__(self, samplerate, blocksize, device=None, *, channels, dtype, callback):
        assert (channels, dtype) == (1, "int16")
        self._wav = wave.open(os.environ["MICROPHONE"])
        assert self._wav.getframerate() == samplerate
        self._samples, self._callback = blocksize, callback
        self._thread = threading.Thread(target=self._play)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._thread.join()
        self._wav.close()

    def _play(self):
        while pcm := self._wav.readframes(self._samples):
            self._callback(memoryview(pcm), len(pcm) // 2, None, None)
            time.sleep(0.002)  # ten times the pace of speech
        os.kill(os.getpid(), signal.SIGINT)
"""


async def test_the_microphone_is_heard_until_ctrl_c_and_transcribed_to_the_end(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "sounddevice.py").write_text(SOUNDDEVICE)
    ran = await run(
        "transcribe_microphone.py",
        url=server.url,
        PYTHONPATH=str(tmp_path),
        MICROPHONE=str(resampled(tmp_path / "voice.wav", 48_000, 1)),
    )
    assert (ran.status, ran.complaints) == (0, [])
    assert ran.out.startswith("Listening. Ctrl-C ends.\n")
    assert ran.share_of_words >= 0.5, ran.out
    assert server.connections[0].received_samples >= samples_in(RECORDING)


@pytest.mark.parametrize("script", ["transcribe_file.py", "transcribe_microphone.py"])
async def test_help_needs_no_endpoint_and_no_sound(script: str) -> None:
    ran = await run(script, "--help", BASETEN_API_KEY="")
    assert (ran.status, ran.complaints) == (0, [])
    assert "Baseten" in ran.out


async def test_the_agent_has_the_commands_of_a_livekit_worker() -> None:
    ran = await run("voice_agent.py", "--help", BASETEN_API_KEY="")
    assert ran.status == 0, ran.err
    assert all(command in ran.out for command in ("console", "dev", "start"))


# The agent as it is in the file, but heard by a recording in place of a room, and answered by
# itself in place of an LLM and a voice: those need LiveKit's cloud.
CALL = """
import asyncio, sys
from types import SimpleNamespace
from typing import get_args

import voice_agent
from demo import RECORDING, Recording
from livekit.agents import inference, llm
from livekit.agents.inference.tts import TTSModels

class Answer(llm.LLMStream):
    async def _run(self):
        delta = llm.ChoiceDelta(role="assistant", content="I see.")
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))

class Answerer(llm.LLM):
    def chat(self, *, chat_ctx, tools=None, conn_options, **_):
        return Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)

def names(of):
    return {of} if isinstance(of, str) else {name for part in get_args(of) for name in names(part)}

class Call(voice_agent.AgentSession):
    def __init__(self, *, llm, tts, **options):
        assert llm in names(inference.LLMModels), llm
        assert tts in names(TTSModels), tts
        super().__init__(llm=Answerer(), **options)
        self.answered = asyncio.Event()
        calls.append(self)

    async def start(self, agent, *, room, room_options):
        assert room_options.audio_input.sample_rate == 16_000  # what the model hears
        self.on("conversation_item_added", self.said)
        self.input.audio = Recording(RECORDING, silence_after_s=5.0)
        await super().start(agent)

    def said(self, event):
        print(f"{event.item.role}: {event.item.text_content}", flush=True)
        users = [item for item in self.history.messages() if item.role == "user"]
        if users and event.item.role == "assistant":
            self.answered.set()

async def main():
    await voice_agent.entrypoint(SimpleNamespace(room=None))
    await asyncio.wait_for(calls[0].answered.wait(), 30)
    await calls[0].aclose()
    await calls[0].stt.aclose()

calls = []
voice_agent.AgentSession = Call
asyncio.run(main())
"""


async def test_the_agent_answers_what_it_hears_through_baseten(
    server: Server, tmp_path: Path
) -> None:
    ran = await run("-c", CALL, url=server.url, PYTHONPATH=str(EXAMPLES), cwd=tmp_path)
    assert ran.status == 0, ran.err
    speakers = [line.split(":")[0] for line in ran.out.splitlines()]
    assert speakers[0] == "assistant"  # it greets
    assert speakers[1] == "user"
    assert speakers[-1] == "assistant"
    assert ran.share_of_words >= 0.5, ran.out


def test_each_example_is_in_the_table() -> None:
    table = (EXAMPLES / "README.md").read_text()
    for script in EXAMPLES.glob("*.py"):
        assert f"`python examples/{script.name}" in table


def test_the_examples_use_public_names_only() -> None:
    for script in EXAMPLES.glob("*.py"):
        assert not re.search(r"baseten(\.\w+)*\._|from \._", script.read_text()), script.name


async def test_the_test_suite_of_an_agent_passes() -> None:
    ran = await run(*python.PYTEST, "-p", "no:cacheprovider", EXAMPLES / "testing")
    assert ran.status == 0, ran.out
    assert re.search(r"^11 passed", ran.out, re.M)


NO_MICROPHONE = """
class PortAudioError(Exception):
    pass

def RawInputStream(*_, **__):
    raise PortAudioError("Error querying device -1")
"""


async def test_no_microphone_is_said_in_a_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text(NO_MICROPHONE)
    ran = await run("transcribe_microphone.py", url=server.url, PYTHONPATH=str(tmp_path))
    assert (ran.status, ran.out) == (1, "")
    advice = "`python -m sounddevice` lists what there is"
    assert ran.err == f"error: Error querying device -1. {advice}\n"


async def test_a_folder_is_transcribed_and_what_fails_is_named(tmp_path: Path) -> None:
    resampled(tmp_path / "one.wav", 44_100, 2)
    shutil.copy(RECORDING, tmp_path / "two.wav")
    (tmp_path / "three.mp3").write_text("no sound")
    told = ScriptRecognizer([SPOKEN], is_cyclic=True)
    async with serve(recognizer=told, voice_detector=SileroDetector) as server:
        ran = await run("transcribe_folder.py", tmp_path, url=server.url)
    assert ran.status == 1
    named = [line for line in ran.err.splitlines() if line.startswith(str(tmp_path))]
    assert [line.partition(": ")[0] for line in named] == [f"{tmp_path}/three.mp3"]
    for name in ("one.txt", "two.txt"):
        assert SPOKEN in (tmp_path / name).read_text()
    assert not (tmp_path / "three.txt").exists()
