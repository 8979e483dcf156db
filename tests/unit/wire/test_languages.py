"""Languages as people write them, as Whisper takes them, as LiveKit is told."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.client import metadata_of, new_stt

from livekit.agents import LanguageCode
from livekit.plugins.baseten._core.wire.languages import (
    QWEN3_LANGUAGES,
    WHISPER_LANGUAGES,
    base_code,
    to_qwen3,
    to_standard,
    to_whisper,
)

SPELLINGS = {
    "en": "en",
    "EN": "en",
    "en-US": "en",
    "en_us": "en",
    " en ": "en",
    "English": "en",
    "english": "en",
    "pt-BR": "pt",
    "de-CH-1996": "de",
    "sr-Latn-RS": "sr",
    "haw-US": "haw",
    "yue": "yue",
    "yue-Hant-HK": "yue",
    "zh": "zh",
    "zh-CN": "zh",
    "zh-TW": "zh-hant",
    "zh-HK": "zh-hant",
    "zh-Hant": "zh-hant",
    "zh_Hant_TW": "zh-hant",
    "zh-Hans": "zh-hans",
    "zh-Hans-CN": "zh-hans",
    "zh-yue": "yue",
    "cmn": "zh",
    "cmn-Hant-TW": "zh-hant",
    "Mandarin": "zh",
    "iw": "he",
    "iw-IL": "he",
    "in": "id",
    "ji": "yi",
    "jv": "jw",
    "jw": "jw",
    "nb": "no",
    "nb-NO": "no",
    "no": "no",
    "nn": "nn",
    "fil": "tl",
    "Haitian Creole": "ht",
    "Farsi": "fa",
    "auto": "auto",
    "AUTO": "auto",
    " Auto ": "auto",
}


def test_whisper_is_sent_its_own_spelling() -> None:
    assert {written: to_whisper("language", written) for written in SPELLINGS} == SPELLINGS


@pytest.mark.parametrize(
    "unknown", ["klingon", "tlh", "xx-US", "", " ", "-", "english please", "e"]
)
def test_a_language_whisper_does_not_know_is_an_error_that_names_parameter_and_value(
    unknown: str,
) -> None:
    with pytest.raises(ValueError, match="language_options=") as e:
        to_whisper("language_options", unknown)
    assert repr(unknown) in str(e.value)
    with pytest.raises(ValueError, match="language="):
        new_stt(language=unknown)


def test_every_code_of_whispers_goes_out_and_comes_back() -> None:
    for code, name in WHISPER_LANGUAGES.items():
        assert to_whisper("language", code) == code
        assert to_whisper("language", code.upper() + "-XX") == code
        assert to_whisper("language", name) == code
        reported = to_standard(code)
        assert to_whisper("language", reported) == code
        assert LanguageCode(reported) == reported


def test_every_language_of_qwen3s_goes_out_and_comes_back() -> None:
    for name in QWEN3_LANGUAGES:
        assert to_qwen3("language", name) == name
        assert to_qwen3("language", to_standard(name)) == name


@pytest.mark.parametrize("unknown", ["klingon", "", "haw"])
def test_a_language_qwen3_does_not_know_is_an_error_that_lists_those_it_knows(unknown: str) -> None:
    with pytest.raises(ValueError, match="language=") as e:
        to_qwen3("language", unknown)
    assert "Cantonese" in str(e.value)


@pytest.mark.parametrize(
    ("reported", "told"),
    [
        ("en", "en"),
        ("English", "en"),
        ("zh", "zh"),
        ("zh-hant", "zh"),
        ("jw", "jv"),
        ("Filipino", "fil"),
        ("he", "he"),
        ("", ""),
        ("auto", ""),
        ("Auto", ""),
    ],
)
def test_livekit_is_told_standard_codes_and_never_auto(reported: str, told: str) -> None:
    assert to_standard(reported) == told


@given(st.text(max_size=20))
def test_whatever_is_written_there_is_an_answer_or_a_value_error(text: str) -> None:
    base_code(text)
    to_standard(text)
    for translate in (to_whisper, to_qwen3):
        with contextlib.suppress(ValueError):
            assert translate("language", text)


async def test_language_options_mean_detection_unless_a_language_is_given() -> None:
    detecting = await metadata_of(new_stt(language_options=["en-GB", "German"]))
    assert detecting["whisper_params"]["audio_language"] == "auto"
    assert detecting["whisper_params"]["language_options"] == ["en", "de"]
    fixed = await metadata_of(new_stt(language="fr", language_options=["en"]))
    assert fixed["whisper_params"]["audio_language"] == "fr"


@pytest.mark.parametrize("options", [["klingon"], ["en", "auto"], [""]])
def test_language_options_are_languages(options: list[str]) -> None:
    with pytest.raises(ValueError, match="language_options"):
        new_stt(language_options=options)
