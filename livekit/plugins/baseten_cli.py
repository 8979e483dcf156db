"""The command `livekit-baseten`.

It is not in `livekit.plugins.baseten`, which imports LiveKit Agents unless this is imported before.
"""

from __future__ import annotations


def main() -> None:
    from .baseten._cli import main

    main("livekit-baseten")
