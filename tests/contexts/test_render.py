from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.contexts import render
from longtrace.records import Passage, Tier
from longtrace.tokens import train

TOKENS = train(["The section of a document, numbered 12.\n\nAnswer: a river.\n" * 30], 350)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


class Two:
    """Two documents."""

    def id(self, key: str) -> int:
        return {"a": 0, "b": 1}[key]

    def key(self, doc: int) -> str:
        return "ab"[doc]

    def title(self, doc: int) -> str:
        return ("Aye-aye_(animal)", "B\nsecond")[doc]

    def text(self, doc: int) -> str:
        return ("First.\n\nSecond.", "Only {documents} {question}.")[doc]


def test_question_stands_after_the_documents_and_once() -> None:
    prompt = render.prompt(
        render.sections([Passage(doc="b", tier=Tier.GOLD, tokens=1)], Two()), "Who?"
    )
    assert prompt.endswith("Question: Who?")
    assert prompt.count("Who?") == 1
    assert (
        prompt.index("Only {documents} {question}.")
        < prompt.index("Answer:")
        < prompt.index("Who?")
    )


def test_sections_are_numbered_and_titles_are_one_line() -> None:
    passages = [
        Passage(doc="b", tier=Tier.READ, tokens=1),
        Passage(doc="a", tier=Tier.GOLD, tokens=1, chars=6),
    ]
    assert render.sections(passages, Two()) == [
        '<section id="1">\nB second\n\nOnly {documents} {question}.\n</section>\n\n',
        '<section id="2">\nAye-aye (animal)\n\nFirst.\n</section>\n\n',
    ]


@given(st.lists(texts, max_size=4), texts)
def test_counts_of_passages_and_frame_add_up_to_the_whole(bodies: list[str], question: str) -> None:
    parts = [render.section(n, "T", body) for n, body in enumerate(bodies, 1)]
    counted = render.count(parts, question, TOKENS)
    assert counted.total == TOKENS.count(render.prompt(parts, question))
    assert len(counted.passages) == len(parts)
    assert counted.total - sum(counted.passages) >= 0
    assert all(n > 0 for n in counted.passages)


def test_an_empty_prompt_is_its_frame() -> None:
    head, tail = render.frame("Why {documents}?")
    assert render.prompt([], "Why {documents}?") == head + tail
    assert tail.endswith("Why {documents}?")


@pytest.mark.parametrize("phrasing", render.PHRASINGS)
def test_every_phrasing_asks_for_names_and_an_answer_line_after_the_documents(
    phrasing: str,
) -> None:
    head, tail = render.frame("Who {documents}?", phrasing)
    assert "Who {documents}?" in tail
    assert "Answer: <" in tail
    assert "in full" in tail or "full name" in tail
    assert "number" in tail
    assert "{" not in head + tail.replace("{documents}", "")
    assert not head or head.endswith("\n\n")


@pytest.mark.parametrize("layout", render.LAYOUTS)
def test_every_layout_shows_number_title_and_text_once(layout: str) -> None:
    shown = render.section(7, "Aye-aye_(animal)", "Text {number} {title}.", layout)
    assert shown.count("Aye-aye (animal)") == shown.count("Text {number} {title}.") == 1
    assert "7" in shown
    assert shown.endswith("\n\n")


def test_forms_are_drawn_evenly_and_depend_on_seed_and_question_alone() -> None:
    drawn = Counter(render.form("varied", 0, f"q{n}") for n in range(1_600))
    assert len(drawn) == len(render.PHRASINGS) * len(render.LAYOUTS)
    assert all(60 < n < 145 for n in drawn.values())
    assert render.form("varied", 0, "q1") == render.form("varied", 0, "q1")
    assert {render.form("fixed", n, f"q{n}") for n in range(50)} == {render.PLAIN}
