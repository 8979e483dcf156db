"""What holds for text in any language."""

from __future__ import annotations

import pytest

from livekit.plugins.baseten._core.text import has_words, joined


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "...", "♪", "♪♪ ♪", "- -", "?!", "…", "。"),
        *("[BLANK_AUDIO]", "[ Silence ]", "(music)", "(upbeat music)", "*coughs*", "♪ (music) ♪"),
        *(
            "(speaking in foreign language)",
            "\uff08\u97f3\u697d\uff09",
            "\u3010\u62cd\u624b\u3011",
            "[MUSIC] [APPLAUSE].",
        ),
    ],
)
def test_nothing_to_say(text: str) -> None:
    assert not has_words(text)


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "42", "Ja.", "はい", "네", "ใช่", "♪ la la ♪", "[laughs] no"),
        "(I think that we should go)",
    ],
)
def test_something_to_say(text: str) -> None:
    assert has_words(text)


def test_texts_are_joined_as_their_script_is_written() -> None:
    assert joined(["yes", "no"]) == "yes no"
    assert joined(["はい。", "いいえ。"]) == "はい。いいえ。"
    assert joined(["네", "아니요"]) == "네 아니요"
