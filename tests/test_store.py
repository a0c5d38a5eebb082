"""Run folders: nothing lost, nothing mixed, the same bytes after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from longtrace.errors import InputError, RowError, RunFolderError
from longtrace.records import Entity
from longtrace.store import (
    Stage,
    check_inputs,
    fingerprint,
    is_made,
    read_json,
    read_records,
    write_json,
)

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


HOLD = """
import sys
from pathlib import Path
from longtrace.records import Entity
from longtrace.store import Stage
with Stage(Path(sys.argv[1]), {}, {}) as stage:
    stage.accept(Entity(name="x"))
    print("open", flush=True)
    sys.stdin.read()
"""


def made(folder: Path, names: Sequence[str], inputs: Mapping[str, str] | None = None) -> Path:
    """A complete stage with a row a name and one rejected unit."""
    with Stage(folder, {"hops": 4}, inputs or {}, fresh=True) as stage:
        for name in names:
            stage.accept(Entity(name=name))
        stage.reject("u", "why")
        stage.finish()
    return folder


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
    write_json(folder / "meta.json", {**read_json(folder / "meta.json"), "extra": 2})
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


@pytest.mark.parametrize("name", ["data.jsonl", "rejected.jsonl"])
@pytest.mark.parametrize("keep", [0, 5, -1])
def test_rows_lost_from_a_complete_stage_are_noticed_and_nothing_is_touched(
    tmp_path: Path, name: str, keep: int
) -> None:
    folder = made(tmp_path / "run" / "questions", "abc")
    path = folder / name
    path.write_bytes(path.read_bytes()[:keep])
    before = contents(folder)
    remedy = rf"{name}: \d whole lines.*run `longtrace questions.* --run \S+.*`"
    with pytest.raises(RunFolderError, match=remedy) as error:
        Stage(folder, {"hops": 4}, {})
    assert "--fresh" in str(error.value)
    for check in (lambda: fingerprint(folder), lambda: is_made(folder, {"hops": 4}, {})):
        with pytest.raises(RunFolderError, match=remedy):
            check()
    assert contents(folder) == before
    assert len(list(read_records(made(folder, "ab") / "data.jsonl", Entity))) == 2


def test_a_complete_stage_says_its_counts_and_opening_it_changes_no_file(tmp_path: Path) -> None:
    folder = made(tmp_path / "questions", "abc")
    (folder / "notes.txt").write_text("mine")
    before = contents(folder)
    with Stage(folder, {"hops": 4}, {}) as stage:
        assert (stage.accepted, stage.done, stage.rejected) == (3, 4, {"why": 1})
    assert contents(folder) == before


def test_other_rows_with_the_same_counts_have_another_fingerprint(tmp_path: Path) -> None:
    first = fingerprint(made(tmp_path / "questions", ["a", "b"]))
    assert fingerprint(made(tmp_path / "questions", ["a", "c"])) != first
    assert fingerprint(made(tmp_path / "questions", ["a", "b"])) == first


def test_rows_made_from_an_input_that_was_replaced_are_refused(tmp_path: Path) -> None:
    corpus = made(tmp_path / "corpus", "a")
    folder = made(tmp_path / "contexts" / "tiered", "b", {"corpus": fingerprint(corpus)})
    sources = {"corpus": corpus, "questions": tmp_path / "questions"}
    check_inputs(folder, sources)
    made(corpus, "c")
    with pytest.raises(RunFolderError, match="made from another corpus stage") as error:
        check_inputs(folder, sources)
    for word in ("longtrace contexts", "--strategy tiered", "--fresh", f"--run {tmp_path}"):
        assert word in str(error.value)


def test_a_stage_is_made_only_with_its_own_configuration_and_inputs(tmp_path: Path) -> None:
    folder = made(tmp_path / "questions", "a", {"corpus": "1"})
    assert is_made(folder, {"hops": 4}, {"corpus": "1"})
    assert not is_made(folder, {"hops": 5}, {"corpus": "1"})
    assert not is_made(folder, {"hops": 4}, {"corpus": "2"})
    (folder / "meta.json").unlink()
    assert not is_made(folder, {"hops": 4}, {"corpus": "1"})


@pytest.mark.parametrize("text", ["{}", "[]", "3", "{", "", '{"count": "many"}'])
@pytest.mark.parametrize("name", ["meta.json", "stage.json"])
def test_damaged_stage_files_are_named_and_fresh_is_the_way_out(
    tmp_path: Path, name: str, text: str
) -> None:
    folder = made(tmp_path / "run" / "questions", "abc")
    (folder / name).write_text(text)
    with pytest.raises(RunFolderError, match=rf"questions/{name}: .*longtrace questions") as error:
        Stage(folder, {"hops": 4}, {})
    assert "--fresh" in str(error.value)
    assert "delete" not in str(error.value)
    assert "\n" not in str(error.value)
    made(folder, "abc")


@pytest.mark.parametrize("line", ["{}", "[]", "3", "not json", '{"unit": 1}', '"reason"'])
def test_a_damaged_line_of_rejected_units_is_named(tmp_path: Path, line: str) -> None:
    folder = made(tmp_path / "questions", "a")
    (folder / "meta.json").unlink()
    (folder / "rejected.jsonl").write_text(f'{{"unit": 1, "reason": "why"}}\n{line}\n')
    with pytest.raises(RowError, match=r"rejected\.jsonl:2: .*longtrace questions.*"):
        Stage(folder, {"hops": 4}, {})


def test_a_bad_row_of_a_stage_names_the_command_that_redoes_it(tmp_path: Path) -> None:
    folder = made(tmp_path / "questions", "a")
    (folder / "data.jsonl").write_text('{"nmae": "a"}\n')
    with pytest.raises(RowError, match=r"data\.jsonl:1: .*expected a Entity row.*--fresh"):
        list(read_records(folder / "data.jsonl", Entity))


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "questions"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"open\n"
        before = contents(folder)
        for fresh in (False, True):
            with pytest.raises(RunFolderError, match=r"questions: another process is at work"):
                Stage(folder, {}, {}, fresh=fresh)
        assert contents(folder) == before
        first.kill()
    with Stage(folder, {}, {}) as stage:
        assert stage.done == 1
        second = subprocess.run([*command], input=b"", capture_output=True, check=False)
        assert b"another process is at work" in second.stderr
        stage.finish()
    assert {path.name for path in folder.iterdir()} == {
        *("data.jsonl", "rejected.jsonl", "meta.json", "stage.json")
    }


def test_a_complete_stage_may_be_read_by_many_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "questions"
    with Stage(folder, {}, {}) as stage:
        stage.finish()
        code = "from longtrace.store import *; import sys; Stage(Path(sys.argv[1]), {}, {})"
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
