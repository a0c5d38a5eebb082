"""The tools over a library of four short documents with a real search index in memory."""

from __future__ import annotations

import pytest

from longtrace.corpus.search import SearchIndex
from longtrace.records import Answer, Open, Search
from longtrace.trajectories.tools import Tools

TEXTS = {
    "nile": "The river is long. It floods in summer. Farmers wait for it.",
    "amazon": "The river is wide. Many fish live in it.",
    "alps": "The mountains are high.",
    "script": "A river of <script>alert(1)</script> tags.",
}


class Shelf:
    """A library in memory."""

    def __init__(self) -> None:
        self.keys = list(TEXTS)
        rows = [(n, key, TEXTS[key]) for n, key in enumerate(self.keys)]
        self.index = SearchIndex.build(rows, None)

    def search(self, query: str, k: int) -> list[int]:
        return self.index.search(query, k)

    def key(self, doc: int) -> str:
        return self.keys[doc]

    def title(self, doc: int) -> str:
        return self.keys[doc].title()

    def text(self, doc: int) -> str:
        return TEXTS[self.keys[doc]]


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf()


def test_a_search_lists_titles_with_the_best_sentence_and_the_next(shelf: Shelf) -> None:
    results = Tools(shelf).search("summer floods")
    assert results is not None
    assert results[0] == ("nile", "Nile", "It floods in summer. Farmers wait for it.")


def test_every_step_is_recorded_in_order(shelf: Shelf) -> None:
    tools = Tools(shelf, k=2)
    results = tools.search("river") or ()
    assert tools.open(results[0].key) == TEXTS[results[0].key]
    tools.answer("long", [results[0].key, results[0].key])
    assert tools.steps == (
        Search(query="river", results=tuple(r.key for r in results)),
        Open(doc=results[0].key),
        Answer(text="long", cited=(results[0].key,)),
    )
    assert len(results) == 2
    assert tools.stop == "answered"


def test_a_search_beyond_the_limit_is_refused_and_leaves_no_step(shelf: Shelf) -> None:
    tools = Tools(shelf, max_searches=1)
    allowed = tools.search("river"), tools.stop
    refused = tools.search("mountains"), tools.stop
    assert allowed[0] is not None
    assert refused[0] is None
    assert (allowed[1], refused[1]) == ("gave_up", "step_limit")
    assert len(tools.steps) == 1


def test_a_document_beyond_the_limit_is_refused_but_an_open_one_may_be_read_again(
    shelf: Shelf,
) -> None:
    tools = Tools(shelf, max_opens=1)
    tools.search("river")
    assert tools.open("nile") is not None
    assert tools.open("amazon") is None
    assert tools.open("nile") is not None
    assert [step.doc for step in tools.steps if isinstance(step, Open)] == ["nile", "nile"]


def test_a_document_no_search_has_listed_is_not_found(shelf: Shelf) -> None:
    tools = Tools(shelf)
    assert tools.open("nile") is None
    assert tools.steps == (Open(doc="nile", found=False),)
    assert tools.trajectory("q", 0, model="m", correct=False).opened == ()


def test_a_search_that_finds_nothing_is_a_step_too(shelf: Shelf) -> None:
    tools = Tools(shelf)
    assert tools.search("zebra") == ()
    assert tools.search("") == ()
    assert [step.kind for step in tools.steps] == ["search", "search"]


def test_documents_are_handed_on_as_they_are(shelf: Shelf) -> None:
    tools = Tools(shelf)
    tools.search("tags")
    assert tools.open("script") == TEXTS["script"]


def test_the_trajectory_holds_what_was_done(shelf: Shelf) -> None:
    tools = Tools(shelf)
    tools.search("river")
    tools.open("nile")
    row = tools.trajectory("q7", 2, model="rules", correct=None)
    assert (row.question_id, row.attempt, row.model, row.stop) == ("q7", 2, "rules", "gave_up")
    assert row.opened == ("nile",)
    assert set(row.listed) == {"nile", "amazon", "script"}
    assert row.answer is None
