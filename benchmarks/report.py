"""What the measurements of `run.py` mean: tables, aims, plots, and the page that holds them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS = Path(__file__).resolve().parent / "results" / "performance.json"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

NAMES = {
    "ours": "this package",
    "baseten": "baseten 1.8.9",
    "deepgram": "deepgram 1.8.9",
    "bare": "bare loop",
    "feeder": "feeder",
}
BEHIND = 0.99  # of real time, from which on a process does not keep the pace
BUSY = 0.1  # of a core, taken by others, from which on figures are rough
COLOURS = {"ours": "#1f5fa8", "baseten": "#c4521b", "deepgram": "#8a6d1b", "bare": "#7a7a7a"}
PEERS = ("baseten", "deepgram")
Results = dict[str, dict[str, dict[str, list[Any]]]]


class Measured:
    """The results of a run, by the questions that are asked of them."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._results: Results = document["results"]

    def has(self, measure: str, kind: str) -> bool:
        return kind in self._results.get(measure, {})

    def kinds(self, measure: str) -> list[str]:
        return [kind for kind in COLOURS if self.has(measure, kind)]

    def conditions(self, measure: str) -> list[str]:
        return list(self._results.get(measure, {}).get("ours", {}))

    def values(self, measure: str, kind: str, condition: str, *path: str) -> list[float]:
        """One number of each round."""
        rounds = self._results.get(measure, {}).get(kind, {}).get(condition, [])
        return [float(_at(said, path)) for said in rounds]

    def net_cpu(self, kind: str, calls: str) -> list[float]:
        """CPU milliseconds for a second of audio, of each round, less the feeder's in it."""
        gross = self.values("cpu", kind, calls, "cpu_ms")
        feeder = self.values("cpu", "feeder", calls, "cpu_ms")
        return [ours - theirs for ours, theirs in zip(gross, feeder, strict=True)]

    def mark(self, kind: str, calls: str) -> str:
        """Whether these calls came at the pace of speech: those that wait in heaps cost less."""
        return "*" if median(self.values("cpu", kind, calls, "pace")) < BEHIND else ""

    def better_peer(self, calls: str) -> list[float]:
        each = [self.net_cpu(kind, calls) for kind in PEERS if self.has("cpu", kind)]
        return [min(of_round) for of_round in zip(*each, strict=True)]


def _at(said: Any, path: Sequence[str]) -> Any:
    for key in path:
        said = said[key]
    return said


def rounded(value: Any) -> Any:
    """Four digits say it all, and keep the file small."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def spread_of(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def shown(values: Sequence[float], unit: str = "") -> str:
    """Median, and in brackets the least and the greatest."""
    if not values:
        return "-"
    middle = f"{_number(median(values))}{unit}"
    if len(values) == 1:
        return middle
    return f"{middle} ({_number(min(values))}-{_number(max(values))})"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; columns padded so that it reads on a terminal too."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    padded = ([c.ljust(w) for c, w in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)


# The aims


def aims(measured: Measured) -> list[list[str]]:
    """What, aim, result, and whether it is met."""
    rows: list[list[str]] = []

    def row(what: str, aim: str, values: list[float], unit: str, is_met: bool | None) -> None:
        if values:  # of what was measured at all
            verdict = "" if is_met is None else "met" if is_met else "**missed**"
            rows.append([what, aim, shown(values, unit), verdict])

    def at_most(what: str, bound: float, values: list[float], unit: str, aim: str = "") -> None:
        met = bool(values) and median(values) <= bound
        row(what, aim or f"at most {bound:g}{unit}", values, unit, met)

    def at_least(what: str, bound: float, values: list[float], unit: str) -> None:
        met = bool(values) and median(values) >= bound
        row(what, f"at least {bound:g}{unit}", values, unit, met)

    for calls in measured.conditions("cpu"):
        ours = measured.net_cpu("ours", calls)
        if any(measured.has("cpu", kind) for kind in PEERS):
            against = ratios(ours, measured.better_peer(calls))
            at_most(f"CPU at {_calls(calls)}, to the better peer's", 0.5, against, "")
            # A socket and a resampler alone: what is left for everything else.
            floor = ratios(measured.net_cpu("bare", calls), measured.better_peer(calls))
            row("the bare loop's at that, for comparison", "", floor, "", None)
        at_most(
            f"CPU at {_calls(calls)}, to the bare loop's",
            1.5,
            ratios(ours, measured.net_cpu("bare", calls)),
            "",
        )
    if len(measured.conditions("cpu")) > 2:
        _, middle, *_, calls = measured.conditions("cpu")
        growth = ratios(measured.net_cpu("ours", calls), measured.net_cpu("ours", middle))
        # Caches, not code: what the bare loop and the feeder show too.
        at_most(
            f"CPU of a call, {calls} calls to {middle} calls", 1.1, growth, "", "no growth (1.1)"
        )
    ten = "16 kHz, 10 ms"
    for which, bound in (("median", 18.0), ("p99", 35.0)):
        values = measured.values("delay", "ours", ten, "delay_ms", which)
        at_most(f"push to socket, {which}", bound, values, " ms")
    for calls in measured.conditions("latency"):
        for which, bound in (("median", 0.2), ("p99", 1.0)):
            values = measured.values("latency", "ours", calls, "socket_to_event_ms", which)
            at_most(f"message to event, {which}, {calls} calls", bound, values, " ms")
    for condition in measured.conditions("flush"):
        values = measured.values("flush", "ours", condition, "flush_ms", "median")
        at_most(f"`flush()` to FINAL, less the {condition} of recognition", 15.0, values, " ms")
    resident = measured.values("memory", "ours", "resident", "mb_per_call")
    at_most("memory of a call, its journal (at most 0.16 MB here) included", 0.3, resident, " MB")
    if measured.has("long", "ours"):
        [long] = measured._results["long"]["ours"][""]
        curve = [used for _, used in long["curve_mb"]]
        grown = [max(curve[-5:]) - min(curve[:5])]
        at_most("memory grown over an hour of audio", 1.0, grown, " MB", "none (1 MB)")
    at_least("`recognize()`", 300, measured.values("recognize", "ours", "", "times_real_time"), "x")
    at_least("replay", 300, measured.values("reconnect", "ours", "", "times_real_time"), "x")
    imported = measured.values("import", "ours", "", "import_ms")
    at_most("import, after `livekit.agents`", 30.0, imported, " ms")
    first = measured.values("reconnect", "ours", "", "first_frame_ms")
    at_most("new handshake to first replayed frame", 5.0, first, " ms")
    return rows


def _calls(number: str) -> str:
    return "1 call" if number == "1" else f"{number} calls"


# The tables


def cpu_rows(measured: Measured) -> list[list[str]]:
    rows = []
    for calls in measured.conditions("cpu"):
        cells = [
            shown(measured.net_cpu(kind, calls)) + measured.mark(kind, calls)
            for kind in measured.kinds("cpu")
        ]
        feeder = measured.values("cpu", "feeder", calls, "cpu_ms")
        rows.append([calls, *cells, shown(feeder)])
    return rows


def pace_rows(measured: Measured) -> list[list[str]]:
    """How much of a core was busy, and how late the pushes were."""
    rows = []
    for calls in measured.conditions("cpu"):
        cells = []
        for kind in measured.kinds("cpu"):
            core = median(measured.values("cpu", kind, calls, "core"))
            late_ms = median(measured.values("cpu", kind, calls, "late_ms_p99"))
            cells.append(f"{core:.0%}, {_number(late_ms)} ms")
        rows.append([calls, *cells])
    return rows


def delay_rows(measured: Measured) -> list[list[str]]:
    rows = []
    for condition in measured.conditions("delay"):
        for kind in measured.kinds("delay"):
            cells = [
                shown(measured.values("delay", kind, condition, "delay_ms", which))
                for which in ("median", "p99")
            ]
            is_resampled = not condition.startswith("16")
            beyond = measured.values("delay", kind, condition, "beyond_frame_ms", "median")
            rows.append([condition, NAMES[kind], *cells, "" if is_resampled else shown(beyond)])
    return rows


def latency_rows(measured: Measured) -> list[list[str]]:
    rows = []
    for calls in measured.conditions("latency"):
        for kind in measured.kinds("latency"):
            cells = [
                shown(measured.values("latency", kind, calls, start, which))
                for start in ("socket_to_event_ms", "server_to_event_ms")
                for which in ("median", "p99")
            ]
            rows.append([calls, NAMES[kind], *cells])
    return rows


def other_rows(measured: Measured) -> list[list[str]]:
    def row(what: str, measure: str, condition: str, *path: str, unit: str) -> list[str]:
        cells = [
            shown(measured.values(measure, kind, condition, *path), unit)
            for kind in ("ours", "baseten", "deepgram", "bare")
        ]
        return [what, *cells]

    rows = [
        row("memory of a call, resident", "memory", "resident", "mb_per_call", unit=" MB"),
        row("memory of a call, Python's own", "memory", "traced", "mb_per_call", unit=" MB"),
        row("import, after `livekit.agents`", "import", "", "import_ms", unit=" ms"),
        row("import, CPU", "import", "", "import_cpu_ms", unit=" ms"),
        row("`recognize()`, x real time", "recognize", "", "times_real_time", unit=""),
        row("`recognize()`, x CPU time", "recognize", "", "times_cpu", unit=""),
        row("replay, x real time", "reconnect", "", "times_real_time", unit=""),
        row("handshake to first frame", "reconnect", "", "first_frame_ms", unit=" ms"),
        row("handshake to whole journal", "reconnect", "", "journal_ms", unit=" ms"),
    ]
    for condition in measured.conditions("flush"):
        for which in ("median", "p99"):
            what = f"`flush()` to FINAL less {condition}, {which}"
            rows.append(row(what, "flush", condition, "flush_ms", which, unit=" ms"))
    return rows


def described(document: dict[str, Any]) -> str:
    machine = document["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    others = document["disturbed"]
    rounds = "1 round" if document["rounds"] == 1 else f"{document['rounds']} rounds"
    text = (
        f"{machine['cores']} cores ({machine['architecture']}, {machine['system']}), "
        f"Python {machine['python']}, {libraries}. {rounds}, "
        f"{document['seconds']:g} s of audio a call in each. What else ran on the machine took "
        f"{others['median']:.0%} of a core in the median measurement, {others['max']:.0%} in the "
        "most disturbed one."
    )
    if others["median"] > BUSY:
        text += " **That is too much: these figures are rough, and wait for a quiet machine.**"
    differing = machine.get("peers", {})
    versions = [f"{n} {v}" for n, v in differing.items() if not n.startswith("livekit-plugins")]
    return text + (f" The peers' environment has {', '.join(versions)}." if versions else "")


def page(document: dict[str, Any]) -> str:
    """The tables as Markdown."""
    measured = Measured(document)
    parts = [described(document)]

    def section(
        title: str, header: list[str], rows: Callable[[Measured], list[list[str]]], text: str = ""
    ) -> None:
        if cells := rows(measured):
            parts.append(f"### {title}")
            if text:
                parts.append(text)
            parts.append(table(header, cells))

    section("Aims", ["what", "aim", "measured", ""], aims)
    names = [NAMES[kind] for kind in measured.kinds("cpu")]
    section(
        "CPU of a call",
        ["calls", *names, "feeder"],
        cpu_rows,
        "Milliseconds of CPU for a second of audio, 24 kHz in 50 ms frames at real-time pace; the "
        "feeder's are subtracted from the others. With a star: the process did not keep the pace, "
        "and would cost more if it did.",
    )
    section(
        "How busy that is",
        ["calls", *names],
        pace_rows,
        "Share of a core, feeder included; and p99 of how late the feeder came to push because "
        "its event loop was busy.",
    )
    section(
        "Push to socket",
        ["audio", "client", "median, ms", "p99, ms", "beyond its frame, ms"],
        delay_rows,
        "From the push of a sample to its arrival at the server, 50 calls. A sample waits until "
        "its message is full: 32 ms of audio on Baseten, 50 ms as LiveKit's plugin feeds Deepgram. "
        "The last column is what comes on top of that.",
    )
    section(
        "Message to event",
        [
            "calls",
            "client",
            "bytes in process to user, median ms",
            "p99, ms",
            "server to user, median ms",
            "p99, ms",
        ],
        latency_rows,
        "The second pair of columns has the loopback and the wait for the process in it.",
    )
    section("The rest", ["what", *(NAMES[kind] for kind in COLOURS)], other_rows)
    return "\n\n".join(parts) + "\n"


# How much fits


def scaling(measured: Measured) -> str:
    """What a core and a gigabyte carry of this package, and of the others, as Markdown."""
    kinds = measured.kinds("cpu")
    rows = []
    for calls in measured.conditions("cpu"):
        cells = []
        for kind in kinds:
            net, mark = median(measured.net_cpu(kind, calls)), measured.mark(kind, calls)
            cells.append(f"{700 / net:,.0f} ({_number(net)} ms{mark})")
        rows.append([calls, *cells])
    names = [NAMES[kind] for kind in kinds]
    parts = [table(["calls in the process", *names], rows)]
    memory = []
    for kind in measured.kinds("memory"):
        process = median(measured.values("memory", kind, "resident", "before_mb"))
        call = median(measured.values("memory", kind, "resident", "mb_per_call"))
        cells = [
            f"{process:.0f} MB",
            f"{call:.2f} MB",
            f"{1024 / process:.0f}",
            f"{1024 / call:,.0f}",
        ]
        memory.append([NAMES[kind], *cells])
    header = [
        "client",
        "a process with one call",
        "each further call in it",
        "processes a GB",
        "further calls a GB",
    ]
    parts.append(table(header, memory))
    return "\n\n".join(parts) + "\n"


# Into docs/


def publish(document: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
    measured = Measured(document)
    draw_cpu(measured, DOCS / "images" / "perf-cpu.png")
    draw_delay(measured, DOCS / "images" / "perf-delay.png")
    if measured.has("long", "ours"):
        draw_memory(document, DOCS / "images" / "perf-memory.png")
    write_between_markers(DOCS / "performance.md", page(document))
    write_between_markers(DOCS / "scaling.md", scaling(measured))


def write_between_markers(page: Path, text: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{page.name} has no {BEGIN} ... {END}")
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


def draw_cpu(measured: Measured, path: Path) -> None:
    figure, axes = _figure(1, (8, 4.2))
    axis = axes[0]
    conditions = measured.conditions("cpu")
    ends: list[tuple[float, str]] = []
    for kind in measured.kinds("cpu"):
        nets = [measured.net_cpu(kind, calls) for calls in conditions]
        middles = [median(net) for net in nets]
        errors = [
            [middle - min(net) for middle, net in zip(middles, nets, strict=True)],
            [max(net) - middle for middle, net in zip(middles, nets, strict=True)],
        ]
        calls = [int(number) for number in conditions]
        axis.errorbar(
            calls, middles, yerr=errors, color=COLOURS[kind], marker="o", capsize=3, linewidth=1.5
        )
        ends.append((middles[-1], kind))
    axis.set_xscale("log")
    axis.set_xticks([int(number) for number in conditions], conditions)
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    lowest = 0.0
    for end, kind in sorted(ends):
        lowest = max(end, lowest)  # so that no name is written over another
        axis.annotate(
            NAMES[kind],
            (int(conditions[-1]), lowest),
            xytext=(10, 0),
            textcoords="offset points",
            color=COLOURS[kind],
            va="center",
        )
        lowest += axis.get_ylim()[1] * 0.055
    axis.set_xlabel("calls in one process")
    axis.set_ylabel("ms of CPU for a second of audio")
    axis.set_title(
        "What a call costs (24 kHz, 50 ms frames, feeder subtracted; median, least and greatest)",
        loc="left",
        fontsize=10,
    )
    figure.savefig(path, dpi=130)


def draw_delay(measured: Measured, path: Path) -> None:
    """A bar from the median to the p99, for each client."""
    figure, axes = _figure(2, (8, 4.6))
    rows = [
        (condition, kind)
        for condition in measured.conditions("delay")
        for kind in measured.kinds("delay")
    ]
    bars = [
        [
            median(measured.values("delay", kind, condition, "delay_ms", which))
            for which in ("median", "p99")
        ]
        for condition, kind in rows
    ]
    waits = [
        (f"{NAMES[kind]}, {condition}", kind, bar[0], bar[1])
        for (condition, kind), bar in zip(rows, bars, strict=True)
    ]
    _ranges(axes[0], waits)
    title = "From push_frame to the server, 50 calls: median (dot) to p99"
    axes[0].set_title(title, loc="left", fontsize=10)
    axes[0].set_xlabel("ms")
    said = []
    for calls in measured.conditions("latency"):
        for kind in measured.kinds("latency"):
            middle, p99 = (
                median(measured.values("latency", kind, calls, "socket_to_event_ms", which))
                for which in ("median", "p99")
            )
            said.append((NAMES[kind], kind, middle, p99))
    _ranges(axes[1], said)
    axes[1].set_xscale("log")
    axes[1].xaxis.set_major_formatter("{x:g}")
    title = "From a message's bytes to the user, 50 calls: median (dot) to p99"
    axes[1].set_title(title, loc="left", fontsize=10)
    axes[1].set_xlabel("ms, logarithmic")
    figure.savefig(path, dpi=130)


def _ranges(axis: Any, rows: list[tuple[str, str, float, float]]) -> None:
    for y, (_, kind, middle, p99) in enumerate(rows):
        axis.plot([middle, p99], [y, y], color=COLOURS[kind], linewidth=3, solid_capstyle="butt")
        axis.plot([middle], [y], color=COLOURS[kind], marker="o")
    axis.set_yticks(range(len(rows)), [name for name, *_ in rows], fontsize=8)
    axis.invert_yaxis()


def draw_memory(document: dict[str, Any], path: Path) -> None:
    [long] = document["results"]["long"]["ours"][""]
    figure, axes = _figure(1, (8, 3))
    minutes = [at_s / 60 for at_s, _ in long["curve_mb"]]
    used = [used for _, used in long["curve_mb"]]
    axes[0].plot(minutes, used, color=COLOURS["ours"], marker="o")
    axes[0].set_ylim(0, max(used) * 1.15)
    axes[0].set_xlabel("minutes of audio")
    axes[0].set_ylabel("resident, MB")
    axes[0].set_title("The whole process during one long call", loc="left", fontsize=10)
    figure.savefig(path, dpi=130)


def _figure(rows: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    ratio = [2.4, 1][:rows]
    figure, axes = plt.subplots(
        rows, 1, figsize=size, layout="constrained", squeeze=False, height_ratios=ratio
    )
    for axis in axes[:, 0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[:, 0])
