"""Reading the server's frames and writing the client's, Whisper's dialect."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from livekit.plugins.baseten._core.errors import UnreadableFrame, WrongDialect
from livekit.plugins.baseten._core.options import Options
from livekit.plugins.baseten._core.wire import (
    Alive,
    EndAudio,
    Failure,
    ServerWord,
    Transcript,
    Unknown,
    dialect_for,
)

WHISPER = dialect_for(Options.create("whisper"))


def read(**raw: Any) -> Any:
    return WHISPER.decode(json.dumps(raw))


def word(text: str, start_s: Any, end_s: Any, prob: Any = 0.9, speaker: Any = None) -> Any:
    return {
        "start_time": start_s,
        "end_time": end_s,
        "word": text,
        "prob": prob,
        "speaker": speaker,
    }


def segment(text: Any, start_s: Any = 3.0, end_s: Any = 6.5, **more: Any) -> dict[str, Any]:
    return {
        "start_time": start_s,
        "end_time": end_s,
        "text": text,
        "log_prob": -0.41,
        "word_timestamps": [],
        "speaker": None,
        "speaker_confidence": None,
        "possible_hallucination": False,
        "beam_results": [],
        "language_code": "en",
        "language_prob": None,
        **more,
    }


def transcription(*segments: Any, **more: Any) -> dict[str, Any]:
    """A frame of a current runtime, every key in it."""
    return {
        "segments": list(segments),
        "language_code": "en",
        "language_prob": None,
        "diarization": [],
        "timing_info": None,
        "enable_chunk_level_language_detection": False,
        "audio_length_sec": 3.5,
        "is_final": True,
        "transcription_num": 2,
        "next_partial": None,
        "pipeline_latency": None,
        "type": "transcription",
        **more,
    }


def envelope(kind: str, body: Any, **more: Any) -> dict[str, Any]:
    return {"type": kind, "trace_id": None, "timestamp": None, "body": body, **more}


# Results


def test_a_final_has_text_words_times_language_and_confidence() -> None:
    words = [word("turn", 4.11, 4.31, 0.93), word("on", 4.31, 4.47, 0.97)]
    assert read(**transcription(segment("turn on", word_timestamps=words))) == Transcript(
        text="turn on",
        is_final=True,
        words=(ServerWord("turn", 4.11, 4.31, 0.93), ServerWord("on", 4.31, 4.47, 0.97)),
        start_s=3.0,
        end_s=6.5,
        audio_s=3.5,
        number=2,
        language="en",
        confidence=(0.93 + 0.97) / 2,
    )


def test_a_partial_is_none_of_the_finals() -> None:
    partial = read(**transcription(segment("turn"), is_final=False, transcription_num=0))
    assert not partial.is_final
    assert partial.number == 0
    assert not partial.is_flush


def test_the_flush_at_the_end_of_audio_is_marked_and_null_is_no_mark() -> None:
    assert read(**transcription(segment("x"), is_end_of_audio_flush=True)).is_flush
    assert not read(**transcription(segment("x"), is_end_of_audio_flush=None)).is_flush
    assert not read(**transcription(segment("x"), is_end_of_audio_flush="true")).is_flush


@pytest.mark.parametrize("segments", [[], [segment("")], [segment("  ")], [segment(None)], None])
def test_an_empty_final_is_a_final(segments: Any) -> None:
    frame = read(**{**transcription(), "segments": segments})
    assert isinstance(frame, Transcript)
    assert frame.is_final
    assert frame.text == ""
    assert frame.confidence is None


def test_segments_are_joined_and_span_the_first_to_the_last() -> None:
    frame = read(**transcription(segment(" a ", 1, 2), segment("", 2, 3), segment("b", 3, 4)))
    assert (frame.text, frame.start_s, frame.end_s) == ("a b", 1.0, 4.0)


def test_a_doubtful_result_says_so() -> None:
    assert read(**transcription(segment("x", possible_hallucination=True))).is_suspect
    assert not read(**transcription(segment("x", possible_hallucination=None))).is_suspect


@pytest.mark.parametrize(
    ("probs", "mean"),
    [
        ([0.5, 1.0], 0.75),
        ([None, 0.5], 0.5),
        ([None, None], None),
        ([0.0], 0.0),
        ([1.5, 0.25], 0.25),
        (["0.9", True, -1, 0.5], 0.5),
    ],
)
def test_confidence_is_the_mean_of_the_words_that_have_one(
    probs: list[Any], mean: float | None
) -> None:
    words = [word("w", 0, 1, prob) for prob in probs]
    frame = read(**transcription(segment("x", word_timestamps=words)))
    assert frame.confidence == (None if mean is None else pytest.approx(mean))
    assert len(frame.words) == len(probs)


def test_the_log_probability_is_no_confidence() -> None:
    assert read(**transcription(segment("x", log_prob=-0.01))).confidence is None


# Languages


@pytest.mark.parametrize(
    ("top", "in_segment", "told"),
    [
        ("de", "de", "de"),
        (None, "de", "de"),
        ("", "de", "de"),
        ("auto", "de", "de"),
        (None, None, ""),
        (5, ["x"], ""),
        ("German", None, "de"),
        ("jw", None, "jv"),
        ("iw", None, "he"),
    ],
)
def test_the_language_is_the_one_the_server_names_if_any(
    top: Any, in_segment: Any, told: str
) -> None:
    frame = read(**transcription(segment("x", language_code=in_segment), language_code=top))
    assert frame.language == told


# Speakers


def test_a_diarized_sentence_ends_where_its_last_word_does() -> None:
    words = [word("yes", 1.0, 1.2, speaker="SPEAKER_01"), word("sir", 1.3, 1.7)]
    frame = read(
        **transcription(
            segment("yes sir", 1.0, 1.3, word_timestamps=words, speaker="SPEAKER_01"),
            diarization=[{"speaker": "SPEAKER_01", "start": 1.0, "end": 1.7}],
            language_code=None,
            is_end_of_audio_flush=None,
        )
    )
    assert frame.is_diarized
    assert frame.end_s == 1.7
    assert frame.speaker == "SPEAKER_01"
    assert [w.speaker for w in frame.words] == ["SPEAKER_01", "SPEAKER_01"]


def test_without_diarization_a_word_past_the_buffers_end_does_not_move_it() -> None:
    words = [word("yes", 1.0, 9.0)]
    frame = read(**transcription(segment("yes", 1.0, 1.3, word_timestamps=words)))
    assert frame.end_s == 1.3
    assert not frame.is_diarized
    assert frame.speaker is None


def test_where_several_people_spoke_each_turn_is_a_part_and_the_whole_is_who_spoke_most() -> None:
    frame = read(
        **transcription(
            segment("a", 0, 1, speaker="A"),
            segment("b", 1, 2, speaker="B"),
            segment("c", 2, 3, speaker="B"),
            segment("d", 3, 4, speaker=None),
        )
    )
    assert (frame.text, frame.speaker, frame.start_s, frame.end_s) == ("a b c d", "B", 0.0, 4.0)
    said = [(part.speaker, part.text, part.start_s, part.end_s) for part in frame.parts]
    assert said == [("A", "a", 0.0, 1.0), ("B", "b c", 1.0, 3.0), (None, "d", 3.0, 4.0)]
    assert all(part.is_final for part in frame.parts)


def test_one_speaker_makes_no_parts() -> None:
    frame = read(**transcription(segment("a", speaker="A"), segment("b", speaker="A")))
    assert frame.parts == ()
    assert read(**transcription(segment("a"), segment("b"))).parts == ()


# Details that are wrong cost the detail and not the words

NOT_A_TIME: list[object] = [
    None,
    "1.5",
    -1.0,
    -0.001,
    math.nan,
    math.inf,
    -math.inf,
    True,
    [],
    {},
    1e9,
    10**400,
]


@pytest.mark.parametrize("bad", NOT_A_TIME, ids=lambda bad: str(bad)[:12])
def test_an_impossible_time_costs_the_time_and_not_the_word(bad: Any) -> None:
    words = [word("a", bad, 2.0), word("b", 2.0, bad), word("c", 3.0, 3.5)]
    frame = read(**transcription(segment("a b c", bad, bad, word_timestamps=words)))
    assert frame.text == "a b c"
    assert [w.text for w in frame.words] == ["a", "b", "c"]
    assert (frame.words[0].start_s, frame.words[0].end_s) == (None, 2.0)
    assert (frame.words[1].start_s, frame.words[1].end_s) == (2.0, None)
    assert (frame.words[2].start_s, frame.words[2].end_s) == (3.0, 3.5)
    assert (frame.start_s, frame.end_s) == (None, None)


@pytest.mark.parametrize("bad", NOT_A_TIME, ids=lambda bad: str(bad)[:12])
def test_an_impossible_length_or_number_costs_only_itself(bad: Any) -> None:
    frame = read(**transcription(segment("a"), audio_length_sec=bad, pipeline_latency=bad))
    assert (frame.text, frame.audio_s) == ("a", None)


def test_a_word_that_ends_before_it_starts_has_no_length() -> None:
    frame = read(**transcription(segment("a", word_timestamps=[word("a", 2.0, 1.0)])))
    assert frame.words == (ServerWord("a", 2.0, 2.0, 0.9),)


@pytest.mark.parametrize("number", [None, "2", 2.5, True, []])
def test_a_number_that_is_none_costs_the_number(number: Any) -> None:
    assert read(**transcription(segment("a"), transcription_num=number)).number is None


@pytest.mark.parametrize(
    "words", [None, "words", 7, {}, [None, 5, "x", []], [{}], [word("", 1, 2)]]
)
def test_what_are_no_words_cost_the_words_and_not_the_text(words: Any) -> None:
    frame = read(**transcription(segment("hello", word_timestamps=words)))
    assert frame.text == "hello"
    assert frame.words == ()


@pytest.mark.parametrize("junk", [None, 5, "text", [], [None]])
def test_a_segment_that_is_none_costs_the_segment(junk: Any) -> None:
    assert read(**transcription(junk, segment("hello"))).text == "hello"


def test_a_field_nobody_knows_costs_nothing() -> None:
    frame = read(**transcription(segment("hello", emotion={"joy": 1}), new=[1, 2]))
    assert frame == read(**transcription(segment("hello")))


@pytest.mark.parametrize("flag", [None, "true", 1, [], {}])
def test_a_result_is_only_final_if_it_says_so(flag: Any) -> None:
    assert not read(**transcription(segment("a"), is_final=flag)).is_final
    raw = transcription(segment("a"))
    del raw["is_final"]
    assert not read(**raw).is_final


# Older runtimes


@pytest.mark.parametrize("key", ["message_type", "type"])
@pytest.mark.parametrize("kind", ["final_transcript", "partial_transcript"])
def test_the_shape_of_2025_is_read(key: str, kind: str) -> None:
    frame = read(
        **{
            key: kind,
            "transcript": "turn on the lights",
            "confidence": 0.87,
            "language": "en",
            "segments": [{"start": 1.5, "end": 3.0, "text": "turn on the lights"}],
        }
    )
    assert frame == Transcript(
        text="turn on the lights",
        is_final=kind == "final_transcript",
        start_s=1.5,
        end_s=3.0,
        language="en",
        confidence=0.87,
    )


def test_a_transcript_on_top_of_a_current_frame_is_text_if_the_segments_have_none() -> None:
    assert read(**transcription(segment(""), transcript=" hi ")).text == "hi"
    assert read(**transcription(segment("from segments"), transcript="hi")).text == "from segments"


def test_a_frame_without_a_type_is_a_result_if_it_looks_like_one() -> None:
    assert read(transcript="hi", is_final=True).is_final
    assert read(segments=[segment("hi")], is_final=False).text == "hi"
    assert read(type=None, segments=[segment("hi")], is_final=True).text == "hi"


# Everything else a server says


def test_the_end_of_audio_is_acknowledged_and_then_finished() -> None:
    acknowledged = read(**envelope("end_audio", {"status": "acknowledged"}))
    finished = read(**envelope("end_audio", {"status": "finished"}))
    assert acknowledged == EndAudio("acknowledged")
    assert not WHISPER.is_last(acknowledged)
    assert WHISPER.is_last(finished)
    assert not WHISPER.is_last(read(**transcription(segment("x"), is_end_of_audio_flush=True)))


@pytest.mark.parametrize("body", [None, [], "finished", 1, {"status": None}, {}])
def test_an_end_of_audio_without_a_status_is_not_the_last(body: Any) -> None:
    frame = read(**envelope("end_audio", body))
    assert isinstance(frame, EndAudio)
    assert not WHISPER.is_last(frame)


def test_a_health_check_answers_by_its_id() -> None:
    assert read(**envelope("health_check", {"healthy": True}, trace_id="h1")) == Alive("h1")
    assert read(**envelope("health_check", None)) == Alive("")


@pytest.mark.parametrize(
    "error",
    [
        {"body": {"message": "it broke"}},
        {"body": {"error": "it broke"}},
        {"body": {"message": "", "error": "it broke"}},
        {"body": {"message": None}, "message": "it broke"},
        {"body": None, "message": "it broke"},
        {"message": " it broke\n"},
        {"error": "it broke"},
        {"error": {"message": "it broke", "code": 5}},
        {"body": "it broke"},
        {"body": {"error": {"message": "it broke"}}},
    ],
)
def test_the_text_of_an_error_is_found_wherever_it_is(error: dict[str, Any]) -> None:
    failure = read(type="error", **error)
    assert isinstance(failure, Failure)
    assert failure.message == "it broke"


@pytest.mark.parametrize("error", [{}, {"body": []}, {"body": {"message": 5}}, {"message": "  "}])
def test_an_error_without_a_text_says_that(error: dict[str, Any]) -> None:
    assert read(type="error", **error).message == "no reason given"


@pytest.mark.parametrize(
    ("body", "recoverable", "lost"),
    [
        ({"error_type": "STREAM_ERROR", "recoverable": True}, True, False),
        ({"error_type": "TRANSCRIPTION_ERROR", "recoverable": True}, True, True),
        ({"error_type": "DIARIZATION_ERROR", "recoverable": True}, True, False),
        ({"error_type": "STREAM_ERROR", "recoverable": False}, False, False),
        ({"error": "Unhandled message type: error"}, True, False),
    ],
)
def test_an_error_says_whether_the_stream_goes_on(
    body: dict[str, Any], recoverable: bool, lost: bool
) -> None:
    failure = read(**envelope("error", body))
    assert failure.recoverable is recoverable
    assert failure.is_lost_result is lost
    assert failure.error_type == body.get("error_type", "")
    assert not failure.permanent


@pytest.mark.parametrize(
    "said",
    [
        "Audio processing loop failed: Input audio chunk is too short",
        "Audio processing loop failed: Provided number of samples is 1600 (Supported values: 256)",
        "Audio processing loop failed: buffer size must be a multiple of element size",
        "Audio processing loop failed: Unsupported encoding: opus. Expected 'pcm_s16le'",
    ],
)
def test_what_the_server_says_of_audio_it_cannot_take_would_repeat_itself(said: str) -> None:
    body = {"error_type": "AUDIO_PROCESSING_ERROR", "message": said, "recoverable": False}
    assert read(**envelope("error", body)).permanent


def test_a_frame_of_a_type_to_come_is_skipped() -> None:
    assert read(type="speech_started", at=1) == Unknown("speech_started")


# Other protocols


def test_the_unified_protocol_is_named() -> None:
    with pytest.raises(WrongDialect, match=r"session\.created") as e:
        read(type="session.created", session={"id": "s"})
    assert "v2" in str(e.value)
    assert "model_endpoint" in str(e.value)


def test_the_presets_with_cumulative_results_are_named() -> None:
    with pytest.raises(WrongDialect, match="speaker-attributed") as e:
        read(type="transcription", segments=[], processed_s=1.0, num_speakers=2)
    assert "model_endpoint" in str(e.value)


@pytest.mark.parametrize("said", ["unknown type: health_check", "binary frames are not supported"])
def test_the_other_model_of_this_package_is_named(said: str) -> None:
    with pytest.raises(WrongDialect, match="qwen3-asr"):
        read(type="error", message=said)


# What is no frame at all


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "null",
        "5",
        '"transcription"',
        "[]",
        "[" * 100_000,
        "{" * 10,
        "{}",
        '{"type":5}',
        '{"type":null}',
        '{"type":[]}',
        '{"type":{"a":1}}',
        '{"message_type":[]}',
        "9" * 10_000,
        '{"type":"transcription"',
        "\x00",
        "\ud800",
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_what_is_no_frame_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableFrame):
        WHISPER.decode(text)


def test_kinds_of_unreadable_frames_are_few() -> None:
    kinds = set()
    for text in ("<html>", "<xml>", "garbage", "x" * 1000):
        with pytest.raises(UnreadableFrame) as e:
            WHISPER.decode(text)
        kinds.add(str(e.value))
    assert len(kinds) == 1


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["error", "transcription", "final_transcript", "end_audio", "health_check"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
wrong_or_right = st.one_of(values, st.floats(0, 1000))
near_words = st.lists(
    st.fixed_dictionaries(
        {"word": st.text(max_size=5) | values},
        optional=dict.fromkeys(
            ["start_time", "end_time", "start", "prob", "speaker"], wrong_or_right
        ),
    )
    | values,
    max_size=3,
)
near_segments = st.lists(
    st.fixed_dictionaries(
        {"text": st.text(max_size=5) | values},
        optional={
            "word_timestamps": near_words | values,
            **dict.fromkeys(
                ["start_time", "end_time", "start", "end", "language_code"], wrong_or_right
            ),
            **dict.fromkeys(["speaker", "possible_hallucination"], values),
        },
    )
    | values,
    max_size=3,
)
near_frames = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["transcription", "error", "end_audio", "health_check"]) | values,
        "message_type": st.sampled_from(["final_transcript", "partial_transcript"]) | values,
        "segments": near_segments | values,
        **dict.fromkeys(
            [
                "transcript",
                "text",
                "is_final",
                "audio_length_sec",
                "transcription_num",
                "is_end_of_audio_flush",
                "language_code",
                "diarization",
                "confidence",
                "trace_id",
                "message",
                "error",
                "processed_s",
                "num_speakers",
            ],
            wrong_or_right,
        ),
        "body": values
        | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(["message", "error", "error_type", "recoverable"], values),
        ),
    },
)


def in_order(start_s: float | None, end_s: float | None) -> bool:
    times = [t for t in (start_s, end_s) if t is not None]
    return all(0 <= t < math.inf for t in times) and times == sorted(times)


def assert_readable_or_refused(text: str) -> None:
    try:
        read = WHISPER.decode(text)
    except (UnreadableFrame, WrongDialect):
        return
    if isinstance(read, Transcript):
        assert isinstance(read.text, str)
        assert isinstance(read.language, str)
        assert in_order(read.start_s, read.end_s)
        assert all(in_order(w.start_s, w.end_s) and w.text for w in read.words)
        assert read.confidence is None or 0 <= read.confidence <= 1
        assert read.speaker is None or isinstance(read.speaker, str)
    assert hash(read) is not None
    WHISPER.is_last(read)


@given(near_frames)
@example({"type": []})
@example({"message_type": {}, "transcript": "x"})
@example({"type": "transcription", "segments": [{"start_time": 5, "end_time": 3}]})
@example({"type": "transcription", "segments": [{"start_time": 10**400}]})
@example({"type": "transcription", "is_final": [], "message_type": []})
def test_anything_like_a_frame_is_read_or_refused(raw: dict[str, Any]) -> None:
    assert_readable_or_refused(json.dumps(raw))


@given(st.text() | values.map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert_readable_or_refused(text)


# What the client writes


def test_audio_goes_out_as_it_is() -> None:
    pcm = bytes(range(256)) * 4
    assert WHISPER.audio(pcm) == pcm
    assert WHISPER.chunk_samples == 512
    assert WHISPER.pads_chunks


def test_the_opening_is_one_compact_json_object_with_letters_as_they_are() -> None:
    dialect = dialect_for(Options.create("whisper", prompt="Zürich 日本"))
    assert "Zürich 日本" in str(dialect.opening())
    assert json.loads(str(dialect.opening()))["whisper_params"]["prompt"] == "Zürich 日本"
    assert ": " not in str(dialect.opening())


def test_what_an_error_shows_of_the_options_has_no_prompt_in_it() -> None:
    dialect = dialect_for(Options.create("whisper", prompt="the caller's name is Jane"))
    assert "Jane" not in dialect.described()
    assert "prompt" in dialect.described()
    assert '"audio_language": "en"' in dialect.described()


@pytest.mark.parametrize("silence_ms", [0, 1, 32, 300, 500, 10_000])
def test_a_flush_is_enough_silence_for_the_server_in_whole_chunks(silence_ms: int) -> None:
    end = dialect_for(
        Options.create("whisper", vad_min_silence_duration_ms=silence_ms)
    ).end_of_utterance(7)
    assert end.silence_samples % 512 == 0
    # N consecutive quiet frames with (N - 1) * 512 samples of at least the minimum.
    assert end.silence_samples - 512 >= silence_ms * 16
    assert end.silence_samples <= silence_ms * 16 + 12 * 512
    assert json.loads(end.frame) == {"type": "health_check", "trace_id": end.trace_id}


def test_flushes_are_told_apart() -> None:
    assert WHISPER.end_of_utterance(1).trace_id != WHISPER.end_of_utterance(2).trace_id


@pytest.mark.parametrize(("silence_ms", "trailing"), [(300, 11), (500, 17), (0, 1), (32, 2)])
def test_a_final_ends_with_the_silence_that_ended_it(silence_ms: int, trailing: int) -> None:
    options = Options.create("whisper", vad_min_silence_duration_ms=silence_ms)
    assert dialect_for(options).trailing_samples == trailing * 512


@pytest.mark.parametrize(("limit_s", "chunks"), [(30, 937), (1, 31), (16, 500)])
def test_a_forced_final_is_as_long_as_whole_chunks_make_it(limit_s: int, chunks: int) -> None:
    options = Options.create("whisper", final_transcript_max_duration_s=limit_s)
    assert dialect_for(options).forced_samples == chunks * 512


def test_the_other_frames_are_what_the_server_knows() -> None:
    assert json.loads(str(WHISPER.end_of_audio())) == {"type": "end_audio"}
    assert json.loads(str(WHISPER.probe("p1"))) == {"type": "health_check", "trace_id": "p1"}


def test_the_language_asked_for_is_a_standard_code_or_none() -> None:
    def asked(**options: Any) -> str:
        return dialect_for(Options.create("whisper", **options)).language

    assert asked() == "en"
    assert asked(language="zh-TW") == "zh"
    assert asked(language="jw") == "jv"
    assert asked(language="auto") == ""
    assert asked(extra_metadata={"whisper_params": {"audio_language": "de"}}) == "de"
