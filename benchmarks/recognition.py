"""What a real Whisper makes of real speech through this package; fills docs/recognition.md.

    make evaluate

It measures words and rules, not speed: the model is the smallest, on this machine's CPU. So time
stands still while it works, as if it answered at once, and a busy machine changes no figure. Clips
are LibriVox recordings (examples/audio), and what is no speech is made here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import sys
import tempfile
import wave
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # time that stands still while somebody works

import kit.clock  # noqa: E402 - before LiveKit, whose clocks it sets
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from livekit import rtc  # noqa: E402
from livekit.plugins import baseten  # noqa: E402
from livekit.plugins.baseten._evaluation.clips import Clip  # noqa: E402
from livekit.plugins.baseten._evaluation.hearing import heard  # noqa: E402
from livekit.plugins.baseten._evaluation.scores import Result, Score  # noqa: E402
from livekit.plugins.baseten._evaluation.variants import Variant  # noqa: E402
from livekit.plugins.baseten._evaluation.words import compared, units_of  # noqa: E402
from livekit.plugins.baseten.emulator import (  # noqa: E402
    DecodingOptions,
    SileroDetector,
    WhisperRecognizer,
    faults,
    serve,
)

AUDIO = ROOT / "examples" / "audio"
DOCUMENT = ROOT / "docs" / "recognition.md"
RATE_HZ = 16_000

# Words that a small model does not know, and what a client may say of them.
RARE = {"Dashwood": "Dashwood", "ill-disposed": "ill disposed", "amiable": "amiable"}
PROMPT = "Mr. John Dashwood, a cold-hearted and ill-disposed young man, and an amiable woman."

# A machine that is busy takes its time over a final; it is words that are measured.
PATIENT: dict[str, Any] = {"drain_timeout_s": 120.0}

# A preflight transcript needs two interims that agree, and silence, before the final comes.
PREFLIGHT: dict[str, Any] = {
    "preflight": True,
    "partial_transcript_interval_s": 0.25,
    "vad_min_silence_duration_ms": 800,
}

Sound = NDArray[np.float64]


def clips() -> list[Clip]:
    readme = (AUDIO / "README.md").read_text()
    rows = re.findall(r"^\| (\S+\.wav) \| [\d.]+ \| (.+) \|$", readme, re.M)
    return [Clip(Path(name).stem[-4:], AUDIO / name, text) for name, text in rows]


def pcm_of(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        pcm: bytes = file.readframes(file.getnframes())
    return pcm


# What is no speech.


def noises() -> Iterator[tuple[str, Sound]]:
    """Six seconds each of what microphones hear when nobody speaks to them."""
    chance = np.random.default_rng(7)
    at_s = np.arange(6 * RATE_HZ) / RATE_HZ
    white = chance.normal(0, 1, len(at_s))
    yield "silence", np.zeros(len(at_s))
    yield "a quiet room", 0.002 * white
    yield "white noise", 0.1 * white
    brown = np.cumsum(white) - np.linspace(0, white.sum(), len(white))
    yield "traffic (brown noise)", 0.15 * _loudest_one(brown)
    yield "keys and clicks", 0.5 * white * (at_s % 0.23 < 0.01)
    yield "music", 0.3 * _music(at_s)
    yield "a voice that sings no words", 0.3 * _voice(at_s)
    recordings = [np.frombuffer(pcm_of(clip.path), "<i2") / 32768 for clip in clips()]
    backwards = np.concatenate([sound[::-1] for sound in recordings])[: len(at_s)]
    yield "speech played backwards", backwards
    babble = sum(np.resize(sound[::-1], len(at_s)) for sound in recordings)
    yield "a room full of talk", 0.5 * _loudest_one(np.asarray(babble))


def _music(at_s: Sound) -> Sound:
    """Chords, struck twice a second."""
    notes_hz = [[261.6, 329.6, 392.0], [220.0, 261.6, 329.6], [196.0, 246.9, 293.7]]
    tones = [np.array(chord) for chord in notes_hz]
    chords = np.stack([np.sin(2 * np.pi * np.outer(at_s, chord)).sum(axis=1) for chord in tones])
    which = (at_s // 2).astype(int) % len(tones)
    return _loudest_one(chords[which, np.arange(len(at_s))] * np.exp(-3 * (at_s % 0.5)))


def _voice(at_s: Sound) -> Sound:
    """A hum with the formants of an open vowel, in syllables."""
    pitch = 140 + 15 * np.sin(2 * np.pi * 0.7 * at_s)
    phase = np.cumsum(2 * np.pi * pitch / RATE_HZ)
    sung = np.zeros(len(at_s))
    for n in range(1, 20):
        formants = np.exp(-(((n * 140 - np.array([700, 1200])) / 300) ** 2)) * [1.0, 0.5]
        sung += np.sin(n * phase) * (formants.sum() + 0.1)
    return _loudest_one(sung * (at_s % 0.6 < 0.4))


def _loudest_one(sound: Sound) -> Sound:
    return np.asarray(sound / np.abs(sound).max(), np.float64)


def write_wav(path: Path, sound: Sound) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


# Measuring.


@contextlib.asynccontextmanager
async def deployment(ears: WhisperRecognizer, *plan: faults.Entry) -> AsyncIterator[str]:
    async with serve(*plan, recognizer=ears, voice_detector=SileroDetector, record=False) as server:
        yield server.url


async def score(
    ears: WhisperRecognizer, given: list[Clip], *plan: faults.Entry, **arguments: Any
) -> Score:
    """The clips one after the other, each on a stream of its own, at the pace of speech."""
    results = []
    async with (
        deployment(ears, *plan) as url,
        baseten.STT(model_endpoint=url, api_key="any", **PATIENT, **arguments) as stt,
    ):
        for clip in given:
            results.append(Result(clip, await heard(stt, clip, at_pace_of_speech=True), "en"))
    return Score(Variant(), results)


def alone(ears: WhisperRecognizer, given: list[Clip]) -> tuple[int, int]:
    """Wrong words and all, of the model by itself: whole clips, 30 s of padding, no server."""
    errors = words = 0
    for clip in given:
        audio = np.frombuffer(pcm_of(clip.path), "<i2").astype(np.float32) / 32768
        segments, _ = ears._model.transcribe(audio, language="en", beam_size=1, temperature=0)
        comparison = compared(clip.reference, "".join(s.text for s in segments), "en")
        errors, words = errors + comparison.errors, words + comparison.reference_units
    return errors, words


async def recognized(ears: WhisperRecognizer, given: list[Clip]) -> int:
    errors = 0
    async with deployment(ears) as url, baseten.STT(model_endpoint=url, api_key="any") as stt:
        for clip in given:
            pcm = pcm_of(clip.path)
            event = await stt.recognize([rtc.AudioFrame(pcm, RATE_HZ, 1, len(pcm) // 2)])
            errors += compared(clip.reference, event.alternatives[0].text, "en").errors
    return errors


def errors_of(measured: Score) -> int:
    assert not measured.failures, [r.heard.failure for r in measured.failures]
    return sum(result.comparison.errors for result in measured.whole)


async def words_table(ears: WhisperRecognizer) -> str:
    given = clips()
    own, words = await asyncio.to_thread(alone, ears, given)
    in_speech = faults.Reset(after_samples=32_000)
    cut = [errors_of(await score(ears, [clip], in_speech)) for clip in given]
    rows = [
        ("the model by itself, whole clips, 30 s of padding", own),
        ("`recognize()`", await recognized(ears, given)),
        ("`stream()`", errors_of(await score(ears, given))),
        ("`stream()`, each connection cut after two seconds", sum(cut)),
    ]
    return table(
        ["through", "wrong words", "of", "rate"],
        [[name, errors, words, f"{errors / words:.1%}"] for name, errors in rows],
    )


async def names_table(ears: WhisperRecognizer) -> str:
    given, rows = clips(), []
    wanted = {name: units_of(text, "en", "word") for name, text in RARE.items()}
    for title, arguments in (
        ("neither", {}),
        ("`keyterms`", {"keyterms": tuple(RARE)}),
        ("`prompt`, a sentence with them", {"prompt": PROMPT}),
    ):
        measured = await score(ears, given, **arguments)
        hits = spoken = 0
        for result in measured.whole:
            for units in wanted.values():
                spoken += _count(units_of(result.clip.reference, "en", "word"), units)
                hits += _count(units_of(result.text, "en", "word"), units)
        rows.append([title, f"{hits} of {spoken}", errors_of(measured)])
    return table(["given", "rare words heard", "wrong words in all"], rows)


def _count(words: list[str], wanted: list[str]) -> int:
    return sum(words[at : at + len(wanted)] == wanted for at in range(len(words)))


async def noise_table(ears: WhisperRecognizer) -> str:
    with tempfile.TemporaryDirectory() as folder:
        given = [
            Clip(name, write_wav(Path(folder) / f"{number}.wav", sound), "")
            for number, (name, sound) in enumerate(noises())
        ]
        both = [*given, *clips()]
        measured = await asyncio.gather(
            *(score(ears, both, drop_hallucinations=drops) for drops in (False, True))
        )
    rows = []
    for number, clip in enumerate(given):
        results = [one.results[number] for one in measured]
        rows.append([clip.name, *(f"{r.words_in_silence} {_finals(r)}" for r in results)])
    wrong = [sum(r.comparison.errors for r in one.results[len(given) :]) for one in measured]
    rows.append(["speech (the clips above)", *(f"{errors} words wrong" for errors in wrong)])
    return table(["what is heard", "words let through", "with `drop_hallucinations`"], rows)


def _finals(result: Result) -> str:
    texts = [final.segment.text for final in result.heard.finals]
    return f'("{" / ".join(texts)}")' if texts else ""


async def stability_table(ears: WhisperRecognizer) -> str:
    measured = await score(ears, clips(), **PREFLIGHT)
    took, said = (sum(n) for n in zip(*(r.taken_back for r in measured.whole), strict=True))
    right, total = (sum(n) for n in zip(*(r.preflights for r in measured.whole), strict=True))
    interims = sum(one.kind == "interim" for r in measured.whole for one in r.heard.shown)
    return table(
        ["what", "of", "share"],
        [
            [
                "words of interims taken back",
                f"{took} of {said} words in {interims} interims",
                _share(took, said),
            ],
            [
                "preflight transcripts that were the final",
                f"{right} of {total}",
                _share(right, total),
            ],
        ],
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def languages_table() -> str:
    """By the multilingual "base"."""
    rows = []
    with WhisperRecognizer("base", threads=1) as ears:
        for title, options in (
            ("all languages", ()),
            ('`language_options=["en", "de"]`', ("en", "de")),
            ('`language_options=["de", "fr"]`, neither of which it is', ("de", "fr")),
        ):
            asked = DecodingOptions(None, options, is_detection_only=True)
            lengths_bytes = (2 * RATE_HZ, 4 * RATE_HZ, None)
            rows.append([title, *(_detected(ears, asked, length) for length in lengths_bytes)])
    return table(
        ["detected among", "of the first second", "of two seconds", "of the whole clip"], rows
    )


def _detected(ears: WhisperRecognizer, asked: DecodingOptions, length_bytes: int | None) -> str:
    heard = (ears.transcribe(pcm_of(c.path)[:length_bytes], asked, is_final=True) for c in clips())
    return ", ".join(f"{n} {code}" for code, n in Counter(t.language for t in heard).most_common())


def table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


PARTS: dict[str, Callable[[WhisperRecognizer], Any]] = {
    "words": words_table,
    "names": names_table,
    "noise": noise_table,
    "stability": stability_table,
}


async def main(wanted: list[str], writes: bool) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    with WhisperRecognizer(threads=1) as ears:
        for name, measure in PARTS.items():
            if name in wanted:
                text = _with(text, name, await measure(ears))
    if "languages" in wanted and WhisperRecognizer.is_installed("base"):
        text = _with(text, "languages", languages_table())
    elif "languages" in wanted:
        print("languages: not measured, left as they are: the model base is not installed")
    if writes:
        DOCUMENT.write_text(text, encoding="utf-8")


def _with(text: str, name: str, measured: str) -> str:
    print(f"{name}\n\n{measured}\n", flush=True)
    mark = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.S)
    return mark.sub(lambda found: f"{found[1]}{measured}\n{found[2]}", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}, languages; all if none")
    parser.add_argument("--write", action="store_true", help="into docs/recognition.md")
    chosen = parser.parse_args()
    kit.clock.run(main(chosen.parts or [*PARTS, "languages"], chosen.write))
