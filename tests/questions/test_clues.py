"""How clues are read: matching, aligning, and the way into a question and back."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.questions.clues import (
    UNKNOWN_WEIGHT,
    Page,
    Weights,
    align,
    clue_words,
    holds,
    label,
    parse,
    render,
    without_possessive,
)


def flat(word: str) -> float:
    return 1.0


prose_text = st.text(st.sampled_from("abAB_9 .!\n,;éİß\ue001²"), max_size=80)


@given(prose_text, st.text(st.sampled_from("ab9éß"), min_size=1, max_size=2))
def test_a_page_finds_exactly_the_sentences_with_the_whole_word(text: str, word: str) -> None:
    page = Page(text)
    expected = {n for n, s in enumerate(page.sentences) if word in re.findall(r"\w+", s.lower())}
    assert page.holding(word) == expected


def test_a_page_collapses_white_space_and_drops_private_characters() -> None:
    page = Page("One\n  two\tthree.  Four\ue000 five.\n\n\nSix")
    assert page.sentences == ("One two three.", "Four five.", "Six")


def test_long_sentences_are_split_at_semicolons() -> None:
    parts = "; ".join(["something rather long about rivers and hills"] * 12)
    assert len(Page(parts).sentences) == 12
    assert len(Page("a b; c d").sentences) == 1


def test_match_gives_best_and_second_share_and_the_earliest_best_sentence() -> None:
    page = Page("A cat sat. The cat and dog ran. A dog and cat ran.")
    assert page.match(["cat", "dog"], flat) == (1.0, 1.0, 1)
    assert page.match(["cat", "sat", "moon", "sun"], flat) == (0.5, 0.25, 0)
    assert page.match(["moon"], flat) == (0.0, 0.0, 0)


def test_a_word_inside_another_word_is_no_match() -> None:
    assert Page("The party was over.").match(["art"], flat).share == 0


def test_a_word_is_common_if_it_stands_anywhere_without_a_capital() -> None:
    page = Page("Fishing is hard. They like fishing. Tuvalu is far.")
    assert page.common("fishing")
    assert not page.common("tuvalu")


def test_rare_words_weigh_more_and_unknown_words_most() -> None:
    counts = {"the": 100, "atoll": 2}
    weight = Weights(lambda word: counts.get(word, 0), 100)
    assert 0 < weight("the") < weight("atoll") < weight("zzz") == UNKNOWN_WEIGHT


def test_clue_words_leave_out_marks_stop_words_numbers_and_short_words() -> None:
    clue = "The [A] of [name] has [number] atolls in 1999, …, ____ km of reef"
    assert clue_words(clue, flat) == ["atolls", "reef"]


words_ = st.lists(st.text("abcdefgh", min_size=2, max_size=6), min_size=4, max_size=12, unique=True)


@given(words_, st.data())
def test_align_finds_what_was_masked(spoken: list[str], data: st.DataObject) -> None:
    sentence = " " + " ".join(f"<{word}>" for word in spoken) + " "
    hidden = data.draw(st.integers(1, len(spoken) - 1))
    marks = [label(1), "[name]", "____", "…"]
    mark = data.draw(st.sampled_from(marks))
    clue = sentence.replace(f"<{spoken[hidden]}>", mark)
    assert align(clue, sentence) == {mark: f"<{spoken[hidden]}>"}


def test_align_refuses_another_sentence() -> None:
    assert align("The [B] lies north.", "The Nile lies south.") is None
    assert align("In [B] it rains.", "Today in Mali it rains.") is None


def test_align_reads_marks_at_both_ends_and_prefers_the_label_of_neighbours() -> None:
    assert align("[B] is old", "Rome is old") == {"[B]": "Rome"}
    assert align("old is [name]", "old is Rome") == {"[name]": "Rome"}
    assert align("x …[B] y", "x so Rome y") == {"[B]": "so Rome"}


def test_align_is_fast_on_lists() -> None:
    started = time.monotonic()
    assert align("…, " * 2000 + "end", "a, " * 1990 + "stop") is None
    assert time.monotonic() - started < 1


clue_text = st.text(st.sampled_from('ab"[] ._'), max_size=30).filter(lambda t: "The page" not in t)


@given(st.lists(clue_text, min_size=1, max_size=9))
def test_a_question_is_read_back_into_its_clues(clues: list[str]) -> None:
    assert parse(render(clues)) == tuple(clues)


@pytest.mark.parametrize("text", ["", "Who wrote it?", 'The page about [A] says: "x" Why?'])
def test_a_question_of_another_form_has_no_clues(text: str) -> None:
    assert parse(text) == ()


def test_holds_looks_for_whole_words_in_a_row() -> None:
    assert holds("the Papua-New Guinea coast", "New Guinea")
    assert not holds("Nigeria", "Niger")
    assert not holds("anything", "...")


def test_a_possessive_is_taken_off() -> None:
    assert without_possessive("Mali's") == without_possessive("Mali\u2019s") == "Mali"
