"""What slime and verl share: the fixture of groups, scoring, options."""

from __future__ import annotations

import asyncio
import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.errors import InputError
from longtrace.records import Score
from longtrace.training.engines import RewardOptions, options, score, shape_group
from tests.training.groups import groups, variants

ROW = {
    "question": "?",
    "answer": "Rome",
    "answer_aliases": ["Roma"],
    "entities": [{"name": "Chad", "aliases": ["Tchad"]}, "Mali"],
}
PLAIN = RewardOptions(thinks=False)


@pytest.mark.parametrize("variant", variants())
def test_every_group_earns_what_the_fixture_says(variant: str) -> None:
    for group in groups():
        earned = shape_group(group.scores, variants()[variant])
        for part, values in earned._asdict().items():
            assert values == pytest.approx(group.expected[variant][part]), group.name


def test_the_published_example_earns_the_published_numbers() -> None:
    group = next(g for g in groups() if g.name == "published example")
    assert group.expected["default"]["rewards_G"] == pytest.approx([0.85, 0, 1, 0])
    wanted = [0.7208, -0.8604, 0.9999, -0.8604]
    assert group.expected["default"]["advantages_G"] == pytest.approx(wanted, abs=1e-3)


def test_a_member_without_a_score_is_not_known() -> None:
    scores = [Score(outcome=1, rubric=1), None, Score(outcome=0, rubric=0)]
    assert shape_group(scores, PLAIN).rewards_G == [1.0, None, 0.0]
    assert shape_group([None, None], PLAIN).advantages_G == [None, None]


@given(
    st.lists(
        st.builds(
            lambda o, r: Score(outcome=o, rubric=r),
            st.sampled_from([0.0, 1.0, None]),
            st.floats(0, 1),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_advantages_of_the_known_have_mean_zero(scores: list[Score]) -> None:
    known = [a for a in shape_group(scores, PLAIN).advantages_G if a is not None]
    assert all(map(math.isfinite, known))
    assert not known or abs(fmean(known)) < 1e-6


@pytest.mark.parametrize(
    ("response", "outcome", "rubric"),
    [
        ("Tchad, then Mali.\nanswer: Rome", 1.0, 1.0),
        ("Mali.\nanswer: Roma", 1.0, 0.5),
        ("Chad.\nanswer: Oslo", 0.0, 0.5),
    ],
)
def test_a_response_is_scored_by_answer_and_names(
    response: str, outcome: float, rubric: float
) -> None:
    judged = asyncio.run(score(response, ROW, PLAIN))
    assert (judged.outcome, judged.rubric) == (outcome, rubric)


def test_what_is_cut_off_or_never_stops_thinking_has_nothing() -> None:
    right = "Chad, Mali.\nanswer: Rome"
    cut = asyncio.run(score(right, ROW, PLAIN, truncated=True))
    assert (cut.outcome, cut.rubric, cut.problem) == (0.0, 0.0, "truncated")
    open_ended = asyncio.run(score(right, ROW, RewardOptions()))
    assert (open_ended.outcome, open_ended.problem) == (0.0, "ill_formed")
    closed = asyncio.run(score(f"<think>Chad</think>{right}", ROW, RewardOptions()))
    assert (closed.outcome, closed.rubric) == (1.0, 1.0)


def test_a_judge_without_an_endpoint_is_refused() -> None:
    with pytest.raises(InputError, match="judge_url"):
        asyncio.run(score("answer: Oslo", ROW, RewardOptions(thinks=False, outcome="judge")))


def test_the_judge_is_asked_by_default_where_there_is_one() -> None:
    assert RewardOptions().told_by == "exact"
    assert RewardOptions(judge_url="http://judge/v1").told_by == "exact_then_judge"
    assert RewardOptions(judge_url="http://judge/v1", outcome="judge").told_by == "judge"


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(InputError, match="etta"):
        options({"etta": 0.5})
    assert options({"credit": "positive-only"}).credit == "positive_only"
