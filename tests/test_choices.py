"""Closed choices of the public functions: either spelling, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from longtrace import combine, pack, rubric_score
from longtrace.choices import chosen
from longtrace.errors import InputError
from longtrace.records import Score, Tier
from longtrace.rewards.combine import Credit
from longtrace.rewards.outcome import by_rule
from longtrace.rewards.rubric import score_response

GROUP = [Score(outcome=0, rubric=0.5), Score(outcome=1, rubric=0.25)]


@pytest.mark.parametrize("credit", ["positive_only", "always", "negative_only"])
@pytest.mark.parametrize("normalize", ["group_max", "raw"])
def test_the_spelling_of_the_command_line_is_the_same_choice(credit: Any, normalize: Any) -> None:
    kebab: dict[str, Any] = {
        "credit": credit.replace("_", "-"),
        "normalize": normalize.replace("_", "-"),
    }
    assert combine(GROUP, **kebab) == combine(GROUP, credit=credit, normalize=normalize)


CALLS: list[tuple[str, Callable[[Any], object]]] = [
    ("credit", lambda word: combine(GROUP, credit=word)),
    ("normalize", lambda word: combine(GROUP, normalize=word)),
    ("best", lambda word: combine(GROUP, best=word)),
    ("best", lambda word: combine(GROUP, best=word, normalize="raw")),
    ("match", lambda word: rubric_score("Rome", ["Rome"], match=word)),
    ("match", lambda word: score_response("Rome", [], outcome=1, match=word)),
    ("kind", lambda word: by_rule("Rome", "Rome", (), word)),
    (
        "order",
        lambda word: pack({"a": Tier.GOLD}, {"a": 1}, budget_tokens=9, rng=Random(0), order=word),
    ),
]


@pytest.mark.parametrize(("name", "call"), CALLS)
@pytest.mark.parametrize("word", ["", "Always", "tired", "positive only", None, 1, ["always"]])
def test_any_other_word_is_an_error_that_names_the_choices(
    name: str, call: Callable[[Any], object], word: object
) -> None:
    with pytest.raises(InputError, match=f"^{name} = .*: no such choice; choose from "):
        call(word)


def test_the_choice_is_given_as_the_code_spells_it() -> None:
    spelled: Any = "negative-only"
    assert chosen(spelled, Credit, "credit") == "negative_only"
