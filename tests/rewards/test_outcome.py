"""Whether an answer is right: what the rules decide, and what is left to a judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.records import Verdict
from longtrace.rewards.outcome import Kind, by_rule, echoes, outcome, refused, skeleton

KINDS: tuple[Kind, ...] = ("exact", "two_way_substring", "judge", "exact_then_judge")


class Yes:
    """Says yes to everything, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def verdict(
        self, question: str, answer: str, aliases: Sequence[str], response: str
    ) -> Verdict:
        self.asked.append(response)
        return Verdict(correct=True, judge="yes")


def decide(response: str, answer: str, kind: Kind, *aliases: str) -> tuple[bool | None, bool]:
    """The outcome and whether the judge was asked."""
    judge = Yes()
    verdict = asyncio.run(
        outcome(response, question="q?", answer=answer, aliases=aliases, kind=kind, judge=judge)
    )
    return verdict.correct, bool(judge.asked)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "response",
    [
        "",
        "   ",
        "<think>Paris</think>",
        "<think>Paris",
        "Answer: either Paris or Lyon",
        "Answer: Paris or Lyon",
        "The answer is unknown.",
        "Answer: It cannot be determined.",
        "Answer: can't be determined from the documents",
        "I don't know",
        "Answer: not enough information",
        "Answer: Lyon, Rome, Berlin, Paris",
        "Answer: P\u0430ris",
        "Answer: Pa\u200bris",
        "Paris is the one, I think.\nAnswer:",
        "\\boxed{Paris}\n\nAnswer: \\boxed{}",
        "Answer: ???",
        "\u200b",
        "Answer: Paris o\u200br Lyon",
        "Answer: Paris \u043er Lyon",
        "Answer: P\u0430ris \uff4f\uff52 Lyon",
    ],
)
def test_empty_hedged_listed_and_disguised_answers_are_wrong_without_asking(
    response: str, kind: Kind
) -> None:
    assert decide(response, "Paris", kind) == (False, False)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Answer: Trinidad or Tobago", "Trinidad or Tobago"),
        ("Answer: the Unknown Soldier", "Unknown Soldier"),
        ("Answer: red, white, blue, black, green", "red, white, blue, black, green"),
        ("Answer: Москва", "Москва"),
        ("Answer: Łódź", "Lodz"),
        ("Answer: Zu\u0308rich", "Zürich"),
    ],
)
def test_words_that_the_reference_answer_holds_too_are_no_hedge(response: str, answer: str) -> None:
    for kind in ("exact", "two_way_substring", "exact_then_judge"):
        assert decide(response, answer, kind) == (True, False)


@pytest.mark.parametrize(
    ("response", "kind", "expected"),
    [
        ("Answer: Paris", "exact", (True, False)),
        ("Answer: Paris", "exact_then_judge", (True, False)),
        ("Answer: Paris", "judge", (True, True)),
        ("Answer: the city of Paris", "exact", (False, False)),
        ("Answer: the city of Paris", "two_way_substring", (True, False)),
        ("Answer: Par", "two_way_substring", (False, False)),
        ("Answer: the city of Paris", "exact_then_judge", (True, True)),
        ("Answer: Paris, though the year is unknown", "exact_then_judge", (True, True)),
        ("Answer: Paris, though the year is unknown", "two_way_substring", (False, False)),
    ],
)
def test_each_kind_asks_only_where_it_must(
    response: str, kind: Kind, expected: tuple[bool, bool]
) -> None:
    assert decide(response, "Paris", kind) == expected


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Answer: Кама", "Kama"),
        ("Answer: Kama", "Кама"),
        (
            "Answer: The school, which stands by the lake, was built in 1893, and later moved",
            "1893",
        ),
        (
            "Answer: Paris, which was founded by a tribe in the year 52 or 53 before our era",
            "Paris",
        ),
        ("Answer: It is 1893, as the book on the school says.", "1893"),
    ],
)
def test_honest_answers_in_many_words_are_left_to_the_judge(response: str, answer: str) -> None:
    assert decide(response, answer, "exact_then_judge") == (True, True)


def test_an_answer_without_words_is_asked_about_where_the_reference_answer_has_none() -> None:
    assert decide("Answer: +", "+", "exact_then_judge") == (True, True)


@pytest.mark.parametrize("word", ["The", "of", "a", "the of"])
def test_a_word_that_says_nothing_is_no_part_of_an_answer(word: str) -> None:
    assert decide(f"Answer: {word}", "The Bank of a City", "two_way_substring")[0] is False
    assert decide("Answer: The Who", "The Who", "two_way_substring")[0] is True
    assert decide("Answer: the Bank", "The Bank of a City", "two_way_substring")[0] is True


def test_of_two_candidates_only_the_first_can_be_right() -> None:
    for comma in (",", "\uff0c", "\u3001", " /", "\uff1b"):
        assert decide(f"Answer: Lyon{comma} Paris", "Paris", "exact_then_judge") == (False, False)
    assert decide("Answer: 1911, 1893", "1893", "judge") == (False, False)
    assert decide("Answer: Paris, Lyon", "Paris", "exact_then_judge") == (True, True)
    assert decide("Answer: July 4, 1776", "1776", "exact_then_judge") == (True, True)
    assert decide("Answer: Lyon, Paris", "Lyon, Paris", "exact_then_judge") == (True, False)


def test_words_of_the_question_alone_are_no_answer() -> None:
    question = "Who leads the party that governs the island where the grey heron nests?"
    golds = ("Maro Teck",)
    assert not echoes("the leader of the party that governs the island", question, golds)
    assert echoes("the party that governs the island where the heron nests", question, golds)
    assert not echoes("the grey heron", question, golds)
    assert not echoes("party governs island heron", question, ("Heron Party",))


def test_two_way_also_takes_a_part_of_the_reference_answer() -> None:
    assert decide("Answer: Curie", "Marie Curie", "two_way_substring") == (True, False)
    assert decide("Answer: Curie", "Marie Curie", "exact") == (False, False)


def test_another_whole_number_is_wrong_and_other_forms_of_numbers_are_asked_about() -> None:
    assert decide("Answer: 1985", "1984", "exact_then_judge") == (False, False)
    assert decide("Answer: 1,984", "1984", "exact_then_judge") == (True, False)
    assert decide("Answer: 3.14", "3.14159", "exact_then_judge") == (True, True)
    assert decide("Answer: 5 km", "5000 m", "exact_then_judge") == (True, True)


def test_an_alias_is_an_answer() -> None:
    assert decide("Answer: Myanmar", "Burma", "exact_then_judge", "Myanmar") == (True, False)


def test_without_a_judge_what_only_a_judge_can_tell_is_none() -> None:
    verdict = asyncio.run(outcome("Answer: the city", question="q?", answer="Paris"))
    assert verdict.correct is None
    assert "no judge" in verdict.problem


def test_a_reference_answer_that_is_no_word_cannot_be_judged_by_rule() -> None:
    assert decide("Answer: x", "!!!", "exact") == (None, False)
    assert decide("Answer: x", "!!!", "two_way_substring") == (None, False)


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_text_breaks_the_rules(response: str, answer: str) -> None:
    for kind in KINDS:
        by_rule(response, answer, (), kind)


@given(st.text(alphabet="abcdefgh ", min_size=1, max_size=20))
def test_the_reference_answer_itself_is_never_refused(answer: str) -> None:
    assert refused(answer, (answer,)) == ""


def test_a_skeleton_is_what_the_eye_sees() -> None:
    assert skeleton("P\u0430r\u0456\u200b\u0455") == skeleton("Paris")
    assert skeleton("Париж") != skeleton("Paris")
