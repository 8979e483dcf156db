"""The command `livekit-baseten`.

It is not in `livekit.plugins.baseten`, which imports LiveKit Agents unless this is imported before.
"""

from __future__ import annotations


def main() -> None:
    from .baseten._cli import main

    main("livekit-baseten")


def begin_worker() -> None:
    """What a process begins with that works for a command: this module, and so without LiveKit.

    Ctrl-C is for the command, which ends its workers.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
