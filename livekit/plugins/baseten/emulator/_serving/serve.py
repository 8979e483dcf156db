"""`serve`: what a user of the emulator calls."""

from __future__ import annotations

import contextlib
import ssl as tls
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

from .._models.dialects import Dialect, check_model, session_of
from .._models.session import ServerSession
from .._models.speakers import Diarizer
from .._models.transcribing import WORD_STEP_S
from .._models.voice import AmplitudeDetector, VoiceDetectorFactory
from .._recognizers.coded import CodedRecognizer
from .._recognizers.recognizer import Recognizer
from ..faults.fault import Conditions
from ..faults.plan import Planned
from .capacity import Capacity
from .conduct import Conduct, Event
from .connection import Connection
from .handshake import Handshake
from .server import Server

BLOCKING_RECOGNITIONS = 8
"""How many buffers a recognizer hears at once that does not say how many."""


class ServeOptions(TypedDict, total=False):
    """What `serve` takes, but for what a scripted server has its own of."""

    api_key: str | None
    host: str
    port: int
    ssl: tls.SSLContext | None
    latency_s: float
    delay_s: float
    runtime: str
    aligner: bool | None
    word_step_s: float
    record: bool
    observer: Callable[[Connection, Event], None] | None
    handshake_observer: Callable[[Handshake], None] | None


@contextlib.asynccontextmanager
async def serve(
    *plan: Planned,
    model: Dialect = "whisper",
    recognizer: Recognizer | None = None,
    voice_detector: VoiceDetectorFactory = AmplitudeDetector,
    api_key: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl: tls.SSLContext | None = None,
    latency_s: float = 0.0,
    delay_s: float = 0.0,
    runtime: str = "current",
    diarizer: bool | Diarizer = False,
    aligner: bool | None = None,
    word_step_s: float = WORD_STEP_S,
    record: bool = True,
    observer: Callable[[Connection, Event], None] | None = None,
    handshake_observer: Callable[[Handshake], None] | None = None,
) -> AsyncIterator[Server]:
    """Serve a model of Baseten's on this machine.

    Args:
        plan: What goes wrong: the n-th handshake gets the n-th entry, later ones none. An entry
            is a fault, a tuple of faults, or `None`; or a fault in the words of the command line,
            "reset@16000".
        model: Which dialect is spoken.
        recognizer: What hears; `CodedRecognizer` if not given. It is not closed with the server.
        voice_detector: Makes a voice detector for each connection.
        api_key: The one key that is let in; any is, if not given.
        host: The address to listen on.
        port: The port to listen on, 0 for a free one.
        ssl: A server's context; the endpoint is ``wss://`` with it.
        latency_s: How much longer every recognition takes, in seconds.
        delay_s: How long every message is under way to the client, in seconds.
        runtime: Which version of the model's runtime it is. ``"0.4"`` refuses what came later.
        diarizer: Whether speakers can be told apart (Whisper), or how long that takes.
        aligner: Whether words can be timed; true for Whisper and false for Qwen3-ASR by default,
            as deployed.
        word_step_s: The step in which Whisper's aligner times words, in seconds; with 0 words have
            the times that the recognizer gives them.
        record: Whether connections keep what they saw, and are kept themselves when they end. A
            server that runs for days should do without.
        observer: Told of everything that happens to a connection.
        handshake_observer: Told of every upgrade, when it is asked for and when it is answered.

    Raises:
        OSError: It cannot listen there.
        TypeError: Something in ``plan`` is no fault.
        ValueError: There is no such model, it has not what is asked for, or no such fault.
    """
    check_model(model, diarizer=diarizer, runtime=runtime)
    recognizer = recognizer or CodedRecognizer()
    workers = getattr(recognizer, "workers", BLOCKING_RECOGNITIONS)
    executor = ThreadPoolExecutor(workers, "emulator")
    conduct = Conduct(recognizer, executor, Capacity(workers), latency_s, delay_s, record)

    def session(conditions: Conditions) -> ServerSession:
        return session_of(
            model,
            voice_detector=voice_detector,
            runtime=runtime,
            diarizer=diarizer,
            aligner=aligner,
            word_step_s=word_step_s,
            finishes=conditions.finishes,
        )

    server = Server(plan, session, conduct, api_key, observer, handshake_observer)
    try:
        async with server.running(host, port, ssl):
            yield server
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
