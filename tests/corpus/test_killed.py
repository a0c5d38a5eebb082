"""A corpus build that is killed at random moments ends in the same corpus as one left alone."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtrace.corpus.corpus import Corpus

_CODE = """
import sys
from longtrace.corpus import build, documents
# many points to continue from in a small corpus
build.SHARD = build.COMMIT_AFTER = documents.COMMIT_AFTER = 640
from longtrace.cli import main
sys.exit(main(sys.argv[1:]))
"""
_WORDS = ["river", "stone", "light", "garden", "north", "winter", "silver", "market", "harbour"]


def source(path: Path) -> Path:
    rng = random.Random(5)
    with path.open("w") as file:
        for i in range(4000):
            words = rng.choices(_WORDS, k=60)
            row = {"id": i % 3900, "title": f"{words[0]} {words[1]} {i}", "text": " ".join(words)}
            file.write(json.dumps({**row, "links": [rng.randrange(4200) for _ in range(4)]}) + "\n")
        file.write('{"id": "torn')
    return path


def start(source: Path, run: Path) -> subprocess.Popen[bytes]:
    options = ["corpus", "--reader", "jsonl", "--path", source, "--run", run, "--workers", "2"]
    command = [sys.executable, "-c", _CODE, *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.slow
def test_killed_at_random_moments_a_build_ends_in_the_same_corpus(tmp_path: Path) -> None:
    rows = source(tmp_path / "c.jsonl")
    began = time.monotonic()
    assert start(rows, tmp_path / "whole").wait() == 0
    took_s = time.monotonic() - began
    rng = random.Random(8)
    kills = 0
    for _ in range(20):
        build = start(rows, tmp_path / "killed")
        time.sleep(rng.uniform(0.1, 0.8) * took_s)
        if build.poll() is None:
            os.killpg(build.pid, signal.SIGKILL)
            kills += 1
        elif kills:
            break
        else:  # it was faster than the first one: once more from the start
            shutil.rmtree(tmp_path / "killed")
        build.wait()
    assert kills > 0
    assert start(rows, tmp_path / "killed").wait() == 0
    whole, killed = tmp_path / "whole/corpus", tmp_path / "killed/corpus"
    files = sorted(f.name for f in whole.iterdir())
    assert sorted(f.name for f in killed.iterdir()) == files
    for name in files:
        if (whole / name).is_file():
            assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    one, other = Corpus.open(whole), Corpus.open(killed)
    for word in _WORDS:
        for k in (1, 7, 40):
            assert one.search(f"{word} 17", k) == other.search(f"{word} 17", k)
