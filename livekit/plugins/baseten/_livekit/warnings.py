"""What a stream reports besides speech: to the log, and to listeners for errors."""

from __future__ import annotations

from collections.abc import Callable

from livekit.agents import APIError

from .._core.clocks import SAMPLE_RATE_HZ
from .._core.events import (
    AudioLost,
    HallucinationDropped,
    MessageSkipped,
    ServerWarned,
    TimesDoubted,
)
from ..log import logger

Notice = AudioLost | ServerWarned | HallucinationDropped | MessageSkipped | TimesDoubted

# There is one warning for so much lost audio, and not one for each frame.
_LOSS_WARNING_SAMPLES = 10 * SAMPLE_RATE_HZ


class Notices:
    """
    Args:
        replay_buffer_s: Seconds of audio that are kept while there is no connection.
        lost_before: Samples that were lost in the streams that this one goes on from.
        lost: Told how many samples were lost so far, whenever the log is.
        failed: Told of errors after which the stream goes on.
    """

    def __init__(
        self,
        *,
        replay_buffer_s: float,
        lost_before: int,
        lost: Callable[[int], None],
        failed: Callable[[APIError], None],
    ) -> None:
        self._replay_buffer_s = replay_buffer_s
        self._lost_before = lost_before
        self._lost = lost
        self._failed = failed
        self._loss_reported = 0
        self.lost_samples = 0
        self.hallucinations_dropped = 0

    def take(self, notice: Notice) -> None:
        if isinstance(notice, AudioLost):
            self.lost_samples += notice.samples
            unreported = self.lost_samples - self._loss_reported
            is_first = not self._lost_before and not self._loss_reported
            if is_first or unreported >= _LOSS_WARNING_SAMPLES:
                self.report_loss()
        elif isinstance(notice, ServerWarned):
            self._report_warning(notice)
        elif isinstance(notice, HallucinationDropped):
            self.hallucinations_dropped += 1
            logger.debug(
                "a probable hallucination was dropped",
                extra={"lk.pii.transcript": notice.hypothesis.text},
            )
        elif isinstance(notice, TimesDoubted):
            logger.warning(
                "times in the server's results cannot be right, the words are kept in the order in "
                "which they came: %s",
                notice.reason,
            )
        else:
            logger.warning("skipping messages that cannot be read: %s", notice.reason)

    @property
    def lost_in_all(self) -> int:
        return self._lost_before + self.lost_samples

    def report_loss(self) -> None:
        """Warn of the audio lost so far, if there is more of it than the last warning said."""
        if self.lost_samples == self._loss_reported:
            return
        self._loss_reported = self.lost_samples
        self._lost(self.lost_samples)
        logger.warning(
            "no connection to Baseten for longer than replay_buffer_s=%g: %.1f s of audio were "
            "dropped unheard so far",
            self._replay_buffer_s,
            self.lost_in_all / SAMPLE_RATE_HZ,
        )

    def take_rest(self, samples: int) -> None:
        """So many samples more are lost: their stream has failed, and no other one went on."""
        if not samples:
            return
        self.lost_samples += samples
        self._loss_reported = self.lost_samples
        self._lost(self.lost_samples)
        logger.warning(
            "a Baseten stream has failed and no other one has gone on from it: %.1f s of audio "
            "were dropped unheard",
            samples / SAMPLE_RATE_HZ,
        )

    def _report_warning(self, warned: ServerWarned) -> None:
        # Of a traceback in the message, the last line says what happened.
        said = warned.message.strip().splitlines()[-1] if warned.message.strip() else ""
        error = APIError(f"Baseten: {warned.error_type or 'error'}: {said}", retryable=True)
        logger.warning("the Baseten server reports a problem and goes on: %s", error.message)
        self._failed(error)
