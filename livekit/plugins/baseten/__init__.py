"""Streaming speech-to-text on Baseten for LiveKit Agents."""

import sys
from typing import TYPE_CHECKING, Any

from .version import __version__

__all__ = ["STT", "SpeechStream", "__version__", "logger"]


def _is_command() -> bool:
    """Whether this process is the command line, and no program that imports the package.

    LiveKit takes seconds to import. A command does that when it needs it, and `--help` never.
    """
    # While Python looks for what it was told to run by -m, these are the arguments.
    is_run = sys.argv[:1] == ["-m"]
    ran = sys.orig_argv[-len(sys.argv)].removeprefix("-m") if is_run else ""
    return ran in (__name__, f"{__name__}.__main__") or f"{__name__}_cli" in sys.modules


if TYPE_CHECKING or not _is_command():
    from ._plugin import STT, SpeechStream, logger
else:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(name)
        from . import _plugin

        return getattr(_plugin, name)


# Documentation shows what is exported and nothing else.
__pdoc__ = {name: False for name in dir() if name not in __all__}
