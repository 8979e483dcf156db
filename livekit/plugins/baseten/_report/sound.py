"""The audio for the page: small enough to be inside it, and the outline of its waveform."""

from __future__ import annotations

import base64
import io

import av
import numpy as np
from numpy.typing import NDArray

from .._core.clocks import SAMPLE_RATE_HZ

# Of Opus: speech is all there. An hour has some 11 MB, and takes ten seconds to make.
_BITS_PER_S = 24_000
_EFFORT = {"compression_level": "5"}
_FRAME_SAMPLES = SAMPLE_RATE_HZ // 10

# So many columns at most, of 5 ms or more.
_MOST_PEAKS = 400_000
_LEAST_PEAK_SAMPLES = SAMPLE_RATE_HZ // 200


def encoded(pcm: NDArray[np.int16]) -> bytes:
    """16 kHz mono PCM as Opus in WebM, which browsers play and can seek in."""
    out = io.BytesIO()
    with av.open(out, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE_HZ, options=_EFFORT)
        stream.layout = "mono"
        stream.bit_rate = _BITS_PER_S
        for at in range(0, len(pcm), _FRAME_SAMPLES):
            block = np.ascontiguousarray(pcm[at : at + _FRAME_SAMPLES]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def peaks(pcm: NDArray[np.int16]) -> tuple[float, str]:
    """The outline: columns a second, and lowest and highest of each, -127 to 127, in base64."""
    width = max(_LEAST_PEAK_SAMPLES, -(-len(pcm) // _MOST_PEAKS))
    columns = np.zeros((-(-len(pcm) // width), width), np.int16)
    columns.reshape(-1)[: len(pcm)] = pcm
    bounds = np.stack([columns.min(axis=1), columns.max(axis=1)], axis=1)
    # Quiet speech shows: the square root, as loudness is heard.
    shares = bounds.astype(np.float64) / 32768
    heights = np.rint(127 * np.sign(shares) * np.sqrt(np.abs(shares))).astype(np.int8)
    return SAMPLE_RATE_HZ / width, base64.b64encode(heights.tobytes()).decode("ascii")
