"""What a server says beside the words: that they are a translation, and how sure it is of what."""

from __future__ import annotations

from typing import Any

import pytest
from kit.client import finals, frames, metadata_of, new_stt, transcribed, warnings_in
from kit.loopback import client, serve

from livekit.agents.stt import SpeechData, SpeechEvent
from livekit.plugins.baseten import STT
from livekit.plugins.baseten.emulator import (
    DecodingOptions,
    Transcript,
    Word,
    coded_speech,
)

UTTERANCE = coded_speech(2, trailing_samples=16_000).pcm


class Bilingual:
    """Hears German, and says it in English where that is asked for."""

    blocking = False

    def __init__(self, spoken: str = "de") -> None:
        self.spoken = spoken

    def recognize(self, pcm: bytes, *, is_final: bool) -> Transcript:
        raise AssertionError("it can be told how")

    def transcribe(self, pcm: bytes, options: DecodingOptions, *, is_final: bool) -> Transcript:
        text = "good evening" if options.translates else "guten Abend"
        words = tuple(Word(word, 0.1 * n, 0.1 * n + 0.1) for n, word in enumerate(text.split()))
        return Transcript(text, words, language=self.spoken, language_prob=0.75)


def last(events: list[SpeechEvent]) -> SpeechData:
    return next(e.alternatives[0] for e in reversed(events) if e.alternatives)


def check_translated(data: SpeechData) -> None:
    assert (data.text, data.language) == ("good evening", "en")
    assert data.source_languages == ["de"]
    assert (data.target_languages, data.target_texts) == (["en"], ["good evening"])


async def test_what_is_spoken_in_any_language_comes_in_english() -> None:
    async with serve(recognizer=Bilingual()) as server, client(server, translate=True) as stt:
        check_translated(last(await transcribed(stt, UTTERANCE)))
        check_translated((await stt.recognize(list(frames(UTTERANCE)))).alternatives[0])
    params = server.connections[0].metadata["whisper_params"]  # type: ignore[index]
    assert (params["audio_language"], params["output_language"]) == ("auto", "en")


async def test_a_call_is_translated_from_a_change_on() -> None:
    async with serve(recognizer=Bilingual()) as server, client(server, language="de") as stt:
        before = last(await transcribed(stt, UTTERANCE))
        assert (before.text, before.language, before.source_languages) == (
            "guten Abend",
            "de",
            None,
        )
        stt.update_options(translate=True)
        check_translated(last(await transcribed(stt, UTTERANCE)))


async def test_english_is_no_translation() -> None:
    async with (
        serve(recognizer=Bilingual(spoken="en")) as server,
        client(server, translate=True) as stt,
    ):
        data = last(await transcribed(stt, UTTERANCE))
    assert (data.language, data.source_languages, data.target_texts) == ("en", None, None)


@pytest.mark.parametrize(
    ("options", "language"),
    [
        ({"translate": True}, "auto"),
        ({"translate": True, "language": "de"}, "de"),
        ({"translate": True, "language": "en"}, "en"),
    ],
)
async def test_the_language_is_detected_if_nobody_says_it(
    options: dict[str, Any], language: str, caplog: pytest.LogCaptureFixture
) -> None:
    stt = new_stt(**options)
    assert (await metadata_of(stt))["whisper_params"]["audio_language"] == language
    assert ("translate=True has no effect" in caplog.text) is (language == "en")
    stt.update_options(translate=False)
    after = "en" if language == "auto" else language
    assert (await metadata_of(stt))["whisper_params"]["audio_language"] == after


# How sure it is


async def metadata(stt: STT) -> dict[str, Any]:
    data = last(await transcribed(stt, UTTERANCE))
    told = (await stt.recognize(list(frames(UTTERANCE)))).alternatives[0].metadata or {}
    live = data.metadata or {}
    for name in ("language_prob", "beam_results"):
        assert live.get(name) == told.get(name)
    return live


async def test_the_probability_of_a_detected_language_is_told() -> None:
    async with serve(recognizer=Bilingual()) as server, client(server, language="auto") as stt:
        told = await metadata(stt)
    assert told["language_prob"] == 0.75
    assert "beam_results" not in told


async def test_beams_are_told_where_they_are_asked_for() -> None:
    extra = {"whisper_params": {"show_beam_results": True}}
    async with (
        serve(recognizer=Bilingual()) as server,
        client(server, language="de", extra_metadata=extra) as stt,
    ):
        told = await metadata(stt)
    assert told["beam_results"] == ["guten Abend"]
    assert "language_prob" not in told


# What may not be done as it is asked for


async def test_more_beams_than_most_engines_have_are_warned_of_once_and_where_they_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(recognizer=Bilingual()) as server, client(server, beam_width=6) as stt:
        assert "beam_width=6: engines are built for 5 beams" in caplog.text
        caplog.clear()
        stt.update_options(language="de")
        assert not warnings_in(caplog)
        assert finals(await transcribed(stt, UTTERANCE)) == []
        assert "(it may be why: beam_width=6 is more than most engines" in caplog.text


async def test_a_prompt_that_is_too_long_is_cut_and_one_that_may_be_is_suspected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    new_stt(prompt="Tahoe, " * 112)
    assert "prompt: at least 224 tokens, and Whisper takes 223" in caplog.text
    caplog.clear()
    async with (
        serve(recognizer=Bilingual(), aligner=False) as server,
        client(server, prompt="Incomprehensibilities " * 100) as stt,
    ):
        assert not warnings_in(caplog)
        await transcribed(stt, UTTERANCE)
    assert "it may be why: the prompt may have more than the 223 tokens" in caplog.text
    assert "ncomprehensib" not in caplog.text
