from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longtrace.records import (
    Answer,
    Context,
    Hop,
    Open,
    Passage,
    Question,
    Search,
    Tier,
    Trajectory,
)
from longtrace.report.inspector import (
    EVENTS,
    Titles,
    attempt_view,
    highlight,
    hop_views,
    map_view,
    one_clue_a_line,
    shorten,
)


def trajectory(*steps: Search | Open | Answer) -> Trajectory:
    return Trajectory(question_id="q", attempt=0, steps=steps, stop="answered", model="m")


@given(st.text(), st.lists(st.text(), max_size=4))
def test_marking_never_changes_a_sentence(sentence: str, names: list[str]) -> None:
    pieces = highlight(sentence, names)
    assert "".join(pieces) == sentence
    assert len(pieces) % 2 == 1


def test_whole_words_are_marked_whatever_their_case() -> None:
    assert highlight("IRAN, not Tirana.", ["Iran"]) == ("", "IRAN", ", not Tirana.")


def test_the_longer_name_wins() -> None:
    assert highlight("In New York City.", ["York", "New York City"]) == (
        "In ",
        "New York City",
        ".",
    )


def test_names_with_special_characters_are_not_patterns() -> None:
    assert highlight("Use C++ [or not].", ["C++", ".*"]) == ("Use ", "C++", " [or not].")


def test_a_name_that_is_only_space_marks_nothing() -> None:
    assert highlight("a b", [" ", ""]) == ("a b",)


@given(st.text(), st.integers(1, 50))
def test_shortened_text_fits(text: str, chars: int) -> None:
    assert len(shorten(text, chars)) <= chars


def test_a_question_is_broken_after_each_clue_and_its_quote() -> None:
    text = 'A says: "x y" B says: "z". What is ____?'
    assert one_clue_a_line(text, ["x y", "z"]) == 'A says: "x y"\nB says: "z".\nWhat is ____?'


def test_a_question_without_its_clues_stays_one_line() -> None:
    assert one_clue_a_line("What is it?", ["absent"]) == "What is it?"


@given(st.text(), st.lists(st.text(), max_size=3))
def test_breaking_lines_changes_white_space_only(text: str, clues: list[str]) -> None:
    assert one_clue_a_line(text, clues).split() == text.split()


def test_each_hop_marks_the_next_entity_and_the_last_marks_the_answer() -> None:
    hops = (
        Hop(doc="a", entity="Aa", evidence=("Nothing here.", "Aa borders Bb.")),
        Hop(doc="b", entity="Bb", aliases=("B",), evidence=("Bb pays in crowns.",)),
    )
    asked = Question(id="q", text="?", answer="crowns", hops=hops, clues=("x", "y"), writer="w")
    first, last = hop_views(asked, Titles(str.upper))
    assert first.evidence == ("Aa borders ", "Bb", ".")
    assert last.evidence == ("Bb pays in ", "crowns", ".")


def test_a_title_is_kept_once_and_documents_are_numbers() -> None:
    titles = Titles(lambda key: f"Title of {key}")
    view = attempt_view(
        trajectory(Search(query="q", results=("a", "b", "a")), Answer(text="x", cited=("b",))),
        titles,
    )
    assert [event.docs for event in view.events] == [(0, 1, 0), (1,)]
    assert titles.titles == ["Title of a", "Title of b"]


def test_openings_in_a_row_are_one_event_but_a_failed_one_stands_alone() -> None:
    view = attempt_view(
        trajectory(
            Open(doc="a"), Open(doc="b"), Open(doc="c", found=False), Open(doc="d"), Open(doc="e")
        ),
        Titles(str),
    )
    assert [(event.docs, event.found) for event in view.events] == [
        ((0, 1), True),
        ((2,), False),
        ((3, 4), True),
    ]


def test_a_very_long_attempt_loses_its_middle_and_keeps_its_end() -> None:
    steps = [Search(query=str(n), results=()) for n in range(EVENTS + 40)]
    view = attempt_view(trajectory(*steps, Answer(text="end")), Titles(str))
    assert len(view.events) == EVENTS
    assert view.cut == 41
    assert view.events[-1].text == "end"


def test_a_map_keeps_prompt_order_and_says_what_was_cut() -> None:
    passages = (
        Passage(doc="b", tier=Tier.READ, tokens=10, chars=5),
        Passage(doc="a", tier=Tier.GOLD, tokens=20),
    )
    context = Context(
        id="c",
        question_id="q",
        passages=passages,
        tokens=31,
        budget_tokens=40,
        tokenizer="t",
        strategy="tiered",
        seed=0,
    )
    view = map_view(context, Titles(str))
    assert [(b.tier, b.tokens, b.cut) for b in view.blocks] == [
        (Tier.READ, 10, True),
        (Tier.GOLD, 20, False),
    ]
