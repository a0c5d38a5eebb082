"""What the benchmarks share: medians, the CPU and memory of a command, the machine, and the table.

Every benchmark measures the bare library and ours in the same run and prints their ratio with the
target beside it. Wall times depend on what else the machine does; ratios much less so.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_POLL_S = 0.5


class Usage(NamedTuple):
    """What a command took, its children included."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    """Largest sum of the processes' proportional set sizes: shared pages count once."""


def timed(work: Callable[[], object], *, repeats: int = 3) -> tuple[float, float]:
    """Medians of (wall, CPU) seconds of `work`, threads included."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def command(arguments: Sequence[str | Path]) -> Usage:
    """Run `longtrace` with `arguments` and watch its processes."""
    before = children_cpu_s()
    began = time.perf_counter()
    line = [sys.executable, "-m", "longtrace.cli", *map(str, arguments)]
    child = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        peak = max(peak, sum(map(_memory, _tree(child.pid))))
        time.sleep(_POLL_S)
    if child.returncode:
        raise SystemExit(f"{' '.join(line)}: exit code {child.returncode}")
    return Usage(time.perf_counter() - began, children_cpu_s() - before, peak)


def children_cpu_s() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def _memory(pid: int) -> int:
    """Proportional set size of a process in bytes; 0 if it has ended."""
    try:
        for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if row.startswith("Pss:"):
                return int(row.split()[1]) * 1024
    except OSError:
        pass
    return 0


def machine() -> str:
    """The processor, its cores, the load before the run, and the Python."""
    name = platform.processor() or platform.machine()
    try:
        for row in Path("/proc/cpuinfo").read_text().splitlines():
            if row.startswith("model name"):
                name = row.partition(":")[2].strip()
                break
    except OSError:
        pass
    load = os.getloadavg()[0]
    return f"{name}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}"


def table(title: str, rows: Sequence[tuple[str, str, str, str, str]]) -> None:
    """Print rows (what, measured, bare library, ratio, target) as Markdown."""
    out = [f"### {title}", "", f"Machine: {machine()}", ""]
    out += ["| what | measured | bare library | ratio | target |", "|---|---|---|---|---|"]
    out += [f"| {' | '.join(row)} |" for row in rows]
    sys.stdout.write("\n".join(out) + "\n\n")
