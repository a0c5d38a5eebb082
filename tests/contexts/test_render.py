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
