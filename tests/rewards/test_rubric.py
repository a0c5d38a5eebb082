"""What counts as naming an entity. The numbered cases are the defects of the published matcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace import rubric_score
from longtrace.errors import InputError
from longtrace.records import Entity
from longtrace.rewards.rubric import Match, score_response

PARITY = Path(__file__).parents[3] / "shared/data/reward_parity.json"

# (defect, entity, text, hit with `upstream`, hit with `words`)
DEFECTS = [
    (1, "Москва", "Nothing is named here.", True, False),
    (1, "Москва", "Столица - Москва.", True, True),
    (1, "ソニー", "Nothing is named here.", True, False),
    (1, "ソニー", "ソニーの本社", True, True),
    (1, "서울", "Nothing is named here.", True, False),
    (1, "서울", "서울은 수도이다", True, True),
    (1, "القاهرة", "Nothing is named here.", True, False),
    (1, "القاهرة", "تقع القاهرة على النيل", True, True),
    (1, "\uff11\uff19\uff19\uff10", "Nothing is named here.", True, False),
    (1, "\uff11\uff19\uff19\uff10", "It was in 1990.", True, True),
    (2, "Iran", "The capital is Tirana.", True, False),
    (2, "Iran", "The capital of Iran.", True, True),
    (2, "US", "The white house", True, False),
    (3, "Łódź", "A bird in the hand", True, False),
    (3, "Łódź", "He was born in Łódź.", True, True),
    (3, "Łódź", "He was born in Lodz.", True, True),
    (3, "Łódź", "Lotz", False, False),
    (3, "Ünal", "It is the final round", True, False),
    (3, "Ünal", "Enes Ünal scored.", True, True),
    (3, "C++", "A cat sat", True, False),
    (3, "C++", "It is written in C++.", True, True),
    (3, "C++", "It is written in C.", True, False),
    (3, "東京タワー", "東京へ行く", True, False),
    (3, "東京タワー", "東京タワーに登る", True, True),
    (4, "Gödel", "A theorem of Godel", False, True),
    (4, "Godel", "A theorem of Gödel", False, True),
    (4, "U.S.", "Made in the US", False, True),
    (4, "US", "Made in the U.S. and Canada", False, True),
    (5, "New York", "When I saw it, it was new. York is far.", True, False),
    (5, "New York", "She lives in New York.", True, True),
    (5, "Mrs. Dalloway", "It is Mrs. Dalloway.", True, True),
    (5, "Yahoo! Japan", "It is yahoo japan", True, True),
]


@pytest.mark.parametrize(("defect", "entity", "text", "upstream", "words"), DEFECTS)
def test_words_mends_what_upstream_keeps(
    defect: int, entity: str, text: str, upstream: bool, words: bool
) -> None:
    assert rubric_score(text, [entity], match="upstream").share == float(upstream)
    assert rubric_score(text, [entity]).share == float(words)


def test_a_number_is_matched_by_words_and_refused_by_upstream() -> None:
    assert rubric_score("Orwell wrote 1984.", [1984]).hit == ("1984",)
    with pytest.raises(InputError, match="1984 is a number"):
        rubric_score("Orwell wrote 1984.", [1984], match="upstream")


def test_an_alias_counts_as_the_entity_in_words_only() -> None:
    burma = Entity(name="Burma", aliases=("Myanmar",))
    assert rubric_score("The river crosses Myanmar.", [burma]).hit == ("Burma",)
    assert rubric_score("The river crosses Myanmar.", [burma], match="upstream").hit == ()


def test_a_name_without_words_is_never_hit_and_is_reported() -> None:
    found = rubric_score("!!! and Chad", ["!!!", "Chad", Entity(name="?", aliases=("...",))])
    assert found == (1 / 3, ("Chad",), ("!!!", "?"), ("!!!", "?"))


def test_a_name_without_words_is_matched_through_an_alias() -> None:
    band = Entity(name="!!!", aliases=("Chk Chk Chk",))
    assert rubric_score("They saw Chk Chk Chk.", [band]).unmatchable == ()
    assert rubric_score("They saw Chk Chk Chk.", [band]).hit == ("!!!",)


@pytest.mark.parametrize("match", ["words", "upstream"])
def test_no_entities_give_no_share(match: Match) -> None:
    assert rubric_score("anything", [], match=match) == (0.0, (), (), ())


@pytest.mark.parametrize("match", ["words", "upstream"])
def test_an_entity_listed_twice_counts_twice(match: Match) -> None:
    assert rubric_score("Chad", ["Chad", "Mali", "Chad"], match=match).share == 2 / 3


@given(st.text(), st.lists(st.text(max_size=8), max_size=6), st.sampled_from(["words", "upstream"]))
def test_every_entity_is_either_hit_or_missed(text: str, names: list[str], match: Match) -> None:
    found = rubric_score(text, names, match=match)
    assert sorted(found.hit + found.missed) == sorted(names)
    assert found.share == (len(found.hit) / len(names) if names else 0.0)


@given(st.text(), st.text(max_size=40), st.lists(st.sampled_from(["Iran", "Mali", "Ünal", "서울"])))
def test_saying_more_in_a_new_paragraph_never_loses_a_hit(
    text: str, more: str, names: list[str]
) -> None:
    before = rubric_score(text, names).hit
    assert set(before) <= set(rubric_score(f"{text}\n\n{more}", names).hit)


def test_an_ill_formed_response_has_nothing_whatever_it_says() -> None:
    score = score_response("Chad and Mali", ["Chad", "Mali"], outcome=1.0, ill_formed=True)
    assert (score.outcome, score.rubric, score.problem) == (0.0, 0.0, "ill_formed")
    assert score.missed == ("Chad", "Mali")


def test_an_unjudged_response_keeps_its_rubric_and_says_so() -> None:
    score = score_response("Chad", ["Chad", "Mali"], outcome=None)
    assert (score.outcome, score.rubric, score.problem) == (None, 0.5, "unjudged")


@pytest.mark.skipif(not PARITY.is_file(), reason="reward_parity.json is not beside the repository")
def test_upstream_reproduces_every_published_rubric() -> None:
    groups: list[dict[str, Any]] = json.loads(PARITY.read_text(encoding="utf-8"))["groups"]
    assert len(groups) == 60
    for group in groups:
        for sample in group["samples"]:
            score = score_response(
                sample["response"],
                group["entities"],
                outcome=sample["outcome"],
                ill_formed=sample["ill_formed"],
                match="upstream",
            )
            assert score.rubric == pytest.approx(sample["rubric"], abs=1e-9)


def test_an_acronym_is_not_hit_by_an_ordinary_word() -> None:
    entity = Entity(name="United States", aliases=("US",))
    assert rubric_score("Let us say more.", [entity, "EU"]).share == 0.0
    assert rubric_score("The US and the EU", [entity, "EU"]).share == 1.0
    assert rubric_score("Let us say more.", ["US"], match="upstream").share == 1.0
