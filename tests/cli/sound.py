"""Media files for the command line, and who hears them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import av
import numpy as np
from numpy.typing import NDArray

from livekit.plugins.baseten.emulator import CodedRecognizer, CodedSpeech, Word, coded_speech

RATE_HZ = 16_000

# Two utterances of two words each, loud enough to be words.
SPEECH = coded_speech(
    [(8000, 4000), (800, 4000), (16_000, 4000), (800, 4000)],
    trailing_samples=8000,
    first_word=1001,
)
TEXT = "w1001 w1002\nw1003 w1004\n"


class Gate:
    """Hears coded speech, and holds the finals back that it was asked to.

    Attributes:
        opened: From now on all are let through.
        passes: How many finals with words go through before that.
        holds: One is being held back.
    """

    blocking = True

    def __init__(self, passes: int) -> None:
        self.passes = passes
        self.opened = Event()
        self.holds = Event()
        self._coded = CodedRecognizer()

    def recognize(self, pcm: bytes, *, is_final: bool) -> Sequence[Word]:
        words = self._coded.recognize(pcm, is_final=is_final)
        if is_final and words:
            self.passes -= 1
            if self.passes < 0:
                self.holds.set()
                self.opened.wait()
        return words


def coded_file(path: Path, speech: CodedSpeech) -> Path:
    """Coded speech in a format that loses nothing."""
    return sound_file(path, np.frombuffer(speech.pcm, "<i2"), "flac")


def bursts(*, seconds: int = 2) -> NDArray[np.int16]:
    """Half a second of silence and a second of a tone, again and again, and silence at the end."""
    at = np.arange(RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 440 * at) * 8000
    quiet = np.zeros(RATE_HZ // 2)
    return np.concatenate([*[quiet, tone] * seconds, quiet]).astype(np.int16)


def sound_file(
    path: Path, pcm: NDArray[np.int16], codec: str, *, rate_hz: int = RATE_HZ, layout: str = "mono"
) -> Path:
    """``pcm``, which is 16 kHz mono, as ``codec`` at another rate and with more channels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        for frame in resampled(pcm, stream, rate_hz, layout):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def resampled(
    pcm: NDArray[np.int16], stream: av.AudioStream, rate_hz: int, layout: str
) -> Iterator[av.AudioFrame]:
    resampler = av.AudioResampler(stream.codec_context.format, layout, rate_hz)
    if len(pcm):
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        frame.pts = 0
        yield from resampler.resample(frame)
        yield from resampler.resample(None)


def video_file(path: Path, *sounds: tuple[float, NDArray[np.int16]]) -> Path:
    """A second of black picture, and 16 kHz sound that begins at such times in seconds."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono") if sounds else None
        for number in range(10):
            black = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            black.pts = number
            container.mux(picture.encode(black))
        container.mux(picture.encode(None))
        if isinstance(sound, av.AudioStream):
            for start_s, pcm in sounds:
                for frame in resampled(pcm, sound, RATE_HZ, "mono"):
                    frame.pts = round(start_s * RATE_HZ)
                    container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path
