"""Qwen3-ASR's frames, written and read: by value, without a socket."""

from __future__ import annotations

import ast
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.client import metadata_of, new_stt

from livekit.agents import LanguageCode
from livekit.plugins.baseten._core import wire as _wire
from livekit.plugins.baseten._core.errors import UnreadableFrame, WrongDialect
from livekit.plugins.baseten._core.flushes import Flushes
from livekit.plugins.baseten._core.journal import Journal
from livekit.plugins.baseten._core.options import Options
from livekit.plugins.baseten._core.session import Patience, Session
from livekit.plugins.baseten._core.wire import Failure, ServerWord, Transcript, Unknown, dialect_for

COMMIT = {"type": "input_audio_buffer.commit"}


def dialect(**options: Any) -> Any:
    return dialect_for(Options.create("qwen3-asr", **options))


def read(**raw: Any) -> Any:
    return dialect().decode(json.dumps(raw))


# The handshake


async def test_the_handshake_has_the_models_own_defaults() -> None:
    assert await metadata_of(new_stt(model="qwen3-asr")) == {
        "whisper_params": {"audio_language": "auto", "show_word_timestamps": False},
        "streaming_params": {
            "encoding": "pcm_s16le",
            "sample_rate": 16000,
            "enable_partial_transcripts": True,
            "partial_transcript_interval_s": 0.5,
            "final_transcript_max_duration_s": 29,
        },
        "streaming_vad_config": {
            "threshold": 0.5,
            "min_silence_duration_ms": 500,
            "speech_pad_ms": 100,
        },
    }


# Of all options, what this model takes and what it refuses.
TAKEN: dict[str, Any] = {
    "language": "de",
    "show_word_timestamps": True,
    "enable_partial_transcripts": False,
    "partial_transcript_interval_s": 0.3,
    "final_transcript_max_duration_s": 12,
    "vad_threshold": 0.6,
    "vad_min_silence_duration_ms": 250,
    "vad_speech_pad_ms": 0,
    "prompt": "A hotel.",
    "keyterms": ["Elinor"],
    "extra_metadata": {"whisper_params": {"echo_guard": True}, "include_timing_info": True},
}


async def test_what_is_given_is_in_the_handshake() -> None:
    handshake = await metadata_of(new_stt(model="qwen3-asr", **TAKEN))
    assert handshake == {
        "whisper_params": {
            "audio_language": "German",
            "show_word_timestamps": True,
            "prompt": "A hotel.",
            "keyterms": ["Elinor"],
            "echo_guard": True,
        },
        "streaming_params": {
            "encoding": "pcm_s16le",
            "sample_rate": 16000,
            "enable_partial_transcripts": False,
            "partial_transcript_interval_s": 0.3,
            "final_transcript_max_duration_s": 12,
        },
        "streaming_vad_config": {
            "threshold": 0.6,
            "min_silence_duration_ms": 250,
            "speech_pad_ms": 0,
        },
        "include_timing_info": True,
    }


REFUSED: dict[str, Any] = {
    "language_options": ["en", "de"],
    "translate": True,
    "stream_id": "6f0c1c0e-0000-4000-8000-000000000000",
    "use_dynamic_preprocessing": True,
    "beam_width": 2,
    "length_penalty": 1.5,
    "repetition_penalty": 1.1,
    "beam_search_diversity_rate": 0.5,
    "no_repeat_ngram_size": 3,
    "enable_diarization": True,
    "diarization_granularity": "word",
}


def test_each_option_is_taken_or_refused() -> None:
    """A new one belongs into `TAKEN`, and into wire/qwen3.py, or into `REFUSED`."""
    assert {"model", *TAKEN, *REFUSED} == set(Options.model_fields)


@pytest.mark.parametrize(("option", "value"), REFUSED.items())
def test_an_option_of_whispers_is_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        new_stt(model="qwen3-asr", **{option: value})
    stt = new_stt(model="qwen3-asr")
    with pytest.raises(ValueError, match=option):
        stt.update_options(**{option: value})


def test_a_refused_option_changes_nothing() -> None:
    stt = new_stt(model="qwen3-asr")
    with pytest.raises(ValueError, match="beam_width"):
        stt.update_options(language="de", beam_width=2)
    assert stt._options.language == "auto"


def test_model_and_capabilities_are_its_own() -> None:
    stt = new_stt(model="qwen3-asr")
    assert (stt.model, stt.provider) == ("qwen3-asr", "Baseten")
    assert stt.capabilities.manual_flush
    assert stt.capabilities.interim_results
    assert not stt.capabilities.diarization
    assert stt.capabilities.aligned_transcript is False
    words = new_stt(model="qwen3-asr", show_word_timestamps=True)
    assert words.capabilities.aligned_transcript == "word"


# Languages

LANGUAGES = {
    "Chinese": "zh",
    "English": "en",
    "Cantonese": "yue",
    "Arabic": "ar",
    "German": "de",
    "French": "fr",
    "Spanish": "es",
    "Portuguese": "pt",
    "Indonesian": "id",
    "Italian": "it",
    "Korean": "ko",
    "Russian": "ru",
    "Thai": "th",
    "Vietnamese": "vi",
    "Japanese": "ja",
    "Turkish": "tr",
    "Hindi": "hi",
    "Malay": "ms",
    "Dutch": "nl",
    "Swedish": "sv",
    "Danish": "da",
    "Finnish": "fi",
    "Polish": "pl",
    "Czech": "cs",
    "Filipino": "fil",
    "Persian": "fa",
    "Greek": "el",
    "Hungarian": "hu",
    "Macedonian": "mk",
    "Romanian": "ro",
}


def asked(language: str) -> Any:
    return json.loads(dialect(language=language).opening())["whisper_params"]["audio_language"]


def test_there_are_thirty() -> None:
    assert len(LANGUAGES) == 30


def test_a_language_is_a_name_on_the_wire_and_a_code_for_the_user() -> None:
    for name, code in LANGUAGES.items():
        for spelled in (name, name.lower(), name.upper(), code, code.upper(), f"{code}-XX"):
            assert asked(spelled) == name
            assert dialect(language=spelled).language == code
        for reported in (name, name.lower(), code):
            assert read(type="transcription", language_code=reported).language == code
        assert LanguageCode(code) == code


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("en", "English"),
        ("English", "English"),
        ("EN-us", "English"),
        ("Mandarin", "Chinese"),
        ("cmn", "Chinese"),
        ("zh-TW", "Chinese"),
        ("zh-hans", "Chinese"),
        ("zh-yue", "Cantonese"),
        ("yue-HK", "Cantonese"),
        ("tl", "Filipino"),
        ("Tagalog", "Filipino"),
        ("farsi", "Persian"),
        ("pt_BR", "Portuguese"),
        (" de ", "German"),
        ("auto", "auto"),
        ("AUTO", "auto"),
    ],
)
def test_other_spellings_are_understood(spelled: str, name: str) -> None:
    assert asked(spelled) == name


@pytest.mark.parametrize("language", ["Klingon", "uk", "Afrikaans", "", "multi"])
def test_a_language_that_the_model_does_not_know_is_an_error_that_names_it(language: str) -> None:
    with pytest.raises(ValueError, match="language="):
        new_stt(model="qwen3-asr", language=language)


@pytest.mark.parametrize(
    ("reported", "code"),
    [("Mandarin", "zh"), ("english", "en"), (None, ""), ("", ""), ("auto", ""), (7, "")],
)
def test_what_is_reported_otherwise_is_normalized(reported: Any, code: str) -> None:
    assert read(type="transcription", language_code=reported).language == code


# Audio

PCM = np.random.default_rng(0).integers(-32768, 32768, 100_003).astype("<i2").tobytes()


def sent(samples: int) -> list[str]:
    """What a session sends of so many samples, the end included."""
    session = Session(dialect(), Patience())
    session.start(0.0)
    journal = Journal()
    journal.push(PCM[: samples * 2])
    session.attach(journal, Flushes(), 0.0)
    session.finish(samples)
    out: list[str] = []
    while frames := session.take_outgoing(0.0, 50):
        out += [str(each) for each in frames]
    return out


@pytest.mark.parametrize("samples", [1, 2, 511, 512, 513, 1600, 16_000, 100_003])
def test_the_audio_goes_out_sample_by_sample_and_no_more(samples: int) -> None:
    opening, *appends, commit = [json.loads(frame) for frame in sent(samples)]
    assert "whisper_params" in opening
    assert commit == COMMIT
    pieces = [base64.b64decode(append.pop("audio"), validate=True) for append in appends]
    assert all(append == {"type": "input_audio_buffer.append"} for append in appends)
    assert b"".join(pieces) == PCM[: samples * 2], "not a sample more, not a sample less"
    assert max(map(len, pieces)) <= 3200, "frames of 100 ms at most"
    assert all(len(piece) % 2 == 0 and piece for piece in pieces)


def test_without_audio_there_is_a_commit_all_the_same() -> None:
    assert [json.loads(frame) for frame in sent(0)][1:] == [COMMIT]


def test_the_end_of_an_utterance_and_of_the_audio_is_a_commit() -> None:
    end = dialect().end_of_utterance(7)
    assert json.loads(end.frame) == COMMIT
    assert end.silence_samples == 0
    assert json.loads(dialect().end_of_audio()) == COMMIT


# Results


def test_a_final_has_text_words_times_and_language() -> None:
    words = [{"word": "Hello", "start_time": 0.42, "end_time": 0.71, "prob": 0.98}]
    segment = {"start_time": 0.4, "end_time": 2.6, "text": "Hello there.", "word_timestamps": words}
    frame = read(
        type="transcription",
        is_final=True,
        transcription_num=0,
        language_code="English",
        segments=[segment],
    )
    assert isinstance(frame, Transcript)
    assert frame.text == "Hello there."
    assert frame.is_final
    assert not frame.is_flush
    assert frame.words == (ServerWord("Hello", 0.42, 0.71, 0.98),)
    assert (frame.start_s, frame.end_s, frame.language) == (0.4, 2.6, "en")


def test_the_answer_to_a_commit_is_the_flag_and_nothing_else_need_be_there() -> None:
    bare = read(type="transcription", segments=[], is_end_of_audio_flush=True)
    assert isinstance(bare, Transcript)
    assert bare.is_flush
    assert bare.is_final, "the flag itself is terminal"
    assert dialect().is_last(bare)
    assert not dialect().is_last(read(type="transcription", is_final=True, segments=[]))


def test_a_frame_of_another_kind_is_skipped() -> None:
    assert read(type="diarization", turns=[]) == Unknown("diarization")
    with pytest.raises(UnreadableFrame):
        read(hello=1)


# Errors

PLACES = [
    lambda text: {"message": text},
    lambda text: {"error": text},
    lambda text: {"body": {"message": text}},
    lambda text: {"body": {"error": text}},
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("text", "is_permanent"),
    [
        ("capacity: all streams are taken", False),
        ("internal error: RuntimeError", False),
        ("unsupported language: Klingon", True),
        ("invalid handshake", True),
        ("malformed frame: not base64", True),
        ("binary frames are not supported", True),
    ],
)
def test_an_error_is_read_wherever_its_text_is(place: Any, text: str, is_permanent: bool) -> None:
    frame = read(type="error", **place(text))
    assert isinstance(frame, Failure)
    assert frame.message == text
    assert not frame.recoverable, "the socket closes after it"
    assert frame.permanent is is_permanent


@pytest.mark.parametrize("text", ["capacity: invalid for now", "capacity: unsupported load"])
def test_a_lack_of_capacity_passes_whatever_else_it_says(text: str) -> None:
    assert not read(type="error", error=text).permanent


@pytest.mark.parametrize("raw", [{}, {"error": None}, {"message": ""}, {"body": []}])
def test_an_error_without_a_text_is_an_error(raw: dict[str, Any]) -> None:
    frame = read(type="error", **raw)
    assert isinstance(frame, Failure)
    assert frame.message


# What is another protocol's


def test_a_session_that_the_server_opens_is_protocol_v2() -> None:
    with pytest.raises(WrongDialect, match="v2"):
        read(type="session.created", session={})


def test_cumulative_results_are_a_speaker_attributed_preset() -> None:
    with pytest.raises(WrongDialect, match=r"(?i)speaker"):
        read(
            type="transcription",
            is_final=False,
            session_id="call-7",
            processed_s=6.4,
            num_speakers=2,
            segments=[{"speaker": "speaker_0", "start": 0.4, "end": 2.2, "text": "Good morning."}],
            partial=[],
        )


# A fault in one dialect's module cannot be seen by the other


def imported(module: str) -> set[str]:
    """What a module of `_wire` imports, by the last part of each name."""
    path = Path(_wire.__file__).with_name(f"{module}.py")
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names} | {(node.module or "").rpartition(".")[2]}
        elif isinstance(node, ast.Import):
            names |= {alias.name.rpartition(".")[2] for alias in node.names}
    return names


@pytest.mark.parametrize(("one", "other"), [("whisper", "qwen3"), ("qwen3", "whisper")])
def test_the_dialects_do_not_know_each_other(one: str, other: str) -> None:
    assert other not in imported(one)
    assert other.capitalize() not in imported(one)


@pytest.mark.parametrize("shared", ["frames", "reading", "writing"])
def test_what_they_share_knows_neither(shared: str) -> None:
    assert imported(shared).isdisjoint({"whisper", "qwen3", "Whisper", "Qwen3"})


# They list the models, or say which one it is by default.
NAMING = {"_core/options.py", "_cli/deployment.py", "_cli/serve/ears.py", "stt.py"}


def test_nobody_else_asks_which_dialect_it_is() -> None:
    """What a module asks for belongs into `Dialect`: a third one has an answer, too."""
    package = Path(_wire.__file__).parents[2]
    asking = set()
    for path in package.rglob("*.py"):
        inside = path.relative_to(package)
        if inside.parts[0] == "emulator" or inside.parts[:2] == ("_core", "wire"):
            continue
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        said = {node.value for node in nodes if isinstance(node, ast.Constant)}
        said |= {node.id for node in nodes if isinstance(node, ast.Name)}
        if not said.isdisjoint({"whisper", "qwen3-asr", "Whisper", "Qwen3"}):
            asking.add(inside.as_posix())
    assert asking == NAMING
