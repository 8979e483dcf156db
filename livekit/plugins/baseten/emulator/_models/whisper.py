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

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ValidationError

from .._recognizers.recognizer import Word
from . import whisper_messages as messages
from .diarization import Diarization
from .languages import SCRIPTS, WHISPER
from .listening import Listening
from .metadata import Metadata, MetadataRefused, metadata
from .session import REFUSED, Closing, Job, Message, type_of
from .voice import VoiceActivity, VoiceDetectorFactory


class Control(BaseModel):
    """A text frame after the metadata. Keys beyond these are ignored."""

    type: Literal["end_audio", "health_check", "error"]
    trace_id: str | None = None
    timestamp: float | None = None
    body: dict[str, Any] | None = None


class WhisperSession:
    """One connection to a Whisper deployment. See `ServerSession` for what goes in and comes out.

    Args:
        detector: Makes the voice detector of this connection.
        stream_id: The server's name for it, shown in error frames.
        runtime: ``"current"``, or a version such as ``"0.4"`` that knows fewer keys.
        diarizer: Whether this is a chain with a diarizer; without one, diarization is off.
        aligner: Whether the engine can time words; without it, asking for that fails every time.
        finishes: Whether `finished` is ever sent.
    """

    def __init__(
        self,
        *,
        detector: VoiceDetectorFactory,
        stream_id: str,
        runtime: str = "current",
        diarizer: bool = False,
        aligner: bool = True,
        finishes: bool = True,
    ) -> None:
        self.metadata: dict[str, Any] | None = None
        self.closing: Closing | None = None
        self.stream_id = stream_id
        self._detector = detector()
        self._runtime = runtime
        self._diarizer = diarizer
        self._aligner = aligner
        self._finishes = finishes
        self._settings = Metadata()
        self._listening = Listening(self._settings.streaming_params, VoiceActivity(self._detector))
        self._diarization: Diarization | None = None
        self._now_s = 0.0
        self._outgoing: list[Message] = []
        self._unflushed = 0  # how often `end_audio` was acknowledged and nothing done about it
        self._unfinished = 0  # how often what was left has been queued, and `finished` is due
        self._finished = False
        self._stored_partial: Message | None = None
        self._partial_sent_s: float | None = None
        self._partial_interval_s = 0.0

    # What happened.

    def received(self, frame: str | bytes, now_s: float) -> None:
        if self.closing:
            return
        self._now_s = now_s
        if self.metadata is None:
            self._introduced(frame)
            return
        was_finished = self._finished
        if isinstance(frame, bytes) or frame == "":
            # The framework takes an empty text frame for missing bytes.
            self._heard(frame if isinstance(frame, bytes) else b"")
        else:
            self._told(frame)
        self._settle()
        if was_finished:
            self._close(Closing(1000))

    def recognized(
        self,
        job: Job,
        words: Sequence[Word],
        now_s: float,
        *,
        possible_hallucination: bool = False,
    ) -> None:
        if self.closing:
            return
        why = self._impossible()
        if why is not None:
            self.failed(job, why, now_s)
            return
        self._now_s = now_s
        self._listening.jobs.finish()
        if job.is_final:
            self._outgoing += self._transcriptions(job, words, possible_hallucination)
        else:
            self._partial(job, words, possible_hallucination)
        self._settle()

    def failed(self, job: Job, why: str, now_s: float) -> None:
        if self.closing:
            return
        self._now_s = now_s
        self._listening.jobs.finish()
        text = f"Stream {self.stream_id}: Transcription failed: {why}"
        self._error("TRANSCRIPTION_ERROR", text, recoverable=True)
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

    def outgoing(self) -> list[Message]:
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def is_end_of_audio(self, frame: str | bytes) -> bool:
        return type_of(frame) == "end_audio"

    def error(self, kind: str, text: str, *, recoverable: bool, now_s: float) -> Message:
        return messages.error(
            kind, text, recoverable=recoverable, stream_id=self.stream_id, now_s=now_s
        )

    def take_job(self, *, latest_only: bool = False) -> Job | None:
        return self._listening.jobs.take(latest_only=latest_only)

    # The metadata.

    def _introduced(self, frame: str | bytes) -> None:
        try:
            sent, self._settings = metadata(frame, runtime=self._runtime, diarizer=self._diarizer)
            voice = VoiceActivity(self._detector, **self._settings.streaming_vad_config)
        except (MetadataRefused, TypeError, ValueError):
            self._close(REFUSED)
            return
        self.metadata = sent
        self._listening = Listening(self._settings.streaming_params, voice)
        if self._diarizer:
            self.stream_id = _uuid(self._settings.stream_id) or self.stream_id
        if self._settings.whisper_params.enable_diarization:
            self._diarization = Diarization(self._settings.whisper_params)

    # Audio.

    def _heard(self, frame: bytes) -> None:
        try:
            self._listening.heard(frame, self._now_s)
        except (ValueError, TypeError, ZeroDivisionError) as e:
            text = f"Stream {self.stream_id}: Audio processing loop failed: {e}"
            self._error("AUDIO_PROCESSING_ERROR", text, recoverable=False)
            self._close(Closing(1000))

    # Text frames.

    def _told(self, frame: str) -> None:
        try:
            control = Control.model_validate_json(frame)
        except ValidationError as e:
            text = f"Stream {self.stream_id}: Failed to validate text message: {e}"
            self._error("STREAM_ERROR", text, recoverable=True)
            return
        if control.type == "end_audio":
            body = {"status": "acknowledged"}
            self._outgoing.append(messages.envelope("end_audio", body, trace_id=control.trace_id))
            self._unflushed += 1
        elif control.type == "health_check":
            self._outgoing.append(self._health(control))
        else:
            body = {"error": f"Unhandled message type: {control.type}"}
            self._outgoing.append(messages.envelope("error", body))

    def _health(self, control: Control) -> Message:
        body: dict[str, Any] = {"healthy": True}
        if (control.body or {}).get("get_partial_interval"):
            body["partial_interval"] = self._partial_interval_s
        return messages.envelope(
            "health_check", body, trace_id=control.trace_id, timestamp=self._now_s
        )

    def _settle(self) -> None:
        """Answer `end_audio`, once everything that was queued before has been said."""
        while self._listening.jobs.is_idle and not self.closing:
            if self._unflushed:
                self._unfinished += self._unflushed
                self._unflushed = 0
                self._listening.flush(self._now_s)
            elif self._unfinished and self._finishes:
                finished = messages.envelope("end_audio", {"status": "finished"})
                self._outgoing += [dict(finished) for _ in range(self._unfinished)]
                self._unfinished = 0
                self._finished = True
            else:
                return

    # Results.

    def _impossible(self) -> str | None:
        whisper = self._settings.whisper_params
        code = whisper.audio_language or "auto"
        if code != "auto" and code not in WHISPER and code not in SCRIPTS:
            return f'Traceback (most recent call last):\n  File "whisper.py"\nKeyError: {code!r}'
        if whisper.show_word_timestamps and not self._aligner:
            return "Traceback (most recent call last):\nRuntimeError: no aligner in this engine"
        return None

    def _transcriptions(self, job: Job, words: Sequence[Word], suspicious: bool) -> list[Message]:
        if self._diarization is not None:
            return self._diarization.transcriptions(job, words, self._latency_s(job))
        whisper = self._settings.whisper_params
        segment = messages.buffer_segment(job, words, whisper, possible_hallucination=suspicious)
        return [
            messages.transcription(job, [segment], whisper, pipeline_latency_s=self._latency_s(job))
        ]

    def _partial(self, job: Job, words: Sequence[Word], suspicious: bool) -> None:
        """Send a partial, or in place of a suspicious one the last that was not.

        A final does not clear what is stored, so that can be a partial of an earlier utterance.
        """
        if not (suspicious and self._settings.streaming_params.skip_partial_if_hallucination):
            self._stored_partial = self._transcriptions(job, words, suspicious)[0]
        if self._stored_partial is None:
            return
        self._outgoing.append(self._stored_partial)
        if self._partial_sent_s is not None:
            self._partial_interval_s = self._now_s - self._partial_sent_s
        self._partial_sent_s = self._now_s

    def _latency_s(self, job: Job) -> float | None:
        wanted = self._settings.streaming_params.include_pipeline_latency_metric
        return self._now_s - job.queued_s if wanted else None

    # Endings.

    def _error(self, kind: str, text: str, *, recoverable: bool) -> None:
        self._outgoing.append(self.error(kind, text, recoverable=recoverable, now_s=self._now_s))

    def _close(self, closing: Closing) -> None:
        self.closing = closing
        self._listening.jobs.clear()  # finals that were still waiting are lost


def _uuid(text: str | None) -> str | None:
    try:
        return str(UUID(text)) if text is not None else None
    except ValueError:
        return None
