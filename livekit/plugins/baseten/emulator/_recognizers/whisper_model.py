"""faster-whisper's model with windows of any length. Importing this takes a second or more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

WHOLE_FRAMES = 3000
"""What faster-whisper pads every buffer to, and Whisper was trained on: 30 s."""

MARGIN_FRAMES = 100  # behind the end of the buffer: the decoder looks for an end there


class WindowedModel(WhisperModel):
    """Positions are counted from the start, so an input that ends sooner gives the same text."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._window = threading.local()

    @contextlib.contextmanager
    def window(self, least_frames: int) -> Iterator[None]:
        """Encode the buffer and a margin, and no less than this. It holds for this thread."""
        self._window.least_frames = least_frames
        try:
            yield
        finally:
            self._window.least_frames = WHOLE_FRAMES

    def encode(self, features: NDArray[np.float32]) -> ctranslate2.StorageView:
        heard = np.flatnonzero(features.any(axis=0))  # padding is zeros
        frames = (int(heard[-1]) + 1 if len(heard) else 0) + MARGIN_FRAMES
        frames = max(frames, getattr(self._window, "least_frames", WHOLE_FRAMES))
        frames += frames % 2  # the encoder halves them
        return super().encode(np.ascontiguousarray(features[:, :frames]))
