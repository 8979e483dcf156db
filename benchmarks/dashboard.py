"""Draws the dashboard of examples/monitoring as it looks after minutes of calls with faults.

    python benchmarks/dashboard.py --write     five minutes; into docs/images/monitoring.png

The calls are those of `examples/monitoring/rehearsal.py`, in waves; a real Prometheus (Debian:
``apt-get install prometheus``) scrapes them and answers the queries of the dashboard. Grafana is
not needed, and this is no picture of it: the panels and what is in them are the dashboard's, the
drawing is this file's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # it has a Prometheus for its tests

from kit.prometheus import Prometheus, scraping  # noqa: E402

MONITORING = ROOT / "examples" / "monitoring"
PICTURE = ROOT / "docs" / "images" / "monitoring.png"
FILLED_IN = {"$__rate_interval": "20s", "$model": ".*", "$deployment": ".*", "[1h]": "[10m]"}
STEP_S = 2.0

PAGE, PANEL, EDGE, TEXT, DIM = "#111217", "#181b1f", "#2c2f36", "#d8d9da", "#8e8e8e"
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d")
Series = list[tuple[str, list[float], list[float]]]
"""The legend, minutes and values of each."""


async def seen(seconds: float) -> dict[int, list[Series]]:
    """What each panel's queries came to, while calls went on for so long."""
    command = [str(MONITORING / "rehearsal.py"), "--port", "0", "--waves", str(seconds / 3)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        with tempfile.TemporaryDirectory() as folder:
            async with scraping(url, Path(folder), every="1s") as server:
                await asyncio.sleep(seconds)
                return await _asked(server, seconds)
    finally:
        process.terminate()
        await process.wait()


async def _asked(server: Prometheus, seconds: float) -> dict[int, list[Series]]:
    now_s = time.time()  # noqa: TID251  # a time of day, as Prometheus has them
    out: dict[int, list[Series]] = {}
    for panel in dashboard()["panels"]:
        out[panel["id"]] = []
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in FILLED_IN.items():
                expression = expression.replace(variable, value)
            found = await server.course(
                expression, start_s=now_s - seconds, stop_s=now_s, step_s=STEP_S
            )
            out[panel["id"]].append(
                [_series(each, target["legendFormat"], now_s - seconds) for each in found]
            )
    return out


def _series(found: Any, legend: str, began_s: float) -> tuple[str, list[float], list[float]]:
    for label, value in found["metric"].items():
        legend = legend.replace("{{" + label + "}}", value)
    minutes: list[float] = []
    values: list[float] = []
    for at, value in found["values"]:
        minute = (float(at) - began_s) / 60
        if minutes and minute - minutes[-1] > 1.5 * STEP_S / 60:  # a gap
            minutes.append(minutes[-1] + STEP_S / 60)
            values.append(math.nan)
        minutes.append(minute)
        values.append(float(value))
    return legend, minutes, values


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    return read


def drawn(found: dict[int, list[Series]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = dashboard()["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 8.5, "text.color": TEXT})
    figure = plt.figure(figsize=(15, rows * 0.375), facecolor=PAGE, dpi=110)
    for panel in panels:
        at = panel["gridPos"]
        x, w = at["x"] / 24, at["w"] / 24
        y, h = 1 - (at["y"] + at["h"]) / rows, at["h"] / rows
        box = figure.add_axes((x + 0.003, y + 0.004, w - 0.006, h - 0.008), facecolor=PANEL)
        box.set(xticks=[], yticks=[])
        for spine in box.spines.values():
            spine.set_color(EDGE)
        box.text(
            0.02, 1 - 0.28 / at["h"] * 2.2, panel["title"], va="center", weight="bold", size=9.5
        )
        series = [each for target in found[panel["id"]] for each in target]
        if panel["type"] == "stat":
            _stat(figure, box, panel, series, (x, y, w, h))
        else:
            _course(figure, panel, series, (x, y, w, h))
    figure.savefig(path, facecolor=PAGE)
    print(path)


def _stat(figure: Any, box: Any, panel: Any, series: Series, place: tuple[float, ...]) -> None:
    x, y, w, h = place
    (_, minutes, values) = series[0] if series else ("", [0.0], [0.0])
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step for step in steps if step["value"] is None or values[-1] >= step["value"]]
    colour = {"green": COLOURS[0], "orange": COLOURS[3], "red": COLOURS[4], "blue": COLOURS[2]}[
        reached[-1]["color"]
    ]
    unit = panel["fieldConfig"]["defaults"]["unit"]
    shown = f"{values[-1]:.2f} s" if unit == "s" else f"{values[-1]:.3g}"
    box.text(0.5, 0.5, shown, ha="center", va="center", size=21, color=colour, weight="bold")
    line = figure.add_axes((x + 0.006, y + 0.008, w - 0.012, h * 0.26))
    line.axis("off")
    line.fill_between(minutes, values, color=colour, alpha=0.25, linewidth=0)
    line.plot(minutes, values, color=colour, linewidth=1)
    line.set_ylim(bottom=0)


def _course(figure: Any, panel: Any, series: Series, place: tuple[float, ...]) -> None:
    from matplotlib.ticker import MultipleLocator

    x, y, w, h = place
    axes = figure.add_axes((x + 0.028, y + h * 0.24, w - 0.038, h * 0.56), facecolor=PANEL)
    custom = panel["fieldConfig"]["defaults"]["custom"]
    if custom["stacking"]["mode"] == "normal":
        _stacked(axes, series)
    else:
        for (legend, minutes, values), colour in zip(series, _colours(len(series)), strict=True):
            axes.plot(minutes, values, color=colour, linewidth=1.4, label=legend)
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    for step in steps:
        if step["value"] is not None:
            axes.axhline(step["value"], color=COLOURS[4], linestyle=(0, (4, 3)), linewidth=1)
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    axes.set_axisbelow(True)
    axes.grid(color=EDGE, linewidth=0.6)
    axes.tick_params(colors=DIM, length=0, labelsize=8)
    is_time = panel["fieldConfig"]["defaults"]["unit"] == "s"
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} s" if is_time else f"{value:g}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} min")
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.locator_params(axis="y", nbins=4)
    for spine in axes.spines.values():
        spine.set_visible(False)
    legend = axes.legend(
        loc="upper left", bbox_to_anchor=(-0.09, -0.15), ncols=4, frameon=False, fontsize=8,
        handlelength=1.2, columnspacing=1.2, labelcolor=TEXT,
    )  # fmt: skip
    legend.set_in_layout(False)


def _stacked(axes: Any, series: Series) -> None:
    """Where a series is not there, it is nothing."""
    known = [
        {round(at * 60 / STEP_S): value for at, value in zip(minutes, values, strict=True)}
        for _, minutes, values in series
    ]
    steps = range(min(map(min, known)), max(map(max, known)) + 1)
    heights = [[_or_zero(values.get(step, 0.0)) for step in steps] for values in known]
    names = [legend for legend, _, _ in series]
    times = [step * STEP_S / 60 for step in steps]
    axes.stackplot(times, heights, labels=names, colors=_colours(len(series)), alpha=0.75)


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _colours(number: int) -> list[str]:
    return [COLOURS[n % len(COLOURS)] for n in range(number)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--write", action="store_true", help="into docs/images/")
    parser.add_argument("--keep", type=Path, help="what was found, for another drawing")
    parser.add_argument("--again", type=Path, help="draw what was kept")
    arguments = parser.parse_args()
    if arguments.again:
        kept = json.loads(arguments.again.read_text(encoding="utf-8"))
        found = {int(number): series for number, series in kept.items()}
    else:
        found = asyncio.run(seen(arguments.seconds))
    if arguments.keep:
        arguments.keep.write_text(json.dumps(found), encoding="utf-8")
    path = PICTURE if arguments.write else Path(tempfile.gettempdir(), PICTURE.name)
    drawn(found, path)


if __name__ == "__main__":
    main()
