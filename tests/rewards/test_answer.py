"""Where a response's answer is found, and when it is right."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.rewards.answer import Raw, exact, final_answer, split_thinking

LONG = "Some reasoning about rivers and borders. " * 10


@pytest.mark.parametrize(
    "text",
    [
        "Paris",
        "  **Paris**.\n",
        "Answer: Paris",
        "The answer is: Paris.",
        "**Answer:** Paris",
        "**Final answer**: `Paris`",
        "ANSWER:\n\n  Paris\nIt lies on the Seine.",
        LONG + "\nAnswer: Paris",
        LONG + "\nSo the answer is Paris.",
        LONG + "Hence \\boxed{\\text{Paris}}, as asked.",
        "Answer: Rome\nNo.\nAnswer: Paris",
        "\\boxed{Rome} was wrong.\nAnswer: Paris",
        "Answer: Rome is wrong, it is \\boxed{Paris}",
        "Answer: Paris\nThis answer is supported by document 3.",
        "<think>Answer: Rome</think>Paris",
        "Rome</think>Lima</think>Answer: Paris",
    ],
)
def test_the_answer_is_found(text: str) -> None:
    assert final_answer(text) == "Paris"


@pytest.mark.parametrize("text", ["", " \n", "<think>Answer: Paris", "<think>Paris</think>", LONG])
def test_there_is_no_answer_in_silence_thinking_or_a_long_text_without_a_mark(text: str) -> None:
    assert final_answer(text) == ""
    assert exact(text, "Paris").correct is False


def test_nested_braces_belong_to_the_boxed_answer() -> None:
    assert final_answer("\\boxed{a{b}c}") == "a{b}c"
    assert final_answer("Short. \\boxed{never closed") == "Short. \\boxed{never closed"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("sao paulo", "São Paulo"),
        ("the Nile", "Nile"),
        ("Nile", "The Nile"),
        ("U.S.", "US"),
        ("1,234,567", "1234567"),
        ("1,234.50", "1234.5"),
        ("\u22125", "-5"),
        (".5", "0.5"),
        ("$5", "5"),
        ("12 %", "12%"),
        ("1,200 km", "1200 km"),
        ("A", "a"),
        ("東京タワー", "東京タワー"),
        ("Москва.", "москва"),
    ],
)
def test_the_same_words_and_numbers_are_right(text: str, answer: str) -> None:
    assert exact(f"Answer: {text}", answer).correct is True


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("-5", "5"),
        ("35", "3.5"),
        ("3 5", "3.5"),
        ("1.23", "1.2.3"),
        ("-3 degrees", "3 degrees"),
        ("5 million", "5"),
        ("London", "Paris"),
        ("Paris, Texas", "Paris"),
        ("either Paris or London", "Paris"),
        ("Paris or London", "Paris"),
        ("cannot be determined", "Paris"),
        ("It cannot be determined, but perhaps Paris", "Paris"),
        ("C", "C++"),
        ("", "Paris"),
    ],
)
def test_other_words_hedges_and_other_numbers_are_wrong(text: str, answer: str) -> None:
    assert exact(f"Answer: {text}", answer).correct is False


def test_an_alias_is_as_good_as_the_answer() -> None:
    verdict = exact("Answer: Myanmar", "Burma", ["Myanmar"])
    assert (verdict.correct, verdict.extracted, verdict.judge) == (True, "Myanmar", "exact")


def test_a_gold_answer_with_nothing_to_compare_is_unjudgeable_not_wrong() -> None:
    verdict = exact("Paris", "...")
    assert verdict.correct is None
    assert "no word or number" in verdict.problem
    assert exact("Paris", "...", ["Paris"]).correct is True


@given(st.text(max_size=60), st.text(max_size=60))
def test_judging_any_text_ends_in_a_verdict(text: str, answer: str) -> None:
    verdict = exact(text, answer)
    assert (verdict.correct is None) == bool(verdict.problem)


@pytest.mark.parametrize(
    "text", ["\\boxed{" * 20_000, "answer: " * 20_000, "answer is " * 20_000, "<think>" * 20_000]
)
def test_a_response_that_repeats_itself_is_judged_in_no_time(text: str) -> None:
    start_s = time.perf_counter()
    assert exact(text, "Paris").correct is False
    assert time.perf_counter() - start_s < 2


@pytest.mark.parametrize(
    "completion",
    [
        "<think>why</think>Paris",
        "<think>\nwhy\n</think>\n\nParis\n",
        "why</think>Paris",
        {"role": "assistant", "reasoning_content": "why", "content": "Paris"},
        {"role": "assistant", "content": "<think>why</think>Paris"},
        [{"role": "assistant", "reasoning_content": "why", "content": "Paris"}],
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": "why</think>Paris"}],
    ],
)
def test_every_whole_completion_is_split_alike(completion: Raw) -> None:
    assert split_thinking(completion) == ("why", "Paris", True)


@pytest.mark.parametrize(
    ("completion", "content"),
    [
        ("<think>why and then the budget ended", ""),
        ("why and then the budget ended", ""),
        ({"reasoning_content": "why", "content": ""}, ""),
        ({"reasoning_content": "why", "content": None}, ""),
        ({"content": "no thinking at all"}, ""),
        ({"reasoning_content": "why", "content": "more</think>Paris"}, "Paris"),
        ("<think></think>Paris", "Paris"),
        ("<think>why</think>", ""),
        ("a</think>Louvre</think>Paris", "Paris"),
        ("why</think>Paris <think>again", "Paris <think>again"),
        ([], ""),
        ("", ""),
    ],
)
def test_an_ill_formed_completion_is_known_and_thinking_is_never_content(
    completion: Raw, content: str
) -> None:
    split = split_thinking(completion)
    assert not split.well_formed
    assert split.content == content


def test_a_model_that_does_not_think_may_answer_at_once() -> None:
    assert split_thinking("Paris", thinks=False) == ("", "Paris", True)
    assert split_thinking({"content": "Paris"}, thinks=False) == ("", "Paris", True)
    assert not split_thinking("", thinks=False).well_formed
    assert not split_thinking("<think>why", thinks=False).well_formed
