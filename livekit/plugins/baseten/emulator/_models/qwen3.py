"""Baseten's Qwen3-ASR server (streaming v1), one connection, as a function of what it heard.

Written from docs/protocol.md (Qwen3-ASR) alone. Everything is JSON text: an optional handshake,
audio in base64 of any size, and a commit that is answered by exactly one flagged final, an empty
one if need be. A commit does not end the connection, and nothing else does, errors aside.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from pydantic import ValidationError

from .._recognizers.recognizer import (
    SAMPLE_RATE_HZ,
    DecodingOptions,
    Heard,
    Transcript,
    samples_of,
    text_of,
    transcript_of,
)
from .languages import QWEN3_NAMES
from .message import Message
from .qwen3_settings import BLOCKS, Settings, WhisperParams
from .session import Closing, Job, JobQueue, type_of
from .voice import VoiceActivity, VoiceDetectorFactory

WINDOW_BYTES = 1024  # what voice detection takes; audio comes in any size
BYTES_PER_S = 2 * SAMPLE_RATE_HZ
COMMIT = "input_audio_buffer.commit"


class Malformed(ValueError):
    """A frame that the server cannot read. It says so and closes."""


class Qwen3Session:
    """One connection to a Qwen3-ASR deployment. See `ServerSession` for what goes in and comes out.

    Args:
        detector: Makes the voice detector of this connection.
        aligner: Whether words can be timed; without it, asking for that is ignored.
        finishes: Whether commits are ever answered.
    """

    def __init__(
        self, *, detector: VoiceDetectorFactory, aligner: bool = False, finishes: bool = True
    ) -> None:
        self.metadata: dict[str, Any] | None = None
        self.audio = bytearray()
        self.received_samples = 0
        self.is_introduced = False
        self.closing: Closing | None = None
        self.due_s: float | None = None
        self._aligner = aligner
        self._finishes = finishes
        self._detector = detector()
        self._settings = Settings()
        self._next_settings = self._settings
        self._voice = self._voice_of_turn()
        self._outgoing: list[Message] = []
        self._jobs = JobQueue()
        self._turns = 0
        self._turn = bytearray()
        self._turn_start_bytes = 0
        self._unheard = bytearray()  # less than a window of voice detection
        self._partial_at_bytes = 0
        self._settings_of_turn: dict[int, Settings] = {}  # those that are not yet recognized
        self._now_s = 0.0

    # What happened.

    def received(self, frame: str | bytes, now_s: float) -> None:
        if self.closing:
            return
        self._now_s = now_s
        self.is_introduced = True
        try:
            self._read(frame)
        except Malformed as e:
            self._fail(str(e))

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
        self._jobs.finish()
        params = self._settings_of_turn[job.number].whisper_params
        if job.is_final:
            del self._settings_of_turn[job.number]
        if not job.is_flush or self._finishes:
            self._outgoing.append(self._transcription(job, transcript_of(heard), params))

    def failed(self, job: Job, why: str, now_s: float) -> None:
        if self.closing:
            return
        self._jobs.finish()
        self._fail(f"internal error: {why}")

    def expired(self, now_s: float) -> None:
        pass

    # What comes out.

    def outgoing(self) -> list[Message]:
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def next_job(self, *, latest_only: bool = False) -> Job | None:
        return self._jobs.next(latest_only=latest_only)

    def decoding(self, job: Job) -> DecodingOptions:
        return self._settings_of_turn[job.number].whisper_params.decoding

    def take_job(self, *, latest_only: bool = False) -> Job | None:
        return self._jobs.take(latest_only=latest_only)

    def is_end_of_audio(self, frame: str | bytes) -> bool:
        return type_of(frame) == COMMIT

    def error(self, kind: str, text: str, *, recoverable: bool, now_s: float) -> Message:
        return {"type": "error", "error": text}

    # Frames.

    def _read(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            raise Malformed("binary frames are not supported; send input_audio_buffer.append")
        try:
            message = json.loads(frame)
        except (json.JSONDecodeError, RecursionError) as e:
            raise Malformed(f"malformed frame: {e}") from e
        if not isinstance(message, dict):
            raise Malformed("malformed frame: not an object")
        kind = message.get("type")
        if kind == "input_audio_buffer.append":
            self._appended(message.get("audio"))
        elif kind == COMMIT:
            self._committed()
        elif kind == "transcription_session.update":
            self._introduced(message, message.get("session"))
        elif kind is None and any(block in message for block in BLOCKS):
            self._introduced(message, message)
        else:
            raise Malformed(f"unknown message type: {kind}")

    def _introduced(self, message: dict[str, Any], settings: object) -> None:
        try:
            self._next_settings = Settings.model_validate(settings)
        except ValidationError as e:
            raise Malformed(f"invalid settings: {e}") from e
        if self.metadata is None:
            self.metadata = message
        if not self._turn and not self._unheard:
            self._start_turn()  # otherwise they are for the turn that follows

    def _appended(self, audio: object) -> None:
        try:
            pcm = base64.b64decode(audio if isinstance(audio, str) else "?", validate=True)
        except binascii.Error as e:
            raise Malformed(f"malformed audio: {e}") from e
        if len(pcm) % 2:
            raise Malformed("malformed audio: half a sample")
        self.audio += pcm
        self.received_samples += len(pcm) // 2
        self._unheard += pcm
        while len(self._unheard) >= WINDOW_BYTES:
            window = bytes(self._unheard[:WINDOW_BYTES])
            del self._unheard[:WINDOW_BYTES]
            self._heard(window)

    def _committed(self) -> None:
        """Answer with one final, an empty one where there is no speech in the turn."""
        rest = bytes(self._unheard)
        self._unheard.clear()
        is_speech = self._voice.triggered
        if rest:
            self._voice.heard(samples_of(rest.ljust(WINDOW_BYTES, b"\0")))
            is_speech = self._voice.has_ended or self._voice.triggered
            self._turn += rest
        self._queue_final(bytes(self._turn) if is_speech else b"", is_flush=True)

    # Turns.

    def _heard(self, window: bytes) -> None:
        streaming = self._settings.streaming_params
        if len(self._turn) + len(window) > streaming.final_transcript_max_duration_s * BYTES_PER_S:
            self._cut()
        self._turn += window
        self._voice.heard(samples_of(window))
        if self._voice.has_ended:
            self._queue_final(bytes(self._turn), is_flush=False)
            return
        since_s = (len(self._turn) - self._partial_at_bytes) / BYTES_PER_S
        is_due = since_s >= streaming.partial_transcript_interval_s
        if streaming.enable_partial_transcripts and self._voice.triggered and is_due:
            self._partial_at_bytes = len(self._turn)
            self._jobs.append(self._job(bytes(self._turn), is_final=False))

    def _cut(self) -> None:
        """The turn is full. Speech goes on in the next one, silence is dropped."""
        if self._voice.triggered:
            voice = self._voice
            self._queue_final(bytes(self._turn), is_flush=False)
            self._voice = voice
        else:
            self._drop_turn()

    def _queue_final(self, pcm: bytes, *, is_flush: bool) -> None:
        self._jobs.append(self._job(pcm, is_final=True, is_flush=is_flush))
        self._turns += 1
        self._drop_turn()
        self._start_turn()

    def _drop_turn(self) -> None:
        self._turn_start_bytes += len(self._turn)
        self._turn.clear()
        self._partial_at_bytes = 0

    def _start_turn(self) -> None:
        self._settings = self._next_settings
        self._voice = self._voice_of_turn()

    def _voice_of_turn(self) -> VoiceActivity:
        voice = self._settings.streaming_vad_config
        return VoiceActivity(
            self._detector,
            threshold=voice.threshold,
            min_silence_duration_ms=voice.min_silence_duration_ms,
            speech_pad_ms=voice.speech_pad_ms,
        )

    def _job(self, pcm: bytes, *, is_final: bool, is_flush: bool = False) -> Job:
        self._settings_of_turn[self._turns] = self._settings
        return Job(
            pcm=pcm,
            is_final=is_final,
            number=self._turns,
            offset_s=self._turn_start_bytes / BYTES_PER_S,
            audio_length_s=len(pcm) / BYTES_PER_S,
            queued_s=self._now_s,
            is_flush=is_flush,
        )

    # Messages.

    def _transcription(self, job: Job, transcript: Transcript, params: WhisperParams) -> Message:
        asked, detected = params.audio_language or "auto", transcript.language or "English"
        language = QWEN3_NAMES.get(detected, detected) if asked == "auto" else asked
        has_words = bool(transcript.words or transcript.text)
        message: Message = {
            "type": "transcription",
            "is_final": job.is_final,
            "transcription_num": job.number,
            "language_code": language if has_words else None,
            "segments": [self._segment(job, transcript, params)] if has_words else [],
        }
        if job.is_flush:
            message["is_end_of_audio_flush"] = True
        return message

    def _segment(self, job: Job, transcript: Transcript, params: WhisperParams) -> Message:
        """A segment starts with the first word and ends with the last one."""
        words, text = transcript.words, transcript.text
        segment: Message = {
            "start_time": job.offset_s + (words[0].start_s if words else 0.0),
            "end_time": job.offset_s + (words[-1].end_s if words else job.audio_length_s),
            "text": text_of(words) if text is None else text,
        }
        if job.is_final and self._aligner and params.show_word_timestamps:
            segment["word_timestamps"] = [
                {
                    "word": word.text,
                    "start_time": job.offset_s + word.start_s,
                    "end_time": job.offset_s + word.end_s,
                    "prob": round(word.prob, 2),
                }
                for word in words
            ]
        return segment

    def _fail(self, text: str) -> None:
        self._outgoing.append({"type": "error", "error": text})
        self.closing = Closing(1000)
        self._jobs.clear()
