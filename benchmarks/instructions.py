"""Instructions for a push and for a message, counted by valgrind: the same whatever else runs here.

A time says how fast this machine was at that moment; a count says how much is done. Between two
runs it differs by a percent or two. Each kind of client runs under callgrind, at a pace at which
every push and every message is a wake-up of its own; what the feeder takes by itself is subtracted.

    python benchmarks/instructions.py            this package, both peers and the bare loop
    python benchmarks/instructions.py --write    and into docs/performance.md and results/
    python benchmarks/instructions.py --keep     this package and the bare loop, into results/ only
    python benchmarks/instructions.py --check    fails if this package takes 15 % more than by those

What is kept and checked is the ratio to the bare loop, counted in the same process. On another
interpreter or other libraries that ratio is another one, and nothing is checked.

Valgrind is in every distribution: on Debian and Ubuntu, ``apt-get install valgrind``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
HOW_TO_GET_IT = "valgrind is not here (Debian, Ubuntu: apt-get install valgrind)"

RESULTS = HERE / "results" / "instructions.json"
PERFORMANCE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- counts:begin -->\n", "<!-- counts:end -->"
TOLERANCE = 1.15
MOST_SECONDS = 20.0  # a few are usual; in more, work that time brings weighs in
LIBRARIES = ("livekit-agents", "livekit", "aiohttp", "numpy", "soxr", "pydantic-core")

PUSH, MESSAGES = "24 kHz", "24 kHz, a message every 0.1 s"
SITUATIONS = [PUSH, "16 kHz", "24 kHz, TLS", MESSAGES]
CHECKED = ["16 kHz, a message every 0.1 s", PUSH]
CALLS, SECONDS = 8, 1.0
PATIENCE_S = 600.0
Counts = dict[str, dict[str, float]]


class CountFailed(Exception):
    pass


def is_possible() -> bool:
    return shutil.which("valgrind") is not None and shutil.which("callgrind_control") is not None


def counted(
    kinds: tuple[str, ...],
    python: Path,
    ports: tuple[int, int],
    env: dict[str, str],
    only: list[str],
) -> dict[str, Counts]:
    """What these kinds of clients take, one after the other in one process: for each situation its
    instructions, pushes and messages.

    Raises:
        CountFailed: Valgrind or the client did not get through.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "counts")
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        command += [f"--callgrind-out-file={out}", str(python), str(HERE / "worker.py")]
        command += ["count", kinds[0], "--beside", ",".join(kinds[1:])]
        command += ["--port", str(ports[0]), "--tls-port", str(ports[1])]
        command += ["--calls", str(CALLS), "--seconds", str(SECONDS), "--only", ";".join(only)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=fixed(env),
        ) as process:
            timer = threading.Timer(PATIENCE_S, process.kill)
            timer.start()
            try:
                said = _followed(process, len(kinds) * len(only))
            except (OSError, ValueError, subprocess.CalledProcessError) as e:
                process.kill()
                why = process.stderr.read().strip().splitlines()[-1:] if process.stderr else []
                raise CountFailed(f"{', '.join(kinds)} could not be counted: {e} {why}") from None
            finally:
                timer.cancel()
        runs = [said[kind][name] for kind in kinds for name in only]
        for run, instructions in zip(runs, _dumps(out), strict=True):
            run["instructions"] = instructions
    return said


def _followed(process: subprocess.Popen[str], runs: int) -> dict[str, Counts]:
    """Count while a worker says that it is at work, so many times."""
    assert process.stdin is not None and process.stdout is not None
    for _ in range(runs):
        for word, instrument in (("ready", "on"), ("done", "off")):
            if (said := process.stdout.readline().strip()) != word:
                raise ValueError(f"no {word!r} but {said!r}")
            _control("-i", instrument, process.pid)
            if word == "done":
                _control("-d", "", process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
    told: dict[str, Counts] = json.loads(process.stdout.readline())
    return told


def _control(option: str, argument: str, pid: int) -> None:
    command = ["callgrind_control", option, *([argument] if argument else []), str(pid)]
    subprocess.run(command, check=True, capture_output=True)


def _dumps(out: Path) -> list[int]:
    """What was counted up to each dump, in the order in which they were made."""
    paths = sorted(out.parent.glob(f"{out.name}.*"), key=lambda path: int(path.suffix[1:]))
    found = [re.search(r"^totals: (\d+)", path.read_text(), re.MULTILINE) for path in paths]
    return [int(each[1]) for each in found if each is not None]


def fixed(env: dict[str, str]) -> dict[str, str]:
    """``env`` without what differs from run to run."""
    return {**env, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


def per_push(counts: Counts, feeder: Counts, situation: str) -> float:
    ours, alone = counts[situation], feeder[situation]
    return ours["instructions"] / ours["pushes"] - alone["instructions"] / alone["pushes"]


def per_message(counts: Counts, feeder: Counts) -> float:
    """From the difference that more of them make."""
    few, many = counts[PUSH], counts[MESSAGES]
    more = many["messages"] / many["pushes"] - few["messages"] / few["pushes"]
    return (per_push(counts, feeder, MESSAGES) - per_push(counts, feeder, PUSH)) / more


@contextlib.contextmanager
def certificate() -> Iterator[tuple[Path, Path]]:
    """One for 127.0.0.1 with its key, and that of who vouches for it."""
    import trustme

    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        pem, ca = Path(folder, "server.pem"), Path(folder, "ca.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        authority.cert_pem.write_to_path(str(ca))
        yield pem, ca


def measured(bench: Any, kinds: tuple[str, ...], only: list[str]) -> dict[str, Counts]:
    """
    Args:
        bench: See `run.Bench`; it knows servers and environments.
    """
    import run

    peers = [(kind,) for kind in kinds if kind in ("baseten", "deepgram")]
    others = tuple(kind for kind in kinds if (kind,) not in peers)
    together = [group for group in (others, *peers) if group]
    results = {}
    with (
        certificate() as (pem, ca),
        bench.server("peer_server.py") as port,
        bench.server("peer_server.py", -1, pem) as tls_port,
    ):
        for group in together:
            python = run.python_of(run.PEERS) if group in peers else Path(sys.executable)
            env = {**run.environment(has_package=group not in peers), "SSL_CERT_FILE": str(ca)}
            results |= counted(group, python, (port, tls_port), env, only)
    return results


def figures(results: dict[str, Counts], kind: str) -> dict[str, float]:
    """Instructions of one kind by what they are for, the feeder's subtracted."""
    counts, feeder = results[kind], results["feeder"]
    out = {f"a push, {name}": per_push(counts, feeder, name) for name in counts}
    del out[f"a push, {MESSAGES}"]
    return {**out, "a message of ten words": per_message(counts, feeder)}


def table(results: dict[str, Counts]) -> str:
    import report

    kinds = [kind for kind in report.COLOURS if kind in results]
    of = {kind: figures(results, kind) for kind in kinds}
    rows = []
    for what, ours in of["ours"].items():
        cells = [f"{of[kind][what] / 1000:,.0f} k" for kind in kinds]
        peers = [of[kind][what] for kind in kinds if kind in report.PEERS]
        against = f"{ours / min(peers):.2f}" if peers else "-"
        rows.append([what, *cells, against, f"{ours / of['bare'][what]:.2f}"])
    names = [report.NAMES[kind] for kind in kinds]
    header = ["instructions for", *names, "to the better peer", "to the bare loop"]
    return report.table(header, rows) + "\n"


def to_bare(results: dict[str, Counts]) -> dict[str, float]:
    """This package's instructions for a push, messages and all, to the bare loop's."""
    ours, bare, feeder = results["ours"], results["bare"], results["feeder"]
    return {name: per_push(ours, feeder, name) / per_push(bare, feeder, name) for name in CHECKED}


def environment() -> dict[str, str]:
    """What a count depends on besides the code."""
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {"python": sys.version, "machine": platform.machine(), **versions}


def worse(ratios: dict[str, float], bounds: dict[str, float]) -> list[str]:
    return [
        f"{name}: {ratio:.2f} of the bare loop's, was {bounds[name]:.2f}"
        for name, ratio in ratios.items()
        if ratio > bounds[name] * TOLERANCE
    ]


def check() -> None:
    """
    Raises:
        SystemExit: This package takes more than it did.
    """
    if not RESULTS.exists():
        print(f"Not checked: there is no {RESULTS.name} yet, which --keep makes")
        return
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    here = environment()
    if other := [name for name, version in kept["environment"].items() if here[name] != version]:
        print(f"Not comparable with what was counted before: here {', '.join(other)} differ")
        return
    try:
        results = _ours_and_bare()
    except CountFailed as e:
        print(f"Not checked: {e}")
        return
    ratios = to_bare(results)
    print(json.dumps(ratios, indent=1))
    if max(run["seconds"] for each in results.values() for run in each.values()) > MOST_SECONDS:
        print("Not checked: this machine is too busy")
        return
    if more := worse(ratios, kept["to_bare"]):
        raise SystemExit("More instructions than before:\n" + "\n".join(more))


def keep() -> None:
    said = {"environment": environment(), "to_bare": to_bare(_ours_and_bare())}
    RESULTS.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _ours_and_bare() -> dict[str, Counts]:
    import run

    return measured(run.Bench(run.QUICK), ("ours", "bare", "feeder"), CHECKED)


def write(results: dict[str, Counts]) -> None:
    before, _, rest = PERFORMANCE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PERFORMANCE.write_text(f"{before}{BEGIN}{table(results)}{END}{after}", encoding="utf-8")


def main() -> None:
    import run

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/ and benchmarks/results/")
    parser.add_argument("--keep", action="store_true", help="for --check, without the peers")
    parser.add_argument("--check", action="store_true", help="against what was kept")
    args = parser.parse_args()
    if not is_possible():
        print(f"Not counted: {HOW_TO_GET_IT}")
    elif args.check:
        check()
    elif args.keep:
        keep()
    else:
        run.make_peers()
        results = measured(run.Bench(run.QUICK), run.KINDS, SITUATIONS)
        print(table(results))
        if args.write:
            write(results)
            keep()


if __name__ == "__main__":
    main()
