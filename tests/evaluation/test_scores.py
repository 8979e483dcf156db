"""What counts as wrong, missed, made up, taken back and late; and what is advised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from livekit.plugins.baseten._evaluation.advice import advice
from livekit.plugins.baseten._evaluation.clips import Clip, clips_of
from livekit.plugins.baseten._evaluation.hearing import Heard, Shown
from livekit.plugins.baseten._evaluation.scores import Result, Score
from livekit.plugins.baseten._evaluation.variants import Variant, variants_of
from livekit.plugins.baseten._evaluation.words import compared
from livekit.plugins.baseten._transcription.transcript import Segment, Word


def shown(
    kind: str, text: str, start_s: float = 0.0, end_s: float = 1.0, came_s: float = 1.5
) -> Shown:
    words = [Word(word, start_s, end_s, None, None) for word in text.split()]
    return Shown(kind, Segment(text, start_s, end_s, words=words), came_s)


def result(reference: str, *said: Shown, loud_s: tuple[float, float] = (0.0, 2.0)) -> Result:
    pcm = np.zeros(32_000, np.int16)
    pcm[int(loud_s[0] * 16_000) : int(loud_s[1] * 16_000)] = 3_000
    return Result(Clip("clip", Path("clip.wav"), reference), Heard(2.0, list(said), pcm), "en")


def test_words_are_compared_as_whisper_is_measured() -> None:
    comparison = compared("and mister smith paid twenty dollars", "And Mr. Smith paid $20.", "en")
    assert comparison.errors == 0
    wrong = compared("a b c d", "a x c d e", "en")
    assert [wrong.count(k) for k in ("substitute", "delete", "insert")] == [1, 0, 1]
    assert (wrong.errors, wrong.reference_units) == (2, 4)


def test_languages_without_spaces_are_compared_by_characters() -> None:
    comparison = compared("今日はいい天気です", "今日はいい元気です。", "ja")
    assert (comparison.unit, comparison.errors, comparison.reference_units) == ("character", 1, 9)


@pytest.mark.parametrize(
    ("reference", "heard", "errors"), [("", "thank you", 2), ("good day", "", 2), ("", "", 0)]
)
def test_nothing_is_compared_too(reference: str, heard: str, errors: int) -> None:
    assert compared(reference, heard, "en").errors == errors


def test_utterances_are_missed_and_made_up() -> None:
    said = [shown("final", "good evening"), shown("final", "thank you")]
    heard = result("good evening\na table for two", *said)
    assert (heard.missed_utterances, heard.false_utterances) == (1, 1)
    assert result("good evening", said[0]).missed_utterances == 0


def test_words_where_there_is_no_sound_are_counted() -> None:
    said = [shown("final", "good day", 0.0, 0.9), shown("final", "thanks", 1.5, 1.9)]
    assert result("good day", *said, loud_s=(0.0, 1.0)).words_in_silence == 1
    assert result("good day", *said).words_in_silence == 0
    assert result("", *said).words_in_silence == 3  # nobody speaks: all of it is noise


def test_words_of_interims_that_do_not_stay_are_taken_back() -> None:
    heard = result(
        "a table for two",
        shown("interim", "able"),
        shown("interim", "a table"),
        shown("preflight", "a table for two"),
        shown("final", "A table for two."),
        shown("interim", "hm"),
    )
    assert heard.taken_back == (1, 3)
    assert heard.preflights == (1, 1)


def test_delays_count_from_the_words() -> None:
    heard = result(
        "a b", shown("interim", "a", 0.2, 0.4, 0.9), shown("final", "a b", 0.2, 1.0, 1.4)
    )
    assert heard.first_interim_s == [pytest.approx(0.7)]
    assert Score(Variant(), [heard]).final_delays_s == [pytest.approx(0.4)]


def test_a_clip_that_failed_is_no_part_of_the_figures() -> None:
    failed = Result(Clip("b", Path("b.wav"), "one two"), Heard(failure="refused"), "en")
    score = Score(Variant(), [result("a b", shown("final", "a b")), failed])
    assert (score.error_rate, score.reference_units, len(score.failures)) == (0.0, 2, 1)


def scored(name: str, heard: str, delay_s: float) -> Score:
    said = shown("final", heard, end_s=1.0, came_s=1.0 + delay_s)
    return Score(Variant(name), [result("red green blue grey", said)])


def test_the_soonest_of_those_with_the_fewest_wrong_words_is_advised() -> None:
    good, soon = scored("good", "red green blue grey", 0.5), scored("soon", "red green blue", 0.1)
    sooner = scored("sooner", "red green blue grey", 0.3)
    said = advice([good, soon, sooner], has_delays=True)
    assert said[0] == "Fewest wrong words: good (0.0%)."
    assert said[1] == "Soonest finals: soon (0.10 s after the last word)."
    assert said[2].startswith(
        "Take sooner: 0.0% wrong, finals after 0.30 s. That is of 4 words: too few"
    )
    assert advice([good, soon, sooner], has_delays=False)[-1] == "Take good."
    assert advice([good], has_delays=True) == []


def test_settings_are_each_combined_with_each() -> None:
    names = [v.name for v in variants_of(["vad_threshold=0.3,0.5", "--beam-width=1,2"])]
    assert names == [f"vad_threshold={t}, beam_width={b}" for t in (0.3, 0.5) for b in (1, 2)]
    prompts = variants_of(["prompt=|Lake Tahoe, Aria.", "keyterms=Tahoe;Aria"])
    assert [v.arguments["prompt"] for v in prompts] == ["", "Lake Tahoe, Aria."]
    assert prompts[0].arguments["keyterms"] == ("Tahoe", "Aria")
    assert variants_of(["preflight=true"])[0].arguments == {"preflight": True}
    with pytest.raises(ValueError, match="NAME=VALUE,VALUE"):
        variants_of(["vad_threshold"])


def test_clips_lie_in_folders_and_tables(tmp_path: Path) -> None:
    for name in ("one.wav", "deep/two.mp3", "alone.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "one.txt").write_text("hello\n\nworld\n")
    (tmp_path / "deep/two.txt").write_text("")
    clips = clips_of(tmp_path)
    assert [(clip.name, clip.utterances) for clip in clips] == [
        ("deep/two", []),
        ("one", ["hello", "world"]),
    ]
    table = tmp_path / "clips.csv"
    table.write_text("Text;Audio\nguten Tag;one.wav\n", encoding="utf-8-sig")
    assert clips_of(table) == [Clip("one", tmp_path / "one.wav", "guten Tag")]
    table.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="none of its columns is called audio"):
        clips_of(table)
    (tmp_path / "one.mp3").touch()
    with pytest.raises(ValueError, match=r"which recording is it of, one\.mp3 and one\.wav"):
        clips_of(tmp_path)
