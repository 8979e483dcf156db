"""What docs/monitoring.md says, held against the code and against the real tools."""

from __future__ import annotations

import re

from paths import PACKAGE, ROOT

from livekit.plugins.baseten._telemetry import reasons

DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()


def test_each_metric_is_in_the_table() -> None:
    source = (PACKAGE / "_telemetry" / "instruments.py").read_text()
    made = set(re.findall(r'(?:\{_PREFIX\}\.|_delay\(\s*")([a-z_.]+)"', source))
    section = DOCUMENT.split("## What there is")[1].split("`error.type` is")[0]
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", section, re.M)) == made


def test_each_reason_is_in_the_table() -> None:
    table = DOCUMENT.split("`error.type` is one of a few:")[1].split("\n## ")[0]
    named = {name for row in re.findall(r"^\| (.+?) \|", table, re.M) for name in row.split(", ")}
    assert {f"`{reason}`" for reason in reasons.WORDS} <= named
