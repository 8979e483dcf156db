"""`transcribe` as its user runs it: a process of its own, against the local Baseten."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import wave
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli.command import Command
from cli.sound import SPEECH, TEXT, Gate, bursts, coded_file, sound_file, video_file

from livekit.plugins.baseten._report import page, read
from livekit.plugins.baseten.emulator import (
    AmplitudeDetector,
    CodedRecognizer,
    ScriptRecognizer,
    Server,
    Word,
    coded_speech,
    faults,
    serve,
)

KEY = "k3y.that-nobody-may-ever-read"


def damage(path: Path, size: int) -> None:
    """Overwrite so many bytes in the middle of a file."""
    with path.open("r+b") as file:
        file.seek((path.stat().st_size - size) // 2)
        file.write(np.random.default_rng(1).bytes(size))


def empty_file(path: Path) -> Path:
    """A sound file of no length."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
    return path


class Two:
    """Two people: the first two words are Ann's."""

    blocking = False

    def __init__(self) -> None:
        self._coded = CodedRecognizer()

    def recognize(self, pcm: bytes, *, is_final: bool) -> list[Word]:
        heard = self._coded.recognize(pcm, is_final=is_final)
        speakers = ["ann" if word.text in ("w1001", "w1002") else "bob" for word in heard]
        return [
            replace(word, text=f"{word.text}.", speaker=speaker)
            for word, speaker in zip(heard, speakers, strict=True)
        ]


@pytest.fixture
async def baseten() -> AsyncIterator[Server]:
    async with serve(api_key=None, word_step_s=0) as server:
        yield server


# What goes in


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "layout"),
    [
        ("talk.mp3", "libmp3lame", 44_100, "stereo"),
        ("talk.ogg", "libopus", 48_000, "mono"),
        ("talk.m4a", "aac", 22_050, "mono"),
        ("talk.wav", "pcm_s16le", 8_000, "stereo"),
    ],
)
async def test_any_format_is_heard_at_the_right_times(
    transcribe: Command, tmp_path: Path, name: str, codec: str, rate_hz: int, layout: str
) -> None:
    recording = sound_file(tmp_path / name, bursts(), codec, rate_hz=rate_hz, layout=layout)
    recognizer = ScriptRecognizer(["one two", "three four"], floor=1000)
    async with serve(
        recognizer=recognizer, voice_detector=lambda: AmplitudeDetector(1000)
    ) as server:
        ran = await transcribe(recording, "--timestamps", url=server.url)
    assert (ran.status, ran.err) == (0, "")
    lines = re.findall(r"\[00:(.+) --> 00:(.+)\] (.+)", ran.out)
    assert [text for _, _, text in lines] == ["one two", "three four"]
    times = [float(time) for line in lines for time in line[:2]]
    assert times == pytest.approx([0.5, 1.5, 2.0, 3.0], abs=0.05)


async def test_sound_of_a_video_has_the_times_of_the_picture(
    transcribe: Command, baseten: Server, tmp_path: Path
) -> None:
    word = np.frombuffer(coded_speech([(0, 4000)]).pcm, "<i2")
    other = np.frombuffer(coded_speech([(0, 4000)], first_word=2).pcm, "<i2")
    video = video_file(tmp_path / "video.mkv", (1.5, word), (4.0, other))
    ran = await transcribe(video, "-f", "json", url=baseten.url)
    assert (ran.status, ran.err) == (0, "")
    starts = [segment["start_s"] for segment in json.loads(ran.out)["segments"]]
    assert starts == pytest.approx([1.5, 4.0], abs=0.01)


async def test_a_long_recording_is_heard_whole_and_faster_than_it_was_spoken(
    transcribe: Command, baseten: Server, tmp_path: Path
) -> None:
    breath = [(16_000, 4000), *[(800, 4000)] * 20]
    speech = coded_speech(breath * 40)  # five minutes
    started_s = asyncio.get_running_loop().time()
    recording = coded_file(tmp_path / "long.flac", speech)
    ran = await transcribe(recording, url=baseten.url)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.split() == speech.text.split()
    assert asyncio.get_running_loop().time() - started_s < len(speech.pcm) / 32_000


async def test_at_the_pace_of_speech_it_takes_as_long_as_it_is(
    transcribe: Command, baseten: Server, tmp_path: Path
) -> None:
    recording = coded_file(tmp_path / "word.flac", coded_speech([(8000, 4000)]))
    started_s = asyncio.get_running_loop().time()
    ran = await transcribe(recording, "--real-time", url=baseten.url)
    assert (ran.status, ran.out, ran.err) == (0, "w1\n", "")
    assert asyncio.get_running_loop().time() - started_s >= 0.75


async def test_no_sound_at_all_is_an_empty_transcript_and_a_word_about_it(
    transcribe: Command, baseten: Server, tmp_path: Path
) -> None:
    nothing = empty_file(tmp_path / "nothing.wav")
    ran = await transcribe(nothing, "-f", "json", url=baseten.url)
    assert ran.status == 0
    assert json.loads(ran.out)["segments"] == []
    assert ran.err == f"{nothing}: there is not a moment of sound in it\n"
    assert baseten.handshakes == []


# What comes out


async def test_json_has_everything_that_is_known(
    transcribe: Command, baseten: Server, talk: Path
) -> None:
    ran = await transcribe(talk, "--format", "json", url=baseten.url)
    assert (ran.status, ran.err, ran.out.count("\n")) == (0, "", 1)
    transcript = json.loads(ran.out)
    length_s = len(SPEECH.pcm) / 32_000
    assert transcript.pop("segments") == [
        {
            "start_s": first.start_s,
            "end_s": second.end_s,
            "text": f"{first.text} {second.text}",
            "language": "en",
            "speaker": None,
            "confidence": 1.0,
            "doubtful": False,
            "words": [
                {
                    "start_s": word.start_s,
                    "end_s": word.end_s,
                    "text": word.text,
                    "speaker": None,
                    "confidence": 1.0,
                }
                for word in (first, second)
            ],
        }
        for first, second in (SPEECH.words[:2], SPEECH.words[2:])
    ]
    assert transcript == {
        "file": str(talk),
        "duration_s": length_s,
        "language": "en",
        "text": SPEECH.text,
    }


@pytest.mark.parametrize("name", ["talk.srt", "talk.vtt", "talk.json", "talk.txt"])
async def test_the_name_of_the_output_says_its_format(
    transcribe: Command, baseten: Server, talk: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "a" / "new" / "folder" / name
    ran = await transcribe(talk, "--output", output, url=baseten.url)
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    written = output.read_text()
    assert [*output.parent.iterdir()] == [output]  # and nothing half done beside it
    begins = {".srt": "1\n00:00:00,500 --> ", ".vtt": "WEBVTT\n\n", ".json": "{\n", ".txt": TEXT}
    assert written.startswith(begins[output.suffix])
    assert "w1001 w1002" in written


async def test_speakers_are_named_where_they_are_told_apart(
    transcribe: Command, tmp_path: Path
) -> None:
    async with serve(recognizer=Two(), diarizer=True) as server:
        talk = coded_file(tmp_path / "talk.flac", SPEECH)
        text = await transcribe(talk, "--diarize", url=server.url)
        captions = await transcribe(talk, "--diarize", "-f", "vtt", url=server.url)
    assert text.out == "ann: w1001. w1002.\nbob: w1003. w1004.\n"
    assert "\n<v ann>w1001. w1002.\n" in captions.out
    assert "\n<v bob>w1003. w1004.\n" in captions.out


async def test_options_reach_the_deployment(
    transcribe: Command, baseten: Server, talk: Path
) -> None:
    options = ["--language", "de", "--prompt", "Guten Tag.", "--keyterm", "Baseten"]
    ran = await transcribe(talk, *options, "--keyterm", "LiveKit", url=baseten.url)
    assert ran.status == 0
    metadata = baseten.connections[0].metadata or {}
    assert metadata["whisper_params"]["audio_language"] == "de"
    prompt = metadata["whisper_params"]["prompt"]
    assert all(word in prompt for word in ("Guten Tag.", "Baseten", "LiveKit"))
    assert metadata["streaming_params"]["enable_partial_transcripts"] is False


async def test_calls_are_recorded_for_the_report(
    transcribe: Command, baseten: Server, talk: Path, tmp_path: Path
) -> None:
    ran = await transcribe(talk, "--report", tmp_path / "calls", url=baseten.url)
    (recording,) = (tmp_path / "calls").glob("*.jsonl")
    shown = f"recorded: python -m livekit.plugins.baseten report {recording}\n"
    assert (ran.status, ran.err) == (0, f"{talk}: {shown}")
    assert recording.with_suffix(".wav").exists()
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    assert lines[0]["source"] == talk.name
    assert "<title>talk.flac" in page(read(recording))
    assert lines[-1]["kind"] == "end"
    finals = [line["text"] for line in lines if line.get("type") == "final_transcript"]
    assert " ".join(finals).split() == ran.out.split()


async def test_a_folder_for_reports_that_cannot_be_is_status_2(
    transcribe: Command, baseten: Server, talk: Path
) -> None:
    ran = await transcribe(talk, "--report", talk / "calls", url=baseten.url)
    assert ran.status == 2
    assert "--report" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not baseten.handshakes


# Many files


async def test_many_files_are_written_in_the_order_of_the_arguments(
    transcribe: Command, baseten: Server, tmp_path: Path
) -> None:
    speeches = [coded_speech(60 - 20 * n, first_word=1 + 100 * n) for n in range(3)]
    files = [coded_file(tmp_path / f"{n}.flac", speech) for n, speech in enumerate(speeches)]
    ran = await transcribe(*files, url=baseten.url)
    assert (ran.status, ran.err) == (0, "")
    parts = re.split(r"^==> (.+) <==$", ran.out, flags=re.M)[1:]
    assert parts[::2] == [str(file) for file in files]
    assert [part.split() for part in parts[1::2]] == [speech.text.split() for speech in speeches]

    ran = await transcribe(*files, "-f", "json", url=baseten.url)
    transcripts = [json.loads(line) for line in ran.out.splitlines()]
    assert [each["text"] for each in transcripts] == [speech.text for speech in speeches]


async def test_no_more_connections_at_once_than_asked_for(
    transcribe: Command, talk: Path, tmp_path: Path
) -> None:
    at_once: list[int] = []

    def watch(connection: object, event: str) -> None:
        at_once.append(sum(connection.is_open for connection in server.connections))

    files = [tmp_path / f"{n}.flac" for n in range(5)]
    for file in files:
        shutil.copy(talk, file)
    async with serve(observer=watch) as server:
        ran = await transcribe(*files, "--jobs", "2", "-o", tmp_path / "texts", url=server.url)
    assert (ran.status, ran.err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "texts").iterdir()) == [
        f"{n}.txt" for n in range(5)
    ]
    assert max(at_once) == 2


async def test_one_that_fails_does_not_stop_the_others(
    transcribe: Command, baseten: Server, talk: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.mp3"
    ran = await transcribe(missing, talk, url=baseten.url)
    assert ran.status == 1
    assert ran.err == f"{missing}: no such file or directory\n"
    assert ran.out == f"==> {talk} <==\n{TEXT}"


# What goes wrong


async def test_what_is_no_sound_is_named_for_what_it_is(
    transcribe: Command, baseten: Server, tmp_path: Path
) -> None:
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "letter.mp3").write_text("Dear Sir or Madam,\n" * 99)
    (tmp_path / "folder").mkdir()
    video_file(tmp_path / "silent.mkv")
    names = ["empty.mp3", "letter.mp3", "folder", "silent.mkv"]
    ran = await transcribe(*(tmp_path / name for name in names), url=baseten.url)
    assert (ran.status, ran.out) == (1, "")
    said = dict(line.removeprefix(f"{tmp_path}/").split(": ", 1) for line in ran.err.splitlines())
    assert said == {
        "empty.mp3": "the file is empty",
        "letter.mp3": "this is no media file that FFmpeg can read, or it is damaged",
        "folder": "this is a folder: name the files in it",
        "silent.mkv": "there is no sound in it, only video",
    }
    assert baseten.handshakes == []


async def test_a_title_of_any_encoding_is_no_obstacle(
    transcribe: Command, baseten: Server, tmp_path: Path
) -> None:
    path = tmp_path / "titled.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(SPEECH.pcm)
    title = b"INFOINAM" + (4).to_bytes(4, "little") + "caf\u00e9".encode("latin-1")
    chunk = b"LIST" + len(title).to_bytes(4, "little") + title
    sound = path.read_bytes()[12:]
    path.write_bytes(
        b"RIFF" + (4 + len(chunk + sound)).to_bytes(4, "little") + b"WAVE" + chunk + sound
    )
    ran = await transcribe(path, url=baseten.url)
    assert (ran.status, ran.out, ran.err) == (0, TEXT, "")


async def test_a_damaged_file_is_heard_as_far_as_it_can_be(
    transcribe: Command, tmp_path: Path
) -> None:
    recording = sound_file(tmp_path / "talk.mp3", bursts(), "libmp3lame")
    damage(recording, 2000)
    recognizer = ScriptRecognizer(["one two", "three four"], floor=1000)
    async with serve(
        recognizer=recognizer, voice_detector=lambda: AmplitudeDetector(1000)
    ) as server:
        ran = await transcribe(recording, url=server.url)
    assert ran.status == 0
    assert ran.out.startswith("one two\n")
    assert re.fullmatch(rf"{recording}: damaged; \d+ pieces of it were left out\n", ran.err)


async def test_a_refused_key_is_one_line_for_each_file_and_is_not_shown(
    transcribe: Command, talk: Path, tmp_path: Path
) -> None:
    other = coded_file(tmp_path / "other.flac", SPEECH)
    async with serve(api_key="another") as server:
        ran = await transcribe(talk, other, url=server.url, BASETEN_API_KEY=KEY)
    assert (ran.status, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert [line.split(": ")[0] for line in sorted(lines)] == sorted([str(talk), str(other)])
    assert all("HTTP 401: the API key is missing or invalid" in line for line in lines)
    assert KEY not in ran.err


async def test_what_is_missing_is_named_by_its_option(transcribe: Command, talk: Path) -> None:
    nowhere = await transcribe(talk, url="")
    assert (nowhere.status, nowhere.out) == (2, "")
    assert "--endpoint, --model-id or --chain-id" in nowhere.err
    keyless = await transcribe(talk, url="ws://127.0.0.1:9/websocket", BASETEN_API_KEY="")
    assert (keyless.status, keyless.out) == (2, "")
    assert "--api-key or set BASETEN_API_KEY" in keyless.err


async def test_a_cut_connection_costs_a_line_and_no_word(transcribe: Command, talk: Path) -> None:
    async with serve(faults.Reset(after_samples=12_000)) as server:
        ran = await transcribe(talk, url=server.url)
    assert (ran.status, ran.out) == (0, TEXT)
    (line,) = ran.err.splitlines()
    assert line.startswith(f"{talk}: ")
    assert "connection lost" in line


async def test_a_sleeping_model_is_waited_for_if_asked_to(transcribe: Command, talk: Path) -> None:
    async with serve(faults.Refuse(503)) as server:
        ran = await transcribe(talk, "--wait", "60", url=server.url)
    assert (ran.status, ran.out, ran.err) == (0, TEXT, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name files to transcribe, or --mic"),
        (["a.mp3", "--mic"], "name files to transcribe, or --mic"),
        (["a.mp3", "b.mp3", "-f", "srt"], "name an --output-dir"),
        (["a.mp3", "-f", "srt,json"], "name an --output-dir"),
        (["a.mp3", "-f", "doc"], "--format doc: there is none"),
        (["a.mp3", "-o", "a.docx"], ".docx is none of"),
        (["a.mp3", "b.mp3", "-o", "a.srt"], "name a folder with --output-dir"),
        (["a.mp3", "--start", "soon"], "--start soon: a time such as"),
        (["a.mp3", "--channels", "both"], "--channels both: mix, split"),
        (["-", "-"], "standard input can be read once only"),
        (["a.mp3", "--device", "1"], "--device is for --mic"),
        (["--mic", "--start", "3"], "are for recordings"),
        (["a.mp3", "--beam-width", "0"], "--beam-width 0: must be"),
        (["a.mp3", "--translate", "--model", "qwen3-asr"], "--translate: Whisper has this option"),
        (["a.mp3", "--language", "klingon"], "--language 'klingon': not a language"),
        (["a.mp3", "--endpoint", "ws://a.example/websocket"], "or --allow-plaintext if"),
        (["a.mp3", "--jobs", "0"], "--jobs"),
    ],
)
async def test_a_command_that_makes_no_sense_is_status_2(
    transcribe: Command, arguments: list[str], said: str
) -> None:
    ran = await transcribe(*arguments, url="wss://nowhere.invalid/websocket")
    assert (ran.status, ran.out) == (2, "")
    assert said in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


async def test_nothing_is_overwritten_unless_asked_to(
    transcribe: Command, baseten: Server, talk: Path, tmp_path: Path
) -> None:
    output = tmp_path / "talk.srt"
    output.write_text("mine")
    ran = await transcribe(talk, "-o", output, url=baseten.url)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == f"{talk}: {output} is there already: --force overwrites it\n"
    assert output.read_text() == "mine"
    assert baseten.handshakes == []  # and nothing was spent on it

    ran = await transcribe(talk, "-o", output, "--force", url=baseten.url)
    assert (ran.status, ran.err) == (0, "")
    assert "w1001 w1002" in output.read_text()

    ran = await transcribe(talk, "-f", "text", "-o", talk, "--force", url=baseten.url)
    assert ran.status == 1
    assert "would overwrite the recording" in ran.err
    assert (await transcribe(talk, url=baseten.url)).out == TEXT


async def test_a_place_where_nothing_can_be_written_is_found_before_anything_is_sent(
    transcribe: Command, baseten: Server, talk: Path, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    ran = await transcribe(talk, "-o", tmp_path / "a file" / "talk.txt", url=baseten.url)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == f"{talk}: cannot make the folder {tmp_path}/a file: file exists\n"
    assert baseten.handshakes == []


async def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path, gate: Gate) -> None:
    gate.passes = 1
    # Long enough for there to be more to send when the reader goes.
    breath = [(16_000, 4000), *[(800, 4000)] * 60]
    recording = coded_file(tmp_path / "long.flac", coded_speech(breath * 9))
    read, write = os.pipe()
    async with (
        serve(recognizer=gate) as server,
        Command("transcribe").started(recording, url=server.url, out=write) as process,
    ):
        os.close(write)
        assert (await asyncio.to_thread(os.read, read, 9999)).startswith(b"w1 w2 ")
        os.close(read)  # as `head -1` does
        await server.until(lambda: server.connections[0].received_samples > 16_000 * 60, 30)
        gate.opened.set()
        ran = await process.ran()
    assert (ran.status, ran.err) == (128 + signal.SIGPIPE, "")


# Somebody who watches


class Screen:
    """A terminal of 100 columns: what was written to it so far, without the colours."""

    def __init__(self) -> None:
        self._master, self.terminal = os.openpty()
        self.text = ""
        self._grew = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._master, self._read)

    async def shows(self, pattern: str) -> None:
        async def until() -> None:
            while not re.search(pattern, self.text):
                self._grew.clear()
                await self._grew.wait()

        try:
            await asyncio.wait_for(until(), 30)
        except asyncio.TimeoutError:
            raise AssertionError(f"{pattern!r} is not in {self.text!r}") from None

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self.terminal)

    def _read(self) -> None:
        written = os.read(self._master, 65536).decode(errors="replace")
        self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
        self._grew.set()


@pytest.fixture
async def screen() -> AsyncIterator[Screen]:
    screen = Screen()
    yield screen
    screen.close()


async def test_on_a_terminal_interims_and_progress_are_seen_before_the_final(
    transcribe: Command, talk: Path, gate: Gate, screen: Screen
) -> None:
    async with (
        serve(recognizer=gate) as server,
        transcribe.started(
            talk, "--real-time", url=server.url, terminal=screen.terminal
        ) as process,
    ):
        await screen.shows(r"w1001")
        await screen.shows(r"talk\.flac .*\d:\d\d / 0:03")
        gate.opened.set()
        await screen.shows(r"w1001 w1002\r\n[^/]*(?s:.*)w1003 w1004\r\n")
        assert await process.status() == 0
        assert (server.connections[0].metadata or {})["streaming_params"][
            "enable_partial_transcripts"
        ]


async def test_on_a_terminal_many_files_are_counted(
    transcribe: Command, talk: Path, tmp_path: Path, gate: Gate, screen: Screen
) -> None:
    gate.passes = 2
    files = [talk, tmp_path / "missing.mp3", coded_file(tmp_path / "other.flac", SPEECH)]
    options = ["--jobs", "1", "-o", str(tmp_path / "texts")]
    async with (
        serve(recognizer=gate) as server,
        transcribe.started(*files, *options, url=server.url, terminal=screen.terminal) as process,
    ):
        await screen.shows(r"2 of 3 files")
        gate.opened.set()
        await screen.shows(r"2 of 3 files are transcribed")
        assert await process.status() == 1
    assert "missing.mp3: no such file" in screen.text


async def test_ctrl_c_ends_it_at_once_and_keeps_what_is_done(
    transcribe: Command, talk: Path, tmp_path: Path, gate: Gate
) -> None:
    gate.passes = 2  # as many as the first file has
    other = coded_file(tmp_path / "other.flac", SPEECH)
    texts = tmp_path / "texts"
    async with (
        serve(recognizer=gate) as server,
        transcribe.started(talk, other, "--jobs", "1", "-o", texts, url=server.url) as process,
    ):
        assert await asyncio.to_thread(gate.holds.wait, 30)
        process.send_signal(signal.SIGINT)
        ran = await process.ran()
    assert ran.status == 128 + signal.SIGINT
    assert (ran.out, ran.err) == ("", "Stopped; 1 of 2 files are transcribed.\n")
    assert [path.name for path in texts.iterdir()] == ["talk.txt"]
    assert (texts / "talk.txt").read_text() == TEXT


async def test_what_is_done_when_ctrl_c_comes_does_not_wait_for_what_is_not(
    transcribe: Command, talk: Path, tmp_path: Path, gate: Gate
) -> None:
    nothing = empty_file(tmp_path / "nothing.wav")
    async with (
        serve(recognizer=gate) as server,
        transcribe.started(talk, nothing, url=server.url) as process,
    ):
        said = await asyncio.wait_for(process.err.readline(), 30)
        assert said.startswith(f"{nothing}: ".encode())
        process.send_signal(signal.SIGINT)
        ran = await process.ran()
    assert (ran.status, ran.out) == (128 + signal.SIGINT, f"==> {nothing} <==\n")


# The microphone

# There is no sound card here. This stands in for `sounddevice`: it plays a recording to the
# callback from a thread of its own, as a device does, and then presses Ctrl-C.
SOUNDDEVICE = """
import os, signal, threading, wave

class PortAudioError(Exception):
    pass

def query_devices(device, kind):
    if device is not None:
        raise ValueError(f"No {kind} device matching {device!r}")
    if "MICROPHONE" not in os.environ:
        raise PortAudioError("Error querying device -1")
    return {"default_samplerate": 16000.0}

class RawInputStream:
    def __init__(self, samplerate, blocksize, device=None, *, channels, dtype, callback):
        assert (samplerate, channels, dtype) == (16000, 1, "int16")
        self._samples, self._callback = blocksize, callback
        self._thread = threading.Thread(target=self._play)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._thread.join()

    def _play(self):
        with wave.open(os.environ["MICROPHONE"]) as wav:
            while pcm := wav.readframes(self._samples):
                self._callback(memoryview(pcm), len(pcm) // 2, None, None)
        os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.fixture
def sound_system(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sounddevice.py").write_text(SOUNDDEVICE)
    return {"PYTHONPATH": str(tmp_path / "python")}


async def test_the_microphone_is_heard_until_ctrl_c_and_to_the_last_word(
    transcribe: Command, baseten: Server, tmp_path: Path, sound_system: dict[str, str]
) -> None:
    sound_file(tmp_path / "voice.wav", np.frombuffer(SPEECH.pcm, "<i2"), "pcm_s16le")
    sound_system["MICROPHONE"] = str(tmp_path / "voice.wav")
    ran = await transcribe("--mic", url=baseten.url, **sound_system)
    assert (ran.status, ran.out, ran.err) == (0, TEXT, "Listening. Ctrl-C ends.\n")

    output = tmp_path / "said.json"
    ran = await transcribe("--mic", "-o", output, url=baseten.url, **sound_system)
    assert (ran.status, ran.out) == (0, "")
    said = json.loads(output.read_text())
    assert (said["file"], said["text"]) == ("microphone", SPEECH.text)
    assert said["duration_s"] == len(SPEECH.pcm) / 32_000


@pytest.mark.parametrize("device", ["", "the good one"])
async def test_no_microphone_is_a_line(
    transcribe: Command, baseten: Server, sound_system: dict[str, str], device: str
) -> None:
    options = ["--device", device] if device else []
    ran = await transcribe("--mic", *options, url=baseten.url, **sound_system)
    assert (ran.status, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("microphone: ")
    assert line.endswith("`python -m sounddevice` lists what there is")
