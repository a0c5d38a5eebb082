"""The trajectories stage: one line an attempt, the same however it is run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from longtrace.cli import main
from longtrace.config import Options
from longtrace.errors import RunFolderError
from longtrace.records import Answer, Question, Trajectory, Usage
from longtrace.store import Stage, read_json, read_records, write_json
from longtrace.trajectories.stage import Config, run, summed

CONFIG = Config(attempts=3)
FILES = ("data.jsonl", "rejected.jsonl", "meta.json")


@pytest.fixture
def folder(asked_run: Path, tmp_path: Path) -> Path:
    """A fresh run folder with complete corpus and questions."""
    for stage in ("corpus", "questions"):
        (tmp_path / stage).symlink_to(asked_run / stage)
    return tmp_path


def contents(folder: Path) -> list[bytes]:
    return [(folder / "trajectories" / name).read_bytes() for name in FILES]


def test_one_worker_and_two_write_the_same_bytes(folder: Path) -> None:
    run(CONFIG, Options(run=folder, workers=1, limit=4))
    alone = contents(folder)
    run(CONFIG, Options(run=folder, workers=2, limit=4, fresh=True))
    assert contents(folder) == alone


@pytest.mark.parametrize("done", [0, 1, 5, 12])
def test_a_stopped_run_continues_to_the_same_bytes(folder: Path, done: int) -> None:
    options = Options(run=folder, workers=1, limit=4)
    run(CONFIG, options)
    whole = contents(folder)
    data = folder / "trajectories" / "data.jsonl"
    rows = data.read_bytes().splitlines(keepends=True)
    data.write_bytes(b"".join(rows[:done]) + b"".join(rows[done : done + 1])[:50])
    (folder / "trajectories" / "meta.json").unlink()
    run(CONFIG, options)
    assert contents(folder) == whole


def test_attempts_follow_the_questions_in_order(folder: Path, questions: list[Question]) -> None:
    run(CONFIG, Options(run=folder, workers=1, limit=3))
    rows = list(read_records(folder / "trajectories" / "data.jsonl", Trajectory))
    assert [(row.question_id, row.attempt) for row in rows] == [
        (question.id, attempt) for question in questions[:3] for attempt in range(3)
    ]


def test_figures_count_right_wrong_and_missing_answers(folder: Path) -> None:
    result = run(CONFIG, Options(run=folder, workers=1))
    meta = read_json(folder / "trajectories" / "meta.json")
    assert result.json["attempts"] == meta["attempts"]
    rows = list(read_records(folder / "trajectories" / "data.jsonl", Trajectory))
    for attempt, figures in enumerate(meta["attempts"]):
        mine = [row for row in rows if row.attempt == attempt]
        assert figures["right"] == pytest.approx(
            sum(row.correct is True for row in mine) / len(mine), abs=1e-4
        )
        parts = [figures[name] for name in ("right", "wrong", "no_answer", "unjudged")]
        assert sum(parts) == pytest.approx(1, abs=2e-4)
    solved = {row.question_id for row in rows if row.correct}
    assert meta["never_solved"] == len({row.question_id for row in rows} - solved)


def test_what_could_not_be_judged_is_neither_right_nor_wrong() -> None:
    ends: list[tuple[str | None, bool | None]] = [
        ("Rome", True),
        ("Oslo", False),
        ("Roma", None),
        (None, False),
        (None, None),
    ]
    rows = [
        Trajectory(
            question_id="q",
            attempt=0,
            steps=() if text is None else (Answer(text=text),),
            stop="gave_up" if text is None else "answered",
            model="m",
            correct=correct,
        )
        for text, correct in ends
    ]
    figures = summed(rows)
    assert {name: figures[name] for name in ("right", "wrong", "no_answer", "unjudged")} == {
        "right": 0.2,
        "wrong": 0.2,
        "no_answer": 0.2,
        "unjudged": 0.4,
    }


def test_missing_questions_name_the_command_that_makes_them(
    asked_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "corpus").symlink_to(asked_run / "corpus")
    with pytest.raises(RunFolderError, match="longtrace questions"):
        run(CONFIG, Options(run=tmp_path))


def test_another_number_of_attempts_is_refused(folder: Path) -> None:
    run(CONFIG, Options(run=folder, workers=1, limit=1))
    with pytest.raises(RunFolderError, match="attempts = 3, now attempts = 2"):
        run(Config(attempts=2), Options(run=folder, workers=1, limit=1))


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    assert run(CONFIG, Options(run=folder, dry_run=True)).json["trajectories"] == 36
    assert not (folder / "trajectories").exists()


def test_the_command_line_shows_a_table_and_the_next_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["trajectories", "--run", str(folder), "--attempts", "1", "--limit", "2"]
    assert main([*argv, "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert "no answer" in shown
    assert f"longtrace contexts --run {folder}" in shown
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["questions"] == 2


def test_questions_of_an_older_corpus_are_not_attempted(asked_run: Path, tmp_path: Path) -> None:
    for stage in ("corpus", "questions"):
        shutil.copytree(asked_run / stage, tmp_path / stage)
    meta = read_json(tmp_path / "corpus" / "meta.json")
    write_json(tmp_path / "corpus" / "meta.json", {**meta, "content": "another"})
    with pytest.raises(RunFolderError, match="another corpus stage"):
        run(CONFIG, Options(run=tmp_path, workers=1))


def test_a_dry_run_counts_no_attempts_of_another_agent_and_none_that_fresh_deletes(
    folder: Path,
) -> None:
    made = Options(run=folder, dry_run=True)
    run(CONFIG, Options(run=folder))
    asked = Config(attempts=3, agent="llm", base_url="http://127.0.0.1:9/v1", model="m")
    found = run(asked, made).json
    assert found["attempts_left"] == 36
    assert found["prompt_tokens"] > 36_000
    path = folder / "trajectories" / "data.jsonl"
    paid = Usage(prompt_tokens=7)
    rows = [row.model_copy(update={"usage": paid}) for row in read_records(path, Trajectory)]
    identity = {**asked.identity(), "questions": 12}
    with Stage(folder / "trajectories", identity, {}, fresh=True) as stage:
        for row in rows[:10]:
            stage.accept(row)
    assert run(asked, made).json["prompt_tokens"] == 26 * 7
    assert run(asked, made.model_copy(update={"fresh": True})).json["prompt_tokens"] == 36 * 7
    assert run(asked, made.model_copy(update={"limit": 5})).json["prompt_tokens"] == 15 * 7
