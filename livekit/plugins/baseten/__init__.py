"""Streaming speech-to-text on Baseten for LiveKit Agents."""

from livekit.agents import Plugin

from ._livekit.stream import SpeechStream
from .log import logger
from .stt import STT
from .version import __version__

__all__ = ["STT", "SpeechStream", "__version__", "logger"]


class BasetenPlugin(Plugin):
    def __init__(self) -> None:
        super().__init__(__name__, __version__, __package__ or __name__, logger)


Plugin.register_plugin(BasetenPlugin())

# Documentation shows what is exported and nothing else.
__pdoc__ = {name: False for name in dir() if name not in __all__}
