"""`STT.transcribe`: which sound of a recording is heard, wherever it comes from."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from cli.sound import RATE_HZ, SPEECH, coded_file
from numpy.typing import NDArray

from livekit.plugins import baseten
from livekit.plugins.baseten.emulator import CodedRecognizer, coded_speech, faults, serve
from livekit.plugins.baseten.transcription import (
    MediaError,
    Progress,
    Transcript,
    TranscriptionError,
)

PCM = np.frombuffer(SPEECH.pcm, "<i2")
TEXT = "w1001 w1002 w1003 w1004"
OTHER = np.frombuffer(
    coded_speech([(30_000, 4000), (800, 4000)], trailing_samples=8000, first_word=1005).pcm, "<i2"
)


@contextlib.asynccontextmanager
async def ears(*plan: faults.Entry) -> AsyncIterator[baseten.STT]:
    async with (
        serve(*plan, recognizer=CodedRecognizer(word_samples=None)) as server,
        baseten.STT(model_endpoint=server.url, api_key="any") as speech_to_text,
    ):
        yield speech_to_text


async def transcribed(source: object, **arguments: object) -> Transcript:
    async with ears() as speech_to_text:
        return await speech_to_text.transcribe(source, **arguments)  # type: ignore[arg-type]


def as_long(*sides: NDArray[np.int16]) -> NDArray[np.int16]:
    """Sides of one recording, a row for each sample."""
    longest = max(map(len, sides))
    return np.stack([np.pad(side, (0, longest - len(side))) for side in sides], axis=1)


def wav_file(path: Path, *tracks: NDArray[np.int16]) -> Path:
    """A file with sound tracks, each a row for each sample and a column for each channel."""
    with av.open(str(path), "w") as container:
        for pcm in tracks:
            layout = {1: "mono", 2: "stereo"}[pcm.shape[1]]
            container.add_stream("pcm_s16le", rate=RATE_HZ, layout=layout)
        for stream, pcm in zip(container.streams.audio, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(
                pcm.reshape(1, -1), format="s16", layout=stream.layout
            )
            frame.sample_rate, frame.pts = RATE_HZ, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


async def test_a_file_is_one_call_and_tells_how_far_it_is(talk: Path) -> None:
    seen: list[Progress] = []
    transcript = await transcribed(talk, on_progress=seen.append)
    assert transcript.text == TEXT
    assert [p.segment for p in seen if p.segment] == transcript.segments
    assert seen[0].done_s == 0.0
    assert seen[-1].done_s == pytest.approx(seen[-1].duration_s, abs=1.0)
    assert transcript.notes == []


async def test_interims_are_told_where_they_are_asked_for(talk: Path) -> None:
    seen: list[Progress] = []
    async with ears() as speech_to_text:
        await speech_to_text.transcribe(
            talk, interims=True, at_pace_of_speech=True, on_progress=seen.append
        )
    assert "w1001" in {progress.interim for progress in seen}


async def test_an_open_file_will_do_and_one_that_cannot_be_gone_back_in(talk: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    recording = talk.read_bytes()  # noqa: ASYNC240 - it is small
    for source in (io.BytesIO(recording), Pipe(recording)):
        assert (await transcribed(source)).text == TEXT


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


async def test_a_recording_is_fetched_from_the_web(web: str, talk: Path) -> None:
    assert (await transcribed(f"{web}/{talk.name}")).text == TEXT


async def test_what_cannot_be_fetched_is_named(web: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html></html>")
    with pytest.raises(MediaError, match="HTTP 404"):
        await transcribed(f"{web}/missing.wav")
    with pytest.raises(MediaError, match="web page"):
        await transcribed(f"{web}/page.html")
    with pytest.raises(MediaError, match="cannot be fetched"):
        await transcribed("http://127.0.0.1:1/talk.wav")


async def test_each_side_of_a_call_is_a_speaker_and_they_are_in_order(tmp_path: Path) -> None:
    call = wav_file(tmp_path / "call.wav", as_long(PCM, OTHER))
    transcript = await transcribed(call, channels="split")
    starts = [segment.start_s for segment in transcript.segments]
    assert starts == sorted(starts)
    assert {s.speaker for s in transcript.segments} == {"left", "right"}
    assert {w.speaker for s in transcript.segments for w in s.words} == {"left", "right"}
    heard = " ".join(sorted(" ".join(s.text for s in transcript.segments).split()))
    assert heard == "w1001 w1002 w1003 w1004 w1005 w1006"


async def test_one_channel_is_heard_alone(tmp_path: Path) -> None:
    call = wav_file(tmp_path / "call.wav", as_long(PCM, OTHER))
    assert (await transcribed(call, channels=2)).text == "w1005 w1006"
    with pytest.raises(MediaError, match="no channel 3: it has 2 channels"):
        await transcribed(call, channels=3)


async def test_sides_that_cancel_each_other_are_heard(tmp_path: Path) -> None:
    inverted = wav_file(tmp_path / "call.wav", as_long(PCM, -PCM))
    assert (await transcribed(inverted)).text == TEXT


async def test_another_track_is_heard_if_asked_for_and_named_if_not(tmp_path: Path) -> None:
    film = wav_file(tmp_path / "film.mkv", np.zeros((len(PCM), 1), np.int16), PCM[:, None])
    assert (await transcribed(film, track=2)).text == TEXT
    silent = await transcribed(film, track=1)
    assert silent.notes == ["nobody was heard: it is silent, but there is sound in track 2"]
    with pytest.raises(MediaError, match="no track 3: it has 2 sound tracks"):
        await transcribed(film, track=3)


async def test_silence_is_named_for_what_it_is(tmp_path: Path) -> None:
    quiet = wav_file(tmp_path / "quiet.wav", np.zeros((32_000, 1), np.int16))
    transcript = await transcribed(quiet)
    assert transcript.segments == []
    assert transcript.notes == ["nobody was heard: it is silent, from its beginning to its end"]


async def test_a_part_has_the_times_of_the_whole(tmp_path: Path) -> None:
    whole = await transcribed(coded_file(tmp_path / "talk.flac", SPEECH))
    second = whole.segments[1]
    start_s = second.start_s - 0.2
    part = await transcribed(tmp_path / "talk.flac", start_s=start_s)
    assert [s.text for s in part.segments] == ["w1003 w1004"]
    assert part.segments[0].start_s == pytest.approx(second.start_s, abs=0.05)
    first = await transcribed(tmp_path / "talk.flac", duration_s=start_s)
    assert [s.text for s in first.segments] == ["w1001 w1002"]
    assert first.duration_s == pytest.approx(start_s, abs=0.001)


async def test_what_was_heard_before_it_failed_is_in_the_error(talk: Path) -> None:
    fatal = faults.Close(1003, after_samples=40_000)
    async with ears(fatal) as speech_to_text:
        with pytest.raises(TranscriptionError) as raised:
            await speech_to_text.transcribe(talk, at_pace_of_speech=True)
    assert raised.value.transcript.text == "w1001 w1002"


@pytest.mark.parametrize(
    "wrong",
    [{"track": 0}, {"channels": "left"}, {"channels": 0}, {"start_s": -1.0}, {"duration_s": 0.0}],
)
async def test_a_wrong_argument_is_named(wrong: dict[str, object], talk: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        await transcribed(talk, **wrong)
