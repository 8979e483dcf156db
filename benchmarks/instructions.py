"""Instructions for a push and for a message, counted by valgrind: the same whatever else runs here.

A time says how fast this machine was at that moment; a count says how much is done. Between two
runs it differs by a percent or two. Each kind of client runs under callgrind, at a pace at which
every push and every message is a wake-up of its own; what the feeder takes by itself is subtracted.

    python benchmarks/instructions.py            this package, both peers and the bare loop
    python benchmarks/instructions.py --write    and into docs/performance.md and results/
    python benchmarks/instructions.py --check    fails if this package takes 5 % more than by those

Valgrind is in every distribution: on Debian and Ubuntu, ``apt-get install valgrind``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
HOW_TO_GET_IT = "valgrind is not here (Debian, Ubuntu: apt-get install valgrind)"

RESULTS = HERE / "results" / "instructions.json"
PERFORMANCE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- counts:begin -->\n", "<!-- counts:end -->"
TOLERANCE = 1.05

PUSH, MESSAGES = "24 kHz", "24 kHz, a message every 0.1 s"
SITUATIONS = [PUSH, "16 kHz", "24 kHz, TLS", MESSAGES]
CALLS, SECONDS = 8, 1.0
Counts = dict[str, dict[str, float]]


def is_possible() -> bool:
    return shutil.which("valgrind") is not None and shutil.which("callgrind_control") is not None


def counted(
    kind: str, python: Path, ports: tuple[int, int], env: dict[str, str], only: list[str]
) -> Counts:
    """What one kind of client takes: for each situation its instructions, pushes and messages."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "counts")
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        command += [f"--callgrind-out-file={out}", str(python), str(HERE / "worker.py")]
        command += ["count", kind, "--port", str(ports[0]), "--tls-port", str(ports[1])]
        command += ["--calls", str(CALLS), "--seconds", str(SECONDS), "--only", ";".join(only)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=fixed(env),
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            for _ in only:
                for word, instrument in (("ready", "on"), ("done", "off")):
                    if process.stdout.readline().strip() != word:
                        raise SystemExit(f"{kind} could not be counted")
                    _control("-i", instrument, process.pid)
                    if word == "done":
                        _control("-d", "", process.pid)
                    process.stdin.write("\n")
                    process.stdin.flush()
            said: Counts = json.loads(process.stdout.readline())
        for name, dump in zip(only, _dumps(out), strict=False):
            said[name]["instructions"] = dump
    return said


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

    results = {}
    with (
        certificate() as (pem, ca),
        bench.server("peer_server.py") as port,
        bench.server("peer_server.py", -1, pem) as tls_port,
    ):
        for kind in kinds:
            is_peer = kind in ("baseten", "deepgram")
            python = run.python_of(run.PEERS) if is_peer else Path(sys.executable)
            env = {**run.environment(has_package=not is_peer), "SSL_CERT_FILE": str(ca)}
            results[kind] = counted(kind, python, (port, tls_port), env, only)
            print(kind, json.dumps(results[kind]), file=sys.stderr, flush=True)
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
    """On the same interpreter and libraries; so it holds on another, too."""
    ours, bare = figures(results, "ours"), figures(results, "bare")
    return {what: ours[what] / bare[what] for what in ours}


def worse(results: dict[str, Counts], bounds: dict[str, float]) -> list[str]:
    return [
        f"{what}: {ratio:.2f} of the bare loop's, was {bounds[what]:.2f}"
        for what, ratio in to_bare(results).items()
        if ratio > bounds[what] * TOLERANCE
    ]


def write(results: dict[str, Counts]) -> None:
    said = {"to_bare": to_bare(results), "counts": results}
    RESULTS.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    before, _, rest = PERFORMANCE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PERFORMANCE.write_text(f"{before}{BEGIN}{table(results)}{END}{after}", encoding="utf-8")


def main() -> None:
    import run

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/ and benchmarks/results/")
    parser.add_argument("--check", action="store_true", help="against what was written")
    args = parser.parse_args()
    if not is_possible():
        print(f"Not counted: {HOW_TO_GET_IT}")
        return
    if args.check and not RESULTS.exists():
        print(f"Not checked: there is no {RESULTS.name} yet, which --write makes")
        return
    bench = run.Bench(run.QUICK)
    if args.check:
        results = measured(bench, ("feeder", "bare", "ours"), [PUSH, MESSAGES])
        bounds = json.loads(RESULTS.read_text(encoding="utf-8"))["to_bare"]
        print(json.dumps(to_bare(results), indent=1))
        if more := worse(results, bounds):
            raise SystemExit("More instructions than before:\n" + "\n".join(more))
        return
    run.make_peers()
    results = measured(bench, run.KINDS, SITUATIONS)
    print(table(results))
    if args.write:
        write(results)


if __name__ == "__main__":
    main()
