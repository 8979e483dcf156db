"""What the plugin costs and how much it delays, beside its peers: all measurements, in turns.

Every number comes from `worker.py`, a process of its own, against one `peer_server.py`, another;
on Linux each of the two keeps to a core. The kinds of client take turns within a round, and rounds
repeat, so that a machine that drifts drifts for all. Shown are medians of the rounds and, in
brackets, their least and greatest; ratios are made within each round.

The peers share this package's import path: they live in `.venv-peer`, which this makes.

    python benchmarks/run.py             all of it, printed
    python benchmarks/run.py --write     and into docs/ and benchmarks/results/
    python benchmarks/run.py --quick     a minute, without peers, to see that it works

It does not measure recognition, Baseten's network, TLS, or an agent around the plugin.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import report
from clients import KINDS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / ".venv-peer"
REQUIREMENTS = (
    "livekit-plugins-baseten==1.8.9",
    "livekit-plugins-deepgram==1.8.9",
    "numpy",
    "soxr",
)
DISTURBED = 0.1  # of a core, by others, while a measurement ran
LIBRARIES = ("livekit-agents", "livekit", "aiohttp", "numpy", "soxr")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    kinds: tuple[str, ...] = KINDS
    calls: tuple[int, ...] = (1, 50, 150, 500)
    busy_calls: int = 50
    """Of the measures of delay."""
    memory_calls: int = 200
    frames: tuple[tuple[int, int], ...] = ((16_000, 10), (16_000, 50), (24_000, 50))
    """Hertz and milliseconds of the audio that is delayed."""
    seconds: float = 8.0
    warm_up_s: float = 2.0
    memory_s: float = 6.0
    hour_s: float = 3600.0
    recording_s: float = 300.0
    journal_s: float = 30.0
    repeats: int = 10

    @property
    def connected(self) -> tuple[str, ...]:
        return tuple(kind for kind in self.kinds if kind != "feeder")

    @property
    def plugins(self) -> tuple[str, ...]:
        return tuple(kind for kind in self.kinds if kind not in ("feeder", "bare"))


QUICK = Plan(
    rounds=1,
    kinds=("ours", "bare", "feeder"),
    calls=(5,),
    busy_calls=5,
    memory_calls=3,
    frames=((16_000, 10),),
    seconds=1.0,
    warm_up_s=0.5,
    memory_s=1.0,
    hour_s=60.0,
    recording_s=30.0,
    journal_s=5.0,
    repeats=1,
)


@dataclass
class Bench:
    """Runs workers, and keeps what they said as ``results[measure][kind][condition]``.

    Attributes:
        disturbed: Of each measurement, how much of a core others on this machine took meanwhile.
    """

    plan: Plan
    patience: int = 1
    server_core: int = -1
    worker_core: int = -1
    results: dict[str, dict[str, dict[str, list[Any]]]] = field(default_factory=dict)
    disturbed: list[float] = field(default_factory=list)
    servers: list[psutil.Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        if hasattr(os, "sched_getaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            if len(cores) > 1:
                self.worker_core, self.server_core = cores[0], cores[1]

    def run(self, measure: str, kind: str, condition: str = "", **options: float | bool) -> None:
        """Measure, again if somebody disturbs it, and keep the least disturbed."""
        is_peer = kind in ("baseten", "deepgram")
        python = python_of(PEERS) if is_peer else Path(sys.executable)
        command = [str(python), str(HERE / "worker.py"), measure, kind]
        command += ["--core", str(self.worker_core)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        tries: list[tuple[float, Any]] = []
        while not tries or (len(tries) < self.patience and tries[-1][0] > DISTURBED):
            tries.append(self._measured(command, environment(has_package=not is_peer)))
        disturbed, said = min(tries, key=lambda tried: tried[0])
        self.disturbed.append(disturbed)
        by_kind = self.results.setdefault(measure, {}).setdefault(kind, {})
        by_kind.setdefault(condition, []).append(report.rounded(said))
        line = f"{measure:10} {kind:9} {condition:14} others {disturbed:4.2f}  "
        print((line + json.dumps(report.rounded(said)))[:160], flush=True)

    def _measured(self, command: list[str], env: dict[str, str]) -> tuple[float, Any]:
        started_s, before_s = time.perf_counter(), self._others_s()
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=1200)
        others_s, took_s = self._others_s() - before_s, time.perf_counter() - started_s
        if done.returncode:
            raise SystemExit(f"{' '.join(command[2:])} failed:\n{done.stderr[-2000:]}")
        return max(0.0, others_s / took_s), json.loads(done.stdout)

    def _others_s(self) -> float:
        """CPU seconds that this machine has spent on anything but this benchmark."""
        times, children = psutil.cpu_times(), os.times()
        busy_s = sum(times) - times.idle - getattr(times, "iowait", 0.0)
        busy_s -= getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        ours_s = sum(children[:4]) + sum(sum(each.cpu_times()[:2]) for each in self.servers)
        return float(busy_s - ours_s)

    @contextlib.contextmanager
    def server(self, script: str, *arguments: object) -> Iterator[int]:
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(has_package=True),
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            self.servers.append(psutil.Process(process.pid))
            try:
                yield int(process.stdout.readline())
            finally:
                self.servers.pop()
                process.stdin.close()


def environment(*, has_package: bool) -> dict[str, str]:
    """Of a process that has this checkout's package, or the one from PyPI."""
    # As it is installed: with byte code. Not beside the sources, which may be read-only.
    out = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    out["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir(), "baseten-bench"))
    out["PYTHONPATH"] = str(ROOT) if has_package else ""
    return out


def cpu(bench: Bench, port: int, kinds: tuple[str, ...]) -> None:
    plan = bench.plan
    for calls in plan.calls:
        for kind in kinds:
            bench.run(
                "cpu",
                kind,
                str(calls),
                port=port,
                calls=calls,
                seconds=plan.seconds,
                warm_up=plan.warm_up_s,
            )


def delay(bench: Bench, port: int, kinds: tuple[str, ...]) -> None:
    for rate, frame_ms in bench.plan.frames:
        for kind in kinds:
            if kind == "feeder":
                continue
            bench.run(
                "delay",
                kind,
                f"{rate // 1000} kHz, {frame_ms} ms",
                port=port,
                calls=bench.plan.busy_calls,
                seconds=bench.plan.seconds,
                rate=rate,
                frame_ms=frame_ms,
            )


def latency(bench: Bench, port: int, kinds: tuple[str, ...]) -> None:
    plan = bench.plan
    for kind in kinds:
        if kind == "feeder":
            continue
        bench.run(
            "latency",
            kind,
            str(plan.busy_calls),
            port=port,
            calls=plan.busy_calls,
            seconds=plan.seconds,
            warm_up=plan.warm_up_s,
        )


def memory(bench: Bench, port: int, kinds: tuple[str, ...]) -> None:
    calls, seconds = bench.plan.memory_calls, bench.plan.memory_s
    for kind in kinds:
        if kind == "feeder":
            continue
        bench.run("memory", kind, "resident", port=port, calls=calls, seconds=seconds)
        if traced := calls // 4:
            options = {"calls": traced, "seconds": seconds, "trace": True}
            bench.run("memory", kind, "traced", port=port, **options)


def offline(bench: Bench, port: int, kinds: tuple[str, ...]) -> None:
    """`recognize()` and replay: the peers have neither for streaming Whisper."""
    bench.run("recognize", "ours", port=port, seconds=bench.plan.recording_s)
    for _ in range(bench.plan.repeats):
        bench.run("reconnect", "ours", port=port, seconds=bench.plan.journal_s, rate=16_000)


def flush(bench: Bench, port: int, kinds: tuple[str, ...]) -> None:
    for latency_ms in (0, 200):
        with bench.server("emulator_server.py", latency_ms) as emulator:
            condition, repeats = f"{latency_ms} ms", bench.plan.repeats
            bench.run(
                "flush", "ours", condition, port=emulator, repeats=repeats, latency_ms=latency_ms
            )


def imports(bench: Bench, port: int, kinds: tuple[str, ...]) -> None:
    for _ in range(2):
        for kind in bench.plan.plugins:
            bench.run("import", kind)


def long(bench: Bench, port: int, kinds: tuple[str, ...]) -> None:
    bench.run("long", "ours", port=port, seconds=bench.plan.hour_s)


MEASURES = {
    "cpu": cpu,
    "delay": delay,
    "latency": latency,
    "memory": memory,
    "offline": offline,
    "flush": flush,
    "import": imports,
    "long": long,
}
ONCE = {"memory", "long"}  # they hardly vary, and take long


def python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_peers() -> None:
    made = PEERS / "made-for.txt"
    wanted = "\n".join(REQUIREMENTS)
    if made.exists() and made.read_text(encoding="utf-8") == wanted:
        return
    print(f"making {PEERS.name} with {', '.join(REQUIREMENTS)}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
    pip = [str(python_of(PEERS)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *REQUIREMENTS], check=True)
    made.write_text(wanted, encoding="utf-8")


def machine(plan: Plan) -> dict[str, Any]:
    versions = {name: metadata.version(name) for name in LIBRARIES}
    described = {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }
    if "baseten" in plan.kinds:
        names = (*LIBRARIES, "livekit-plugins-baseten", "livekit-plugins-deepgram")
        ask = f"from importlib.metadata import version; print({{n: version(n) for n in {names}}})"
        told = subprocess.run(
            [str(python_of(PEERS)), "-c", ask], capture_output=True, text=True, check=True
        )
        peers = json.loads(told.stdout.replace("'", '"'))
        described["peers"] = {k: v for k, v in peers.items() if versions.get(k) != v}
    return described


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="fill docs/ and benchmarks/results/")
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="of each measurement")
    parser.add_argument(
        "--patience", type=int, default=3, help="measurements tried until one is undisturbed"
    )
    parser.add_argument("--only", default="", help="measures, separated by commas")
    parser.add_argument("--report", action="store_true", help="from the results of the last run")
    args = parser.parse_args()
    if args.report:
        report.publish(json.loads(report.RESULTS.read_text(encoding="utf-8")))
        return
    if args.write and (args.only or args.quick):
        parser.error("--write is for a whole run")
    plan = QUICK if args.quick else Plan(rounds=args.rounds, seconds=args.seconds)
    if not args.quick:
        make_peers()
    bench = Bench(plan, patience=1 if args.quick else args.patience)
    started_s = time.perf_counter()
    core = [] if bench.server_core < 0 else [bench.server_core]
    only = set(args.only.split(",")) if args.only else {*MEASURES}
    for kind in plan.plugins:
        bench.run("import", kind, "first")  # compiles
    bench.results.clear()
    with bench.server("peer_server.py", *core) as port:
        for number in range(plan.rounds):
            at = number % len(plan.kinds)
            in_turn = plan.kinds[at:] + plan.kinds[:at]
            for name, measure in MEASURES.items():
                if name in only and (number == 0 or name not in ONCE):
                    measure(bench, port, in_turn)
            document = {
                "machine": machine(plan),
                "rounds": number + 1,
                "seconds": plan.seconds,
                "minutes": round((time.perf_counter() - started_s) / 60),
                "disturbed": report.spread_of(bench.disturbed),
                "results": bench.results,
            }
            if args.write:
                report.publish(document)  # after each: who stops it keeps what there is
    if not args.write:
        print(report.page(document))


if __name__ == "__main__":
    main()
