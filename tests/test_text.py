"""Names in texts: what is the same word, and where one ends."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.text import (
    names,
    normalise,
    normalise_name,
    paragraphs,
    sentences,
    surface,
    words,
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Москва", "город Москва большой"),
        ("ソニー", "株式会社ソニーは"),
        ("서울", "서울은"),
        ("Łódź", "in Lodz now"),
        ("Gödel", "Godel's proof"),
        ("C++", "the C++ language"),
        ("C#", "it is C#."),
        ("U.S.", "the US army"),
        ("US", "the U.S. army"),
        ("St. Louis", "in St. Louis, Missouri"),
        ("1984", "in １９８４ he"),
        ("AC/DC", "AC/DC rocks"),
        ("Côte d'Ivoire", "Cote d’Ivoire exports cocoa"),
        ("Mrs. Dalloway", "she read Mrs. Dalloway twice"),
        ("Mrs. Dalloway", "she read Mrs Dalloway twice"),
        ("Panic! at the Disco", "a song of Panic! at the Disco."),
        ("Vol. 2", "(Vol. 2)"),
        ("Sgt. Pepper's Lonely Hearts Club Band", "Sgt. Pepper's Lonely Hearts Club Band is out"),
        ("Yahoo! Japan", "Yahoo! Japan, Inc."),
        ("Yahoo!", "Yahoo! is a firm"),
        ("Acme Corp.", "It was Acme Corp. that paid"),
    ],
)
def test_a_name_is_found_in_another_spelling(name: str, text: str) -> None:
    assert names(text, name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Iran", "Tirana"),
        ("US", "The white house"),
        ("C++", "the C language"),
        ("C", "the C++ language"),
        ("東京タワー", "東京"),
        ("New York", "it was new. York is far"),
        ("Vol. 2 A", "Vol. 2. Also"),
        ("Mrs. Dalloway", "Mrs. Smith met Dalloway"),
        ("art", "party"),
        ("Москва", "any other text"),
        ("!!!", "anything at all !!!"),
        ("", "anything at all"),
    ],
)
def test_a_name_is_not_found_inside_other_words_or_across_sentences(name: str, text: str) -> None:
    assert not names(text, name)


PIECES = st.sampled_from(
    ["Mrs", "Vol", "at", "2", "U.S.", "C++", "Ünal", "字", ".", "!", "?", "...", ".)", " ", "\n\n"]
)


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map("".join)))
def test_a_matchable_name_is_found_in_itself_and_between_other_words(name: str) -> None:
    if normalise_name(name):
        assert names(name, name)
        assert names(f"Zero {name} zero", name)


@given(st.lists(PIECES, max_size=8).map("".join), st.lists(PIECES, max_size=12).map("".join))
def test_a_name_is_found_only_where_its_words_follow_each_other(name: str, text: str) -> None:
    if names(text, name):
        assert normalise_name(name) in normalise_name(text)


@given(st.text(max_size=200))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert once.startswith(" ")
    assert once.endswith(" ")
    assert normalise_name(once) == normalise_name(text)


def test_a_surface_has_no_trailing_parenthesis_and_no_underscores() -> None:
    assert surface("Mercury_(planet)") == "Mercury"
    assert surface("(untitled)") == "(untitled)"


def test_sentences_end_at_full_stops_and_blank_lines_and_lose_hard_wraps() -> None:
    text = "It was\n   a long day. Then night fell.\n\nNew paragraph (e.g. this) here"
    assert sentences(text) == [
        "It was a long day.",
        "Then night fell.",
        "New paragraph (e.g. this) here",
    ]


def test_paragraph_spans_cover_the_text_between_blank_lines() -> None:
    text = "One\ntwo\n\n  \n\nthree\n"
    assert [text[a:b].strip() for a, b in paragraphs(text)] == ["One\ntwo", "three"]


def test_words_are_lower_case_runs() -> None:
    assert words("The U.S., 1984!") == ["the", "u", "s", "1984"]


def test_a_sign_that_stands_for_letters_is_folded_like_them() -> None:
    assert normalise("℠ 5 kHz ㎑") == " sm 5 khz khz "


def test_a_dot_inside_a_katakana_name_ends_no_sentence() -> None:
    assert normalise("ソニック・ザ") == " ソ ニ ッ ク サ "


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("US", "tell us more", False),
        ("US", "Us and them", False),
        ("US", "tell us about the US.", True),
        ("US", "the US's army", True),
        ("US", "\uff35\uff33 army, caf\u00e9", True),
        ("U.K.", "the UK", True),
        ("UK", "the U.K. and", True),
        ("EU", "eu sou", False),
        ("WHO", "who is it", False),
        ("USA", "the usa", False),
        ("Us", "tell us more", True),
        ("US Army", "the us army", True),
        ("NATO", "nato", True),
    ],
)
def test_a_name_of_two_or_three_capitals_must_be_met_in_capitals(
    name: str, text: str, found: bool
) -> None:
    assert names(text, name) is found


@given(st.text("ab\n \t\x0b", max_size=30))
def test_paragraphs_are_what_no_blank_line_parts(text: str) -> None:
    found = [text[a:b].strip() for a, b in paragraphs(text)]
    parts = (part.strip() for part in re.split(r"\n\s*\n", text))
    assert found == [part for part in parts if part]


def test_white_space_without_end_takes_no_time() -> None:
    blank = "\n \n" * 100_000
    assert [(a, b) for a, b in paragraphs(f"one{blank}two")] == [(0, 3), (300_001, 300_006)]
    assert surface(f"Mercury{blank}(planet)") == "Mercury"
