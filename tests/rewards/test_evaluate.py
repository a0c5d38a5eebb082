"""The published `/evaluate`: what a request means, with our rules and with the published ones."""

from __future__ import annotations

from typing import Any

import pytest

from longtrace.errors import InputError
from longtrace.rewards.evaluate import Answered, Rules, answer, read

INFO: dict[str, Any] = {
    "rubric_reward_ratio": 0.3,
    "dataset_name": "longqa",
    "question": "q",
    "rubric_use_content": True,
    "rubric_use_reasoning_content": False,
    "rubrics": ["Louvre", "Paris"],
}


def body(response: object = None, history: object = None, **info: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"label": "Paris", "extra_reward_info": {**INFO, **info}}
    if response is not None:
        made["response"] = response
    if history is not None:
        made["history"] = history
    return made


def both(value: dict[str, Any], rules: Rules = "longtrace", right: bool = True) -> Answered:
    return answer(read(value, rules), right, rules)


@pytest.mark.parametrize("rules", ["longtrace", "upstream"])
def test_the_reward_is_the_plain_sum_of_outcome_and_raw_rubric(rules: Rules) -> None:
    value = body("<think>Louvre</think>Paris")
    assert both(value, rules) == pytest.approx((0.85, 1.0, 0.5))
    assert both(value, rules, right=False) == pytest.approx((0.15, 0.0, 0.5))


def test_thinking_counts_for_the_rubric_where_it_is_asked_for() -> None:
    value = body("<think>Louvre</think>Paris", rubric_use_reasoning_content=True)
    assert both(value).rubric_reward == 1.0
    assert both(value, "upstream").rubric_reward == 1.0
    value = body("<think>Louvre</think>Paris", rubric_use_content=False)
    assert both(value).rubric_reward == 0.0


def test_ratio_0_skips_the_rubric_and_ratio_1_the_judge() -> None:
    bare = {"rubric_reward_ratio": 0, "dataset_name": "x", "question": "q"}
    assert both({"label": "a", "response": "b", "extra_reward_info": bare}) == (1.0, 1.0, 0.0)
    info = {k: v for k, v in INFO.items() if k != "question"} | {"rubric_reward_ratio": 1}
    asked = read({"label": "a", "response": "Paris", "extra_reward_info": info})
    assert not asked.needs_outcome
    assert answer(asked, False) == (0.5, 0.0, 0.5)


def test_all_assistant_turns_count_for_the_rubric_and_the_last_is_judged() -> None:
    history = [
        {"role": "user", "content": "Paris and the Louvre?"},
        {"role": "assistant", "content": "Louvre"},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": "Paris", "reasoning_content": "hm"},
    ]
    asked = read(body(response="ignored", history=history))
    assert asked.judged == "Paris"
    assert answer(asked, True).rubric_reward == 1.0


@pytest.mark.parametrize("rules", ["longtrace", "upstream"])
@pytest.mark.parametrize(
    "last", [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]
)
def test_a_history_that_does_not_end_in_an_answer_is_all_zero(
    last: dict[str, str], rules: Rules
) -> None:
    value = body(history=[{"role": "user", "content": "q"}, last])
    assert both(value, rules) == (0.0, 0.0, 0.0)


def test_unclosed_thinking_is_content_for_the_published_server_and_nothing_for_ours() -> None:
    value = body("<think>Louvre, Paris")
    assert both(value) == (0.0, 0.0, 0.0)
    assert both(value, "upstream") == pytest.approx((1.0, 1.0, 1.0))


def test_two_closing_tags_are_cut_at_the_last_and_by_the_published_rubric_at_the_first() -> None:
    value = body("a</think>Louvre</think>Paris")
    assert read(value).judged == read(value, "upstream").judged == "Paris"
    assert both(value).rubric_reward == 0.5
    assert both(value, "upstream").rubric_reward == 1.0


def test_names_inside_words_are_hit_by_the_published_matcher_only() -> None:
    value = body("Tirana", rubrics=["Iran"])
    assert both(value).rubric_reward == 0.0
    assert both(value, "upstream").rubric_reward == 1.0


def test_a_number_as_entity_is_read_as_its_digits() -> None:
    value = body("In 1984.", rubrics=[1984])
    assert both(value).rubric_reward == 1.0
    with pytest.raises(InputError, match="1984"):
        both(value, "upstream")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([], "the body must be"),
        ({}, "extra_reward_info is missing"),
        ({"extra_reward_info": INFO, "response": "x"}, "label is missing"),
        ({"label": "a", "extra_reward_info": INFO}, "response is missing"),
        (body(history=[]), "history must be"),
        (body(history="x"), "history must be"),
        (body(history=[1]), "a message of history"),
        (body(history=[{"role": "assistant", "content": [1]}]), "content of a message"),
        (body(3), "response must be text"),
        (body("x", rubric_reward_ratio=None), "rubric_reward_ratio is missing"),
        (body("x", rubric_reward_ratio=2), "from 0 to 1"),
        (body("x", rubric_reward_ratio="0.3"), "from 0 to 1"),
        (body("x", dataset_name=None), "dataset_name is missing"),
        (body("x", dataset_name="LongRLVR"), "not served"),
        (body("x", question=None), "question is missing"),
        (body("x", rubric_use_content=None), "rubric_use_content is missing"),
        (body("x", rubrics="Paris"), "rubrics must be"),
        (body("x", rubrics=[["Paris"]]), "rubrics must be"),
    ],
)
def test_what_is_missing_is_named(value: object, what: str) -> None:
    with pytest.raises(InputError, match=what):
        read(value)
