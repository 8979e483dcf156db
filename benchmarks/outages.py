"""What a session loses while its deployment is away: the table of docs/reliability.md.

An `AgentSession` with LiveKit's own voice activity detection hears four lines of real speech. In
mid-sentence, or in a pause, the deployment goes away: every connection is reset, and every
handshake is answered with HTTP 503 until the outage is over. All options are the defaults. There
is one call for each model, mode of turn detection and place. Counted are the words in the user's
turns, the worst difference between the time of a word and its place in the audio, and the streams
that the session opened.

Time passes only while everybody waits, so an hour of calls takes minutes. It does not measure a
real model, or the delay of a network. `benchmarks/reliability.py` runs this, too.

    python benchmarks/outages.py            print the table
    python benchmarks/outages.py --write    and put it into docs/reliability.md
"""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # the stage of the session tests

import kit.clock  # noqa: E402, F401, I001 - before LiveKit, whose clocks it sets

from kit.harness import Played, Scene, play  # noqa: E402
from kit.outages import Outage, lived_through, off_s, said  # noqa: E402
from kit.stage import Mode  # noqa: E402

from livekit.plugins.baseten._core.options import Model  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- outages:begin -->", "<!-- outages:end -->"

OUTAGES_S = (2.0, 6.0, 12.0, 20.0, 30.0)
MODELS: tuple[Model, ...] = ("whisper", "qwen3-asr")
MODES: tuple[Mode, ...] = ("stt", "vad", "manual")


@dataclass
class Row:
    calls: int = 0
    words: int = 0
    lost: int = 0
    doubled: int = 0
    failed: int = 0
    worst_s: float = 0.0
    streams: int = 0

    def take(self, outage: Outage, played: Played[Scene]) -> None:
        spoken = Counter(outage.script.text.split())
        self.calls += 1
        self.words += spoken.total()
        if played.result is None:
            self.failed += 1
            self.lost += spoken.total()
            return
        heard = Counter(said(played.result.call).split())
        self.lost += (spoken - heard).total()
        self.doubled += (heard - spoken).total()
        off = off_s(played.result)
        self.worst_s = max(self.worst_s, max(off) - min(off))
        self.streams = max(self.streams, len(played.result.streams))


def row(seconds: float, is_in_speech: bool) -> Row:
    total = Row()
    for model in MODELS:
        outages = {mode: Outage(seconds, is_in_speech, mode) for mode in MODES}
        played = play(
            {
                mode: functools.partial(lived_through, model, outage)
                for mode, outage in outages.items()
            }
        )
        for mode, outage in outages.items():
            total.take(outage, played[mode])
    return total


def table() -> str:
    rows = [
        "| the deployment is away for | from | calls | words | lost | doubled | worst time error "
        "| calls failed | streams, at most |",
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for seconds in OUTAGES_S:
        for is_in_speech in (True, False):
            total = row(seconds, is_in_speech)
            place = "mid-sentence" if is_in_speech else "a pause"
            rows.append(
                f"| {seconds:g} s | {place} | {total.calls} | {total.words} | {total.lost} "
                f"| {total.doubled} | {total.worst_s * 1000:.2f} ms | {total.failed} "
                f"| {total.streams} |"
            )
            print(rows[-1], flush=True)
    what = f"Models: {', '.join(MODELS)}. Turn detection: {', '.join(MODES)}."
    return f"{what}\n\n" + "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/reliability.md too")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # each outage is several
    text = table()
    if arguments.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
