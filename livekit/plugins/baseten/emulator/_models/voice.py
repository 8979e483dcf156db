"""When somebody speaks: voice detectors, and the rule by which the server ends an utterance.

The rule counts audio samples, never time, so silence sent in one burst ends an utterance as surely
as silence that was lived through (docs/protocol.md, voice activity).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

HYSTERESIS = 0.15
"""How far below the threshold a probability must be to count as silence."""

WINDOW_SAMPLES = {16_000: 512, 8_000: 256}
"""The only window that Silero's model takes, by its sampling rate in Hz."""


class VoiceDetector(Protocol):
    """Hears one connection, window after window."""

    def probability(self, window: NDArray[np.int16]) -> float:
        """How likely 512 samples at 16 kHz are speech, from 0 to 1."""


class AmplitudeDetector:
    """Speech is whatever is louder than `floor`. Deterministic, made for coded audio."""

    def __init__(self, floor: int = 0) -> None:
        self._floor = floor

    def probability(self, window: NDArray[np.int16]) -> float:
        # int32, because the magnitude of -32768 does not fit into 16 bits
        return 1.0 if int(np.abs(window.astype(np.int32)).max(initial=0)) > self._floor else 0.0


class SileroDetector:
    """Silero, the voice detector that Baseten's server uses. The model is LiveKit's copy of it."""

    def __init__(self) -> None:
        from livekit.local_inference import VAD

        self._vad = VAD()

    def probability(self, window: NDArray[np.int16]) -> float:
        return float(self._vad.predict(window))


class VoiceActivity:
    """Silero's streaming iterator as Baseten's server runs it: it speaks up only where speech ends.

    The keyword arguments are the keys of `streaming_vad_config`, and no others: an unknown key is
    a `TypeError` here as it is there, and costs the session.

    Args:
        detector: Hears this connection, and no other.
        threshold: Speech from this probability on.
        sampling_rate: What the windows are taken to be, in Hz.
        min_silence_duration_ms: How much silence ends an utterance, in milliseconds.
        speech_pad_ms: Widens what the server logs, in milliseconds. Nothing a client could see.

    Attributes:
        triggered: Whether speech is under way.
        is_speech: Whether the last window was speech.
        has_ended: Whether speech ended with it.
    """

    def __init__(
        self,
        detector: VoiceDetector,
        *,
        threshold: float = 0.5,
        sampling_rate: int = 16_000,
        min_silence_duration_ms: float = 300,
        speech_pad_ms: float = 0,
    ) -> None:
        if sampling_rate not in WINDOW_SAMPLES:
            raise ValueError("the voice detector knows 8000 and 16000 Hz only")
        self._detector = detector
        self._threshold = threshold
        self._sampling_rate_hz = sampling_rate
        # Both are computed up front, as the server does: a value that is no number fails here.
        self._min_silence_samples = int(sampling_rate * min_silence_duration_ms / 1000)
        self._pad_samples = int(sampling_rate * speech_pad_ms / 1000)
        self._heard_samples = 0
        self._silent_since: int | None = None
        self.triggered = False
        self.is_speech = False
        self.has_ended = False

    def heard(self, window: NDArray[np.int16]) -> None:
        """Take one window.

        Raises:
            ValueError: The window has not the one size the model takes.
            TypeError: The threshold is no number, which shows only at the first window.
        """
        self._checked(len(window))
        wide = window if self._sampling_rate_hz == 16_000 else np.repeat(window, 2)
        probability = self._detector.probability(wide)
        self._heard_samples += len(window)
        self.has_ended = False
        self.is_speech = probability >= self._threshold
        if self.is_speech:
            self.triggered, self._silent_since = True, None
        elif self.triggered and probability < self._threshold - HYSTERESIS:
            self._fell_silent()
        # In between it is neither speech again nor the end of it.

    def _fell_silent(self) -> None:
        if self._silent_since is None:
            self._silent_since = self._heard_samples
        if self._heard_samples - self._silent_since >= self._min_silence_samples:
            self.triggered, self._silent_since = False, None
            self.has_ended = True

    def _checked(self, window_samples: int) -> None:
        expected = WINDOW_SAMPLES[self._sampling_rate_hz]
        if window_samples < expected:
            raise ValueError("Input audio chunk is too short")
        if window_samples > expected:
            raise ValueError(
                f"Provided number of samples is {window_samples} "
                "(Supported values: 256 for 8000 sample rate, 512 for 16000)"
            )


VoiceDetectorFactory = Callable[[], VoiceDetector]
