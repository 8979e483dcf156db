"""What a model wrote goes over the wire as it wrote it, and what a client asked for reaches it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from livekit.plugins.baseten.emulator import (
    DecodingOptions,
    InMemoryConnection,
    ScriptedServer,
    Transcript,
    Word,
    coded_speech,
)

SPEECH = coded_speech(2, trailing_samples=16_000).pcm
WORDS = (Word("cold", 0.0, 0.1), Word("-hearted.", 0.1, 0.2, is_attached=True))


class Model:
    """Says what it is told, and keeps what it was asked for."""

    blocking = False

    def __init__(self, said: Transcript) -> None:
        self.said = said
        self.asked: list[DecodingOptions] = []

    def recognize(self, pcm: bytes, *, is_final: bool) -> Transcript:
        raise AssertionError("it can be told how")

    def transcribe(self, pcm: bytes, options: DecodingOptions, *, is_final: bool) -> Transcript:
        self.asked.append(options)
        return self.said


def whisper(model: Model, params: dict[str, Any]) -> dict[str, Any]:
    """The segment of the one final."""
    connection = InMemoryConnection(recognizer=model)
    connection.received(json.dumps({"whisper_params": params}))
    for at in range(0, len(SPEECH) - 1023, 1024):
        connection.received(SPEECH[at : at + 1024])
    (message,) = map(json.loads, connection.outgoing())
    (segment,) = message["segments"]
    assert isinstance(segment, dict)
    return segment


def qwen3(model: Model, params: dict[str, Any]) -> dict[str, Any]:
    import base64

    connection = InMemoryConnection(recognizer=model, model="qwen3-asr")
    connection.received(
        json.dumps(
            {
                "whisper_params": params,
                "streaming_params": {"enable_partial_transcripts": False},
            }
        )
    )
    audio = base64.b64encode(SPEECH).decode()
    connection.received(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
    message = json.loads(connection.outgoing()[0])
    assert isinstance(message, dict)
    return message


def test_the_text_is_the_models_own() -> None:
    said = Transcript(" two  spaces - and dashes", WORDS, log_prob=-1.5, is_doubtful=True)
    segment = whisper(Model(said), {"show_word_timestamps": True})
    assert segment["text"] == " two  spaces - and dashes"
    assert [word["word"] for word in segment["word_timestamps"]] == ["cold", "-hearted."]
    assert (segment["log_prob"], segment["possible_hallucination"]) == (-1.5, True)
    assert qwen3(Model(said), {})["segments"][0]["text"] == " two  spaces - and dashes"


def test_words_without_a_text_are_joined_as_they_are_written() -> None:
    assert whisper(Model(Transcript(words=WORDS)), {})["text"] == "cold-hearted."
    assert qwen3(Model(Transcript(words=WORDS)), {})["segments"][0]["text"] == "cold-hearted."


def test_a_text_without_words_is_a_result() -> None:
    assert whisper(Model(Transcript("yes")), {"show_word_timestamps": True})["text"] == "yes"
    segment = qwen3(Model(Transcript("yes")), {})["segments"][0]
    assert segment["text"] == "yes"
    assert segment["end_time"] > segment["start_time"]


def test_a_detected_language_is_reported_in_the_models_own_spelling() -> None:
    said = Transcript("ja", language="de", language_prob=0.5)
    segment = whisper(Model(said), {"audio_language": "auto"})
    assert (segment["language_code"], segment["language_prob"]) == ("de", 0.5)
    assert qwen3(Model(said), {})["language_code"] == "German"


@pytest.mark.parametrize(
    ("params", "asked"),
    [
        ({}, {"language": "en", "word_timestamps": False, "repetition_penalty": 1.01}),
        (
            {"audio_language": "auto", "language_options": ["en", "de"]},
            {"language": None, "language_options": ("en", "de")},
        ),
        ({"audio_language": "zh-hans"}, {"language": "zh"}),
        ({"prompt": "Lake Tahoe.", "output_language": "en"}, {"prompt": "Lake Tahoe."}),
        ({"output_language": "en"}, {"translates": True}),
        ({"show_word_timestamps": True}, {"word_timestamps": True}),
        (
            {
                "whisper_sampling_params": {
                    "beam_width": 3,
                    "length_penalty": 0.5,
                    "repetition_penalty": 1.2,
                    "no_repeat_ngram_size": 4,
                    "sampling_temperatures": [0.1],
                    "max_new_tokens": 20,
                }
            },
            {
                "beam_width": 3,
                "length_penalty": 0.5,
                "repetition_penalty": 1.2,
                "no_repeat_ngram_size": 4,
                "temperatures": (0.1,),
                "max_new_tokens": 20,
            },
        ),
    ],
)
def test_what_the_metadata_says_reaches_the_decoder(
    params: dict[str, Any], asked: dict[str, Any]
) -> None:
    model = Model(Transcript("yes"))
    whisper(model, params)
    assert {name: getattr(model.asked[0], name) for name in asked} == asked


def test_what_qwen3_is_told_reaches_the_decoder() -> None:
    model = Model(Transcript("yes"))
    qwen3(model, {"audio_language": "German", "prompt": "A call.", "keyterms": ["Tahoe", "Aria"]})
    assert (model.asked[0].language, model.asked[0].prompt) == ("de", "A call. Tahoe, Aria")


def test_there_is_no_script_where_a_recognizer_hears() -> None:
    server = ScriptedServer(recognizer=Model(Transcript("yes")))
    with pytest.raises(ValueError, match="there is no script"):
        server.hear("a table for two")
