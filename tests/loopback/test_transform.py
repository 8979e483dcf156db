"""`STT(transform=...)`: what it takes out is in no event, no recording and no log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from kit import grammar
from kit.client import Kind, finals, frame, of, transcribed
from kit.loopback import client

from livekit.plugins.baseten.emulator import coded_speech, serve

# "w1001 w1002", a pause, "w1003"
SPEECH = coded_speech(
    [(8_000, 4_000), (800, 4_000), (8_000, 4_000)], trailing_samples=16_000, first_word=1001
)


def without_w2(text: str) -> str | None:
    """One word is redacted, and an utterance of the third was none."""
    return None if text == "w1003" else text.replace("w1002", "[number]")


def recorded_in(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*.jsonl"))


async def test_what_it_takes_out_is_told_to_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "livekit.plugins.baseten")
    options = {"transform": without_w2, "record": tmp_path}
    async with serve() as server, client(server, **options) as ears:
        events = await transcribed(ears, SPEECH.pcm)
        at_once = await ears.recognize(frame(SPEECH.pcm))
        sent = " ".join(text for connection in server.connections for text in connection.sent)
    grammar.check(events)
    events.append(at_once)
    assert [text for text in finals(events) if text] == ["w1001 [number]"] * 2
    assert len(of(Kind.START_OF_SPEECH, events)) == 1
    said = [alternative for event in events for alternative in event.alternatives]
    told = [str(word) for each in said for word in [each.text, *(each.words or [])]]
    recorded = recorded_in(tmp_path)
    assert '"w1001 [number]"' in recorded
    assert '"kind":"received"' in recorded
    for word in ("w1002", "w1003"):
        assert word in sent
        assert not [text for text in told if word in text]
        assert word not in recorded
        assert not [record for record in caplog.records if word in str(vars(record))]
