"""The offline writer: what it hides, and what holds for every question it makes of the Factbook."""

from __future__ import annotations

import pytest

from longtrace.corpus.corpus import Corpus
from longtrace.questions.check import problem
from longtrace.questions.clues import BLANK, Page, Weights, align, clue_words, holds, label
from longtrace.questions.make import Made, Maker
from longtrace.questions.stage import Config
from longtrace.questions.write import FIT, TOP, mask, spans
from longtrace.records import Question

NAMES = [("Mali", "French Sudan"), ("Papua New Guinea",), ("Sint Maarten", "US")]


@pytest.mark.parametrize(
    ("sentence", "masked"),
    [
        ("In Mali it rains.", "In [A] it rains."),
        ("Mali's rivers and French Sudan.", "[A] rivers and [A]."),
        ("papua new guinea, Papua", "[B]"),
        ("It borders Chad, then Lake Chad.", "It borders [name], then [name]."),
        ("Between 1,234.5 and 17 km", "Between [number] and [number] km"),
        ("They told us of the US.", "They told us of the [C]."),
        ("Somalia is not Mali", "[name] is not [A]"),
        ("Rivers run to Gao", "Rivers run to [name]"),
    ],
)
def test_names_and_numbers_are_hidden(sentence: str, masked: str) -> None:
    common = {"rivers"}.__contains__
    assert mask(sentence, NAMES, common=common) == masked


def test_the_answer_becomes_the_blank() -> None:
    assert (
        mask("It was built in 1965 by Mali.", NAMES, keep="1965") == "It was built in ____ by [A]."
    )


def test_an_ordinary_first_word_stays_and_a_name_does_not() -> None:
    assert mask("Fishing Lagos", NAMES, common={"fishing"}.__contains__) == "Fishing [name]"
    assert mask("Lagos grows", NAMES, common={"fishing"}.__contains__) == "[name] grows"


def test_answers_are_years_numbers_and_names_that_are_not_the_walks() -> None:
    sentence = "Guinea sold 42 ships, 7 boats and Fort Akosombo to the New Guinea Company in 1999."
    assert list(spans(sentence, ["Papua New Guinea"])) == [
        ("year", "1999"),
        ("number", "42"),
        ("name", "Fort Akosombo"),
        ("name", "New Guinea Company"),
    ]


@pytest.fixture(scope="module")
def made(factbook: Corpus) -> list[Made]:
    maker = Maker(factbook, Config(hops=4, max_mention_share=0.08))
    return [maker.make(index) for index in range(40)]


@pytest.fixture(scope="module")
def questions(made: list[Made]) -> list[Question]:
    rows = [row.question for row in made if row.question is not None]
    assert len(rows) >= 20
    return rows


def test_every_walk_gives_a_question_or_a_reason(made: list[Made]) -> None:
    assert all((row.question is None) == bool(row.reason) for row in made)


def test_no_question_has_a_problem(questions: list[Question], factbook: Corpus) -> None:
    for question in questions:
        last = factbook.document(question.hops[-1].doc).text
        assert problem(question, " ".join(Page(last).sentences)) is None


def test_every_clue_fits_its_evidence_and_hides_the_next_name(questions: list[Question]) -> None:
    for question in questions:
        for hop, clue in enumerate(question.clues):
            (sentence,) = question.hops[hop].evidence
            gaps = align(clue, sentence)
            assert gaps is not None
            if hop < len(question.clues) - 1:
                assert holds(sentence, question.hops[hop + 1].entity)
                assert label(hop + 1) in clue
            else:
                assert gaps[BLANK] == question.answer


def test_every_clue_has_one_reading_in_its_page(
    questions: list[Question], factbook: Corpus
) -> None:
    weight = Weights(factbook.document_frequency, len(factbook))
    for question in questions:
        for hop, clue in zip(question.hops, question.clues, strict=True):
            page = Page(factbook.document(hop.doc).text)
            match = page.match(clue_words(clue, weight), weight)
            assert match.share >= FIT > match.second
            assert page.sentences[match.sentence] == hop.evidence[0]


def test_only_the_first_clue_can_be_found_with_one_search(
    questions: list[Question], factbook: Corpus
) -> None:
    weight = Weights(factbook.document_frequency, len(factbook))
    found = [
        [
            factbook.id(hop.doc) in factbook.search(" ".join(clue_words(clue, weight)), TOP)
            for hop, clue in zip(question.hops, question.clues, strict=True)
        ]
        for question in questions
    ]
    assert all(row[0] for row in found)
    later = [one for row in found for one in row[1:]]
    assert sum(later) / len(later) < 0.3
