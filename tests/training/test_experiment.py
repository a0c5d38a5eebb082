"""The experiment's own parts: kinds of contexts, and the arithmetic of its tables."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longtrace.training.tasks import FactLibrary

pytest.importorskip("trl", reason="needs the train extra")

FOLDER = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def parts() -> Iterator[dict[str, Any]]:
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in ("kinds", "rubric", "summary")}
    finally:
        sys.path.remove(str(FOLDER))


def last_relations(one: Any) -> int:
    return sum(fact.relation == one.relations[-1] for fact in one.facts)


def test_every_kind_of_context_is_what_it_says(parts: dict[str, Any], library: FactLibrary) -> None:
    made = {
        kind: parts["kinds"].tasks(library, kind, "test", count=12, seed=3)
        for kind in ("tiered", "random", "shortcut", "hard", "long", "hops4")
    }
    assert {last_relations(one) for one in made["shortcut"]} == {1}
    assert min(map(last_relations, made["hard"])) >= 6
    assert all(32 <= len(one.facts) <= 36 for one in made["long"])
    assert {len(one.relations) for one in made["hops4"]} == {4}
    for kind, tasks in made.items():
        assert {one.split for one in tasks} == {"test"}
        for one in tasks:
            stated = {(fact.subject, fact.relation): fact.object for fact in one.facts}
            assert len(stated) == len(one.facts), f"{kind}: a fact twice"
            steps = zip(one.chain, one.relations, one.chain[1:], strict=False)
            assert all(stated[a, relation] == b for a, relation, b in steps), kind


def test_the_same_questions_are_asked_in_every_kind(
    parts: dict[str, Any], library: FactLibrary
) -> None:
    kinds = parts["kinds"]
    plain, hard = (
        kinds.tasks(library, kind, "test", count=8, seed=3) for kind in ("tiered", "hard")
    )
    assert [one.chain for one in plain] == [one.chain for one in hard]
    assert [len(one.facts) for one in plain] == [len(one.facts) for one in hard]


def test_the_plan_pairs_every_seed_with_a_warm_start(parts: dict[str, Any]) -> None:
    rubric = parts["rubric"]
    plan = rubric.read_plan(FOLDER / "rubric.toml")
    assert len(plan.sizes.seeds) == len(plan.sizes.model_seeds) >= 5
    names = [run.name for run in rubric.runs(plan, [])]
    assert len(names) == len(set(names))
    for shares in plan.mixes.values():
        assert sum(shares.values()) == pytest.approx(1)


def test_sign_flips_are_exact(parts: dict[str, Any]) -> None:
    sign_flip = parts["summary"].sign_flip
    assert sign_flip([1, 1, 1, 1, 1, 1]) == 2 / 64
    assert sign_flip([1, -1]) == 1
    assert sign_flip([0, 0, 0]) == 1
    assert sign_flip([3, 1, -1]) == 6 / 8


def test_holm_multiplies_the_smallest_most(parts: dict[str, Any]) -> None:
    assert parts["summary"].holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert parts["summary"].holm([0.9, 0.8]) == [1.0, 1.0]


def test_runs_that_share_a_warm_start_count_once(parts: dict[str, Any]) -> None:
    def run(model_seed: int, accuracy: float) -> dict[str, Any]:
        measures = {"accuracy": accuracy, "recall": accuracy, "names": 1.0}
        return {"model_seed": model_seed, "final": {"hard": measures}}

    starts = (10, 11, 12, 10)
    found = {
        "B-positive": {seed: run(start, 0.8) for seed, start in enumerate(starts)},
        "B-outcome": {
            seed: run(start, accuracy)
            for seed, (start, accuracy) in enumerate(zip(starts, (0.2, 0.8, 0.4, 0.6), strict=True))
        },
    }
    primary = parts["summary"].compare(found)[0]
    assert primary.difference.n == 3
    assert primary.difference.mean == pytest.approx((0.4 + 0.0 + 0.4) / 3)
    assert primary.p == 4 / 8


def test_tables_go_between_the_marks_of_the_page(parts: dict[str, Any]) -> None:
    summary = parts["summary"]
    begin, end = summary.MARKS
    page = f"above\n{begin}\nold\n{end}\nbelow"
    made = summary.between_marks(page, "new")
    assert made == f"above\n{begin}\n\nnew\n\n{end}\nbelow"
    assert summary.between_marks(made, "new") == made
    with pytest.raises(ValueError, match="no <!-- tables"):
        summary.between_marks("above", "new")
