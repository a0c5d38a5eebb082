"""TRL's own advantages for the shared groups, on one process and on two that split every group."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from longtrace.errors import InputError
from longtrace.training.reward import check_layout
from tests.training.groups import flat, groups

pytest.importorskip("trl", reason="needs the train extra")

ROOT = Path(__file__).parents[2]
TRL_EPS = 1e-3
"""TRL adds 1e-4 to the deviation where the published code adds 1e-6."""


def train(out: Path, processes: int, *, gather: bool) -> list[subprocess.CompletedProcess[str]]:
    """The training of ranks.py on so many processes over gloo; all of them, finished."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    many = {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    started = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ranks.py")), str(out), str(int(gather))],
            env=common
            | (many | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    done = []
    for process in started:
        said, complained = process.communicate(timeout=500)
        done.append(subprocess.CompletedProcess(process.args, process.returncode, said, complained))
    return done


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_trl_has_the_advantages_of_the_pure_core(processes: int, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    done = train(out, processes, gather=processes > 1)
    assert all(one.returncode == 0 for one in done), done[0].stderr[-2000:]
    found = json.loads(out.read_text())
    for group in groups():
        wanted = flat([group.expected["default"]["advantages_G"]])
        assert found[group.name] == pytest.approx(wanted, abs=TRL_EPS), group.name


@pytest.mark.slow
def test_a_group_split_over_processes_is_refused_at_the_start_with_the_remedy(
    tmp_path: Path,
) -> None:
    done = train(tmp_path / "found.json", 2, gather=False)
    assert all(one.returncode == 1 for one in done)
    assert "would be split over processes" in done[0].stderr
    assert "gather" in done[0].stderr


def test_the_layout_is_checked_before_a_training() -> None:
    check_layout(16, 8, gather=False)
    check_layout(4, 8, gather=True)
    with pytest.raises(InputError, match="multiple of num_generations"):
        check_layout(12, 8, gather=False)


@pytest.mark.slow
def test_the_verb_refuses_to_run_as_several_processes(
    dataset_run: Path, llama: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = [tmp_path / name for name in ("first", "second")]
    started = []
    for rank, run in enumerate(runs):
        shutil.copytree(dataset_run, run)
        started.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "longtrace.cli", "train", "--run", str(run)),
                    *("--model", str(llama), "--steps", "1", "--max-completion-tokens", "4"),
                ],
                env={
                    **os.environ,
                    "ACCELERATE_USE_CPU": "true",
                    "WORLD_SIZE": "2",
                    "LOCAL_WORLD_SIZE": "2",
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                },
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in started:
        _, said = process.communicate(timeout=500)
        assert process.returncode == 2, said
        assert "is one process, and 2 were started" in said
