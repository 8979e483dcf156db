"""The page as a file: it has what is needed, nothing from elsewhere, and nothing that executes."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from report.recordings import HOSTILE, KEY, RATE_HZ, a_call, tone

from livekit.plugins.baseten._report import page, read
from livekit.plugins.baseten._report.sound import encoded, peaks


class Tags(HTMLParser):
    """Every tag, and what is in those that are not shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, str]] = []
        self._last = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._last = tag

    def handle_data(self, data: str) -> None:
        if self._last in ("script", "style") and data.strip():
            self.inside.append((self._last, data))
        self._last = ""


@pytest.fixture
def made(tmp_path: Path) -> str:
    return page(read(a_call(tmp_path / "call")))


def data_of(made: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="call">(.*?)</script>', made, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_it_needs_nothing_but_itself(made: str) -> None:
    for tag, attributes in Tags(made).tags:
        assert tag not in ("link", "iframe", "object", "embed", "img", "base"), tag
        assert "href" not in attributes
        assert (attributes.get("src") or "data:").startswith("data:")
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes  # the policy would not let it be


def test_only_its_own_scripts_and_style_may_run(made: str) -> None:
    tags = Tags(made)
    (policy,) = [
        attributes["content"]
        for tag, attributes in tags.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    run = [text for _, text in tags.inside if not text.startswith("{")]
    digests = {base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in run}
    assert allowed == digests
    assert len(run) == 4


def test_what_was_said_stays_data(made: str) -> None:
    assert HOSTILE not in made
    assert [u["finals"][0]["text"] for u in data_of(made)["utterances"]] == [
        "one two",
        "three",
        HOSTILE,
    ]
    in_scripts = [text for kind, text in Tags(made).inside if kind == "script"]
    assert len(in_scripts) == 4
    data = next(text for text in in_scripts if text.startswith("{"))
    assert not set("<>&") & set(data)


def test_a_name_with_tags_in_it_is_text(tmp_path: Path) -> None:
    path = a_call(tmp_path / "call")
    path.write_text(path.read_text().replace("baseten-0123456789ab", "<b>{{data}}</b>", 1))
    made = page(read(path))
    assert "<title>&lt;b&gt;{{data}}&lt;/b&gt;</title>" in made
    assert data_of(made)["title"] == "<b>{{data}}</b>"


def test_the_summary_is_what_happened(made: str) -> None:
    summary = {item["name"]: item["value"] for item in data_of(made)["summary"]}
    assert summary == {
        "Duration": "0:09.6",
        "Utterances": "3",
        "Final delay, median": "0.50 s",
        "First interim, median": "0.50 s",
        "Connections": "2",
        "Sent again": "2.00 s",
        "Lost": "0.50 s",
    }


def test_the_log_has_every_line_but_the_audio_that_was_pushed(made: str) -> None:
    log = data_of(made)["log"]
    kinds = {kind for _, _, kind, _, _ in log}
    assert kinds == {"sent", "audio", "received", "event", "connection", "user", "problem"}
    assert [text for _, _, kind, _, text in log if kind == "user"] == ["flush() at 5.900 s"]
    assert [at for _, at, _, _, _ in log] == sorted(at for _, at, _, _, _ in log)
    assert ("received", 2, HOSTILE) in {(kind, n, text) for _, _, kind, n, text in log}


def test_a_long_message_is_cut_and_says_so(tmp_path: Path) -> None:
    path = a_call(tmp_path / "call")
    path.write_text(path.read_text().replace('\\"is_final\\":true', "x" * 10_000))
    texts = [text for _, _, kind, _, text in data_of(page(read(path)))["log"] if kind == "received"]
    assert max(map(len, texts)) < 4200
    assert "characters more" in max(texts, key=len)


@pytest.mark.parametrize(
    ("spoil", "notice"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-60]), "cut off"),
        (lambda path: path.with_suffix(".wav").unlink(), "no audio"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, spoil: Any, notice: str) -> None:
    path = a_call(tmp_path / "call")
    spoil(path)
    (told,) = data_of(page(read(path)))["notices"]
    assert notice in told


def test_a_whole_live_call_has_nothing_to_be_said_of(made: str) -> None:
    assert data_of(made)["notices"] == []


def test_audio_faster_than_speech_is_said_to_be(tmp_path: Path) -> None:
    data = data_of(page(read(a_call(tmp_path / "call", pace=100))))
    assert "faster" in data["notices"][0]
    delay = next(item for item in data["summary"] if item["name"] == "Final delay, median")
    assert not re.search(r"\d s", delay["value"])


def test_the_key_is_not_in_it_even_if_a_server_says_it(tmp_path: Path) -> None:
    path = a_call(tmp_path / "call")
    assert "who is [key]?" in path.read_text()
    assert KEY not in path.read_text()
    assert KEY not in page(read(path))


def test_the_sound_is_the_audio(made: str) -> None:
    """Decoded again, it is as long as it was, and as loud, and at the same pitch."""
    found = re.search(r'src="data:audio/webm;base64,([^"]+)"', made)
    assert found is not None
    sound = decoded(base64.b64decode(found[1]))
    assert len(sound) == pytest.approx(8 * 48_000, abs=480)
    middle = sound[48_000 : 2 * 48_000].astype(np.float64)
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 200


def decoded(data: bytes) -> Any:
    with av.open(io.BytesIO(data), "r") as container:
        return np.concatenate([f.to_ndarray().reshape(-1) for f in container.decode(audio=0)])


def test_sound_keeps_its_place() -> None:
    """A click after half a second is heard after half a second, to 5 ms."""
    pcm = np.zeros(RATE_HZ, np.int16)
    pcm[RATE_HZ // 2 : RATE_HZ // 2 + 80] = 20_000
    sound = np.abs(decoded(encoded(pcm)))
    assert np.argmax(sound) / 48_000 == pytest.approx(0.5, abs=0.005)


def test_the_outline_has_the_highest_and_the_lowest() -> None:
    pcm = np.concatenate([np.zeros(80, np.int16), tone(0.1)])
    rate, coded = peaks(pcm)
    columns = np.frombuffer(base64.b64decode(coded), np.int8).reshape(-1, 2)
    assert rate == 200
    assert len(columns) == 21
    assert list(columns[0]) == [0, 0]
    height = round(127 * (8000 / 32768) ** 0.5)
    assert columns[:, 1].max() == -columns[:, 0].min() == pytest.approx(height, abs=1)


def test_hours_have_an_outline_of_bounded_size() -> None:
    rate, coded = peaks(np.zeros(4 * 3600 * RATE_HZ, np.int16))
    assert len(base64.b64decode(coded)) <= 800_000
    assert rate == pytest.approx(400_000 / (4 * 3600), rel=0.01)
