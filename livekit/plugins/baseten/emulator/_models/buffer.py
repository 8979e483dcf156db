"""What was heard since the last final, and where on the connection's time axis it starts."""

from __future__ import annotations

from .metadata import StreamingParams

BYTES_PER_SAMPLE = {"pcm_s16le": 2, "pcm_mulaw": 1}


class AudioBuffer:
    """Audio in the rate and encoding that the client declared. Seconds are by that rate.

    Attributes:
        pcm: The bytes, as sent.
        partial_at_s: How long the buffer was when a partial of it was last due, in seconds.
    """

    def __init__(self, streaming: StreamingParams) -> None:
        self._streaming = streaming
        self._start_bytes = 0
        self.pcm = bytearray()
        self.partial_at_s = 0.0

    @property
    def bytes_per_sample(self) -> int:
        """How long a sample is.

        Raises:
            ValueError: The encoding is not known. Whatever needs this number raises it, too.
        """
        encoding = self._streaming.encoding
        if encoding not in BYTES_PER_SAMPLE:
            raise ValueError(
                f"Unsupported encoding: {encoding}. Expected 'pcm_s16le' or 'pcm_mulaw'"
            )
        return BYTES_PER_SAMPLE[encoding]

    @property
    def offset_s(self) -> float:
        return self._seconds(self._start_bytes)

    @property
    def length_s(self) -> float:
        return self._seconds(len(self.pcm))

    def overflows_with(self, frame: bytes) -> bool:
        limit_s = self._streaming.final_transcript_max_duration_s
        return self._seconds(len(self.pcm) + len(frame)) > limit_s

    def is_partial_due(self) -> bool:
        since_s = self.length_s - self.partial_at_s
        return since_s >= self._streaming.partial_transcript_interval_s

    def clear(self) -> None:
        """Empty it. The next buffer starts where this one ended."""
        self._start_bytes += len(self.pcm)
        self.pcm = bytearray()
        self.partial_at_s = 0.0

    def _seconds(self, length_bytes: int) -> float:
        return length_bytes / (self._streaming.sample_rate * self.bytes_per_sample)
