from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.contexts.certificate import Checker, Policy, locate
from longtrace.contexts.units import Units
from longtrace.corpus.corpus import Corpus
from longtrace.text import names

from .conftest import name, question


@pytest.fixture(scope="module")
def corpus(unpacked: Path) -> Corpus:
    return Corpus.open(unpacked / "corpus")


@pytest.mark.parametrize(
    ("policy", "expected"), [("drop", "dropped"), ("strict", "dropped"), ("promote", "promoted")]
)
def test_answer_with_last_entity_is_an_offence_and_its_place_is_given(
    policy: Policy, expected: str, corpus: Corpus
) -> None:
    checker = Checker(corpus, Units(corpus))
    proof = checker.offends("d31", question(0), policy)
    assert proof is not None
    assert (proof.action, proof.rule) == (expected, "answer and last entity")
    text = corpus.text(corpus.id("d31"))
    assert proof.span is not None
    assert proof.entity_span is not None
    assert text[slice(*proof.span)] == "AnswernameC"
    assert text[slice(*proof.entity_span)] == name(2)


def test_the_answer_alone_is_noted_and_an_offence_only_where_it_is_to_be_strict(
    corpus: Corpus,
) -> None:
    checker = Checker(corpus, Units(corpus))
    asked = question(0).model_copy(update={"answer": "copper"})
    others = [f"d{n}" for n in range(40, 60)]
    held = [key for key in others if names(corpus.text(corpus.id(key)), "copper")]
    assert held
    for key in others:
        proof = checker.proof(key, asked, "drop")
        assert (proof is not None) == (key in held)
        if proof is not None and proof.rule == "answer":
            assert proof.action == "noted"
            assert checker.offends(key, asked, "drop") is None
            strict = checker.offends(key, asked, "strict")
            assert strict is not None
            assert strict.action == "dropped"


def test_a_passage_is_judged_by_its_own_text_and_spans_count_from_the_document(
    corpus: Corpus,
) -> None:
    units = Units(corpus, "passage", 500)
    checker = Checker(corpus, units)
    held = {
        unit: proof
        for unit in units.of(corpus.id("d31"))
        if (proof := checker.proof(unit, question(0), "drop"))
    }
    assert len(held) == 1
    (proof,) = held.values()
    assert proof.start is not None
    assert proof.span is not None
    assert corpus.text(corpus.id("d31"))[slice(*proof.span)] == "AnswernameC"


@given(st.text("ab \n.", max_size=30), st.text("ab \n.", max_size=30))
def test_a_name_that_stands_in_a_text_is_located(before: str, after: str) -> None:
    text = f"{before} Rio  Grande, {after}"
    span = locate(text, "Rio Grande")
    assert span is not None
    assert text[slice(*span)] == "Rio  Grande"


def test_a_name_in_other_letters_is_located_by_its_paragraph() -> None:
    text = "First.\n\nThe town of Łódź lies here.\n\nLast."
    span = locate(text, "Lodz")
    assert span is not None
    assert text[slice(*span)] == "The town of Łódź lies here."
    assert locate(text, "Lod") is None
    assert locate("a bc", "?") is None


def test_a_name_with_a_full_stop_inside_is_located_with_and_without_it() -> None:
    assert locate("He read Mrs. Dalloway.", "Mrs. Dalloway") == (8, 21)
    assert locate("He read.\n\nIt was Mrs\nDalloway.", "Mrs. Dalloway") == (10, 30)
