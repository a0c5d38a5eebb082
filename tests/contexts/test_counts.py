from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.contexts.counts import Counts, shared_counts
from longtrace.contexts.render import LAYOUTS, section
from longtrace.contexts.units import Units, sentence_ends, word_ends
from longtrace.corpus.corpus import Corpus
from longtrace.text import paragraphs
from longtrace.tokens import train

from .conftest import DOCUMENTS

TOKENS = train(["river stone harbour mill bridge copper orchard winter market lantern"], 400)
layouts = st.sampled_from(list(LAYOUTS))


@pytest.fixture(scope="module")
def corpus(unpacked: Path) -> Corpus:
    return Corpus.open(unpacked / "corpus")


@pytest.fixture(scope="module")
def counts(corpus: Corpus) -> Counts:
    return Counts(Units(corpus), TOKENS, np.zeros(len(corpus), np.int32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_counts_are_those_of_the_passage_among_others(
    layout: str, corpus: Corpus, counts: Counts
) -> None:
    docs = [corpus.id(f"d{n:02}") for n in range(3, 43)]
    parts = [
        section(101 + n, corpus.title(doc), corpus.text(doc), layout) for n, doc in enumerate(docs)
    ]
    total = TOKENS.count("".join(parts))
    assert sum(counts.of(corpus.key(doc), layout) for doc in docs) == pytest.approx(total, abs=3)


def test_counts_of_passages_add_up_to_their_document(corpus: Corpus) -> None:
    units = Units(corpus, "passage", 500)
    counts = Counts(units, TOKENS, np.zeros(len(corpus), np.int32))
    for doc in range(20):
        names = units.of(doc)
        assert len(names) > 1
        texts = [units.text(units.unit(name)) for name in names]
        around = counts.of(names[0], "section") - TOKENS.count(texts[0])
        for name, text in zip(names, texts, strict=True):
            assert counts.of(name, "section") - around == pytest.approx(TOKENS.count(text), abs=1)


def test_counts_survive_in_their_file(corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "made" / "counts.i32"
    counts = Counts(Units(corpus), TOKENS, shared_counts(path, len(corpus)))
    doc = corpus.id("d07")
    expected = counts.of("d07", "section")
    assert shared_counts(path, len(corpus))[doc] == TOKENS.count(corpus.text(doc))
    again = Counts(Units(corpus), TOKENS, shared_counts(path, len(corpus)))
    assert again.of("d07", "section") == expected
    assert path.stat().st_size == 4 * len(corpus)


@given(st.integers(0, 700), st.integers(0, DOCUMENTS - 1), st.integers(0, 200), layouts)
def test_a_cut_fits_and_ends_at_the_coarsest_border_that_leaves_no_more_than_the_slack(
    corpus: Corpus, counts: Counts, room: int, doc: int, slack: int, layout: str
) -> None:
    text, key = corpus.text(doc), corpus.key(doc)
    kept = counts.cut(key, room, layout, slack)
    heading = counts.of(key, layout) - TOKENS.count(text)
    if kept is None:
        assert room < heading + 12, "a word would have fitted"
        return
    assert 0 < kept.chars < len(text)
    assert kept.tokens <= room
    shown = TOKENS.count(text[: kept.chars])
    assert shown == pytest.approx(kept.tokens - heading, abs=2)
    at_paragraph = kept.chars in {end for _, end in paragraphs(text)}
    at_sentence = kept.chars in sentence_ends(text)
    assert kept.chars in word_ends(text) or at_sentence or at_paragraph
    if room - kept.tokens > slack:
        ends = [end for end in word_ends(text) if end > kept.chars]
        assert not ends or heading + TOKENS.count(text[: ends[0]]) >= room - 1
    ends = [end for _, end in paragraphs(text) if 200 <= end < len(text)]
    sizes = {end: heading + TOKENS.count(text[:end]) for end in ends}
    fitting = [end for end in ends if sizes[end] <= room - 2]
    if fitting and room - sizes[fitting[-1]] <= slack - 2:
        assert at_paragraph
        assert kept.chars >= fitting[-1]
