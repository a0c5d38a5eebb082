"""Run folders: nothing lost, nothing mixed, the same bytes after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtrace.errors import InputError, RowError, RunFolderError
from longtrace.records import Entity
from longtrace.store import Stage, fingerprint, read_json, read_records, write_json

WORK = """
import sys, time
from pathlib import Path
from longtrace.records import Entity
from longtrace.store import Stage
with Stage(Path(sys.argv[1]), {"n": 300}, {}) as stage:
    for unit in range(stage.done, 300):
        time.sleep(float(sys.argv[2]))
        if unit % 7 == 0:
            stage.reject(unit, "a multiple of seven", squared=unit * unit)
        else:
            stage.accept(Entity(name=f"name {unit} " + "x" * (unit % 50)))
    stage.finish()
"""


def units_done(folder: Path) -> int:
    files = [folder / "data.jsonl", folder / "rejected.jsonl"]
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_stage_killed_at_many_moments_ends_with_the_bytes_of_a_quiet_one(tmp_path: Path) -> None:
    quiet, disturbed = tmp_path / "quiet", tmp_path / "disturbed"
    subprocess.run([sys.executable, "-c", WORK, str(quiet), "0"], check=True)
    for lines in (20, 75, 76, 200):
        process = subprocess.Popen([sys.executable, "-c", WORK, str(disturbed), "0.005"])
        while units_done(disturbed) < lines:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    subprocess.run([sys.executable, "-c", WORK, str(disturbed), "0"], check=True)
    assert contents(disturbed) == contents(quiet)


def test_a_torn_last_line_is_cut_and_done_again(tmp_path: Path) -> None:
    with Stage(tmp_path, {}, {}) as stage:
        stage.accept(Entity(name="whole"))
        stage.reject(1, "why")
    with (tmp_path / "data.jsonl").open("ab") as file:
        file.write(b'{"name": "to')
    with Stage(tmp_path, {}, {}) as stage:
        assert (stage.accepted, stage.done) == (1, 2)
        assert stage.rejected == {"why": 1}
    assert (tmp_path / "data.jsonl").read_bytes().endswith(b"}\n")


def test_another_configuration_is_refused_and_the_difference_is_named(tmp_path: Path) -> None:
    with Stage(tmp_path, {"hops": 4}, {"corpus": "a"}) as stage:
        stage.accept(Entity(name="x"))
    with pytest.raises(RunFolderError, match=r"hops = 4, now hops = 8.*--fresh"):
        Stage(tmp_path, {"hops": 8}, {"corpus": "a"})
    with pytest.raises(RunFolderError, match="another corpus stage"):
        Stage(tmp_path, {"hops": 4}, {"corpus": "b"})
    assert len(list(read_records(tmp_path / "data.jsonl", Entity))) == 1


def test_fresh_deletes_and_starts_over(tmp_path: Path) -> None:
    with Stage(tmp_path / "s", {"hops": 4}, {}) as stage:
        stage.accept(Entity(name="x"))
    with Stage(tmp_path / "s", {"hops": 8}, {}, fresh=True) as stage:
        assert stage.done == 0


def test_complete_means_meta_is_there_and_a_later_stage_asks_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "questions"
    with pytest.raises(RunFolderError, match=r"run `longtrace questions --run .*` first"):
        fingerprint(folder)
    with Stage(folder, {}, {}) as stage:
        before = stage.complete
        stage.finish(extra=1)
        assert (before, stage.complete) == (False, True)
    first = fingerprint(folder)
    assert first == fingerprint(folder)
    write_json(folder / "meta.json", {**read_json(folder / "meta.json"), "count": 9})
    assert fingerprint(folder) != first


def test_a_bad_row_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"name": "a"}\n{"name": "b", "nmae": 1}\n')
    with pytest.raises(RowError, match=r"data\.jsonl:2: nmae: Extra inputs"):
        list(read_records(path, Entity))
    with pytest.raises(InputError, match="no such file"):
        list(read_records(tmp_path / "none.jsonl", Entity))


def test_write_json_never_leaves_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    assert path.read_bytes().endswith(b"}\n")
