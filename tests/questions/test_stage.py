"""The questions stage: the same rows however it is run, and honest when it falls short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longtrace.cli import main
from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.errors import LongtraceError, RunFolderError
from longtrace.questions.make import Maker
from longtrace.questions.stage import DUPLICATE, Config, run
from longtrace.records import Question
from longtrace.store import read_json, read_records

CONFIG = Config(count=6, hops=3, max_mention_share=0.08)
FILES = ("data.jsonl", "rejected.jsonl", "meta.json")


@pytest.fixture
def folder(factbook_run: Path, tmp_path: Path) -> Path:
    """A fresh run folder with a complete corpus."""
    (tmp_path / "corpus").symlink_to(factbook_run / "corpus")
    return tmp_path


def contents(folder: Path) -> list[bytes]:
    return [(folder / "questions" / name).read_bytes() for name in FILES]


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_one_worker_and_two_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    run(CONFIG, Options(run=folder, workers=1))
    alone = contents(folder)
    run(CONFIG, Options(run=folder, workers=2, fresh=True))
    assert contents(folder) == alone


@pytest.mark.parametrize("done", [0, 1, 4])
def test_a_stopped_run_continues_to_the_same_bytes(folder: Path, done: int) -> None:
    run(CONFIG, Options(run=folder, workers=1))
    whole = contents(folder)
    data, rejected, meta = (folder / "questions" / name for name in FILES)
    meta.unlink()
    dropped = [line for line in lines(rejected) if json.loads(line)["unit"] < done]
    kept = done - len(dropped)
    torn = lines(data)[kept][:40]
    rejected.write_bytes(b"".join(dropped))
    data.write_bytes(b"".join(lines(data)[:kept]) + torn)
    run(CONFIG, Options(run=folder, workers=1))
    assert contents(folder) == whole


def test_every_walk_leaves_one_line(folder: Path) -> None:
    result = run(CONFIG, Options(run=folder, workers=1))
    made = folder / "questions"
    rejected = (made / "rejected.jsonl").read_text().splitlines()
    assert result.json["count"] == 6
    assert result.json["walks"] == 6 + len(rejected)
    rows = list(read_records(made / "data.jsonl", Question))
    assert len({tuple(hop.doc for hop in row.hops) for row in rows}) == 6
    assert all(row.writer == "offline" and len(row.hops) == 4 for row in rows)


def test_a_limit_makes_fewer_questions(folder: Path) -> None:
    assert run(CONFIG, Options(run=folder, workers=1, limit=2)).json["count"] == 2


def test_too_few_questions_are_said_plainly(folder: Path) -> None:
    config = CONFIG.model_copy(update={"max_walks": 3})
    result = run(config, Options(run=folder, workers=1))
    assert result.json["count"] < 6
    assert any("were wanted" in str(line) for line in result.text)


def test_no_question_at_all_is_an_error_that_says_what_to_change(folder: Path) -> None:
    config = Config(count=1, hops=25, max_mention_share=0.02, max_walks=3)
    with pytest.raises(LongtraceError, match="--max-mention-share"):
        run(config, Options(run=folder, workers=1))
    with pytest.raises(LongtraceError, match="dead walk 3"):
        run(config, Options(run=folder, workers=1))
    assert not (folder / "questions" / "meta.json").exists()


def test_another_configuration_is_refused(folder: Path) -> None:
    run(CONFIG, Options(run=folder, workers=1))
    with pytest.raises(RunFolderError, match="hops = 3, now hops = 4"):
        run(CONFIG.model_copy(update={"hops": 4}), Options(run=folder, workers=1))


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    result = run(CONFIG, Options(run=folder, dry_run=True))
    assert result.json["questions"] == 6
    assert not (folder / "questions").exists()


def test_a_missing_corpus_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="longtrace corpus"):
        run(CONFIG, Options(run=tmp_path))


def test_walks_over_the_same_documents_are_kept_once(folder: Path) -> None:
    config = Config(count=60, hops=1, max_mention_share=0.02, max_walks=150)
    run(config, Options(run=folder, workers=1))
    assert read_json(folder / "questions" / "meta.json")["rejected"][DUPLICATE] > 0


def test_the_walk_of_a_question_can_be_had_again(folder: Path) -> None:
    maker = Maker(Corpus.open(folder / "corpus"), CONFIG)
    made = maker.make(0)
    walk = maker.walk(0)
    assert walk is not None
    assert tuple(hop.doc for hop in walk.hops) == made.docs


def test_the_command_line_prints_counts_and_the_next_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["questions", "--run", str(folder), "--count", "3", "--hops", "2", "--seed", "1"]
    argv += ["--max-mention-share", "0.08", "--workers", "1"]
    assert main(argv) == 0
    shown = capsys.readouterr().out
    assert "3 questions from" in shown
    assert f"longtrace trajectories --run {folder}" in shown
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 3
