"""What a server's result means on the stream's time axis."""

from __future__ import annotations

from .clocks import SAMPLE_RATE_HZ
from .events import Hypothesis, SpokenWord
from .session import Session
from .wire import ServerWord, Transcript


class Results:
    """Reads the results of one session after the other.

    Times come from the words: a segment spans the server's whole buffer, leading silence included.
    Where there are no words, speech is taken to begin where the first partial came from, and to end
    before the silence that made the server end it.

    Args:
        language: Standard code of what was asked for, until a server names one; "" to detect it.
    """

    def __init__(self, language: str) -> None:
        self._language = language
        self._onset: int | None = None
        self._session: Session

    def attach(self, session: Session) -> None:
        self._session = session
        self._language = session.dialect.language or self._language
        self._onset = None

    def read_partial(self, transcript: Transcript) -> Hypothesis:
        start, end = self._bounds(transcript)
        if self._session.dialect.segments_span_buffer:
            if self._onset is None and transcript.end_s is not None:
                self._onset = self._onset_from(start, end)
            return self._hypothesis(transcript, max(start, self._onset or start), end)
        said = self._hypothesis(transcript, start, end)
        # Bounded by the speech, it does not tell how much was heard: no more than was sent.
        clock = self._session.clock
        return said._replace(heard_to=clock.to_stream(clock.sent))

    def read_final(self, transcript: Transcript) -> list[Hypothesis]:
        """What was said: one hypothesis, or one for each turn where several people spoke."""
        if transcript.parts:
            self._onset = None
            return [self._hypothesis(part, *self._bounds(part)) for part in transcript.parts]
        start, end = self._bounds(transcript)
        if self._onset is not None:
            start = max(start, self._onset)
        self._onset = None
        if not transcript.is_flush:
            end = max(start, end - self._session.dialect.trailing_samples)
        return [self._hypothesis(transcript, start, end)]

    def read_pending(self, transcript: Transcript) -> Hypothesis | None:
        """What the server holds back for the next final."""
        held_back = transcript.pending
        return None if held_back is None else self._hypothesis(held_back, *self._bounds(held_back))

    def end_of(self, final: Transcript, last_end: int) -> int:
        """Where the next final begins, in connection samples.

        Args:
            last_end: Where the last one ended.
        """
        sent = self._session.clock.sent
        end, audio = samples(final.end_s), samples(final.audio_s)
        if end is None and audio is not None:
            end = last_end + audio
        elif end is None:  # older runtimes; of nothing said, nothing is known
            end = sent if final.text else last_end
        return min(end, sent)

    def _bounds(self, transcript: Transcript) -> tuple[int, int]:
        """The stream samples of the server's buffer."""
        clock = self._session.clock
        end = samples(transcript.end_s)
        end = clock.sent if end is None else min(end, clock.sent)
        start = samples(transcript.start_s)
        if start is None:
            start = end - (samples(transcript.audio_s) or 0)
        return clock.to_stream(min(max(0, start), end)), clock.to_stream(end)

    def _onset_from(self, start: int, end: int) -> int:
        """Where speech began, given the bounds of the utterance's first partial.

        That comes with the first frame of speech, unless the buffer was then younger than the
        interval between partials.
        """
        dialect = self._session.dialect
        waited = end - start > dialect.partial_interval_samples + dialect.chunk_samples
        return end - dialect.chunk_samples if waited else start

    def _hypothesis(self, transcript: Transcript, start: int, end: int) -> Hypothesis:
        self._language = transcript.language or self._language
        end = heard_to = max(start, end)
        words = self._spoken(transcript.words, start, end)
        if words:
            start, end = words[0].start, max(word.end for word in words)
        return Hypothesis(
            text=transcript.text,
            start=start,
            end=end,
            words=words,
            language=self._language,
            confidence=transcript.confidence,
            speaker=transcript.speaker,
            heard_to=heard_to,
            is_suspect=transcript.is_suspect,
        )

    def _spoken(
        self, words: tuple[ServerWord, ...], start: int, end: int
    ) -> tuple[SpokenWord, ...]:
        """``words`` in stream samples; one without times reaches from ``start`` to ``end``.

        A time that the server names may be made up: nothing was said that has not been sent.
        """
        spoken = []
        clock = self._session.clock
        sent = clock.sent
        for text, start_s, end_s, confidence, speaker in words:
            begun, ended = start, end
            if start_s is not None:
                begun = clock.to_stream(min(round(start_s * SAMPLE_RATE_HZ), sent))
            if end_s is not None:
                ended = clock.to_stream(min(round(end_s * SAMPLE_RATE_HZ), sent))
            spoken.append(SpokenWord(text, begun, max(begun, ended), confidence, speaker))
        return tuple(spoken)


def samples(seconds: float | None) -> int | None:
    """Connection time as a position, None where the server gave none."""
    return None if seconds is None else round(seconds * SAMPLE_RATE_HZ)
