"""The plugin as LiveKit knows it: registered once, when this is imported."""

from livekit.agents import Plugin

from ._livekit.stream import SpeechStream
from .log import logger
from .stt import STT
from .version import __version__

__all__ = ["STT", "SpeechStream", "logger"]

_PACKAGE = __name__.rpartition(".")[0]


class BasetenPlugin(Plugin):
    def __init__(self) -> None:
        super().__init__(_PACKAGE, __version__, _PACKAGE, logger)


Plugin.register_plugin(BasetenPlugin())
