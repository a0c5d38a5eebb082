from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.contexts.units import Units, split
from longtrace.corpus.corpus import Corpus
from longtrace.records import Passage, Tier

words = st.text("ab .\n!", max_size=400)


@given(words, st.integers(1, 60))
def test_passages_hold_all_the_text_but_white_space_and_none_is_too_long(
    text: str, chars: int
) -> None:
    spans = split(text, chars)
    assert all(0 < end - start <= chars for start, end in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    kept = "".join(text[start:end] for start, end in spans)
    assert "".join(kept.split()) == "".join(text.split())


def test_passages_end_with_paragraphs_where_they_can_and_with_sentences_where_they_must() -> None:
    short, long = "One two three. Four five.", "Six seven. Eight nine ten. Eleven twelve."
    text = f"{short}\n\n{long}"
    shown = [text[start:end] for start, end in split(text, 30)]
    assert shown == [short, "Six seven. Eight nine ten.", "Eleven twelve."]
    assert split(text, 100) == [(0, len(text))]
    assert [b - a for a, b in split("x" * 25, 10)] == [10, 10, 5]


@pytest.fixture(scope="module")
def units(unpacked: Path) -> Units:
    return Units(Corpus.open(unpacked / "corpus"), "passage", 500)


def test_a_passage_is_found_again_by_its_name(units: Units) -> None:
    for doc in range(10):
        names = units.of(doc)
        assert len(set(names)) == len(names) > 1
        whole = units.texts.text(doc)
        for name in names:
            packed = units.passage(Passage(doc=name, tier=Tier.SEEN, tokens=1))
            assert packed.doc == units.key(name) == units.texts.key(doc)
            assert packed.part(whole) == units.text(units.unit(name))
        cut = units.passage(Passage(doc=names[1], tier=Tier.SEEN, tokens=1, chars=7))
        assert cut.part(whole) == units.text(units.unit(names[1]))[:7]


def test_a_sentence_is_found_whatever_the_white_space(
    units: Units,
) -> None:
    names = units.of(3)
    last = units.text(units.unit(names[-1])).split()
    assert units.holding(3, [" ".join(last[:6])]) == [names[-1]]
    assert units.holding(3, ["no such sentence"]) == []
    assert units.naming(3, ["nothing", last[0].strip(".,")]) in [[name] for name in names]
    assert units.naming(3, ["nothing"]) == []
    assert units.holding(3, [" ".join(last[:6]), "nowhere"]) == [names[-1]]
