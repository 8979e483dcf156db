"""A connection without a socket: for tests that want every interleaving and no event loop."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .._models.dialects import Dialect, session_of
from .._models.session import Closing
from .._models.speakers import Diarizer
from .._models.transcribing import WORD_STEP_S
from .._models.voice import AmplitudeDetector, VoiceDetectorFactory
from .._recognizers.coded import CodedRecognizer
from .._recognizers.recognizer import Recognizer, heard_by


class InMemoryConnection:
    """The server's end of one connection, as a function of the frames it was given.

    Args:
        model: Which dialect is spoken.
        recognizer: What hears; `CodedRecognizer` if not given.
        voice_detector: Makes the voice detector.
        is_prompt: Whether buffers are recognized as soon as they are queued; otherwise that waits
            for `recognize`.
        runtime: As for `serve`.
        diarizer: As for `serve`.
        aligner: As for `serve`.
        word_step_s: As for `serve`.
    """

    def __init__(
        self,
        *,
        model: Dialect = "whisper",
        recognizer: Recognizer | None = None,
        voice_detector: VoiceDetectorFactory = AmplitudeDetector,
        is_prompt: bool = True,
        runtime: str = "current",
        diarizer: bool | Diarizer = False,
        aligner: bool | None = None,
        word_step_s: float = WORD_STEP_S,
    ) -> None:
        self._session = session_of(
            model,
            voice_detector=voice_detector,
            runtime=runtime,
            diarizer=diarizer,
            aligner=aligner,
            word_step_s=word_step_s,
        )
        self._recognizer = recognizer or CodedRecognizer()
        self._is_prompt = is_prompt

    @property
    def closing(self) -> Closing | None:
        """How the server closes the connection, once it does. Nothing is received after that."""
        return self._session.closing

    @property
    def metadata(self) -> dict[str, Any] | None:
        return self._session.metadata

    @property
    def audio(self) -> bytes:
        return bytes(self._session.audio)

    def received(self, frame: str | bytes, now_s: float = 0.0) -> None:
        """A frame arrived, at a time that only health checks and error frames show."""
        self._session.received(frame, now_s)
        if self._is_prompt:
            self.recognize(now_s=now_s)

    def expired(self, now_s: float) -> None:
        """Time has passed, which finals wait for that wait for their speakers."""
        self._session.expired(now_s)

    def recognize(
        self,
        jobs: int | None = None,
        *,
        now_s: float = 0.0,
        possible_hallucination: bool = False,
        failure: str | None = None,
        fails: Callable[[bool], bool] = lambda is_final: True,
    ) -> int:
        """Recognize queued buffers, and return how many.

        Args:
            jobs: How many at most; all of them if not given.
            now_s: When, in seconds.
            possible_hallucination: Whether the results look like hallucinations.
            failure: Let recognition fail, for this reason.
            fails: Asked which of them fail, given whether a buffer's result would be final.
        """
        done = 0
        while jobs is None or done < jobs:
            job = self._session.take_job()
            if job is None:
                break
            done += 1
            if failure is not None and fails(job.is_final):
                self._session.failed(job, failure, now_s)
                continue
            options = self._session.decoding(job)
            heard = (
                heard_by(self._recognizer, job.pcm, options, is_final=job.is_final)
                if job.pcm
                else []
            )
            self._session.recognized(
                job, heard, now_s, possible_hallucination=possible_hallucination
            )
        return done

    def outgoing(self) -> list[str]:
        """The texts that there are to send. Each is handed out once."""
        return [
            json.dumps(message, ensure_ascii=False, separators=(",", ":"))
            for message in self._session.outgoing()
        ]
