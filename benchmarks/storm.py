"""How a service sees ten thousand calls come back, and how the calls see it: a simulation.

Every call is cut at t=0. The service refuses each handshake until the outage ends, then completes
`--capacity` of them a second from a queue that holds one second of work. What does not fit is
either refused at once (429, 503) or parked until the client's 10 s connect timeout. A call follows
LiveKit: three retries, then its stream fails, 0.5 s later a fresh one starts with a fresh budget,
and with the fourth failed stream the session closes and the call is lost. Compared are LiveKit's
fixed waits (0.1 s, 2 s, 2 s) and `retry_delay_s`, the code the plugin runs.

It does not measure sockets, TLS, proxies, scaling of replicas, audio, or replay. The capacity and
the outages are chosen, not Baseten's; a parked handshake whose client gave up costs the service
nothing; and no transcript arrives between two failures, which would give a call its budget back.

    python benchmarks/storm.py            print the tables
    python benchmarks/storm.py --write    and put them, and the picture, into docs/
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from livekit.plugins.baseten._core.retries import retry_delay_s

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- storm:begin -->", "<!-- storm:end -->"

Floats = npt.NDArray[np.float64]
Uniform = Callable[[float, float], float]
Delay = Callable[[int, Uniform, bool], float]  # the last: not the call's first stream

# livekit-agents 1.8.9: APIConnectOptions, AgentSession, and the pump of its speech recognition.
MAX_RETRY = 3
RETRY_INTERVAL_S = 2.0
CONNECT_TIMEOUT_S = 10.0
STREAM_RECREATED_AFTER_S = 0.5
STREAMS_PER_CALL = 4  # the session closes when failures exceed max_unrecoverable_errors, 3

NETWORK_S = (0.02, 0.10)  # one way with its share of TCP and TLS set-up; chosen
QUEUE_S = 1.0  # how much work the service queues before it refuses; chosen
OUTAGES_S = (0.0, 2.0, 5.0)  # other replicas take over; no second attempt is earlier; three fail
PICTURED_OUTAGE_S = 2.0


def livekit_delay(attempt: int, uniform: Uniform, is_later: bool) -> float:
    """What `APIConnectOptions._interval_for_retry` returns by default."""
    return 0.1 if attempt == 0 else RETRY_INTERVAL_S


def plugin_delay(attempt: int, uniform: Uniform, is_later: bool) -> float:
    return retry_delay_s(
        attempt, retry_interval_s=RETRY_INTERVAL_S, uniform=uniform, is_later=is_later
    )


def within(*ranges_s: tuple[float, float]) -> Delay:
    """A design to compare: the wait before retry n is uniform in the n-th range."""
    return lambda attempt, uniform, _: uniform(*ranges_s[min(attempt, len(ranges_s) - 1)])


DESIGNS: dict[str, Delay] = {
    "fixed, LiveKit's own: 0.1, 2, 2": livekit_delay,
    "full jitter: 0-0.3, 0-2, 0-2": within((0, 0.3), (0, 2), (0, 2)),
    "full jitter, doubled: 0-0.3, 0-4, 0-8": within((0, 0.3), (0, 4), (0, 8)),
    "equal jitter: 0-0.3, 1-3, 1-3": within((0, 0.3), (1, 3), (1, 3)),
    "base + jitter: 0-0.3, 2-4, 2-4": within((0, 0.3), (2, 4), (2, 4)),
    "**base + growing jitter: 0-0.3, 2-4, 2-6; later 3-6**": plugin_delay,
    "base + wide jitter: 0-0.3, 2-6, 2-6": within((0, 0.3), (2, 6), (2, 6)),
}


@dataclass(frozen=True)
class Storm:
    """The service and how many calls it loses at once."""

    calls: int
    capacity: float
    """Handshakes completed per second."""
    outage_s: float
    parks: bool = False
    """Excess handshakes wait for the connect timeout instead of being refused at once."""


@dataclass(frozen=True)
class Outcome:
    arrivals_s: Floats
    """When each handshake reached the service, in order."""
    back_s: Floats
    """When each call was connected again, in order; infinity if never."""
    calls_with_failed_stream: int
    outage_s: float

    @property
    def calls_lost(self) -> int:
        return int(np.isinf(self.back_s).sum())

    def peak(self, window_s: float, *, from_s: float = 0.0) -> int:
        """The most handshakes in any window of this length that starts at `from_s` or later."""
        arrivals_s = self.arrivals_s[self.arrivals_s >= from_s]
        until = np.searchsorted(arrivals_s, arrivals_s + window_s)
        return int((until - np.arange(len(arrivals_s))).max(initial=0))

    def back_at_s(self, fraction: float) -> float:
        """When this fraction of the calls was connected again; infinity if never."""
        return float(self.back_s[int(np.ceil(fraction * len(self.back_s))) - 1])


def simulate(storm: Storm, delay: Delay, seed: int) -> Outcome:
    """Let every call retry until it is connected or lost, one handshake after the other."""
    rng = np.random.default_rng(seed)
    network_s = (NETWORK_S[1] - NETWORK_S[0]) * rng.random((2, storm.calls)) + NETWORK_S[0]
    arrivals: list[float] = []
    back_s = np.full(storm.calls, np.inf)
    failed_streams = np.zeros(storm.calls, dtype=np.int64)
    free_s = storm.outage_s  # when the service can start the next handshake

    def attempt(call: int, at_s: float, retries: int) -> None:
        heapq.heappush(due, (at_s + network_s[0, call], call, retries, at_s))

    due: list[tuple[float, int, int, float]] = []  # arrival, call, retries made, started
    for call in range(storm.calls):
        attempt(call, network_s[1, call] + delay(0, rng.uniform, False), 1)
    while due:
        arrival_s, call, retries, started_s = heapq.heappop(due)
        arrivals.append(arrival_s)
        answered_s = arrival_s + network_s[1, call]
        if arrival_s >= storm.outage_s:
            done_s = max(free_s, arrival_s) + 1 / storm.capacity
            if done_s <= (started_s + CONNECT_TIMEOUT_S if storm.parks else arrival_s + QUEUE_S):
                free_s = done_s
                back_s[call] = done_s + network_s[1, call]
                continue
            if storm.parks:
                answered_s = started_s + CONNECT_TIMEOUT_S
                retries = 0  # LiveKit: an attempt that outlived the timeout restores the budget
        if retries < MAX_RETRY:
            is_later = bool(failed_streams[call])
            attempt(call, answered_s + delay(retries, rng.uniform, is_later), retries + 1)
            continue
        failed_streams[call] += 1
        if failed_streams[call] < STREAMS_PER_CALL:
            attempt(call, answered_s + STREAM_RECREATED_AFTER_S, 0)
    return Outcome(
        np.array(arrivals), np.sort(back_s), int((failed_streams > 0).sum()), storm.outage_s
    )


def lone_restart(delay: Delay, seed: int, calls: int = 20_000) -> tuple[float, float]:
    """One call, an outage of 0 to 4 s (uniform), no overload.

    Returns:
        The fraction of streams that fail, and the mean seconds that the others are away after the
        service is back.
    """
    rng = np.random.default_rng(seed)
    failed, late_s = 0, 0.0
    for outage_s in rng.uniform(0.0, 4.0, calls):
        at_s = 0.0
        for retry in range(MAX_RETRY):
            at_s += delay(retry, rng.uniform, False)
            if at_s >= outage_s:
                late_s += at_s - outage_s
                break
        else:
            failed += 1
    return failed / calls, late_s / (calls - failed)


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; columns padded so that it reads on a terminal too."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    padded = ([c.ljust(w) for c, w in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)


def compared(fixed: int, jittered: int) -> str:
    """`fixed → jittered` and how many times fewer."""
    ratio = f" ({fixed / jittered:.1f}x)" if jittered else ""
    return f"{fixed:,} → {jittered:,}{ratio}"


def seconds(fixed_s: float, jittered_s: float) -> str:
    return " → ".join("never" if np.isinf(s) else f"{s:.1f} s" for s in (fixed_s, jittered_s))


def scenario_rows(name: str, fixed: Outcome, ours: Outcome) -> tuple[list[str], list[str]]:
    """One storm's row in the service's table and in the calls' table."""
    up_s = fixed.outage_s
    load = [
        compared(fixed.peak(0.1), ours.peak(0.1)),
        compared(fixed.peak(1.0), ours.peak(1.0)),
        compared(fixed.peak(0.1, from_s=up_s), ours.peak(0.1, from_s=up_s)),
        compared(fixed.peak(1.0, from_s=up_s), ours.peak(1.0, from_s=up_s)),
        compared(len(fixed.arrivals_s), len(ours.arrivals_s)),
    ]
    times = [seconds(fixed.back_at_s(f), ours.back_at_s(f)) for f in (0.5, 0.95, 0.99)]
    streams = f"{fixed.calls_with_failed_stream:,} → {ours.calls_with_failed_stream:,}"
    lost = f"{fixed.calls_lost:,} → {ours.calls_lost:,}"
    return [name, *load], [name, *times, streams, lost]


def report(calls: int, capacity: float, seed: int) -> tuple[str, Outcome, Outcome]:
    """The tables as Markdown, and the two outcomes that are drawn."""
    load: list[list[str]] = []
    fate: list[list[str]] = []
    drawn: tuple[Outcome, Outcome] | None = None
    for parks in (False, True):
        for outage_s in OUTAGES_S:
            storm = Storm(calls, capacity, outage_s, parks)
            pair = simulate(storm, livekit_delay, seed), simulate(storm, plugin_delay, seed)
            rows = scenario_rows(f"{outage_s:g} s, {'parked' if parks else 'refused'}", *pair)
            load.append(rows[0])
            fate.append(rows[1])
            if outage_s == PICTURED_OUTAGE_S and not parks:
                drawn = pair
    assert drawn is not None
    designs = []
    storm = Storm(calls, capacity, PICTURED_OUTAGE_S)
    for name, delay in DESIGNS.items():
        failed, late_s = lone_restart(delay, seed)
        run = simulate(storm, delay, seed)
        peak = run.peak(0.1, from_s=storm.outage_s)
        cells = [f"{peak:,}", f"{len(run.arrivals_s):,}", f"{run.calls_lost:,}"]
        designs.append([name, f"{failed:.1%}", f"{late_s:.1f} s", *cells])
    text = f"""\
{calls:,} calls, {capacity:g} handshakes a second, seed {seed}. Each cell: LiveKit's fixed waits → this plugin's.

What the service sees, in handshakes ("up": once it accepts again):

{table(["outage, excess is", "peak in 100 ms", "peak in 1 s", "peak in 100 ms, up", "peak in 1 s, up", "in all"], load)}

What the calls see:

{table(["outage, excess is", "50 % back", "95 % back", "99 % back", "calls with a failed stream", "calls lost"], fate)}

Designs compared; waits in seconds. "Alone": one call, an outage between 0 and 4 s, no overload.
"Storm": an outage of {PICTURED_OUTAGE_S:g} s, excess refused.

{table(["design", "alone: stream fails", "alone: late by", "storm: peak in 100 ms, up", "storm: handshakes", "storm: calls lost"], designs)}
"""  # noqa: E501
    return text, *drawn


def draw(fixed: Outcome, ours: Outcome, capacity: float, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    end_s = 26.0
    edges_s = np.arange(0.0, end_s + 0.1, 0.1)
    names = ("LiveKit's fixed waits", "this plugin's jittered waits")
    colours = ("#c4521b", "#1f5fa8")
    figure, axes = plt.subplots(
        3, 1, figsize=(9, 7.5), sharex=True, height_ratios=(1, 1, 1.15), layout="constrained"
    )
    figure.suptitle(
        f"{len(ours.back_s):,} calls cut at once by a {ours.outage_s:g} s restart; "
        f"the service then completes {capacity / 10:g} handshakes per 100 ms, refuses the rest",
        fontsize=11,
    )
    highest = np.histogram(fixed.arrivals_s, edges_s)[0].max()
    for axis, run, name, colour in zip(axes, (fixed, ours), names, colours, strict=False):
        counts = np.histogram(run.arrivals_s, edges_s)[0]
        axis.stairs(counts, edges_s, fill=True, color=colour)
        axis.set_ylim(0, highest * 1.08)
        axis.set_ylabel("handshakes\nper 100 ms")
        title = f"{name}: {len(run.arrivals_s):,} handshakes"
        axis.set_title(title, loc="left", color=colour, fontsize=11)
        axis.yaxis.set_major_formatter("{x:,.0f}")
    for run, name, colour in zip((fixed, ours), names, colours, strict=True):
        share = np.arange(1, len(run.back_s) + 1) / len(run.back_s) * 100
        is_back = np.isfinite(run.back_s)
        label = f"{name}: {run.calls_lost:,} calls never back"
        axes[2].plot(run.back_s[is_back], share[is_back], color=colour, linewidth=2, label=label)
    axes[2].set_ylim(0, 102)
    axes[2].set_ylabel("calls back, %")
    axes[2].set_xlabel("seconds since the restart")
    axes[2].set_xlim(0, end_s)
    axes[2].legend(frameon=False, loc="lower right")
    for axis in axes:
        axis.axvspan(0, fixed.outage_s, color="#e8e8e8", zorder=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes[2].text(0.1, 101, "service\ndown", va="top", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write_between_markers(page: Path, text: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{page.name} has no {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=10_000, help="calls cut at once")
    parser.add_argument("--capacity", type=float, default=500, help="handshakes per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--write", action="store_true", help="write the tables and picture to docs/"
    )
    args = parser.parse_args()
    text, fixed, ours = report(args.calls, args.capacity, args.seed)
    print(text)
    if args.write:
        draw(fixed, ours, args.capacity, DOCS / "images" / "storm.png")
        write_between_markers(DOCS / "reliability.md", text)


if __name__ == "__main__":
    main()
