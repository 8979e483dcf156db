"""What is heard, and when somebody speaks."""

from __future__ import annotations

import wave

import numpy as np
import pytest
from paths import AUDIO

from livekit.plugins.baseten.emulator import (
    AmplitudeDetector,
    CodedRecognizer,
    InMemoryConnection,
    Recognizer,
    ScriptRecognizer,
    SileroDetector,
    SphinxRecognizer,
    Word,
    coded_speech,
)

RECORDING = AUDIO / "sense_and_sensibility_01-0870.wav"
SPOKEN = (
    "and mister john dashwood had then leisure to consider how much there might be prudently "
    "in his power to do for them"
)


def heard(pcm: bytes, **options: int) -> list[str]:
    return [w.text for w in CodedRecognizer(**options).recognize(pcm, is_final=True)]


# Coded speech.


def test_coded_speech_is_read_back_to_the_sample() -> None:
    speech = coded_speech([(800, 4000), (0, 4000), (7, 4000)], trailing_samples=100)
    words = CodedRecognizer().recognize(speech.pcm, is_final=True)
    assert words == [Word(w.text, w.start_s, w.end_s) for w in speech.words]
    assert [(w.start_samples, w.end_samples) for w in speech.words] == [
        (800, 4800),
        (4800, 8800),
        (8807, 12807),
    ]
    assert len(speech.pcm) == 2 * 12907
    assert speech.text == "w1 w2 w3"


def test_words_of_any_length_are_checked_by_their_own() -> None:
    speech = coded_speech([(0, 1), (1, 2), (1, 700)], trailing_samples=1, first_word=31_000)
    recognizer = CodedRecognizer(speech.lengths)
    words = recognizer.recognize(speech.pcm, is_final=True)
    assert words == [Word(w.text, w.start_s, w.end_s) for w in speech.words]


SPEECH = coded_speech(3, trailing_samples=800).pcm
MARKER = 2 * (800 + 4800)  # where the second word's marker is, in bytes


@pytest.mark.parametrize(
    ("pcm", "text"),
    [
        (SPEECH, "w1 w2 w3"),
        (SPEECH[:MARKER] + SPEECH[MARKER + 2 :], "w1 w3"),
        (SPEECH[: MARKER + 2] + SPEECH[MARKER:], "w1 w2!1 w2 w3"),
        (SPEECH[: MARKER + 20] + SPEECH[MARKER + 22 :], "w1 w2!3999 w3"),
        (SPEECH[: MARKER + 22] + SPEECH[MARKER + 20 :], "w1 w2!4001 w3"),
        (SPEECH[MARKER + 2 :], "w3"),
        (SPEECH[:MARKER], "w1"),
        (SPEECH[: MARKER + 2], "w1 w2"),
        (SPEECH[: MARKER + 20], "w1 w2"),
        (SPEECH[:MARKER] + SPEECH[MARKER + 9600 :] + SPEECH[MARKER : MARKER + 9600], "w1 w3 w2"),
        (b"", ""),
        (bytes(1024), ""),
    ],
    ids=[
        "whole",
        "marker lost",
        "marker doubled",
        "sample lost",
        "sample doubled",
        "begins in a word",
        "ends before a word",
        "ends with a marker",
        "ends in a word",
        "swapped",
        "nothing",
        "silence",
    ],
)
def test_a_sample_lost_or_doubled_shows(pcm: bytes, text: str) -> None:
    assert " ".join(heard(pcm)) == text


def test_half_a_sample_cannot_be_heard() -> None:
    with pytest.raises(ValueError, match="multiple of element size"):
        heard(b"\x01")


@pytest.mark.parametrize("first_word", [0, 32_000])
def test_words_are_numbered_within_bounds(first_word: int) -> None:
    with pytest.raises(ValueError, match="32000"):
        coded_speech(2, first_word=first_word)


def test_coded_audio_is_speech_to_the_amplitude_detector() -> None:
    detector = AmplitudeDetector()
    assert detector.probability(np.zeros(512, np.int16)) == 0.0
    assert detector.probability(np.full(512, -1, np.int16)) == 1.0
    deaf = AmplitudeDetector(floor=300)
    assert deaf.probability(np.full(512, -300, np.int16)) == 0.0
    assert deaf.probability(np.full(512, np.iinfo(np.int16).min, np.int16)) == 1.0


# Scripts.


def test_a_script_says_its_lines_in_order_and_then_nothing() -> None:
    recognizer = ScriptRecognizer(["one two", "", "three"])
    said = [[w.text for w in recognizer.recognize(SPEECH, is_final=True)] for _ in range(4)]
    assert said == [["one", "two"], [], ["three"], []]


def test_a_cyclic_script_starts_again() -> None:
    recognizer = ScriptRecognizer(["one", "two"], is_cyclic=True)
    said = [recognizer.recognize(SPEECH, is_final=True)[0].text for _ in range(3)]
    assert said == ["one", "two", "one"]


def test_partials_of_a_script_grow_with_the_buffer_and_do_not_use_it_up() -> None:
    recognizer = ScriptRecognizer(["a b c d e"])
    lengths = [
        len(recognizer.recognize(LOUD_SECOND[: 2 * samples], is_final=False))
        for samples in (512, 8000, 16_000)
    ]
    assert lengths == [1, 2, 4]
    assert len(recognizer.recognize(LOUD_SECOND, is_final=True)) == 5


LOUD_SECOND = np.ones(16_000, "<i2").tobytes()


def test_words_of_a_script_are_where_the_sound_is() -> None:
    words = ScriptRecognizer(["a b"]).recognize(bytes(32_000) + LOUD_SECOND, is_final=True)
    assert [(w.start_s, w.end_s) for w in words] == [(1.0, 1.5), (1.5, 2.0)]


# Real speech.


def test_every_recognizer_is_one() -> None:
    assert isinstance(CodedRecognizer(), Recognizer)
    assert isinstance(ScriptRecognizer([]), Recognizer)


def test_sphinx_hears_most_of_a_recording_with_a_real_voice_detector() -> None:
    with wave.open(str(RECORDING)) as file:
        pcm = file.readframes(file.getnframes())
    with SphinxRecognizer(workers=1) as recognizer:
        connection = InMemoryConnection(recognizer=recognizer, voice_detector=SileroDetector)
        connection.received('{"whisper_params":{"show_word_timestamps":true}}')
        for at in range(0, len(pcm) - 1023, 1024):
            connection.received(pcm[at : at + 1024])
        connection.received('{"type":"end_audio"}')
        text = " ".join(connection.outgoing())
        assert "<sil>" not in text
        found = sum(f'"word":"{word}"' in text for word in set(SPOKEN.split()))
        assert found >= len(set(SPOKEN.split())) / 2

        # A buffer that begins with the one before it is gone on with, any other starts anew.
        first = recognizer.recognize(pcm[:64_000], is_final=False)
        longer = recognizer.recognize(pcm[:128_000], is_final=False)
        assert len(longer) > len(first) > 0
        twice = [recognizer.recognize(pcm[:128_000], is_final=True) for _ in range(2)]
        assert len(twice[0]) > len(first)
        assert len(twice[1]) > len(first)  # a final is over, so the same again is heard again
        assert recognizer.recognize(bytes(32_000), is_final=True) == []
        assert recognizer.recognize(b"", is_final=True) == []


def test_sphinx_survives_the_death_of_its_process() -> None:
    with SphinxRecognizer(workers=1) as recognizer:
        recognizer._workers[0]._process.kill()
        with pytest.raises(RuntimeError, match="process ended"):
            recognizer.recognize(bytes(1024), is_final=True)
        assert recognizer.recognize(bytes(1024), is_final=True) == []
