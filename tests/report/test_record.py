"""The recorder by itself: what it writes, and that nothing it meets disturbs the call."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.recordings import KEY, RATE_HZ, event, tone

from livekit.agents import APIConnectionError
from livekit.plugins.baseten._connection.tap import Notes, Tap
from livekit.plugins.baseten._core.endpoint import Endpoint
from livekit.plugins.baseten._core.errors import SessionLost
from livekit.plugins.baseten._core.options import Options
from livekit.plugins.baseten._recording import recording as _record
from livekit.plugins.baseten._recording.files import Tape
from livekit.plugins.baseten._recording.recording import Recorder
from livekit.plugins.baseten._report import read

URL = "wss://model-abc.api.baseten.co/environments/production/websocket"
WHISPER = Options.create("whisper", prompt="Dashwood")
PCM = tone(0.02).tobytes()


def recorder(folder: Path, url: str = URL) -> Recorder:
    return Recorder(folder, Endpoint(url, KEY))


def the_recording(folder: Path) -> Path:
    (path,) = folder.glob("*.jsonl")
    return path


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in the_recording(folder).read_text().splitlines()]


def of(kind: str, folder: Path) -> list[dict[str, Any]]:
    return [line for line in lines(folder) if line["kind"] == kind]


async def recorded(folder: Path, act: Callable[[_record.Recording], None]) -> None:
    to = recorder(folder)
    recording = to.start("baseten-1", WHISPER)
    act(recording)
    recording.close()
    await to.aclose()


def now() -> float:
    return asyncio.get_running_loop().time()


def tap_of(
    recording: _record.Recording, *, handshake_s: float = 0.1, is_reused: bool = False
) -> Tap:
    return recording.connected(
        open_for_s=0.0, handshake_s=handshake_s, acquire_s=0.001, is_reused=is_reused
    )


async def test_a_recording_says_of_which_call_it_is(tmp_path: Path) -> None:
    to = recorder(tmp_path, URL + "?token=t0psecret#x")
    to.start("baseten-0123", WHISPER).close()
    await to.aclose()
    header, *_ = lines(tmp_path)
    assert header["kind"] == "call"
    assert header["id"] == "baseten-0123"
    assert header["url"] == URL
    assert header["model"] == "whisper"
    assert header["options"]["prompt"] == "Dashwood"
    name = the_recording(tmp_path).stem
    assert name.endswith("Z-baseten-0123")
    assert name[:19].replace("T", " ").count("-") == 4
    assert header["audio"] == f"{name}.wav"
    assert "t0psecret" not in the_recording(tmp_path).read_text()


async def test_the_audio_is_a_wav_of_what_was_pushed(tmp_path: Path) -> None:
    def act(recording: _record.Recording) -> None:
        for _ in range(150):
            recording.pushed(memoryview(PCM))

    await recorded(tmp_path, act)
    with wave.open(str(the_recording(tmp_path).with_suffix(".wav"))) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE_HZ, 1, 2)
        assert wav.readframes(wav.getnframes()) == PCM * 150
    pushed = of("pushed", tmp_path)
    assert pushed[0]["start"] == 0
    assert pushed[-1]["stop"] == 150 * 320
    assert len(pushed) < 5  # not one for each


async def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    await recorded(tmp_path, lambda recording: recording.pushed(PCM))
    if os.name == "posix":
        modes = {os.stat(path).st_mode & 0o777 for path in files(tmp_path)}
        assert len(files(tmp_path)) == 2
        assert modes == {0o600}


async def test_a_connection_opened_ahead_is_told_of_from_its_start(tmp_path: Path) -> None:
    opened_s = now()
    notes = Notes()
    notes.sent(['{"whisper_params":{}}'], 0, 0, opened_s)
    notes.received('{"type":"health_check"}', opened_s)

    def act(recording: _record.Recording) -> None:
        tap = tap_of(recording, handshake_s=0.2, is_reused=True)
        notes.tell(tap)
        tap.sent([PCM, PCM, bytes(1024), '{"type":"health_check"}'], 0, 640, now())
        tap.closed(SessionLost(1012, "restart"), now())

    await recorded(tmp_path, act)
    (connected,) = of("connected", tmp_path)
    assert connected["connection"] == 1
    assert connected["handshake_s"] == 0.2
    assert connected["is_reused"] is True
    assert connected["open_for_s"] >= 0
    texts = [line["text"] for line in of("sent_text", tmp_path)]
    assert texts == ['{"whisper_params":{}}', '{"type":"health_check"}']
    (audio,) = of("sent", tmp_path)
    assert (audio["start"], audio["stop"], audio["silence"]) == (0, 640, 512)
    (closed,) = of("closed", tmp_path)
    assert (closed["code"], closed["reason"]) == (1012, "restart")


async def test_audio_in_text_frames_is_not_written_twice(tmp_path: Path) -> None:
    """Qwen3-ASR takes it as base64; it is in the WAV."""

    def act(recording: _record.Recording) -> None:
        tap = tap_of(recording)
        tap.sent(['{"type":"input_audio_buffer.append","audio":"AAAA"}'], 0, 512, now())
        tap.sent(['{"type":"input_audio_buffer.commit"}'], 512, 512, now())

    await recorded(tmp_path, act)
    texts = [line["text"] for line in of("sent_text", tmp_path)]
    assert texts == ['{"type":"input_audio_buffer.commit"}']
    (audio,) = of("sent", tmp_path)
    assert (audio["start"], audio["stop"]) == (0, 512)
    assert "silence" not in audio


async def test_events_and_what_the_application_did_are_told(tmp_path: Path) -> None:
    def act(recording: _record.Recording) -> None:
        recording.pushed(PCM)
        recording.flushed()
        final = event("final_transcript", 1, "one two", start=31.0, end=32.0, delay_s=0.4)
        recording.said(final, 30.0)
        recording.changed(Options.create("whisper", language="de"))
        recording.failed(APIConnectionError("gone"), recoverable=True)
        recording.lost(16_000)
        recording.input_ended()

    await recorded(tmp_path, act)
    kinds = [line["kind"] for line in lines(tmp_path)]
    assert kinds[1:] == [
        "pushed",
        "flush",
        "event",
        "options",
        "error",
        "lost",
        "input_ended",
        "end",
    ]
    (said,) = of("event", tmp_path)
    assert (said["text"], said["start"], said["offset_s"]) == ("one two", 31.0, 30.0)
    assert said["words"][1] == {"text": "two", "start": 31.5, "end": 32.0}
    assert of("flush", tmp_path)[0]["position"] == 320
    assert of("options", tmp_path)[0]["options"]["language"] == "de"
    call = read(the_recording(tmp_path))
    assert call.unreadable == []
    assert len(call.lines) == len(kinds) - 1


async def test_a_key_that_somebody_says_is_not_written(tmp_path: Path) -> None:
    def act(recording: _record.Recording) -> None:
        recording.failed(APIConnectionError(f"who is {KEY}?"), recoverable=False)

    await recorded(tmp_path, act)
    text = the_recording(tmp_path).read_text()
    assert KEY not in text
    assert "who is [key]?" in text


async def test_text_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    await recorded(
        tmp_path,
        lambda recording: recording.said(
            event("final_transcript", 1, "a\ud800", start=0, end=1), 0
        ),
    )
    assert of("event", tmp_path)[0]["text"] == "a?"


@pytest.mark.parametrize("name", ["a-file", "a-file/below"])
def test_what_is_no_folder_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").write_text("")
    with pytest.raises(ValueError, match=r"record='.*a-file"):
        recorder(tmp_path / name)


def test_a_folder_is_made(tmp_path: Path) -> None:
    recorder(tmp_path / "calls" / "today")
    assert (tmp_path / "calls" / "today").is_dir()


async def test_a_disk_that_fails_ends_the_recording_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    to = recorder(tmp_path / "calls")
    recording = to.start("baseten-1", WHISPER)
    (tmp_path / "calls").rmdir()
    with caplog.at_level(logging.WARNING):
        recording.pushed(PCM)
        await to.aclose()
    for _ in range(3):
        recording.pushed(PCM)  # as if nothing were
    recording.close()
    (warning,) = caplog.records
    assert "baseten-1 ends here, the call goes on: No such file" in warning.getMessage()


async def test_a_disk_that_is_stuck_ends_the_recording_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_record, "_STUCK_AFTER_S", 0.0)
    monkeypatch.setattr(_record, "_MOST_PENDING_BYTES", 2000)
    stuck, freed = threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        stuck.set()
        freed.wait(20)

    to = recorder(tmp_path)
    recording = to.start("baseten-1", WHISPER)
    recording.put(0, hold)
    to._hurry.set()
    await asyncio.get_running_loop().run_in_executor(None, stuck.wait, 20)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            recording.pushed(PCM)
    assert len(recording._pending) < 10  # it does not pile up
    freed.set()
    recording.close()
    await to.aclose()
    (warning,) = caplog.records
    assert "the disk does not keep up" in warning.getMessage()


async def test_audio_pushed_at_once_does_not_look_like_a_stuck_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_record, "_MOST_PENDING_BYTES", 2000)

    def act(recording: _record.Recording) -> None:
        for _ in range(500):
            recording.pushed(PCM)

    await recorded(tmp_path, act)
    assert of("pushed", tmp_path)[-1]["stop"] == 500 * 320
    assert not caplog.records


async def test_no_thread_is_left_when_no_call_is(tmp_path: Path) -> None:
    to = recorder(tmp_path)
    first, second = to.start("baseten-1", WHISPER), to.start("baseten-2", WHISPER)
    threads = [t for t in threading.enumerate() if t.name == "baseten-recorder"]
    assert len(threads) == 1  # for any number of calls
    first.close()
    second.close()
    await to.aclose()
    assert not threads[0].is_alive()
    to.start("baseten-3", WHISPER).close()
    await to.aclose()
    assert len(files(tmp_path)) == 2 * 3


async def test_what_a_crash_leaves_can_be_read_and_played(tmp_path: Path) -> None:
    """Written so far, and nothing closed: as the files are when the process is killed."""
    tape = Tape(tmp_path / "call", {"id": "baseten-1"}, now(), KEY)
    recording = _record.Recording(tmp_path / "call", lambda: tape, now)
    for _ in range(50):
        recording.pushed(PCM)
    recording.flushed()
    recording.write()
    recording.pushed(PCM)  # not written any more
    call = read(tmp_path / "call.jsonl")
    assert not call.is_whole
    assert call.unreadable == []
    assert call.pcm is not None
    assert len(call.pcm) == 50 * 320
    with wave.open(str(tmp_path / "call.wav")) as wav:
        assert wav.getnframes() == 50 * 320
    recording.abandon()
    recording.write()


LEFT_OPEN = """
import asyncio, sys
from pathlib import Path
from livekit.plugins.baseten._core.endpoint import Endpoint
from livekit.plugins.baseten._core.options import Options
from livekit.plugins.baseten._recording.recording import Recorder

async def main():
    recorder = Recorder(sys.argv[1], Endpoint("wss://a.example/websocket", "any"))
    recorder.start("baseten-1", Options.create("whisper")).pushed(bytes(32_000))

asyncio.run(main())
"""


def test_what_was_recorded_is_on_disk_though_nobody_closed_the_call(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LEFT_OPEN, str(tmp_path)], check=True)
    call = read(the_recording(tmp_path))
    assert not call.is_whole
    assert call.pcm is not None
    assert len(call.pcm) == RATE_HZ
    assert np.all(call.pcm == 0)
