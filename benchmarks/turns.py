"""How long after the user's last word a turn is committed, by mode of turn detection.

Real `AgentSession`s with LiveKit's own voice activity and turn detection, a scripted LLM and a
silent voice; six turns of real speech at the pace of speech; the local Baseten with Silero's voice
detector, whose recognizer knows the words and takes `--latency` seconds for each result. Beside
this plugin the one of the same name on PyPI, which has the same import path and therefore an
environment of its own, `.venv-peer`, made here when it is missing (this needs the network once).

What is measured is the plugin's part and LiveKit's: no network, no GPU, one machine. A turn counts
if its text is the line that was spoken, no more and no less.

    python benchmarks/turns.py            print the table
    python benchmarks/turns.py --write    and put it into docs/livekit.md
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # the stage of the session tests

from kit.stage import (  # noqa: E402
    LEISURE,
    SELFISH,
    YOUNG_MAN,
    Mode,
    calling,
    script,
)

from livekit import rtc  # noqa: E402
from livekit.agents import Agent, ModelSettings, stt  # noqa: E402

PEER = "livekit-plugins-baseten==1.8.9"
PEER_ENVIRONMENT = ROOT / ".venv-peer"
PAGE = ROOT / "docs" / "livekit.md"
MARKERS = ("<!-- turns:begin -->", "<!-- turns:end -->")

# Pauses longer than LiveKit's turn detector waits where it thinks that more is to come.
SPOKEN = script(
    *(0.5, YOUNG_MAN, 3.4, SELFISH, 3.4, LEISURE, 3.4),
    *(YOUNG_MAN, 3.4, SELFISH, 3.4, LEISURE, 4.0),
)
TOO_LATE_S = 0.25  # for audio at the pace of speech
PRESSED_AFTER_S = 0.1  # when the last word is out, in push-to-talk


@dataclass(frozen=True)
class Case:
    """One conversation.

    Attributes:
        silence_ms: What ends an utterance at the server.
        is_end_withheld: `SpeechEvent.speech_end_time` does not reach the session.
    """

    name: str
    mode: Mode
    silence_ms: int = 300
    is_end_withheld: bool = False


CASES = [
    Case('`"stt"`', "stt"),
    Case('`"stt"`, `speech_end_time` withheld', "stt", is_end_withheld=True),
    Case('`"vad"`', "vad"),
    Case('`"vad"`', "vad", 1000),
    Case('`"vad"`', "vad", 2000),
    Case("default (turn detector)", "default"),
    Case(f'`"manual"`, {PRESSED_AFTER_S} s after the last word', "manual"),
]


class Forgetful(Agent):
    """Takes the time away at which the user stopped."""

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterator[stt.SpeechEvent]:
        async for event in Agent.default.stt_node(self, audio, model_settings):
            yield replace(event, speech_end_time=None)


@dataclass
class Outcome:
    """Of one conversation: what became of each line, in seconds after its last word."""

    delays_s: list[float] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    closing_s: float = 0.0
    late_s: float = 0.0

    @property
    def delay(self) -> str:
        if not self.delays_s:
            return "-"
        each = sorted(self.delays_s)
        return f"{median(each):.2f} s ({each[0]:.2f} to {each[-1]:.2f})"

    @property
    def right(self) -> str:
        lines = len(SPOKEN.lines)
        if len(self.delays_s) == lines == len(self.turns):
            return f"{lines} of {lines}"
        return f"{len(self.delays_s)} of {lines}, {len(self.turns)} in all"


# The client: runs in this environment or in the peer's, with whichever plugin is there.


async def converse(url: str, case: Case) -> Outcome:
    import aiohttp

    from livekit.plugins import baseten

    async with aiohttp.ClientSession() as http_session:
        speech_to_text = baseten.STT(
            model_endpoint=url,
            api_key="any",
            vad_min_silence_duration_ms=case.silence_ms,
            http_session=http_session,
        )
        agent = (Forgetful if case.is_end_withheld else Agent)(instructions="listen")
        async with calling(speech_to_text, SPOKEN, case.mode, agent=agent) as call:
            if case.mode == "manual":
                for number in range(len(SPOKEN.lines)):
                    await call.hears(number, plus_s=PRESSED_AFTER_S)
                    await call.session.commit_user_turn()
            await call.is_heard()
        await speech_to_text.aclose()
    outcome = Outcome(closing_s=call.closing_took_s, late_s=call.microphone.late_s)
    outcome.turns = [turn.text for turn in call.turns if turn.text]
    number = 0
    for turn in call.turns:
        while number < len(SPOKEN.lines) and turn.text in SPOKEN.texts[number:]:
            number += 1
            if SPOKEN.texts[number - 1] == turn.text:
                outcome.delays_s.append(turn.committed_at_s - call.spoken_at_s(number - 1))
                break
    return outcome


async def client(url: str) -> None:
    outcomes = await asyncio.gather(*(converse(url, case) for case in CASES))
    print(json.dumps([asdict(outcome) for outcome in outcomes]))


# The server, and the table.


async def conversations(python: str, latency_s: float) -> list[Outcome]:
    from kit.prompter import Prompter

    from livekit.plugins.baseten.emulator import SileroDetector, serve

    async with serve(
        recognizer=Prompter(SPOKEN), voice_detector=SileroDetector, latency_s=latency_s
    ) as server:
        process = await asyncio.create_subprocess_exec(
            *(python, __file__, "--client", server.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{python} failed:\n{err.decode()}")
    return [Outcome(**fields) for fields in json.loads(out.decode().splitlines()[-1])]


async def side_by_side(pythons: Sequence[str], latency_s: float) -> list[list[Outcome]]:
    """At the same time, so that whatever else the machine does is done to both."""
    return await asyncio.gather(*(conversations(python, latency_s) for python in pythons))


def peer_python() -> str:
    """The interpreter of an environment that has the plugin on PyPI."""
    python = PEER_ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", PEER_ENVIRONMENT], check=True)
    name, wanted = PEER.split("==")
    asked = [str(python), "-c", f"import importlib.metadata as m; print(m.version({name!r}))"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if found != wanted:
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
    return str(python)


def table(ours: list[Outcome], theirs: list[Outcome], latency_s: float) -> str:
    header = [
        *("turn detection", "server's silence", "this plugin", "right turns"),
        *(f"{PEER.replace('==', ' ')}", "right turns"),
    ]
    rows = [
        [case.name, f"{case.silence_ms} ms", own.delay, own.right, other.delay, other.right]
        for case, own, other in zip(CASES, ours, theirs, strict=True)
    ]
    closing = [median(each.closing_s for each in outcomes) for outcomes in (ours, theirs)]
    return "\n".join(
        [
            f"Seconds from the end of the last word to the committed turn: median (fastest to "
            f"slowest) of {len(SPOKEN.lines)} turns. Recognition takes {latency_s:g} s.",
            "",
            *aligned([header, *rows]),
            "",
            f"Closing the session took {closing[0]:.2f} s, with the plugin on PyPI "
            f"{closing[1]:.2f} s (medians of {len(CASES)}).",
            "",
            f"livekit-agents {version('livekit-agents')}, Python {platform.python_version()}, "
            f"{os.cpu_count()} cores, {platform.machine()}.",
            "",
        ]
    )


def aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return [lines[0], rule, *lines[1:]]


def write_between_markers(page: Path, text: str, markers: tuple[str, str] = MARKERS) -> None:
    begin, end = markers
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{page} has no {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.1, help="seconds for each recognition")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    parser.add_argument("--client", metavar="URL", help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.client:
        asyncio.run(client(arguments.client))
        return
    pythons = (sys.executable, peer_python())
    ours, theirs = asyncio.run(side_by_side(pythons, arguments.latency))
    text = table(ours, theirs, arguments.latency)
    print(text)
    late_s = max(outcome.late_s for outcome in (*ours, *theirs))
    if late_s > TOO_LATE_S:
        raise SystemExit(f"The machine is busy: audio was up to {late_s:.2f} s late. Try again.")
    if arguments.write:
        write_between_markers(PAGE, text)


if __name__ == "__main__":
    main()
