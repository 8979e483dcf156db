"""What a user may set: names, defaults, ranges, and what of it goes over the wire."""

from __future__ import annotations

import inspect
import json
import math
import re
import warnings
from collections.abc import Sequence
from types import GenericAlias, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from kit.client import ENDPOINT, KEY, metadata_of, new_stt, push
from typer.core import TyperGroup
from typer.main import get_command
from typing_extensions import Unpack

from livekit.agents.types import NOT_GIVEN, NotGiven
from livekit.plugins import baseten
from livekit.plugins.baseten._cli import app
from livekit.plugins.baseten._cli.deployment import NOT_ON_COMMAND_LINE, ModelName, in_options
from livekit.plugins.baseten._core.options import Model, Options
from livekit.plugins.baseten._core.wire import DIALECTS
from livekit.plugins.baseten._livekit.arguments import OptionChanges
from livekit.plugins.baseten.emulator._models.dialects import Dialect
from livekit.plugins.baseten.emulator._models.metadata import metadata

DEFAULT_METADATA = {
    "whisper_params": {"audio_language": "en", "show_word_timestamps": True},
    "streaming_params": {
        "encoding": "pcm_s16le",
        "sample_rate": 16000,
        "enable_partial_transcripts": True,
        "partial_transcript_interval_s": 0.5,
        "final_transcript_max_duration_s": 29,
    },
    "streaming_vad_config": {
        "threshold": 0.5,
        "min_silence_duration_ms": 300,
        "speech_pad_ms": 30,
    },
}

# What changes from the defaults, and the metadata of all of it.
EVERYTHING: dict[str, Any] = {
    "language": "auto",
    "language_options": ["en-US", "de"],
    "translate": True,
    "enable_partial_transcripts": False,
    "partial_transcript_interval_s": 1.25,
    "final_transcript_max_duration_s": 12,
    "show_word_timestamps": False,
    "vad_threshold": 0.25,
    "vad_min_silence_duration_ms": 700,
    "vad_speech_pad_ms": 0,
    "prompt": "Baseten.",
    "use_dynamic_preprocessing": True,
    "beam_width": 4,
    "length_penalty": 1.5,
    "repetition_penalty": 1.1,
    "beam_search_diversity_rate": 0.0,
    "no_repeat_ngram_size": 3,
    "enable_diarization": True,
    "diarization_granularity": "word",
    "stream_id": "6F0C1C0E-0000-4000-8000-000000000000",
    "extra_metadata": {
        "include_timing_info": True,
        "whisper_params": {"whisper_sampling_params": {"max_new_tokens": 200, "beam_width": 5}},
        "streaming_vad_config": {"speech_pad_ms": 10},
    },
}
ALL_METADATA = {
    "whisper_params": {
        "audio_language": "auto",
        "show_word_timestamps": False,
        "language_options": ["en", "de"],
        "output_language": "en",
        "prompt": "Baseten.",
        "use_dynamic_preprocessing": True,
        "whisper_sampling_params": {
            "beam_width": 5,
            "length_penalty": 1.5,
            "repetition_penalty": 1.1,
            "beam_search_diversity_rate": 0.0,
            "no_repeat_ngram_size": 3,
            "max_new_tokens": 200,
        },
        "enable_diarization": True,
        "diarization_granularity": "word",
    },
    "streaming_params": {
        "encoding": "pcm_s16le",
        "sample_rate": 16000,
        "enable_partial_transcripts": False,
        "partial_transcript_interval_s": 1.25,
        "final_transcript_max_duration_s": 12,
    },
    "streaming_vad_config": {
        "threshold": 0.25,
        "min_silence_duration_ms": 700,
        "speech_pad_ms": 10,
    },
    "stream_id": "6f0c1c0e-0000-4000-8000-000000000000",
    "include_timing_info": True,
}


# The metadata


async def test_only_what_every_runtime_takes_is_sent_by_default() -> None:
    assert await metadata_of(new_stt()) == DEFAULT_METADATA


async def test_everything_that_is_set_is_sent() -> None:
    assert await metadata_of(new_stt(**EVERYTHING)) == ALL_METADATA


async def test_an_update_says_the_same_as_a_constructor() -> None:
    stt = new_stt()
    stt.update_options(**EVERYTHING)
    assert await metadata_of(stt) == ALL_METADATA


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name != "extra_metadata"])
async def test_each_option_reaches_the_wire_or_waits_for_the_one_it_belongs_to(name: str) -> None:
    changed = await metadata_of(new_stt(**{name: EVERYTHING[name]}))
    if name == "diarization_granularity":  # means nothing without diarization
        assert changed == DEFAULT_METADATA
    else:
        assert changed != DEFAULT_METADATA


@pytest.mark.parametrize("falsy", [0.0, 0])
async def test_a_zero_is_set_and_not_missing(falsy: float) -> None:
    sent = await metadata_of(new_stt(length_penalty=falsy, no_repeat_ngram_size=0))
    assert sent["whisper_params"]["whisper_sampling_params"] == {
        "length_penalty": 0,
        "no_repeat_ngram_size": 0,
    }
    sent = await metadata_of(new_stt(use_dynamic_preprocessing=False, vad_threshold=falsy))
    assert sent["whisper_params"]["use_dynamic_preprocessing"] is False
    assert sent["streaming_vad_config"]["threshold"] == 0


async def test_extra_metadata_is_laid_over_the_rest_last_and_field_by_field() -> None:
    extra = {
        "new": {"a": [1]},
        "whisper_params": {"audio_language": "de", "newer": None},
        "streaming_vad_config": {},
    }
    sent = await metadata_of(new_stt(language="en", extra_metadata=extra))
    assert sent["new"] == {"a": [1]}
    assert sent["whisper_params"] == {
        "audio_language": "de",
        "show_word_timestamps": True,
        "newer": None,
    }
    assert sent["streaming_vad_config"] == DEFAULT_METADATA["streaming_vad_config"]


async def test_extra_metadata_belongs_to_the_stt_once_it_is_given() -> None:
    extra: dict[str, Any] = {"whisper_params": {"newer": 1}}
    stt = new_stt(extra_metadata=extra)
    extra["whisper_params"]["newer"] = 2
    extra["more"] = 3
    sent = await metadata_of(stt)
    assert sent["whisper_params"]["newer"] == 1
    assert "more" not in sent


@pytest.mark.parametrize(
    "extra",
    [
        {"whisper_params": None},
        {"whisper_params": {"x": object()}},
        {"x": {1, 2}},
        {"x": math.nan},
        {"x": math.inf},
        {1: 2},
    ],
)
def test_extra_metadata_that_cannot_be_sent_is_an_error_at_once(extra: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match="extra_metadata"):
        new_stt(extra_metadata=extra)


async def test_each_stream_has_a_copy_of_the_options() -> None:
    stt = new_stt()
    async with stt.stream(language="de") as german, stt.stream() as english:
        assert german.options.language == "de"
        assert english.options.language == "en"
        assert (await metadata_of(stt))["whisper_params"]["audio_language"] == "en"
        stt.update_options(vad_threshold=0.7)
        assert german.options.language == "de"
        assert german.options.vad_threshold == english.options.vad_threshold == 0.7
    await stt.aclose()


def test_a_stream_in_a_language_the_model_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="language='klingon'"):
        new_stt().stream(language="klingon")


# One option, one set of facts


OPTIONS = [name for name in Options.model_fields if name != "model"]
CHANGES = get_type_hints(OptionChanges)
ARGUMENTS = get_type_hints(baseten.STT.__init__)


def kinds(annotation: Any) -> set[Any]:
    """What an argument takes, apart from what leaves it to somebody else."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    kept = set(parts) - {NotGiven, type(None)}
    return {
        GenericAlias(tuple, (*get_args(kind), ...)) if get_origin(kind) is Sequence else kind
        for kind in kept
    }


def test_the_constructor_and_an_update_take_every_option_and_no_other() -> None:
    assert list(CHANGES) == [*OPTIONS, "buffer_size_seconds"], "see _livekit/arguments.py"
    assert [name for name in ARGUMENTS if name in OPTIONS] == OPTIONS, "see stt.py"
    for update in (baseten.STT.update_options, baseten.SpeechStream.update_options):
        hints = get_type_hints(update)
        assert hints == {"changes": Unpack[OptionChanges], "return": type(None)}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_the_same_wherever_it_is_named(name: str) -> None:
    field = Options.model_fields[name]
    assert kinds(ARGUMENTS[name]) == kinds(CHANGES[name]) == kinds(field.annotation)
    default = inspect.signature(baseten.STT.__init__).parameters[name].default
    if default is not NOT_GIVEN:
        assert Options.create("whisper", **{name: default}) == Options.create("whisper")


def test_the_docstring_tells_of_each_argument_in_its_place() -> None:
    told = re.findall(r"^    (\w+): ", inspect.getdoc(baseten.STT.__init__) or "", re.M)
    parameters = list(inspect.signature(baseten.STT.__init__).parameters)[1:]
    assert [name for name in told if name != "ValueError"] == parameters


def test_each_option_is_tried_on_the_wire() -> None:
    assert {*EVERYTHING, "keyterms"} == set(OPTIONS)  # see `kit` for keyterms


def test_the_local_baseten_takes_all_that_is_sent() -> None:
    """A field that it refuses is missing in emulator/_models/metadata.py."""
    sent, _ = metadata(json.dumps(ALL_METADATA), version="current", has_diarizer=True)
    assert sent == ALL_METADATA


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in NOT_ON_COMMAND_LINE])
def test_the_command_line_has_each_option_and_names_it_in_errors(name: str) -> None:
    """A new one is a parameter of `transcribe` (_cli/recognition.py has its type)."""
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    offered = {option for p in commands.commands["transcribe"].params for option in p.opts}
    assert in_options(f"{name}={EVERYTHING.get(name)!r}").split()[0] in offered


def test_metadata_in_an_error_stay_as_they_were_sent() -> None:
    sent = '{"whisper_params": {"language_options": ["en"], "use_dynamic_preprocessing": true}}'
    assert in_options(sent) == sent


def test_an_option_that_there_is_not_is_the_error_that_python_has_for_it() -> None:
    with pytest.raises(TypeError, match="langauge"):
        new_stt().update_options(langauge="de")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="model"):
        new_stt().update_options(model="qwen3-asr")  # type: ignore[call-arg]


async def test_a_stream_can_be_changed_alone() -> None:
    stt = new_stt()
    async with stt.stream() as changed, stt.stream() as other:
        changed.update_options(language="de", keyterms=["Marianne"], vad_threshold=NOT_GIVEN)
        assert changed.options.language == "de"
        assert changed.options.keyterms == ("Marianne",)
        assert other.options == Options.create("whisper")
        with pytest.raises(ValueError, match="language='klingon'"):
            changed.update_options(language="klingon", vad_threshold=0.7)
        assert (changed.options.language, changed.options.vad_threshold) == ("de", 0.5)
    assert await metadata_of(stt) == DEFAULT_METADATA
    await stt.aclose()


@pytest.mark.parametrize("name", ["keyterms", "language_options"])
def test_a_text_is_no_list_of_texts(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}='Dashwood'"):
        new_stt(**{name: "Dashwood"})


NAMING = ("model_endpoint", "model_id", "chain_id")
NUMBERS = [
    *("replay_buffer_s", "drain_timeout_s", "cold_start_timeout", "ping_interval_s"),
    *("health_check_interval_s", "health_check_timeout_s", "partial_transcript_interval_s"),
    *("final_transcript_max_duration_s", "vad_min_silence_duration_ms", "beam_width"),
]


def unnamed_if(is_naming: bool) -> dict[str, Any]:
    """For a test that names the deployment itself."""
    return {"model_endpoint": None} if is_naming else {}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_may_be_text_as_in_the_environment(name: str) -> None:
    new_stt(**{name: "5"})
    for wrong in ("five", [1], object):
        with pytest.raises(ValueError, match=f"^{name}="):
            new_stt(ENDPOINT, **{name: wrong})


@pytest.mark.parametrize("name", ["preflight", "drop_hallucinations", "enable_diarization"])
def test_the_text_false_is_not_true(name: str) -> None:
    assert not getattr(new_stt(**{name: "false"}), f"_{name}", False)
    with pytest.raises(ValueError, match=f"^{name}='perhaps': must be True or False"):
        new_stt(**{name: "perhaps"})


@pytest.mark.parametrize("name", [*NAMING, "environment", "http_session", "record", "transform"])
def test_what_is_of_a_wrong_kind_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}="):
        new_stt(**{**unnamed_if(name in NAMING), name: [1]})


async def test_detection_follows_from_the_languages_on_change_too() -> None:
    stt = new_stt()
    stt.update_options(language_options=["en", "de"])
    assert stt._options.language == "auto"
    stt.update_options(language_options=None)
    assert stt._options.language == "en"
    stt.update_options(language="de")
    stt.update_options(language_options=None)
    assert stt._options.language == "de"
    async with stt.stream() as stream:
        stream.update_options(language_options=["fr", "de"])
        assert stream.options.language == "auto"
        stream.update_options(language="auto", language_options=None)
        assert stream.options.language == "auto"


# The models


def test_each_model_has_a_dialect_a_local_one_and_a_name_on_the_command_line() -> None:
    names = get_args(Model)
    assert tuple(DIALECTS) == names, "see _core/wire/__init__.py"
    assert tuple(name.value for name in ModelName) == names, "see _cli/deployment.py"
    assert get_args(Dialect) == names, "see emulator/_models/dialects.py"
    for model in names:
        assert new_stt(model=model).model == model


# Ranges

OUT_OF_RANGE = [
    ("vad_threshold", -0.1),
    ("vad_threshold", 1.1),
    ("vad_threshold", math.nan),
    ("vad_threshold", "loud"),
    ("vad_min_silence_duration_ms", -1),
    ("vad_min_silence_duration_ms", 10_001),
    ("vad_min_silence_duration_ms", 300.5),
    ("vad_speech_pad_ms", -1),
    ("vad_speech_pad_ms", 10_001),
    ("partial_transcript_interval_s", 0),
    ("partial_transcript_interval_s", -1),
    ("partial_transcript_interval_s", 31),
    ("final_transcript_max_duration_s", 0),
    ("final_transcript_max_duration_s", 31),
    ("final_transcript_max_duration_s", 7.5),
    ("beam_width", 0),
    ("beam_width", 65),
    ("length_penalty", -0.1),
    ("length_penalty", math.inf),
    ("repetition_penalty", 0),
    ("repetition_penalty", math.inf),
    ("beam_search_diversity_rate", -1),
    ("beam_search_diversity_rate", math.inf),
    ("no_repeat_ngram_size", -1),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_number_out_of_range_is_an_error_with_its_name_value_and_range(
    name: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=f"^{name}=") as e:
        new_stt(ENDPOINT, **{name: value})
    assert f"{name}={value!r}" in str(e.value)
    assert any(bound in str(e.value) for bound in ("at least", "above", "at most", "finite"))
    assert "input should" not in str(e.value)


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
async def test_an_update_out_of_range_changes_nothing(name: str, value: Any) -> None:
    stt = new_stt()
    async with stt.stream() as stream:
        with pytest.raises(ValueError, match=f"^{name}="):
            stt.update_options(enable_partial_transcripts=False, **{name: value})
        assert stream.options == Options.create("whisper")
        assert stt.capabilities.interim_results
    assert await metadata_of(stt) == DEFAULT_METADATA


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("replay_buffer_s", 0),
        ("replay_buffer_s", math.nan),
        ("drain_timeout_s", 0),
        ("cold_start_timeout", -1),
        ("cold_start_timeout", math.nan),
        ("ping_interval_s", -1),
        ("health_check_interval_s", -1),
        ("health_check_timeout_s", 0),
    ],
)
def test_a_limit_out_of_range_is_an_error_with_its_name_value_and_range(
    name: str, value: float
) -> None:
    with pytest.raises(ValueError, match=f"^{name}=") as e:
        new_stt(ENDPOINT, **{name: value})
    assert f"{name}={value!r}" in str(e.value)
    assert "at least 0" in str(e.value) or "above 0" in str(e.value)


async def test_a_replay_buffer_without_end_is_refused_or_works() -> None:
    try:
        stt = new_stt(replay_buffer_s=math.inf)
    except ValueError as e:
        assert "replay_buffer_s" in str(e)
        return
    async with stt.stream() as stream:
        push(stream, bytes(32_000))
    await stt.aclose()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "whisperer"),
        ("diarization_granularity", "syllable"),
        ("show_word_timestamps", "perhaps"),
        ("enable_partial_transcripts", "perhaps"),
        ("prompt", 5),
        ("language", None),
    ],
)
def test_what_is_no_value_at_all_is_an_error_in_plain_words(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}=") as e:
        new_stt(ENDPOINT, **{name: value})
    assert repr(value) in str(e.value)
    assert "input should" not in str(e.value).lower()
    assert "pydantic" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vad_threshold", 0),
        ("vad_threshold", 1),
        ("vad_min_silence_duration_ms", 0),
        ("partial_transcript_interval_s", 0.01),
        ("final_transcript_max_duration_s", 1),
        ("final_transcript_max_duration_s", 30),
        ("final_transcript_max_duration_s", 30.0),
        ("beam_width", 1),
        ("ping_interval_s", 0),
        ("health_check_interval_s", 0),
        ("cold_start_timeout", 0),
    ],
)
def test_the_ends_of_a_range_are_in_it(name: str, value: float) -> None:
    new_stt(ENDPOINT, **{name: value})


# What the plugin before this one took


FORMER_ARGUMENTS: dict[str, Any] = {
    "model": "whisper",
    "api_key": KEY,
    "model_endpoint": ENDPOINT,
    "model_id": "abc123",
    "chain_id": "abc123",
    "sample_rate": 16000,
    "encoding": "pcm_s16le",
    "buffer_size_seconds": 0.032,
    "language": "en",
    "language_options": ["en", "de"],
    "enable_partial_transcripts": True,
    "partial_transcript_interval_s": 1.0,
    "final_transcript_max_duration_s": 30,
    "show_word_timestamps": True,
    "vad_threshold": 0.5,
    "vad_min_silence_duration_ms": 300,
    "vad_speech_pad_ms": 30,
    "http_session": None,
}
FORMER_UPDATES: dict[str, Any] = {
    "vad_threshold": 0.6,
    "vad_min_silence_duration_ms": 400,
    "vad_speech_pad_ms": 20,
    "language": "de",
    "language_options": ["de", "fr"],
    "buffer_size_seconds": 0.064,
}


@pytest.mark.parametrize("naming", NAMING)
def test_every_argument_of_1_8_9_is_taken(naming: str) -> None:
    """But for two names of a deployment at once, of which one had no effect."""
    others = {name: None for name in NAMING if name != naming}
    with pytest.warns(DeprecationWarning, match="buffer_size_seconds"):
        baseten.STT(**{**FORMER_ARGUMENTS, **others})


@pytest.mark.parametrize("name", FORMER_ARGUMENTS)
def test_each_argument_of_1_8_9_is_taken_alone(name: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "buffer_size_seconds")
        new_stt(**{**unnamed_if(name in NAMING), name: FORMER_ARGUMENTS[name]})


def test_every_argument_of_the_update_of_1_8_9_is_taken() -> None:
    stt = new_stt()
    with pytest.warns(DeprecationWarning, match="buffer_size_seconds") as caught:
        stt.update_options(**FORMER_UPDATES)
    assert caught[0].filename == __file__
    stt.update_options()


def test_the_buffer_size_that_never_did_anything_warns_where_it_was_written() -> None:
    with pytest.warns(DeprecationWarning, match="no effect") as caught:
        baseten.STT(model_endpoint=ENDPOINT, api_key=KEY, buffer_size_seconds=0.032)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("rate_hz", [8000, 24000, 48000, 0])
def test_another_sample_rate_is_an_error_that_says_why(rate_hz: int) -> None:
    with pytest.raises(ValueError, match=f"sample_rate={rate_hz}") as e:
        new_stt(sample_rate=rate_hz)
    assert "16000" in str(e.value)
    assert "resampled" in str(e.value)


@pytest.mark.parametrize("encoding", ["pcm_mulaw", "opus", ""])
def test_another_encoding_is_an_error_that_says_why(encoding: str) -> None:
    with pytest.raises(ValueError, match="encoding=") as e:
        new_stt(encoding=encoding)
    assert repr(encoding) in str(e.value)
    assert "pcm_s16le" in str(e.value)


def test_not_given_is_the_default_for_whatever_takes_it() -> None:
    parameters = inspect.signature(baseten.STT.__init__).parameters.values()
    open_ones = {p.name: NOT_GIVEN for p in parameters if p.default is NOT_GIVEN}
    assert open_ones
    new_stt(**open_ones)


def test_arguments_have_names_only() -> None:
    kinds = {p.kind for p in inspect.signature(baseten.STT).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


# What LiveKit is told


def test_the_capabilities_are_what_the_options_make_of_them() -> None:
    told = new_stt().capabilities
    assert told.streaming
    assert told.interim_results
    assert told.manual_flush
    assert told.aligned_transcript == "word"
    assert not told.diarization


@pytest.mark.parametrize("how", ["constructor", "update"])
def test_the_capabilities_follow_the_options(how: str) -> None:
    changes: dict[str, Any] = {
        "enable_partial_transcripts": False,
        "show_word_timestamps": False,
        "enable_diarization": True,
    }
    stt = new_stt(**changes) if how == "constructor" else new_stt()
    if how == "update":
        stt.update_options(**changes)
    assert not stt.capabilities.interim_results
    assert stt.capabilities.aligned_transcript is False
    assert stt.capabilities.diarization
    assert stt.capabilities.streaming


def test_the_model_and_the_provider_have_names() -> None:
    stt = new_stt()
    assert (stt.model, stt.provider) == ("whisper", "Baseten")
    assert stt.label == "livekit.plugins.baseten.stt.STT"


def test_options_do_not_change_and_an_update_without_a_change_is_the_same_value() -> None:
    options = Options.create("whisper")
    assert options.updated(language="en", vad_threshold=0.5) is options
    assert options.updated(language="de") is not options
    assert options.language == "en"
    with pytest.raises(ValueError, match="frozen"):
        options.language = "de"  # type: ignore[misc]


def test_an_option_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="langauge"):
        Options.create("whisper", langauge="de")
