"""What pages have in common that are one file of HTML and need nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ..version import __version__
from .sound import encoded

MAKER = "livekit-plugins-baseten"
"""What the pages call themselves made by, before the version."""


def part(package: str, name: str) -> str:
    """A file of ``package``: a style, a script or the page around them."""
    return (files(package) / name).read_text(encoding="utf-8")


def maker() -> str:
    """What a page says it was made by: one of another version is made anew."""
    return f"{MAKER} {__version__}"


def policy(style: str, *scripts: str, media: str = "data:") -> str:
    """The Content-Security-Policy of a page on which only these run, and nothing is loaded.

    Args:
        media: Where its sound may be.
    """
    return (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; media-src {media}; "
        f"style-src {_digest(style)}; script-src {' '.join(map(_digest, scripts))}"
    )


def sound_url(pcm: NDArray[np.int16]) -> str:
    """16 kHz mono, compressed, as a URL that holds all of it."""
    return f"data:audio/webm;base64,{base64.b64encode(encoded(pcm)).decode('ascii')}"


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest())
    return f"'sha256-{digest.decode('ascii')}'"
