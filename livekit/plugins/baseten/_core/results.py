"""What a server's result means on the stream's time axis."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

from .clocks import SAMPLE_RATE_HZ
from .events import Hypothesis, SpokenWord
from .ordering import Ordering, samples
from .session import Session
from .user_audio import PAUSE_SAMPLES, UserAudio
from .wire import ServerWord, Transcript

# What a server says is still to come may have been said by so many finals.
_FINALS_KEPT = 32

_ENGLISH = "en"  # what a translation is in

_END = attrgetter("end")
_tuple: Callable[[type[SpokenWord], tuple[Any, ...]], SpokenWord] = tuple.__new__


class FinalResult(NamedTuple):
    """
    Attributes:
        said: One hypothesis, or one for each turn where several people spoke; before them what was
            held back, if this final comes without it.
        pending: What is still to come of it, and no final has said.
        settled: The stream position up to which it accounts for the audio, whatever it says.
        is_forced: The server cut the utterance off because it went on too long.
    """

    said: list[Hypothesis]
    pending: Hypothesis | None
    settled: int
    is_forced: bool


class Results:
    """Reads the results of one session.

    Times come from the words: a segment spans the server's whole buffer, leading silence included.
    Where there are no words, speech is taken to begin where the first partial came from, and to end
    before the silence that made the server end it.

    Args:
        session: Whose results these are.
        audio: What they are compared with.
        language: Standard code of what was spoken before, where ``session`` asks for none; "" if
            nobody knows.
    """

    def __init__(self, session: Session, audio: UserAudio, language: str = "") -> None:
        self.language = session.dialect.language or language
        self._session = session
        self._audio = audio
        self._onset: int | None = None
        self._ordering = Ordering(spans_buffer=session.dialect.segments_span_buffer)
        self._final_number = 0  # the server's, of that final
        self._said: deque[tuple[int, int]] = deque(maxlen=_FINALS_KEPT)  # the spans of finals

    @property
    def doubt(self) -> str:
        """What is wrong with the times of the last final; "" if nothing is."""
        return self._ordering.doubt

    @property
    def is_in_order(self) -> bool:
        """Results come in the order of the audio, and say how much of it they have heard."""
        dialect = self._session.dialect
        return dialect.segments_span_buffer and not dialect.speaker_wait_s and not self.doubt

    def is_old(self, transcript: Transcript) -> bool:
        """It was said already."""
        return self._ordering.is_old(transcript)

    def is_one_missing_before(self, transcript: Transcript) -> bool:
        """The server counted a final that did not come.

        A partial has the number of the final before it, which it may have a little too early: only
        a buffer that has moved on tells. Of several speakers, finals may come after later partials.
        """
        has_moved_on = not transcript.is_final and self._ordering.has_moved_on(transcript)
        if transcript.number is None:
            return has_moved_on
        ahead = transcript.number - self._final_number
        if transcript.is_final:
            return ahead > 1
        if self._session.dialect.speaker_wait_s:
            return False
        return ahead > 1 or (ahead == 1 and has_moved_on)

    def skip_to(self, partial: Transcript) -> int:
        """Miss no final before ``partial`` any more.

        Returns:
            The stream position at which its buffer begins.
        """
        self._ordering.skip_to(partial)
        self._final_number = partial.number or self._final_number
        self._onset = None
        return self._bounds(partial)[0]

    def has_paused(self, said: Hypothesis) -> bool:
        """Silence has begun after what a partial says."""
        if said.heard_to - said.end >= PAUSE_SAMPLES:
            return True  # the server's word for it
        return self._audio.has_faded(said.start, said.heard_to)

    def read_partial(self, transcript: Transcript) -> Hypothesis:
        placed = self._ordering.placed(transcript, self._session.clock.sent)
        is_told, transcript = placed is transcript, placed
        start, end = self._bounds(transcript)
        if self._session.dialect.segments_span_buffer:
            if self._onset is None and is_told and transcript.end_s is not None:
                self._onset = self._onset_from(start, end)
            return self._hypothesis(transcript, max(start, self._onset or start), end)
        said = self._hypothesis(transcript, start, end)
        # The times are those of the speech, and do not tell how much was heard: all that was sent.
        clock = self._session.clock
        return said._replace(heard_to=clock.to_stream(clock.sent))

    def read_final(self, final: Transcript) -> FinalResult:
        since = self._ordering.end
        final = self._ordering.placed(final, self._session.clock.sent)
        said = [self._compared(hypothesis) for hypothesis in self._hypotheses(final)]
        self._said.extend((each.start, max(each.end, each.heard_to)) for each in said)
        skipped, pending = self._unsaid(final, said[0].start)
        said = [*skipped, *said]
        is_forced = self._is_forced(final, since)
        result = FinalResult(said, pending, self._settled(final), is_forced)
        self._onset = None
        self._final_number = final.number or self._final_number
        self._session.clock.forget(self._ordering.end)
        return result

    def _hypotheses(self, final: Transcript) -> list[Hypothesis]:
        if final.parts:
            return [self._hypothesis(part, *self._bounds(part)) for part in final.parts]
        start, end = self._bounds(final)
        start = max(start, self._onset or start)
        if not final.is_flush:
            end = max(start, end - self._session.dialect.trailing_samples)
        return [self._hypothesis(final, start, end)]

    def _unsaid(self, final: Transcript, start: int) -> tuple[list[Hypothesis], Hypothesis | None]:
        """What ``final`` says is still to come, and no final has said.

        The server repeats the last partial there, even that of the utterance that this very final
        is about. At the end of the audio it also holds back sentences that had not ended before:
        no final will ever have those.

        Args:
            start: Where the final starts.

        Returns:
            What was spoken before the final, and what was spoken after it.
        """
        if final.pending is None:
            return [], None
        pending = self._hypothesis(final.pending, *self._bounds(final.pending))
        # A text of one token has no words that would tell that it was said.
        pending = pending._replace(text=pending.text.removesuffix(final.text).rstrip())
        if pending.words:
            words = [word for word in pending.words if not self._is_said(word.start, word.end)]
            skipped = _of_words(pending, [word for word in words if word.start < start])
            later = _of_words(pending, [word for word in words if word.start >= start])
        elif self._is_said(pending.start, pending.start + 1):
            return [], None  # with no times of words, all of it counts as said if its start does
        else:
            left = pending if pending.text else None
            skipped, later = (left, None) if pending.start < start else (None, left)
        if skipped is None:
            return [], later
        return [skipped._replace(end=min(skipped.end, start), is_promoted=True)], later

    def _is_said(self, start: int, end: int) -> bool:
        return any(start < until and end > begun for begun, until in self._said)

    def _compared(self, said: Hypothesis) -> Hypothesis:
        """``said``, marked if there is only silence in the audio that it claims to be."""
        is_unspoken = bool(said.text) and self._audio.is_silent(said.start, said.end)
        return said._replace(is_unspoken=True) if is_unspoken else said

    def _settled(self, final: Transcript) -> int:
        session, start = self._session, self._audio.journal.start
        # The answer to a request accounts for everything before the request, whatever it says.
        until = max(session.clock.to_stream(self._ordering.end), final.settles or 0)
        return max(start, min(until, session.cursor))

    def _is_forced(self, final: Transcript, since: int) -> bool:
        """
        Args:
            since: Where the final before it ended, in connection samples.
        """
        length = samples(final.audio_s)
        if final.is_flush or (length is None and self.doubt):
            return False
        session, dialect = self._session, self._session.dialect
        if length is None:
            length = self._ordering.end - since
        if length < dialect.forced_samples:
            return False
        if dialect.segments_span_buffer:
            return True
        # So long after the last final, there may be silence before the speech: does it go on now?
        start = session.clock.to_stream(samples(final.start_s) or since)
        return not self._audio.has_faded(start, session.cursor)

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
        self.language = transcript.language or self.language
        translates = self._session.dialect.translates and self.language != _ENGLISH
        end = heard_to = max(start, end)
        words = self._spoken(transcript.words, start, end)
        if words:
            start, end = words[0].start, max(map(_END, words))
        return Hypothesis(
            text=transcript.text,
            start=start,
            end=end,
            words=words,
            language=_ENGLISH if translates else self.language,
            source_language=self.language if translates else None,
            language_prob=transcript.language_prob,
            beams=transcript.beams,
            confidence=transcript.confidence,
            speaker=transcript.speaker,
            heard_to=heard_to,
            is_suspect=transcript.is_suspect,
        )

    def _spoken(
        self, words: tuple[ServerWord, ...], start: int, end: int
    ) -> tuple[SpokenWord, ...]:
        """``words`` in stream samples; one without times reaches from ``start`` to ``end``."""
        spoken = []
        clock = self._session.clock
        since, ahead, sent = clock.since, clock.ahead, clock.sent
        for text, start_s, end_s, confidence, speaker in words:
            begun = start if start_s is None else round(start_s * SAMPLE_RATE_HZ)
            ended = end if end_s is None else round(end_s * SAMPLE_RATE_HZ)
            if start_s is not None and end_s is not None and since <= begun <= ended <= sent:
                begun, ended = begun + ahead, ended + ahead  # as nearly always
            else:
                # A time may be made up: nothing was said that has not been sent.
                begun = start if start_s is None else clock.to_stream(min(begun, sent))
                ended = end if end_s is None else clock.to_stream(min(ended, sent))
                ended = max(begun, ended)
            spoken.append(_tuple(SpokenWord, (text, begun, ended, confidence, speaker)))
        return tuple(spoken)


def _of_words(whole: Hypothesis, words: list[SpokenWord]) -> Hypothesis | None:
    """Some of the words of a hypothesis, joined as servers do that tell speakers apart."""
    if not words:
        return None
    if len(words) == len(whole.words):
        return whole
    text = " ".join(word.text for word in words)
    start, end = words[0].start, max(word.end for word in words)
    return whole._replace(text=text, words=tuple(words), start=start, end=end)
