"""The laws of the group formula, its worked cases, and parity with the published results."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from longtrace import combine
from longtrace.errors import InputError
from longtrace.records import Score
from longtrace.rewards.combine import Best, Credit, Normalize, advantages, has_signal
from longtrace.rewards.rubric import score_response

PARITY = Path(__file__).parents[3] / "shared/data/reward_parity.json"
CREDITS: list[Credit] = ["positive_only", "always", "negative_only"]
NORMALIZATIONS: list[Normalize] = ["group_max", "raw"]
BESTS: list[Best] = ["all", "correct"]
ENTITIES = 8

scores = st.builds(
    Score,
    outcome=st.sampled_from([0.0, 1.0, None]),
    rubric=st.integers(0, ENTITIES).map(lambda hits: hits / ENTITIES),
)
groups = st.lists(scores, min_size=1, max_size=9)
etas = st.floats(0, 1)
credits_ = st.sampled_from(CREDITS)
normalizations = st.sampled_from(NORMALIZATIONS)
bests = st.sampled_from(BESTS)


def group(outcomes: list[float | None], rubrics: list[float]) -> list[Score]:
    return [Score(outcome=o, rubric=r) for o, r in zip(outcomes, rubrics, strict=True)]


@given(groups, etas, normalizations, bests)
def test_wrong_answer_gets_nothing_however_many_entities_it_names(
    scores_G: list[Score], eta: float, normalize: Normalize, best: Best
) -> None:
    rewards_G = combine(scores_G, eta=eta, normalize=normalize, best=best)
    for score, reward in zip(scores_G, rewards_G, strict=True):
        if score.outcome == 0:
            assert reward == 0


@given(groups, st.integers(0, 8), etas, credits_, normalizations, bests)
def test_adding_a_hit_never_lowers_ones_own_reward(
    scores_G: list[Score],
    member: int,
    eta: float,
    credit: Credit,
    normalize: Normalize,
    best: Best,
) -> None:
    member %= len(scores_G)
    own = scores_G[member]
    assume(own.outcome is not None and own.rubric < 1)
    more = own.model_copy(update={"rubric": own.rubric + 1 / ENTITIES})
    changed_G = [*scores_G[:member], more, *scores_G[member + 1 :]]
    before = combine(scores_G, eta=eta, credit=credit, normalize=normalize, best=best)[member]
    after = combine(changed_G, eta=eta, credit=credit, normalize=normalize, best=best)[member]
    assert before is not None
    assert after is not None
    assert after >= before


@given(st.data(), groups, etas, credits_, normalizations, bests)
def test_the_order_of_the_group_never_matters(
    data: st.DataObject,
    scores_G: list[Score],
    eta: float,
    credit: Credit,
    normalize: Normalize,
    best: Best,
) -> None:
    order = data.draw(st.permutations(range(len(scores_G))))
    rewards_G = combine(scores_G, eta=eta, credit=credit, normalize=normalize, best=best)
    shuffled_G = combine(
        [scores_G[i] for i in order], eta=eta, credit=credit, normalize=normalize, best=best
    )
    assert shuffled_G == [rewards_G[i] for i in order]
    assert advantages(shuffled_G) == [advantages(rewards_G)[i] for i in order]


@given(groups, st.integers(0, 9), st.floats(0, 1), etas, credits_, normalizations, bests)
def test_an_unjudgeable_member_changes_nobody_elses_reward(
    scores_G: list[Score],
    place: int,
    rubric: float,
    eta: float,
    credit: Credit,
    normalize: Normalize,
    best: Best,
) -> None:
    place = min(place, len(scores_G))
    more_G = [*scores_G[:place], Score(outcome=None, rubric=rubric), *scores_G[place:]]
    rewards_G = combine(more_G, eta=eta, credit=credit, normalize=normalize, best=best)
    assert rewards_G.pop(place) is None
    assert rewards_G == combine(scores_G, eta=eta, credit=credit, normalize=normalize, best=best)


@given(groups, etas, credits_, normalizations, bests)
def test_every_judged_member_has_a_reward_in_the_unit_interval(
    scores_G: list[Score], eta: float, credit: Credit, normalize: Normalize, best: Best
) -> None:
    rewards_G = combine(scores_G, eta=eta, credit=credit, normalize=normalize, best=best)
    for score, reward in zip(scores_G, rewards_G, strict=True):
        assert (reward is None) == (score.outcome is None)
        assert reward is None or 0 <= reward <= 1


@pytest.mark.parametrize(
    ("credit", "expected"),
    [
        ("positive_only", [0.85, 0, 1, 0]),
        ("always", [0.85, 0.3, 1, 0]),
        ("negative_only", [1, 0.3, 1, 0]),
    ],
)
def test_the_published_worked_group(credit: Credit, expected: list[float]) -> None:
    scores_G = group([1, 0, 1, 0], [1 / 3, 2 / 3, 2 / 3, 0])
    assert combine(scores_G, credit=credit) == pytest.approx(expected, abs=1e-12)


def test_the_published_worked_response_without_group_normalisation() -> None:
    assert combine(group([1], [0.8]), normalize="raw") == pytest.approx([0.94])


def test_a_group_that_names_nothing_leaves_the_outcome_weight() -> None:
    assert combine(group([1, 1, 0], [0, 0, 0])) == pytest.approx([0.7, 0.7, 0])


def test_a_wrong_response_that_names_everything_sets_the_bar_for_all_but_not_for_correct() -> None:
    scores_G = group([0, 1, 1], [1.0, 0.5, 0.25])
    assert combine(scores_G) == pytest.approx([0, 0.85, 0.775])
    assert combine(scores_G, best="correct") == pytest.approx([0, 1.0, 0.85])


def test_a_wrong_member_above_the_bar_of_the_correct_ones_counts_as_one() -> None:
    scores_G = group([0, 1], [1.0, 0.5])
    assert combine(scores_G, best="correct", credit="always") == pytest.approx([0.3, 1.0])


def test_where_nobody_is_right_the_bar_is_the_best_of_all() -> None:
    scores_G = group([0, 0, None], [0.5, 0.25, 1.0])
    rewards_G = combine(scores_G, best="correct", credit="negative_only")
    assert rewards_G == [pytest.approx(0.3), pytest.approx(0.15), None]


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
def test_an_eta_outside_the_unit_interval_is_refused(eta: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        combine([], eta=eta)


def test_advantages_of_the_shared_fixture() -> None:
    expected = [0.7208, -0.8604, 0.9999, -0.8604]
    assert advantages([0.85, 0, 1, 0]) == pytest.approx(expected, abs=1e-4)
    assert advantages([0.85, 0, 1, 0], eps=1e-4) == pytest.approx(expected, abs=1e-3)


def test_advantages_leave_the_unjudged_out() -> None:
    judged = advantages([1.0, 0.0, 0.7])
    assert advantages([1.0, None, 0.0, 0.7, None]) == [judged[0], None, judged[1], judged[2], None]


@pytest.mark.parametrize("rewards_G", [[], [None], [0.7], [0.7, None], [0.1, 0.1, 0.1]])
def test_equal_rewards_give_no_advantage_and_no_signal(rewards_G: list[float | None]) -> None:
    assert not has_signal(rewards_G)
    assert advantages(rewards_G) == [None if r is None else 0.0 for r in rewards_G]


@given(st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=2, max_size=9))
def test_advantages_are_centred_and_scaled_by_the_unbiased_deviation(
    rewards_G: list[float],
) -> None:
    assume(has_signal(rewards_G))
    spread = statistics.stdev(rewards_G)
    found = [a for a in advantages(rewards_G) if a is not None]
    assert sum(found) == pytest.approx(0, abs=1e-9)
    assert statistics.stdev(found) == pytest.approx(spread / (spread + 1e-6))


@pytest.mark.skipif(not PARITY.is_file(), reason="reward_parity.json is not beside the repository")
def test_every_variant_equals_the_published_rewards() -> None:
    stored: list[dict[str, Any]] = json.loads(PARITY.read_text(encoding="utf-8"))["groups"]
    compared = 0
    for row in stored:
        scores_G = [
            score_response(
                sample["response"],
                row["entities"],
                outcome=sample["outcome"],
                ill_formed=sample["ill_formed"],
                match="upstream",
            )
            for sample in row["samples"]
        ]
        for credit in CREDITS:
            for normalize in NORMALIZATIONS:
                rewards_G = combine(scores_G, eta=row["eta"], credit=credit, normalize=normalize)
                expected = row["rewards"][f"{credit}/{normalize}"]
                assert rewards_G == pytest.approx(expected, abs=1e-9)
                compared += 1
    assert compared == 60 * 6
