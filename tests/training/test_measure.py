"""Answers of a real model to held-out questions, and the intervals over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtrace.records import Completion, Score
from longtrace.training import policy
from longtrace.training.measure import Answered, change, end_tokens, measured, respond
from longtrace.training.tasks import Task, example

torch = pytest.importorskip("torch", reason="needs the train extra")


def answered(outcome: float | None, rubric: float) -> Answered:
    return Answered(
        decoding="greedy",
        question="?",
        answer="x",
        completion=Completion(example_id="e", sample=0, text="x"),
        score=Score(outcome=outcome, rubric=rubric),
    )


def test_a_batch_padded_on_the_left_answers_like_single_rows(tasks: list[Task]) -> None:
    model, tokenizer = policy.build_model(0), policy.build_tokenizer()
    rows = [example(one) for one in tasks[:12]]
    assert len({len(row.messages[0].content.split(" ")) for row in rows}) > 1
    together = respond(model, tokenizer, rows, decoding="greedy", max_tokens=8)
    alone = [respond(model, tokenizer, [row], decoding="greedy", max_tokens=8)[0] for row in rows]
    assert [a.completion.text for a in together] == [a.completion.text for a in alone]


def test_sampling_depends_on_its_seed_alone(llama: Path, tasks: list[Task]) -> None:
    model, tokenizer = policy.load(str(llama))
    rows = [example(one) for one in tasks[:3]]

    def said(seed: int) -> list[str]:
        torch.rand(seed + 1)
        answers = respond(model, tokenizer, rows, decoding="sampled", max_tokens=8, seed=seed)
        return [answer.completion.text for answer in answers]

    assert said(1) == said(1)
    assert said(1) != said(2)


def test_a_response_that_reaches_the_limit_is_cut_off_and_wrong(tasks: list[Task]) -> None:
    model, tokenizer = policy.build_model(0), policy.build_tokenizer()
    answers = respond(model, tokenizer, [example(tasks[0])], decoding="greedy", max_tokens=2)
    assert answers[0].completion.stop == "length"
    assert answers[0].score.problem == "truncated"


def test_every_end_token_of_model_and_tokenizer_counts(llama: Path) -> None:
    model, tokenizer = policy.load(str(llama))
    model.generation_config.eos_token_id = [5, 6]
    assert end_tokens(model, tokenizer) == {1, 5, 6}


def test_means_are_over_what_could_be_judged() -> None:
    found = measured([answered(1, 1), answered(0, 0.5), answered(None, 1)])
    assert found.outcome is not None
    assert (found.outcome.mean, found.outcome.n, found.outcome.missing) == (0.5, 2, 1)
    assert found.rubric is not None
    assert (found.rubric.mean, found.rubric.missing) == (0.75, 1)


def test_nothing_judged_is_no_mean_instead_of_zero() -> None:
    found = measured([answered(None, 0), answered(None, 1)])
    assert found.outcome is None
    assert found.rubric is None


def test_a_change_is_paired_by_question() -> None:
    before = [answered(0, 0.0)] * 20 + [answered(1, 1.0)] * 20
    after = [answered(1, 0.5)] * 20 + [answered(1, 1.0)] * 20
    found = change(before, after)
    assert found.outcome is not None
    assert found.outcome.mean == 0.5
    assert found.outcome.excludes_zero
    assert found.rubric is not None
    assert found.rubric.mean == 0.25


def test_a_question_judged_only_once_is_in_no_change() -> None:
    found = change([answered(None, 1), answered(0, 0)], [answered(1, 1), answered(1, 1)])
    assert found.outcome is not None
    assert (found.outcome.n, found.outcome.missing) == (1, 1)
