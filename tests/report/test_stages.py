from __future__ import annotations

from pathlib import Path

from longtrace.records import Answer, Open, Search, Trajectory
from longtrace.report.stages import contexts_stages, questions_stage, tally
from longtrace.store import fingerprint, write_json


def attempt(question: str, correct: bool | None, *, answered: bool = True) -> Trajectory:
    steps: tuple[Search | Open | Answer, ...] = (Answer(text="x"),) if answered else ()
    return Trajectory(
        question_id=question,
        attempt=0,
        steps=steps,
        stop="answered" if answered else "step_limit",
        model="m",
        correct=correct,
    )


def test_every_attempt_is_counted_once_and_a_question_is_solved_by_any_right_one() -> None:
    counts = tally(
        [
            attempt("a", False),
            attempt("a", True),
            attempt("b", None),
            attempt("b", False, answered=False),
        ]
    )
    assert (counts.right, counts.wrong, counts.unjudged, counts.silent) == (1, 1, 1, 1)
    assert (counts.attempts, counts.questions, counts.solved) == (4, 2, 1)


def test_reasons_come_most_frequent_first(tmp_path: Path) -> None:
    (tmp_path / "questions").mkdir()
    meta = {"config": {"hops": 4}, "count": 5, "rejected": {"a": 1, "b": 7, "c": 1}}
    write_json(tmp_path / "questions" / "meta.json", meta)
    stage = questions_stage(tmp_path)
    assert [tuple(reason) for reason in stage.reasons] == [("b", 7), ("a", 1), ("c", 1)]
    assert [part.units for part in stage.parts] == [5, 9]
    assert stage.note == "from 14 walks of 4 hops"


def test_strategies_with_the_same_counts_share_a_line(tmp_path: Path) -> None:
    for name, kept in (("tiered", 3), ("search", 3), ("random", 4)):
        (tmp_path / "contexts" / name).mkdir(parents=True)
        meta = {"config": {}, "count": kept, "rejected": {"never solved": 5 - kept}}
        write_json(tmp_path / "contexts" / name / "meta.json", meta)
    write_json(tmp_path / "contexts" / "meta.json", {"count": 3})
    lines = contexts_stages(tmp_path)
    assert [(line.kept, line.note) for line in lines] == [(3, "tiered and search"), (4, "random")]


def test_contexts_that_are_not_finished_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "contexts" / "tiered").mkdir(parents=True)
    meta = {"config": {}, "count": 1, "rejected": {}}
    write_json(tmp_path / "contexts" / "tiered" / "meta.json", meta)
    assert [line.complete for line in contexts_stages(tmp_path)] == [False]


def test_a_stage_made_from_rows_that_are_gone_is_called_out(tmp_path: Path) -> None:
    for name in ("corpus", "questions"):
        (tmp_path / name).mkdir()
    write_json(tmp_path / "corpus" / "meta.json", {"config": {}, "count": 1, "rejected": {}})
    inputs = {"corpus": fingerprint(tmp_path / "corpus")}
    meta = {"config": {}, "count": 1, "rejected": {}, "inputs": inputs}
    write_json(tmp_path / "questions" / "meta.json", meta)
    assert questions_stage(tmp_path).stale == ()
    write_json(tmp_path / "corpus" / "meta.json", {"config": {}, "count": 2, "rejected": {}})
    assert questions_stage(tmp_path).stale == ("corpus",)
