"""What makes a question unusable, whoever wrote it."""

from __future__ import annotations

import pytest

from longtrace.questions.check import (
    ANSWER_LEAK,
    LEAK,
    NO_ANSWER,
    PART_LEAK,
    REPEATED,
    name_pattern,
    problem,
    telling_words,
)
from longtrace.records import Hop, Question

LAST = "The dam was finished in 1965 by the colonial government."


def question(text: str, *, answer: str = "1965", docs: tuple[str, str] = ("ml", "pg")) -> Question:
    hops = (
        Hop(doc=docs[0], entity="Mali", aliases=("French Sudan", "US")),
        Hop(doc=docs[1], entity="Papua New Guinea"),
    )
    return Question(
        id="q", text=text, answer=answer, hops=hops, clues=("a", "b"), writer="imported"
    )


def test_a_sound_question_has_no_problem() -> None:
    assert problem(question("When was the dam of the second state built by us?"), LAST) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("When did mali build it?", LEAK),
        ("What is Mali's year?", LEAK),
        ("What did FRENCH  SUDAN build?", LEAK),
        ("What did the US build?", LEAK),
        ("What was built in Papua?", PART_LEAK),
        ("Was it built in 1965?", ANSWER_LEAK),
    ],
)
def test_a_question_that_gives_something_away_is_dropped(text: str, reason: str) -> None:
    assert problem(question(text), LAST) == reason


def test_names_inside_other_words_give_nothing_away() -> None:
    assert problem(question("When did Malian or Somalian engineers build it?"), LAST) is None


def test_the_answer_must_stand_in_the_last_document() -> None:
    assert problem(question("When?", answer="1966"), LAST) == NO_ANSWER


def test_a_document_may_stand_on_a_walk_once() -> None:
    assert problem(question("When?", docs=("ml", "ml")), LAST) == REPEATED


def test_a_name_without_words_has_no_pattern() -> None:
    assert name_pattern("...") is None
    assert telling_words("Saint Kitts and the Nevis") == ["Saint", "Kitts", "Nevis"]
