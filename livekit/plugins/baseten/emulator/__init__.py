"""A Baseten on this machine: for tests without a key, for trying things out, for breaking them.

    async with serve(faults.Reset(after_samples=16_000), recognizer=CodedRecognizer()) as server:
        stt = baseten.STT(model_endpoint=server.url, api_key="any")

It shares no code with the client, so that a mistake in one cannot hide in the other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import faults

if TYPE_CHECKING:
    from ._models.speakers import Diarizer
    from ._models.voice import AmplitudeDetector, SileroDetector, VoiceDetector
    from ._recognizers.coded import CodedRecognizer, CodedSpeech, CodedWord, coded_speech
    from ._recognizers.real import real_recognizer
    from ._recognizers.recognizer import DecodingOptions, Recognizer, Transcript, Word
    from ._recognizers.script import ScriptRecognizer
    from ._recognizers.sphinx import SphinxRecognizer
    from ._recognizers.turns import Turn, TurnRecognizer, utterance
    from ._recognizers.whisper import WhisperRecognizer
    from ._recognizers.whisper_weights import WeightsMissing
    from ._serving.conduct import Event
    from ._serving.connection import Connection
    from ._serving.handshake import Handshake
    from ._serving.serve import serve
    from ._serving.server import Server
    from ._testing.memory import InMemoryConnection
    from ._testing.received import Received
    from ._testing.scripted import ScriptedServer

__all__ = [
    "AmplitudeDetector",
    "CodedRecognizer",
    "CodedSpeech",
    "CodedWord",
    "Connection",
    "DecodingOptions",
    "Diarizer",
    "Event",
    "Handshake",
    "InMemoryConnection",
    "Received",
    "Recognizer",
    "ScriptRecognizer",
    "ScriptedServer",
    "Server",
    "SileroDetector",
    "SphinxRecognizer",
    "Transcript",
    "Turn",
    "TurnRecognizer",
    "VoiceDetector",
    "WeightsMissing",
    "WhisperRecognizer",
    "Word",
    "coded_speech",
    "faults",
    "real_recognizer",
    "serve",
    "utterance",
]

# Imported with the first name that is asked for: `serve --help` only asks for the faults, and need
# not wait for numpy and a web server.
_MODULES = (
    "_models.speakers",
    "_models.voice",
    "_recognizers.coded",
    "_recognizers.real",
    "_recognizers.recognizer",
    "_recognizers.script",
    "_recognizers.sphinx",
    "_recognizers.turns",
    "_recognizers.whisper",
    "_recognizers.whisper_weights",
    "_serving.conduct",
    "_serving.connection",
    "_serving.handshake",
    "_serving.serve",
    "_serving.server",
    "_testing.memory",
    "_testing.received",
    "_testing.scripted",
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in _MODULES:
        offered = vars(import_module(f"{__name__}.{module}"))
        globals().update((each, offered[each]) for each in offered.keys() & set(__all__))
    return globals()[name]
