"""How long to wait before a lost connection is opened again.

LiveKit decides whether to retry and how often; this is only the length of each wait. When a replica
restarts, every call on it is cut in the same instant, and fixed waits bring them all back in the
same instant too, again and again. A wait here is a floor plus a random part:

    retry      floor                 random part, uniform   with LiveKit's default of 2 s
    first      0                     0 .. 0.3 s             0 .. 0.3 s, on average 0.15 s
    second     retry interval        0 .. 1 interval        2 .. 4 s
    further    retry interval        0 .. 2 intervals       2 .. 6 s

The numbers come from `benchmarks/storm.py`; `docs/reliability.md` has its results.
"""

from __future__ import annotations

from collections.abc import Callable

# The mean, 0.15 s, is what a caller waits whose connection alone was lost; LiveKit's own first wait
# is 0.1 s. Of all distributions from zero up with one mean, the uniform one has the lowest peak
# density, so this is also the flattest first wave that the mean allows.
FIRST_CEILING_S = 0.3

# In retry intervals, reached by the third retry. Reached by the second already, it made a restart
# without a storm 0.5 s longer and the waves of a storm hardly lower (514 against 608 handshakes in
# 100 ms, where fixed waits make 5,263).
WIDEST_SPREAD_INTERVALS = 2

# A call does not outlive a longer silence, and three retries of 10 s are already as long as anybody
# holds the line; a server that asks for more finds the budget spent, and a fallback can act.
LONGEST_RETRY_AFTER_S = 10.0


def retry_delay_s(
    attempt: int,
    *,
    retry_interval_s: float,
    uniform: Callable[[float, float], float],
    retry_after_s: float = 0.0,
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

    Returns:
        Seconds to wait, never negative.
    """
    if retry_interval_s <= 0:
        return 0.0
    if attempt == 0 and not retry_after_s > 0:
        return uniform(0.0, min(FIRST_CEILING_S, retry_interval_s))

    floor_s = retry_interval_s if attempt > 0 else 0.0
    if retry_after_s > floor_s:
        floor_s = max(floor_s, min(retry_after_s, LONGEST_RETRY_AFTER_S))
    spread_s = retry_interval_s * min(max(attempt, 1), WIDEST_SPREAD_INTERVALS)
    return floor_s + uniform(0.0, spread_s)
