"""What becomes of a stream after an error: whether it is retried, and after how long a wait.

`RULES` says which errors are retried and when a stream gets its retry budget back; it is the table
of `docs/design.md`, errors and retries. LiveKit counts the retries and makes them. The length of
each wait is given here. When a replica restarts, every call on it is cut in the same instant, and
with waits of one length all of them come back in the same instant too, again and again. So a wait
has a fixed part and a random one:

    retry      fixed part            random part, uniform   with LiveKit's default of 2 s
    first      0                     0 .. 0.3 s             0 .. 0.3 s, on average 0.15 s
    second     retry interval        0 .. 1 interval        2 .. 4 s
    further    retry interval        0 .. 2 intervals       2 .. 6 s
    later      1.5 retry intervals   0 .. 1.5 intervals     3 .. 6 s

"Later" are all the waits of a stream that goes on from one that has failed. LiveKit opens three of
those, then it closes the session. With these waits that takes half a minute at least.

The numbers come from `benchmarks/storm.py`; `docs/reliability.md` has its results.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import (
    BasetenError,
    ConnectFailed,
    ConnectTimedOut,
    DrainTimedOut,
    HandshakeRefused,
    LocalProtocolError,
    MetadataRefused,
    ServerFailed,
    SessionLost,
    WrongDialect,
)
from .session import Session

# HTTP statuses of a proxy or a replica that has no room yet, or no model yet.
_BUSY_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

# RFC 6455 section 7.4.1: the server objects to what was sent, and would object again.
_REFUSING_CLOSE_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 1010})


class Rule(NamedTuple):
    """What follows from an error of one kind.

    Attributes:
        what: As the table of `docs/design.md` has it.
        error: The kind.
        is_retried: Another connection may do better.
        gives_back: A connection that ends like this gives the retry budget back, if it had worked.
        may_be_waking: A model that is waking up answers like this: see `cold_start_timeout`.
        applies: Tells errors of one class apart.
    """

    what: str
    error: type[BasetenError]
    is_retried: bool
    gives_back: bool = False
    may_be_waking: bool = False
    applies: Callable[[Any], bool] = lambda error: True


# The first rule that applies is the one.
RULES = (
    Rule(
        "HTTP 408, 429, 500, 502, 503 or 504 at the handshake",
        HandshakeRefused,
        is_retried=True,
        may_be_waking=True,
        applies=lambda error: error.status in _BUSY_STATUSES,
    ),
    Rule(
        "HTTP 499 or another 5xx at the handshake",
        HandshakeRefused,
        is_retried=True,
        applies=lambda error: error.status == 499 or error.status >= 500,
    ),
    Rule("any other HTTP status at the handshake", HandshakeRefused, is_retried=False),
    Rule("no answer to the handshake in time", ConnectTimedOut, is_retried=True),
    Rule(
        "a certificate that does not verify, a URL that is none, a closed `http_session`",
        ConnectFailed,
        is_retried=False,
        applies=lambda error: error.permanent,
    ),
    Rule("refused, reset, no such host", ConnectFailed, is_retried=True, may_be_waking=True),
    Rule(
        "close 1011 again, with the same metadata",
        MetadataRefused,
        is_retried=False,
        applies=lambda error: error.permanent,
    ),
    Rule("close 1011 before the metadata was proven", MetadataRefused, is_retried=True),
    Rule(
        "an error frame that ends the stream and that the same audio would bring again",
        ServerFailed,
        is_retried=False,
        applies=lambda error: error.permanent,
    ),
    Rule(
        "any other error frame that ends the stream", ServerFailed, is_retried=True, gives_back=True
    ),
    Rule("no last result", DrainTimedOut, is_retried=True),
    Rule(
        "close 1002, 1003, 1007 to 1010",
        SessionLost,
        is_retried=False,
        applies=lambda error: error.code in _REFUSING_CLOSE_CODES,
    ),
    Rule(
        "any other close, or no sign of life",
        SessionLost,
        is_retried=True,
        gives_back=True,
        may_be_waking=True,
    ),
    Rule("a frame of another protocol", WrongDialect, is_retried=False),
    Rule("a defect of this package", LocalProtocolError, is_retried=False),
)


def rule_for(error: BasetenError) -> Rule:
    """The rule for ``error``. What no rule knows is taken for a defect of this package."""
    for rule in RULES:
        if isinstance(error, rule.error) and rule.applies(error):
            return rule
    return RULES[-1]


class Refusals:
    """Counts refusals of the same metadata, of one connection after the other.

    A server that fails while it starts up looks like one that refuses its metadata. So the first
    refusal is retried, and the second is for good.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def clear(self) -> None:
        """A server has taken the metadata of a connection: begin to count anew."""
        self._counts.clear()

    def judge(self, error: BasetenError) -> BasetenError:
        """Count ``error`` if it is a refusal.

        Returns:
            ``error``, or the same refusal as a permanent one if it is the second.
        """
        if not isinstance(error, MetadataRefused):
            return error
        self._counts[error.sent] += 1
        if self._counts[error.sent] == 1:
            return error
        del self._counts[error.sent]
        return error.as_permanent()


class Worth(enum.Enum):
    """What a connection that is over was good for."""

    NOTHING = "there was none, or the server did not take its metadata"
    ACCEPTED = "the server took its metadata, and no more is known"
    WORKED = "it brought results, or it lived for a while"


# A connection that lived for so long has worked, even if nobody spoke.
WORKED_AFTER_S = 5.0


def worth(session: Session | None, error: BasetenError, *, lived_s: float) -> Worth:
    """What the connection of ``session`` was good for, ended by ``error`` after ``lived_s``."""
    if session is None or isinstance(error, MetadataRefused):
        return Worth.NOTHING
    # A dialect without a health check has no other proof than results, or that the server stayed.
    is_accepted = session.is_proven or not session.dialect.can_probe
    if is_accepted and (session.has_results or lived_s > WORKED_AFTER_S):
        return Worth.WORKED
    return Worth.ACCEPTED if session.is_proven else Worth.NOTHING


class Blame(enum.Enum):
    """Whether a stream has failed because of the audio that it was sent."""

    NO = "no server was sent any"
    PERHAPS = "a server was sent it, and then something went wrong"
    YES = "the server says so: the same audio would bring the same error again"


def blame(error: BasetenError) -> Blame:
    """How far the audio is to blame for ``error``."""
    if isinstance(error, (HandshakeRefused, ConnectTimedOut, ConnectFailed)):
        return Blame.NO
    is_sure = isinstance(error, ServerFailed) and error.permanent
    return Blame.YES if is_sure else Blame.PERHAPS


def asked_wait_s(error: BasetenError) -> float:
    """Seconds that the server asked to wait before the next connection, 0 if it did not."""
    return error.retry_after_s if isinstance(error, HandshakeRefused) else 0.0


# The mean, 0.15 s, is what a caller waits whose connection alone was lost; LiveKit's own first wait
# is 0.1 s. Of all distributions from zero up with one mean, the uniform one has the lowest peak
# density, so this is also the flattest first wave that the mean allows.
FIRST_CEILING_S = 0.3

# In retry intervals, reached by the third retry. Reached by the second already, it made a restart
# without a storm 0.5 s longer and the waves of a storm hardly lower (514 against 564 handshakes in
# 100 ms, where fixed waits make 5,263).
WIDEST_SPREAD_INTERVALS = 2

# Of a stream that goes on from one that has failed, in retry intervals: the shortest wait, and how
# much it is spread. Four streams that are refused at once last for 32.5 s at least: 4 s, nine of
# these waits, and three times LiveKit's 0.5 s between two streams.
LATER_FLOOR_INTERVALS = 1.5
LATER_SPREAD_INTERVALS = 1.5

# A call does not outlive a longer silence, and three retries of 10 s are already as long as anybody
# holds the line; a server that asks for more finds the budget spent, and a fallback can act.
LONGEST_RETRY_AFTER_S = 10.0


def retry_delay_s(
    attempt: int,
    *,
    retry_interval_s: float,
    uniform: Callable[[float, float], float],
    retry_after_s: float = 0.0,
    is_later: bool = False,
) -> float:
    """Return the wait before a retry, as `APIConnectOptions._interval_for_retry` counts retries.

    From the second retry on, the wait is never shorter than LiveKit's fixed one. Full jitter, from
    zero, spreads a storm as well but spends the three retries of the default budget in 2.15 s on
    average, and so loses streams in a restart of 3 s that LiveKit's 4.1 s survive. Here the default
    budget lasts at least 4.0 s, on average 7.15 s and at most 10.3 s.

    Args:
        attempt: Number of retries already made: 0 before the first.
        retry_interval_s: The user's `APIConnectOptions.retry_interval`, seconds. 0 turns all
            waiting off.
        uniform: Draws a number between its two arguments, as `random.uniform` does.
        retry_after_s: Seconds the server asked for in `Retry-After`, 0 if it did not. A floor,
            honoured up to `LONGEST_RETRY_AFTER_S`. It was told to every call it refused, so even a
            first retry then spreads over a whole retry interval.
        is_later: The stream goes on from one that has failed: this is no first loss of a
            connection, however often this stream itself has tried.

    Returns:
        Seconds to wait, never negative.
    """
    if retry_interval_s <= 0:
        return 0.0
    if attempt == 0 and not retry_after_s > 0 and not is_later:
        return uniform(0.0, min(FIRST_CEILING_S, retry_interval_s))

    floor_s = retry_interval_s if attempt > 0 else 0.0
    if is_later:
        floor_s = LATER_FLOOR_INTERVALS * retry_interval_s
    if retry_after_s > floor_s:
        floor_s = max(floor_s, min(retry_after_s, LONGEST_RETRY_AFTER_S))
    spread_s = retry_interval_s * min(max(attempt, 1), WIDEST_SPREAD_INTERVALS)
    if is_later:
        spread_s = LATER_SPREAD_INTERVALS * retry_interval_s
    return floor_s + uniform(0.0, spread_s)
