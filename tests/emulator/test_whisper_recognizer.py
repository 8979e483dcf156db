"""A real Whisper, the smallest, on real speech. It is installed with the package's weights."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import AUDIO

from livekit.plugins.baseten.emulator import DecodingOptions, Transcript, WhisperRecognizer
from livekit.plugins.baseten.emulator._recognizers import whisper, whisper_weights
from livekit.plugins.baseten.emulator._recognizers.recognizer import text_of

pytestmark = pytest.mark.timeout(300)

SPOKEN = (
    "And Mr. John Dashwood had then leisure to consider how much there might be prudently in his "
    "power to do for them."
)
OPTIONS = DecodingOptions()


@pytest.fixture(scope="module")
def ears() -> Iterator[WhisperRecognizer]:
    with WhisperRecognizer(threads=1) as recognizer:
        yield recognizer


def clip(number: str) -> bytes:
    with wave.open(str(AUDIO / f"sense_and_sensibility_01-{number}.wav")) as file:
        pcm: bytes = file.readframes(file.getnframes())
    return pcm


def test_a_sentence_is_heard_as_it_was_spoken_each_word_at_its_time(
    ears: WhisperRecognizer,
) -> None:
    heard = ears.recognize(clip("0870"), is_final=True)
    assert heard.text == SPOKEN
    assert text_of(heard.words) == SPOKEN
    times = [at_s for word in heard.words for at_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[0] < 0.5
    assert 6.0 < times[-1] <= 7.1
    assert all(0 <= word.prob <= 1 for word in heard.words)
    assert not heard.is_doubtful


def test_a_compound_word_is_in_one_piece(ears: WhisperRecognizer) -> None:
    heard = ears.recognize(clip("0890"), is_final=True)
    assert heard.text is not None
    assert "cold-hearted" in heard.text
    assert "-hearted" in [word.text for word in heard.words if word.is_attached]
    assert text_of(heard.words) == heard.text


def test_a_prompt_teaches_it_a_spelling(ears: WhisperRecognizer) -> None:
    def heard(prompt: str) -> str:
        options = replace(OPTIONS, prompt=prompt, word_timestamps=False)
        return ears.transcribe(clip("0880"), options, is_final=False).text or ""

    assert "ill-disposed" not in heard("")
    assert "ill-disposed" in heard("and " * 400 + "ill-disposed")  # of too long a one the end


@pytest.mark.parametrize("is_final", [False, True])
def test_what_is_no_speech_is_doubted_and_soon_at_an_end(
    ears: WhisperRecognizer, is_final: bool
) -> None:
    noise = np.random.default_rng(1).normal(0, 3_000, 3 * 16_000)
    beats = 12_000 * np.sin(np.arange(4 * 16_000) * 0.1) * (np.arange(4 * 16_000) % 8_000 < 2_000)
    for sound in (noise, beats):
        heard = ears.recognize(sound.astype("<i2").tobytes(), is_final=is_final)
        assert heard.is_doubtful, heard.text
        assert len(heard.words) <= 4 * whisper.TOKENS_PER_S + whisper.SPARE_TOKENS


def test_a_final_that_finds_no_end_is_decoded_again_with_the_whole_window(
    ears: WhisperRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper, "LOOP_COMPRESSION", 0.5)  # which any text exceeds
    windows: list[int] = []
    window = ears._model.window

    def noted(least_frames: int) -> AbstractContextManager[None]:
        windows.append(least_frames)
        return window(least_frames)

    monkeypatch.setattr(ears._model, "window", noted)
    options = replace(OPTIONS, temperatures=(0.0,), word_timestamps=False)
    assert ears.transcribe(clip("0880")[:40_000], options, is_final=True).is_doubtful
    assert windows == [whisper.FINAL_FRAMES, whisper.WHOLE_FRAMES]
    windows.clear()
    ears.transcribe(clip("0880")[:40_000], options, is_final=False)
    assert windows == [whisper.PARTIAL_FRAMES]  # of a partial the next one is soon there


def test_it_does_as_the_options_say(ears: WhisperRecognizer) -> None:
    pcm = clip("0880")

    def heard(**changes: Any) -> Transcript:
        return ears.transcribe(pcm, replace(OPTIONS, **changes), is_final=True)

    assert heard(word_timestamps=False).words == ()
    assert len((heard(max_new_tokens=4).text or "").split()) <= 4
    detected = heard(language=None, language_options=("de", "fr"), max_new_tokens=1)
    assert (detected.language, detected.language_prob) == ("en", 1.0)  # all that it knows
    assert heard(language=None, is_detection_only=True) == Transcript(
        "", language="en", language_prob=1.0
    )


def test_nothing_at_all_is_no_words(ears: WhisperRecognizer) -> None:
    assert ears.recognize(b"", is_final=True) == Transcript("")
    assert ears.recognize(bytes(64), is_final=True) == Transcript("")


def test_threads_that_hear_at_once_hear_the_same(ears: WhisperRecognizer) -> None:
    clips = [clip("0880"), clip("0930")]

    def heard(pcm: bytes) -> str | None:
        return ears.transcribe(pcm, replace(OPTIONS, word_timestamps=False), is_final=False).text

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(heard, clips)) == [heard(pcm) for pcm in clips]


# Where its weights come from.


def test_weights_in_a_folder_are_taken_from_there(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    weights = whisper_weights.installed(str(tmp_path))
    assert weights == whisper_weights.Weights(str(tmp_path))
    with pytest.raises(RuntimeError, match=r"no model\.bin"):
        WhisperRecognizer(AUDIO)


def test_weights_in_parts_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = ("weights_test_part1", "weights_test_part2")
    for number, package in enumerate(packages, 1):
        (tmp_path / package / "data").mkdir(parents=True)
        (tmp_path / package / "data" / f"model.bin.part{number}").write_bytes(b"%d" % number)
    (tmp_path / packages[0] / "data" / "config.json").write_bytes(b"{}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(whisper_weights.PACKAGES, "small", packages)
    weights = whisper_weights.installed("small")
    assert weights is not None
    assert weights.files == {"config.json": b"{}", "model.bin": b"12"}


def test_a_name_that_nobody_knows_is_said_at_once() -> None:
    with pytest.raises(RuntimeError, match=r"'tiny-en' is neither .* there are tiny\.en, tiny"):
        WhisperRecognizer("tiny-en")
    assert WhisperRecognizer.is_installed("tiny.en")
