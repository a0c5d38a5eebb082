"""Tasks over facts: made by the pipeline, answerable from their context, without real names."""

from __future__ import annotations

import re
from random import Random

import pytest

from longtrace.records import Tier
from longtrace.training.tasks import (
    FACTS_RANGE,
    FactLibrary,
    Task,
    anonymise,
    example,
    look_up,
    task,
)


def followed(facts: list[tuple[str, str, str]], start: str, relations: tuple[str, ...]) -> str:
    """Where the relations lead from `start`, by the facts alone."""
    said = {(subject, relation): value for subject, relation, value in facts}
    for relation in relations:
        start = said[start, relation]
    return start


def test_the_same_seed_and_index_give_the_same_task(
    library: FactLibrary, tasks: list[Task]
) -> None:
    again = [task(library, hops=3, seed=0, index=index) for index in range(20)]
    made = [one for one in again if isinstance(one, Task)]
    assert made == tasks[: len(made)]
    assert task(library, hops=3, seed=1, index=0) != task(library, hops=3, seed=0, index=0)


def test_the_context_of_a_task_leads_to_its_answer(tasks: list[Task]) -> None:
    for one in tasks:
        facts = [(f.subject, f.relation, f.object) for f in one.facts]
        assert followed(facts, one.chain[0], one.relations) == one.chain[-1]
        assert len({(s, r) for s, r, _ in facts}) == len(facts), "a step with two ways on"


def test_gold_facts_are_the_chain_and_nothing_else(tasks: list[Task]) -> None:
    for one in tasks:
        gold = {(f.subject, f.relation, f.object) for f in one.facts if f.tier is Tier.GOLD}
        assert gold == set(zip(one.chain, one.relations, one.chain[1:], strict=False))


def test_distractors_are_what_the_policy_opened_or_was_shown(tasks: list[Task]) -> None:
    for one in tasks:
        opened, listed = set(one.trajectory.opened), set(one.trajectory.listed)
        cited = set(one.trajectory.cited)
        for fact in one.facts:
            if fact.tier is Tier.READ:
                assert fact.doc in opened - cited
            if fact.tier is Tier.SEEN:
                assert fact.doc in listed - opened


def test_contexts_keep_to_the_range_of_facts(tasks: list[Task]) -> None:
    low, high = FACTS_RANGE
    assert all(low <= len(one.facts) <= high for one in tasks)
    assert len({len(one.facts) for one in tasks}) > 3


def test_the_last_relation_alone_rarely_gives_the_answer_away(tasks: list[Task]) -> None:
    only = sum(sum(f.relation == one.relations[-1] for f in one.facts) == 1 for one in tasks)
    assert only < 0.1 * len(tasks)


def test_about_a_fifth_of_the_chains_is_held_out(library: FactLibrary) -> None:
    made = [task(library, hops=3, seed=5, index=index) for index in range(600)]
    splits = [one.split for one in made if isinstance(one, Task)]
    assert 0.12 < splits.count("test") / len(splits) < 0.28


def test_the_same_start_and_relations_are_on_one_side_whatever_the_seed(
    library: FactLibrary,
) -> None:
    side: dict[tuple[str, tuple[str, ...]], str] = {}
    for seed in (1, 2):
        for index in range(400):
            one = task(library, hops=2, seed=seed, index=index)
            if isinstance(one, Task):
                assert side.setdefault((one.chain[0], one.relations), one.split) == one.split


def test_every_use_of_a_task_draws_other_names_and_another_order(tasks: list[Task]) -> None:
    one, other = (anonymise(tasks[0], Random(seed)) for seed in (1, 2))
    assert one.facts != other.facts
    assert [f[1] for f in one.facts] != [f[1] for f in other.facts]
    for drawn in (one, other):
        assert followed(list(drawn.facts), drawn.chain[0], drawn.relations) == drawn.chain[-1]


def test_no_real_name_is_in_a_row(tasks: list[Task]) -> None:
    for one in tasks:
        prompt = example(one).messages[0].content
        assert re.fullmatch(
            r"(@e\d+ [a-z-]+ @e\d+ \. ?)+ ?\n question: @e\d+( [a-z-]+)+ \?", prompt
        )


def test_the_rubric_asks_for_what_lies_between_start_and_answer(tasks: list[Task]) -> None:
    for one in tasks:
        row = example(one)
        between = [one.names[name] for name in one.chain[1:-1]]
        assert [entity.name for entity in row.entities] == between
        assert not set(between) & set(row.question.split())
        assert row.answer == one.names[one.chain[-1]]
        assert row.answer not in between


def test_the_lookup_policy_does_not_use_the_answer(library: FactLibrary, tasks: list[Task]) -> None:
    one = tasks[0]
    told_wrong = look_up(library, one.id, one.chain[0], one.relations, answer="nowhere")
    assert told_wrong.steps == one.trajectory.steps
    assert told_wrong.correct is False


def test_a_lookup_that_loses_the_trail_gives_up(library: FactLibrary) -> None:
    lost = look_up(library, "q", "Atlantis", ("exports-to", "capital"), answer="Poseidonis")
    assert lost.stop == "gave_up"
    assert lost.answer is None


@pytest.mark.parametrize("hops", [2, 4])
def test_tasks_have_as_many_relations_as_asked_for(library: FactLibrary, hops: int) -> None:
    made = [task(library, hops=hops, seed=0, index=index) for index in range(40)]
    found = [one for one in made if isinstance(one, Task)]
    assert found
    assert {len(one.relations) for one in found} == {hops}
