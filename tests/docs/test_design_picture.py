"""docs/images/design.svg: what it names is there, and it can be read on a light and a dark page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from paths import PACKAGE, ROOT

PICTURE = ROOT / "docs" / "images" / "design.svg"


def test_each_module_in_the_picture_is_there() -> None:
    texts = [element.text or "" for element in ElementTree.parse(PICTURE).iter()]
    named = re.findall(r"\w+\.py|\w+/", " ".join(texts))
    assert len(named) > 10
    for name in named:
        assert (PACKAGE / name).exists() or list(PACKAGE.rglob(name.rstrip("/"))), name


def test_each_colour_has_one_for_the_dark() -> None:
    style = PICTURE.read_text().split("<style>")[1].split("</style>")[0]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    coloured = re.compile(r"([.\w, -]+?) \{[^}]*#[0-9a-f]{6}")

    def selectors(rules: str) -> set[str]:
        return {name.strip() for rule in coloured.findall(rules) for name in rule.split(",")}

    assert selectors(light) == selectors(dark)
