"""Baseten's Whisper server (streaming v1), one connection, as a function of what it heard.

    AWAITING_METADATA --valid--> STREAMING --finished sent--> OVER --next frame--> closing 1000
            |                        |
         invalid                bad audio frame
            v                        v
       closing 1011        error frame, closing 1000

Written from docs/protocol.md and from nothing of the client: a mistake in one cannot hide in the
other. The server is silent when it is pleased, and it never closes first when all went well.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import ValidationError

from .._recognizers.recognizer import SAMPLE_RATE_HZ, DecodingOptions, Heard, transcript_of
from . import messages
from .diarization import DiarizedResults
from .listening import Listening
from .message import Message
from .messages import Control, MessageType
from .metadata import Metadata, MetadataRefused, metadata
from .results import PlainResults, Results
from .session import REFUSED, Closing, Job, type_of
from .speakers import Diarizer
from .transcribing import Runtime, TranscriptionFailed
from .voice import VoiceActivity, VoiceDetectorFactory


class WhisperSession:
    """One connection to a Whisper deployment. See `ServerSession` for what goes in and comes out.

    Args:
        detector: Makes the voice detector of this connection.
        stream_id: The server's name for it, shown in error frames.
        version: ``"current"``, or a version such as ``"0.4"`` that knows fewer keys.
        diarizer: The diarizer of a chain; `None` for a truss, which has none.
        runtime: What transcribes.
        finishes: Whether `finished` is ever sent.
    """

    def __init__(
        self,
        *,
        detector: VoiceDetectorFactory,
        stream_id: str,
        version: str = "current",
        diarizer: Diarizer | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - it is frozen
        finishes: bool = True,
    ) -> None:
        self.metadata: dict[str, Any] | None = None
        self.closing: Closing | None = None
        self.stream_id = stream_id
        self._detector = detector()
        self._version = version
        self._diarizer = diarizer
        self._runtime = runtime
        self._finishes = finishes
        self._settings = Metadata()
        self._listening = Listening(self._settings.streaming_params, VoiceActivity(self._detector))
        self._results: Results = PlainResults(self._settings.streaming_params)
        self._now_s = 0.0
        self._outgoing: list[Message] = []
        self._ends_heard = 0  # how often `end_audio` was acknowledged and nothing done about it
        self._is_flushing = False  # the first of them waits for its own final
        self._has_finished = False
        self._partial_sent_s = 0.0
        self._partial_interval_s = 0.0

    # What happened.

    def received(self, frame: str | bytes, now_s: float) -> None:
        if self.closing:
            return
        self._now_s = now_s
        if self.metadata is None:
            self._introduced(frame)
            return
        had_finished = self._has_finished
        if isinstance(frame, bytes):
            self._heard(frame)
        elif frame == "" and self._diarizer is not None:
            self._heard(b"")  # a chain's framework takes an empty text frame for missing bytes
        else:
            self._told(frame)
        self._settle()
        if had_finished:
            self._close(Closing(1000))

    def recognized(
        self,
        job: Job,
        heard: Heard,
        now_s: float,
        *,
        possible_hallucination: bool = False,
    ) -> None:
        if self.closing:
            return
        params = self._settings.whisper_params
        try:
            segment = self._runtime.transcribe(
                job, heard, params, suspicious=possible_hallucination
            )
        except TranscriptionFailed as e:
            self.failed(job, str(e), now_s)
            return
        self._now_s = now_s
        if job.is_final:
            words = transcript_of(heard).words
            self._outgoing += self._results.final(job, segment, words, now_s)
        else:
            self._send_partial(self._results.partial(job, segment, now_s))
        if self._is_transcribing_on:
            self._listening.jobs.finish()
        self._settle()

    def failed(self, job: Job, why: str, now_s: float) -> None:
        if self.closing:
            return
        self._now_s = now_s
        self._listening.jobs.finish()
        if not why.startswith("Traceback"):
            why = f"Traceback (most recent call last):\n{why}"
        text = (
            f"Transcription failed: Stream {self.stream_id}: Transcription task failed: "
            f"Failed to transcribe chunk 0: {why}"
        )
        self._send_error("TRANSCRIPTION_ERROR", text, recoverable=True)
        self._settle()

    def expired(self, now_s: float) -> None:
        if not self.closing and self.metadata is not None:
            self._now_s = now_s
            self._settle()

    # What comes out.

    @property
    def is_introduced(self) -> bool:
        return self.metadata is not None

    @property
    def audio(self) -> bytearray:
        return self._listening.audio

    @property
    def received_samples(self) -> int:
        return self._listening.received_samples

    @property
    def due_s(self) -> float | None:
        return self._results.due_s

    def outgoing(self) -> list[Message]:
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def is_end_of_audio(self, frame: str | bytes) -> bool:
        return type_of(frame) == MessageType.END_AUDIO.value

    def error(self, kind: str, text: str, *, recoverable: bool, now_s: float) -> Message:
        return messages.error(
            kind, text, recoverable=recoverable, stream_id=self.stream_id, now_s=now_s
        )

    def next_job(self, *, latest_only: bool = False) -> Job | None:
        return self._listening.jobs.next(latest_only=latest_only)

    def decoding(self, job: Job) -> DecodingOptions:
        return self._settings.whisper_params.decoding

    def take_job(self, *, latest_only: bool = False) -> Job | None:
        return self._listening.jobs.take(latest_only=latest_only)

    # The metadata.

    def _introduced(self, frame: str | bytes) -> None:
        has_diarizer = self._diarizer is not None
        try:
            sent, settings = metadata(frame, version=self._version, has_diarizer=has_diarizer)
            voice = VoiceActivity(self._detector, **settings.streaming_vad_config)
        except (MetadataRefused, TypeError, ValueError):
            self._close(REFUSED)
            return
        self.metadata, self._settings = sent, settings
        self._partial_sent_s = self._now_s
        self._listening = Listening(settings.streaming_params, voice)
        if self._diarizer is None:
            self._results = PlainResults(settings.streaming_params)
            return
        self.stream_id = _uuid(settings.stream_id) or self.stream_id
        if settings.whisper_params.enable_diarization:
            self._results = DiarizedResults(settings, self._diarizer)
        else:
            self._results = PlainResults(settings.streaming_params)

    # Audio.

    def _heard(self, frame: bytes) -> None:
        try:
            self._listening.heard(frame, self._now_s)
        except (ValueError, TypeError, ZeroDivisionError) as e:
            text = f"Audio processing loop failed: {e}"
            self._send_error("AUDIO_PROCESSING_ERROR", text, recoverable=False)
            self._close(Closing(1000))
        else:
            heard_s = self._listening.received_samples / SAMPLE_RATE_HZ
            self._results.heard(heard_s, is_speech=self._listening.is_speech)

    # Text frames.

    def _told(self, frame: str) -> None:
        try:
            control = Control.model_validate_json(frame)
        except ValidationError as e:
            text = f"Failed to validate text message: {e}"
            self._send_error("STREAM_ERROR", text, recoverable=True)
            return
        if control.type is MessageType.END_AUDIO:
            body: dict[str, Any] = {"status": "acknowledged"}
            self._outgoing.append(messages.envelope("end_audio", body, trace_id=control.trace_id))
            self._ends_heard += 1
        elif control.type is MessageType.HEALTH_CHECK:
            self._outgoing.append(self._health(control))
        else:
            body = {"error": f"Unhandled message type: {control.type}"}
            self._outgoing.append(messages.envelope("error", body, trace_id=control.trace_id))

    def _health(self, control: Control) -> Message:
        body: dict[str, Any] = {"healthy": True}
        if (control.body or {}).get("get_partial_interval"):
            body["partial_interval"] = self._partial_interval_s
        return messages.envelope(
            "health_check", body, trace_id=control.trace_id, timestamp=self._now_s
        )

    # The end of the audio.

    @property
    def _is_transcribing_on(self) -> bool:
        """Whether the next buffer is transcribed while finals wait for their speakers."""
        prioritizes_latency = self._settings.streaming_params.prioritize_latency
        return prioritizes_latency or not self._results.is_waiting

    def _settle(self) -> None:
        """Send the finals that may go, and answer `end_audio` once all before it has been said.

        Each `end_audio` waits until nothing is queued. The first one to go on takes what is left of
        the audio and waits for that final; to the others there is nothing left, and they finish.
        """
        jobs = self._listening.jobs
        was_transcribing_on = self._is_transcribing_on
        is_the_end = bool(self._ends_heard or self._is_flushing) and not was_transcribing_on
        self._outgoing += self._results.release(self._now_s, all_of_them=is_the_end)
        if self._is_transcribing_on and not was_transcribing_on:
            jobs.finish()
        while jobs.is_idle and not self.closing and (self._ends_heard or self._is_flushing):
            self._outgoing += self._results.release(self._now_s, all_of_them=True)
            finishing = self._ends_heard + self._is_flushing
            if self._ends_heard:
                self._listening.flush(self._now_s)
            self._ends_heard, self._is_flushing = 0, not jobs.is_idle
            self._send_finished(finishing - self._is_flushing)

    def _send_finished(self, times: int) -> None:
        if self._finishes and times:
            finished = messages.envelope("end_audio", {"status": "finished"})
            self._outgoing += [dict(finished) for _ in range(times)]
            self._has_finished = True

    # Sending and closing.

    def _send_partial(self, partial: list[Message]) -> None:
        if partial:
            self._outgoing += partial
            self._partial_interval_s = self._now_s - self._partial_sent_s
            self._partial_sent_s = self._now_s

    def _send_error(self, kind: str, text: str, *, recoverable: bool) -> None:
        self._outgoing.append(self.error(kind, text, recoverable=recoverable, now_s=self._now_s))

    def _close(self, closing: Closing) -> None:
        self.closing = closing
        self._listening.jobs.clear()  # finals that were still waiting are lost


def _uuid(text: str | None) -> str | None:
    try:
        return str(UUID(text)) if text is not None else None
    except ValueError:
        return None
