"""The reward as TRL calls it: the formula of the house, whole groups, nothing made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from longtrace.errors import InputError
from longtrace.records import Entity, Score
from longtrace.rewards.combine import combine
from longtrace.training.reward import (
    Response,
    RewardSettings,
    Rollout,
    check_groups,
    judge,
    reward_function,
)

ENTITIES = [Entity(name="Chad"), Entity(name="Mali", aliases=("Republic of Mali",))]
FULL, HALF = "Chad then Mali. Answer: Rome", "Chad. Answer: Rome"
WRONG, NONE = "Chad then Mali. Answer: Oslo", "Answer: Rome"


def batch(texts: list[Any], group_size: int, **columns: Any) -> dict[str, Any]:
    """The arguments TRL would pass for `texts`, whole groups of one prompt each."""
    n = len(texts)
    entities = [[entity.model_dump() for entity in ENTITIES]] * n
    given = {
        "prompts": ["?"] * n,
        "completions": texts,
        "completion_ids": [[5, 1]] * n,
        "group_id": [f"g{i // group_size}" for i in range(n)],
        "question": ["?"] * n,
        "answer": ["Rome"] * n,
        "entities": entities,
        "trainer_state": SimpleNamespace(global_step=3),
        "log_extra": None,
        "strategy": ["tiered"] * n,
    }
    return given | columns


def test_a_group_earns_what_the_formula_says() -> None:
    rewards = reward_function(RewardSettings(4))(**batch([FULL, HALF, WRONG, NONE], 4))
    assert rewards == pytest.approx([1.0, 0.85, 0.0, 0.7])


def test_settings_reach_the_formula() -> None:
    settings = RewardSettings(2, eta=0.5, credit="always", normalize="raw", best="correct")
    rewards = reward_function(settings)(**batch([HALF, WRONG], 2))
    scores = [Score(outcome=1, rubric=0.5), Score(outcome=0, rubric=1)]
    wanted = combine(scores, eta=0.5, credit="always", normalize="raw", best="correct")
    assert rewards == pytest.approx(wanted)


def test_each_group_has_its_own_best() -> None:
    rewards = reward_function(RewardSettings(2))(**batch([FULL, HALF, HALF, NONE], 2))
    assert rewards == pytest.approx([1.0, 0.85, 1.0, 0.7])


def test_the_same_prompt_twice_in_a_batch_is_two_groups() -> None:
    given = batch([FULL, HALF, HALF, NONE], 2, group_id=["same"] * 4)
    assert reward_function(RewardSettings(2))(**given) == pytest.approx([1.0, 0.85, 1.0, 0.7])


def test_chat_messages_count_like_their_text() -> None:
    messages = [[{"role": "assistant", "content": text}] for text in (FULL, HALF)]
    assert reward_function(RewardSettings(2))(**batch(messages, 2)) == pytest.approx([1.0, 0.85])


def test_thinking_earns_nothing() -> None:
    thought = f"<think>{FULL}</think>{NONE}"
    (judged,) = judge([Response(thought, "?", "Rome", ENTITIES)], thinks=True)
    assert (judged.score.outcome, judged.score.rubric) == (1.0, 0.0)
    assert judged.score.missed == ("Chad", "Mali")


def test_a_response_that_never_stops_thinking_is_ill_formed() -> None:
    (judged,) = judge([Response(FULL, "?", "Rome", ENTITIES)], thinks=True)
    assert (judged.score.outcome, judged.score.problem) == (0.0, "ill_formed")


def test_a_response_without_an_end_token_was_cut_off_and_earns_nothing() -> None:
    settings = RewardSettings(2, end_tokens=frozenset({1}))
    seen: list[Rollout] = []
    given = batch([FULL, FULL], 2, completion_ids=[[5, 1], [5, 6]])
    assert reward_function(settings, seen.extend)(**given) == pytest.approx([1.0, 0.0])
    assert [rollout.completion.stop for rollout in seen] == ["stop", "length"]
    assert seen[1].score.problem == "truncated"


def test_what_cannot_be_judged_is_none_and_changes_nobody_else() -> None:
    logged: dict[str, float] = {}
    given = batch([HALF, FULL], 2, answer=["Rome", "?!"], log_metric=logged.__setitem__)
    assert reward_function(RewardSettings(2))(**given) == [pytest.approx(1.0), None]
    assert logged["longtrace/missing"] == 0.5
    assert logged["longtrace/outcome"] == 1.0


def test_a_group_without_any_verdict_logs_no_means() -> None:
    logged: dict[str, float] = {}
    given = batch([HALF, FULL], 2, answer=["?!", "?!"], log_metric=logged.__setitem__)
    assert reward_function(RewardSettings(2))(**given) == [None, None]
    assert "longtrace/outcome" not in logged
    assert logged["longtrace/missing"] == 1.0


@pytest.mark.parametrize(
    "ids", [["a"] * 4, ["a"] * 8 + ["b"] * 4, ["a"] * 4 + ["b"] * 8 + ["a"] * 4]
)
def test_split_groups_are_refused_with_the_setting_to_change(ids: list[str]) -> None:
    with pytest.raises(InputError, match="per_device_train_batch_size x steps_per_generation"):
        check_groups(ids, 8)


def test_rollouts_are_handed_on_with_their_step_and_place_in_the_group() -> None:
    seen: list[Rollout] = []
    reward_function(RewardSettings(2), seen.extend)(**batch([FULL, HALF, WRONG, NONE], 2))
    assert [r.step for r in seen] == [3] * 4
    assert [(r.completion.example_id, r.completion.sample) for r in seen] == [
        ("g0", 0),
        ("g0", 1),
        ("g1", 0),
        ("g1", 1),
    ]
    assert seen[1].score.hit == ("Chad",)
    assert seen[1].score.missed == ("Mali",)
