"""A Baseten on this machine: for tests without a key, for trying things out, for breaking them.

    async with serve(faults.Reset(after_samples=16_000), recognizer=CodedRecognizer()) as server:
        stt = baseten.STT(model_endpoint=server.url, api_key="any")

It shares no code with the client, so that a mistake in one cannot hide in the other.
"""

from . import faults
from ._coded import CodedRecognizer, CodedSpeech, CodedWord, coded_speech
from ._connection import Connection
from ._handshake import Handshake
from ._hearing import Event
from ._memory import InMemoryConnection
from ._received import Received
from ._recognizer import Recognizer, Word
from ._script import ScriptRecognizer
from ._scripted import ScriptedServer
from ._server import Server, serve
from ._sphinx import SphinxRecognizer
from ._turns import Turn, TurnRecognizer, utterance
from ._voice import AmplitudeDetector, SileroDetector, VoiceDetector

__all__ = [
    "AmplitudeDetector",
    "CodedRecognizer",
    "CodedSpeech",
    "CodedWord",
    "Connection",
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
    "Turn",
    "TurnRecognizer",
    "VoiceDetector",
    "Word",
    "coded_speech",
    "faults",
    "serve",
    "utterance",
]
