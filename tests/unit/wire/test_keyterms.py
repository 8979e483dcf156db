"""Keyterms as Whisper's prompt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from livekit.plugins.baseten._core.wire.keyterms import (
    MAX_PROMPT_TOKENS,
    estimated_tokens,
    fitted,
    least_tokens,
    unique,
    with_keyterms,
)

terms = st.lists(st.text(max_size=30), max_size=60)


def test_without_keyterms_the_prompt_is_itself() -> None:
    assert with_keyterms("Hello.", []) == "Hello."
    assert with_keyterms(None, []) == ""
    assert with_keyterms("  Hello. ", []) == "Hello."


def test_keyterms_follow_the_prompt_as_a_sentence() -> None:
    assert with_keyterms("Hello.", ["Baseten", "LiveKit"]) == "Hello. Baseten, LiveKit."
    assert with_keyterms(None, ["Baseten"]) == "Baseten."


def test_blanks_and_repetitions_go_and_the_first_spelling_stays() -> None:
    assert unique(["LiveKit", " ", "livekit", "", "Jane  Doe", "JANE DOE", "\n"]) == [
        "LiveKit",
        "Jane Doe",
    ]


def test_what_does_not_fit_is_cut_and_said() -> None:
    kept, cut = fitted("", [f"term number {n}" for n in range(100)])
    assert kept
    assert cut
    assert kept[0] == "term number 0"
    assert len(kept) + len(cut) == 100


def test_each_term_takes_a_comma_with_it() -> None:
    kept, cut = fitted("", [f"{n:03}" for n in range(200)])  # a token each
    assert len(kept) == MAX_PROMPT_TOKENS // 2
    assert len(cut) == 200 - len(kept)


def test_a_short_term_behind_one_too_long_still_goes_in() -> None:
    assert fitted("", ["x" * 3000, "short"]) == (["short"], ["x" * 3000])


def test_a_prompt_that_fills_the_window_leaves_no_room() -> None:
    kept, cut = fitted("word " * 300, ["a", "b"])
    assert (kept, cut) == ([], ["a", "b"])


def test_of_a_prompt_that_certainly_does_not_fit_the_end_is_sent() -> None:
    words = [f"{letter}{digit}," for letter in "abcdefghij" for digit in range(10)]  # 3 tokens each
    prompt = " ".join(words)
    assert least_tokens(prompt) == 300
    assert with_keyterms(prompt, []) == " ".join(words[-74:])  # 222 tokens
    fits = " ".join(words[:74])
    assert with_keyterms(fits, []) == fits


def test_other_scripts_cost_more() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("abc") == 1
    assert estimated_tokens("abcd") == 2
    assert estimated_tokens("日本") > estimated_tokens("ab")


@given(prompt=st.text(max_size=300), keyterms=terms)
def test_nothing_is_lost_and_the_window_is_never_exceeded(prompt: str, keyterms: list[str]) -> None:
    kept, cut = fitted(prompt, keyterms)
    assert sorted(kept + cut) == sorted(unique(keyterms))
    assert (
        not kept
        or estimated_tokens(prompt) + sum(estimated_tokens(term) + 1 for term in kept)
        <= MAX_PROMPT_TOKENS
    )


@given(keyterms=terms)
def test_making_unique_twice_changes_nothing(keyterms: list[str]) -> None:
    assert unique(unique(keyterms)) == unique(keyterms)
