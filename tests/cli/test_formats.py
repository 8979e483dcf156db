"""Transcripts as files that players and programs read."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from rich.cells import cell_len

from livekit.plugins.baseten._transcription.formats import (
    Format,
    Style,
    clock,
    formatted,
    timecode,
    writer,
)
from livekit.plugins.baseten._transcription.transcript import Segment, Transcript, Word

PROSE = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife. However little known the feelings or views of such a man may be on "
    "his first entering a neighbourhood, this truth is so well fixed in the minds of the "
    "surrounding families, that he is considered the rightful property of some one or other of "
    "their daughters."
)
CHINESE = "我们今天讨论一下这个项目的进展情况，然后再决定下一步应该怎么做。"  # noqa: RUF001


def spoken(
    text: str, *, start_s: float = 0.0, word_s: float = 0.3, speaker: str | None = None
) -> Segment:
    """A segment whose words come one after the other, each followed by a little silence."""
    words = [
        Word(word, start_s + i * word_s, start_s + (i + 0.9) * word_s, 0.9, speaker)
        for i, word in enumerate(text.split())
    ]
    return Segment(text, start_s, words[-1].end_s, "en", speaker, 0.9, words)


def written(format: Format, *segments: Segment, **style: Any) -> str:
    return formatted(Transcript("talk.mp3", 99.0, list(segments)), format, **style)


@dataclass
class Shown:
    start_s: float
    end_s: float
    lines: list[str]


def seconds(timecode: str) -> float:
    hours, minutes, rest = timecode.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def read_srt(text: str) -> list[Shown]:
    """As a player does: a number, times with a comma, lines of text, an empty line."""
    assert text.endswith("\n\n")
    shown = []
    for number, block in enumerate(text.removesuffix("\n\n").split("\n\n"), 1):
        first, times, *lines = block.split("\n")
        assert first == str(number)
        at = re.fullmatch(r"(\d\d+:\d\d:\d\d,\d{3}) --> (\d\d+:\d\d:\d\d,\d{3})", times)
        assert at is not None
        shown.append(Shown(seconds(at[1]), seconds(at[2]), lines))
    return shown


def read_vtt(text: str) -> list[Shown]:
    """As a browser does: times with a point, and text with tags and character references."""
    header, *blocks = text.removesuffix("\n\n").split("\n\n")
    assert header == "WEBVTT"
    shown = []
    for block in blocks:
        times, *lines = block.split("\n")
        at = re.fullmatch(r"(\d\d+:\d\d:\d\d\.\d{3}) --> (\d\d+:\d\d:\d\d\.\d{3})", times)
        assert at is not None
        assert "-->" not in "".join(lines)
        plain = [html.unescape(re.sub(r"<v [^>]*>", "", line)) for line in lines]
        shown.append(Shown(seconds(at[1]), seconds(at[2]), plain))
    return shown


def read(format: Format, *segments: Segment) -> list[Shown]:
    text = written(format, *segments)
    return read_srt(text) if format is Format.srt else read_vtt(text)


CAPTIONS = pytest.mark.parametrize("format", [Format.srt, Format.vtt])


def check_readable(shown: Sequence[Shown]) -> None:
    for cue, after in zip(shown, [*shown[1:], None], strict=True):
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < cell_len(line) <= 42 for line in cue.lines)
        assert 0 < cue.end_s - cue.start_s <= 7.0
        assert after is None or cue.end_s <= after.start_s


@CAPTIONS
def test_long_speech_becomes_captions_that_can_be_read(format: Format) -> None:
    shown = read(format, spoken(PROSE))
    check_readable(shown)
    assert " ".join(line for cue in shown for line in cue.lines) == PROSE
    assert len(shown) <= 8  # and not a word at a time


@CAPTIONS
def test_slow_speech_is_not_shown_for_longer_than_it_takes_to_read(format: Format) -> None:
    shown = read(format, spoken(PROSE, word_s=2.0))
    check_readable(shown)
    assert " ".join(line for cue in shown for line in cue.lines) == PROSE


@CAPTIONS
def test_each_caption_comes_with_its_first_word(format: Format) -> None:
    segment = spoken(PROSE, start_s=3600.0)
    starts = {word.text: word.start_s for word in segment.words if PROSE.count(word.text) == 1}
    checked = 0
    for cue in read(format, segment):
        first = cue.lines[0].split()[0]
        if first in starts:
            assert cue.start_s == pytest.approx(starts[first], abs=0.001)
            checked += 1
    assert checked


@CAPTIONS
def test_captions_change_where_a_sentence_ends(format: Format) -> None:
    first = "That is what she said to us."
    second = "Nobody who was there that evening believed a single word of the whole story."
    shown = read(format, spoken(f"{first} {second}", word_s=0.2))
    assert [" ".join(cue.lines) for cue in shown] == [first, second]


@CAPTIONS
def test_captions_change_where_somebody_pauses(format: Format) -> None:
    first = spoken("so that is what she said to us", word_s=0.2)
    second = spoken(
        "nobody who was there that evening believed a single word of the whole story",
        start_s=first.end_s + 0.8,
        word_s=0.2,
    )
    text, words = f"{first.text} {second.text}", [*first.words, *second.words]
    shown = read(format, Segment(text, 0.0, second.end_s, words=words))
    assert [" ".join(cue.lines) for cue in shown] == [first.text, second.text]


@CAPTIONS
def test_speech_without_word_times_is_spread_evenly(format: Format) -> None:
    shown = read(format, Segment(PROSE, 10.0, 30.0))
    check_readable(shown)
    assert " ".join(line for cue in shown for line in cue.lines) == PROSE
    assert shown[0].start_s == 10.0
    assert shown[-1].end_s == pytest.approx(30.0, abs=0.01)


@CAPTIONS
def test_a_language_without_spaces_is_broken_too_and_stays_whole(format: Format) -> None:
    text = CHINESE * 3
    words = [Word(c, i * 0.2, i * 0.2 + 0.2) for i, c in enumerate(text)]
    for segment in (Segment(text, 0.0, 18.0), Segment(text, 0.0, words[-1].end_s, words=words)):
        shown = read(format, segment)
        check_readable(shown)
        assert "".join(line for cue in shown for line in cue.lines) == text


@CAPTIONS
def test_words_that_are_not_in_the_text_cost_no_text(format: Format) -> None:
    segment = Segment("one two", 0.0, 1.0, words=[Word("three", 0.0, 1.0)])
    (cue,) = read(format, segment)
    assert cue.lines == ["one two"]


@CAPTIONS
def test_a_short_word_is_shown_long_enough_but_not_into_the_next(format: Format) -> None:
    shown = read(format, spoken("Yes."), spoken("No.", start_s=0.5), spoken("Well.", start_s=9.0))
    assert [(cue.start_s, cue.end_s) for cue in shown] == [(0.0, 0.5), (0.5, 1.5), (9.0, 10.0)]


@CAPTIONS
def test_no_caption_is_without_length_whatever_the_times(format: Format) -> None:
    stuck = [Segment("one", 5.0, 5.0), Segment("two", 5.0, 5.0), Segment("three", 4.9, 4.9)]
    shown = read(format, *stuck)
    assert len(shown) == 3
    assert all(cue.end_s > cue.start_s for cue in shown)


@CAPTIONS
def test_markup_and_arrows_in_speech_do_not_break_the_file(format: Format) -> None:
    shown = read(format, spoken("if a < b && c --> d then <b> &amp;"))
    (text,) = [" ".join(cue.lines) for cue in shown]
    arrow = "->" if format is Format.srt else "-->"
    assert text == f"if a < b && c {arrow} d then <b> &amp;"


def test_speakers_are_voices_in_vtt_and_named_when_they_change_in_srt() -> None:
    said = [
        spoken("Good morning.", speaker="Ann & <Bob>"),
        spoken("How are you?", start_s=5.0, speaker="Ann & <Bob>"),
        spoken("Well.", start_s=10.0, speaker="Eve"),
    ]
    assert "<v Ann &amp; &lt;Bob&gt;>Good morning.\n" in written(Format.vtt, *said)
    assert "<v Eve>Well.\n" in written(Format.vtt, *said)
    shown = [" ".join(cue.lines) for cue in read(Format.srt, *said)]
    assert shown == ["Ann & <Bob>: Good morning.", "How are you?", "Eve: Well."]


def test_a_caption_is_of_one_speaker() -> None:
    words = [Word("Yes.", 0.0, 0.3, speaker="Ann"), Word("No.", 0.4, 0.7, speaker="Bob")]
    shown = read(Format.srt, Segment("Yes. No.", 0.0, 0.7, words=words))
    assert [cue.lines for cue in shown] == [["Ann: Yes."], ["Bob: No."]]


def test_nothing_said_is_a_file_that_says_so() -> None:
    assert written(Format.text) == ""
    assert written(Format.srt) == ""
    assert written(Format.vtt) == "WEBVTT\n\n"
    assert json.loads(written(Format.json))["text"] == ""


def test_text_is_a_line_for_each_segment() -> None:
    said = [spoken("Good\nmorning.", speaker="Ann"), spoken("Well.", start_s=3599.5)]
    assert written(Format.text, *said) == "Ann: Good morning.\nWell.\n"
    assert written(Format.text, *said, timestamps=True) == (
        "[00:00.000 --> 00:00.570] Ann: Good morning.\n[59:59.500 --> 59:59.770] Well.\n"
    )


def test_json_is_one_line_and_keeps_every_letter() -> None:
    german = Segment("Grüße", 0.0, 1.0, "de", confidence=None)
    said = Transcript("talk.mp3", 9.0, [german, german, spoken("hello")])
    text = writer(Format.json, Style()).ended(said)
    assert text.count("\n") == 1
    assert "Grüße" in text
    transcript = json.loads(text)
    assert transcript["language"] == "de"  # what most of it is in
    assert transcript["segments"][0]["confidence"] is None
    assert [segment["language"] for segment in transcript["segments"]] == ["de", "de", "en"]


@pytest.mark.parametrize(
    ("s", "code", "short"),
    [
        (0.0, "00:00:00,000", "00:00.000"),
        (59.9996, "00:01:00,000", "01:00.000"),
        (3599.9994, "00:59:59,999", "59:59.999"),
        (359_999.5, "99:59:59,500", "99:59:59.500"),
        (360_000.0, "100:00:00,000", "100:00:00.000"),
    ],
)
def test_times_are_rounded_to_milliseconds_and_carried(s: float, code: str, short: str) -> None:
    assert timecode(s, ",") == code
    assert clock(s) == short


@CAPTIONS
def test_no_line_is_broken_inside_a_word_or_a_number(format: Format) -> None:
    korean = (
        "안녕하세요 여러분 오늘은 날씨가 정말 좋습니다 우리는 공원에서 "
        "산책을 했습니다 그리고 점심을 먹었습니다"
    )
    for text in (korean, "我们用Python写了12,345行代码" * 4, "e\u0301" * 60):
        shown = read(format, Segment(text, 0.0, 8.0))
        check_readable(shown)
        lines = [line for cue in shown for line in cue.lines]
        for whole in (*korean.split(), "Python", "12,345"):
            assert sum(line.count(whole) for line in lines) == text.count(whole)
        assert not any(line.startswith("\u0301") for line in lines)


@CAPTIONS
def test_what_is_said_ends_no_caption_early(format: Format) -> None:
    (cue,) = read(format, Segment("A.\n\nB\u2028\x85C", 0.0, 2.0))
    assert cue.lines == ["A. B C"]


@CAPTIONS
def test_an_abbreviation_ends_no_sentence(format: Format) -> None:
    first = "Yesterday at noon we have met the famous Mr. Dashwood."
    text = f"{first} It was in the garden of his house by the sea."
    shown = read(format, spoken(text, word_s=0.2))
    assert " ".join(shown[0].lines) == first


def test_the_name_of_a_speaker_is_part_of_the_width() -> None:
    shown = read(Format.srt, spoken(PROSE, speaker="Constantinople"))
    check_readable(shown)
    assert shown[0].lines[0].startswith("Constantinople: It is")


def test_captions_are_as_wide_and_as_high_as_asked_for() -> None:
    text = written(Format.srt, spoken(PROSE), max_line_width=24, max_lines=3)
    for cue in read_srt(text):
        assert len(cue.lines) <= 3
        assert all(cell_len(line) <= 24 for line in cue.lines)


def test_webvtt_can_have_the_time_of_each_word() -> None:
    text = written(Format.vtt, spoken("one two three"), word_times=True)
    assert "one <00:00:00.300>two <00:00:00.600>three" in text


def test_tab_separated_values_have_milliseconds() -> None:
    text = written(Format.tsv, Segment("one\ttwo", 1.5, 2.0))
    assert text == "start\tend\ttext\n1500\t2000\tone two\n"


def test_segments_of_languages_without_spaces_are_joined_without() -> None:
    def joined(*texts: str) -> str:
        return Transcript("", 9.0, [Segment(text, 0.0, 1.0) for text in texts]).text

    assert joined("今日は。", "元気です。") == "今日は。元気です。"
    assert joined("안녕.", "네.") == "안녕. 네."
    assert joined("One.", "Two.") == "One. Two."
