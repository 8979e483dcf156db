"""From frames to buffers worth recognizing: where utterances end, and when a partial is due."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._recognizers.recognizer import samples_of
from .buffer import AudioBuffer
from .metadata import StreamingParams
from .session import Job, JobQueue
from .voice import VoiceActivity

MAX_QUEUED = 10
"""With more transcriptions than this waiting, partials are dropped."""


class Listening:
    """The audio of one Whisper connection.

    Attributes:
        jobs: The buffers that wait to be recognized.
        audio: Everything that was accepted.
        received_samples: How many samples that is.
    """

    def __init__(self, streaming: StreamingParams, voice: VoiceActivity) -> None:
        self.jobs = JobQueue()
        self.audio = bytearray()
        self.received_samples = 0
        self._streaming = streaming
        self._voice = voice
        self._buffer = AudioBuffer(streaming)
        self._finals = 0

    @property
    def is_speech(self) -> bool:
        """Whether the last frame that the voice detector heard was speech."""
        return self._voice.is_speech

    def heard(self, frame: bytes, now_s: float) -> None:
        """Take a frame, and queue what it completes.

        Raises:
            ValueError: It has not the size that the voice detector takes, or the encoding is not
                known.
            TypeError: A setting that is compared with it is no number.
            ZeroDivisionError: It is empty, or so is the sample rate.
        """
        if not frame:
            raise ZeroDivisionError("division by zero")
        if self._buffer.overflows_with(frame):
            self._cut(now_s)
            self._accept(frame)  # not heard by the voice detector, so of any size
            return
        self._voice.heard(self._window(frame))
        self._accept(frame)
        if self._voice.has_ended:
            self._queue_final(now_s)
        elif self._is_partial_due():
            self._queue_partial(now_s)

    def flush(self, now_s: float) -> None:
        """The client has ended: what is left is a final if it is speech, and dropped if not."""
        if self._buffer.pcm and self._voice.triggered:
            self._queue_final(now_s, is_flush=True)
        else:
            self._buffer.clear()

    def _window(self, frame: bytes) -> NDArray[np.int16]:
        if self._streaming.encoding == "pcm_s16le":
            return samples_of(frame)
        # Mu-law as voice detection sees it: twice the samples, and no speech in any of them.
        return np.zeros(len(frame) * 2, np.int16)

    def _accept(self, frame: bytes) -> None:
        self._buffer.pcm += frame
        self.audio += frame
        self.received_samples += len(frame) // self._buffer.bytes_per_sample

    def _cut(self, now_s: float) -> None:
        """The buffer is full: a forced final in speech, and dropped without a word if not."""
        if self._voice.triggered:
            self._queue_final(now_s)
        else:
            self._buffer.clear()

    def _is_partial_due(self) -> bool:
        is_wanted = self._streaming.enable_partial_transcripts
        return is_wanted and self._voice.triggered and self._buffer.is_partial_due()

    def _queue_partial(self, now_s: float) -> None:
        """Queue one, or try again with the next frame."""
        if len(self.jobs) <= MAX_QUEUED:
            self._buffer.partial_at_s = self._buffer.length_s
            self.jobs.append(self._job(now_s, is_final=False))

    def _queue_final(self, now_s: float, *, is_flush: bool = False) -> None:
        self._finals += 1
        self.jobs.append(self._job(now_s, is_final=True, is_flush=is_flush))
        self._buffer.clear()

    def _job(self, now_s: float, *, is_final: bool, is_flush: bool = False) -> Job:
        """The buffer as it is. A partial bears the number of the final before it."""
        return Job(
            pcm=bytes(self._buffer.pcm),
            is_final=is_final,
            number=self._finals,
            offset_s=self._buffer.offset_s,
            audio_length_s=self._buffer.length_s,
            queued_s=now_s,
            is_flush=is_flush,
        )
