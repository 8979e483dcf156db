"""The process in which pocketsphinx listens. Run as a script by `SphinxRecognizer`.

It imports nothing of this package, so that it starts within moments. On its input come requests:
flags, a length in bytes and so many bytes of PCM; on its output goes a line of JSON for each, the
words heard since the last request that was flagged `FRESH`.
"""

from __future__ import annotations

import json
import struct
import sys
from typing import Any

REQUEST = struct.Struct("<BI")
FRESH, FINAL = 1, 2
FRAMES_PER_S = 100  # pocketsphinx's own time axis

# A narrow beam and no second pass: twice as fast, and no worse on the recordings of examples/audio.
OPTIONS = {"fwdflat": False, "maxhmmpf": 3000, "maxwpf": 10, "ds": 2}


def words(decoder: Any) -> list[tuple[str, float, float, float]]:
    """What was said, without the silences, noises and pronunciation numbers around it."""
    heard = []
    for segment in decoder.seg() or ():
        if segment.word[0] in "<[":
            continue
        start_s, end_s = segment.start_frame / FRAMES_PER_S, (segment.end_frame + 1) / FRAMES_PER_S
        prob = min(1.0, max(0.0, segment.prob))
        heard.append((segment.word.partition("(")[0], start_s, end_s, prob))
    return heard


def main() -> None:
    import pocketsphinx

    decoder = pocketsphinx.Decoder(samprate=16_000, loglevel="FATAL", **OPTIONS)
    is_started = False
    while header := sys.stdin.buffer.read(REQUEST.size):
        flags, length_bytes = REQUEST.unpack(header)
        pcm = sys.stdin.buffer.read(length_bytes)
        if is_started and flags & FRESH:
            decoder.end_utt()
            is_started = False
        if not is_started:
            decoder.start_utt()
            is_started = True
        if pcm:
            decoder.process_raw(pcm)
        if flags & FINAL:
            decoder.end_utt()
            is_started = False
        print(json.dumps(words(decoder)), flush=True)


if __name__ == "__main__":
    main()
