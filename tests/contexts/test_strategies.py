from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.contexts.counts import Counts, shared_counts
from longtrace.contexts.render import section
from longtrace.contexts.strategies import STRATEGIES, Strategy, answers, pool, shuffled
from longtrace.corpus.corpus import Corpus
from longtrace.records import Tier
from longtrace.tokens import train

from .conftest import DOCUMENTS, attempts, question

TOKENS = train(["river stone harbour mill bridge copper orchard winter market lantern"], 400)


@pytest.fixture(scope="module")
def corpus(unpacked: Path) -> Corpus:
    return Corpus.open(unpacked / "corpus")


@pytest.fixture(scope="module")
def counts(corpus: Corpus) -> Counts:
    return Counts(corpus, TOKENS, np.zeros(len(corpus), np.int32))


@given(st.integers(0, 60), st.integers(0, 99))
def test_shuffled_gives_every_number_once(n: int, seed: int) -> None:
    assert sorted(shuffled(n, Random(seed))) == list(range(n))


def test_shuffled_draws_every_order_about_equally_often() -> None:
    orders = Counter(tuple(shuffled(3, Random(seed))) for seed in range(6_000))
    assert len(orders) == 6
    assert all(850 < n < 1150 for n in orders.values())


def test_a_document_with_answer_and_last_entity_is_dropped_and_named(
    corpus: Corpus, counts: Counts
) -> None:
    for strategy in STRATEGIES:
        found = pool(
            strategy,
            question(0),
            attempts(0)[0],
            corpus=corpus,
            counts=counts,
            room_tokens=10**9,
            rng=Random(0),
        )
        assert found.answer_bearing == ("d31",), strategy
        assert "d31" not in found.tiers
    assert answers(corpus.id("d31"), question(0), corpus)
    assert not answers(corpus.id("d31"), question(1), corpus)


@pytest.mark.parametrize("strategy", ["random", "search"])
def test_fillers_are_no_more_than_the_room_takes(
    strategy: Strategy, corpus: Corpus, counts: Counts
) -> None:
    found = pool(
        strategy,
        question(1),
        attempts(1)[1],
        corpus=corpus,
        counts=counts,
        room_tokens=1_000,
        rng=Random(0),
    )
    fillers = [doc for doc, tier in found.tiers.items() if tier is Tier.FILLER]
    assert sum(counts[doc] for doc in fillers) >= 1_000
    assert sum(counts[doc] for doc in fillers[:-1]) < 1_000


def test_search_takes_the_ranking_of_the_engine(corpus: Corpus, counts: Counts) -> None:
    found = pool(
        "search",
        question(1),
        attempts(1)[1],
        corpus=corpus,
        counts=counts,
        room_tokens=10**9,
        rng=Random(0),
    )
    ranked = [corpus.key(doc) for doc in corpus.search(question(1).text, DOCUMENTS)]
    gold = {hop.doc for hop in question(1).hops}
    assert [doc for doc in found.tiers if doc not in gold] == [d for d in ranked if d not in gold]


def test_tiered_and_trajectory_random_draw_from_the_same_tiers(
    corpus: Corpus, counts: Counts
) -> None:
    pools = [
        pool(
            strategy,
            question(1),
            attempts(1)[1],
            corpus=corpus,
            counts=counts,
            room_tokens=0,
            rng=Random(0),
        )
        for strategy in ("tiered", "trajectory-random")
    ]
    assert pools[0] == pools[1]
    assert Counter(pools[0].tiers.values()) == {Tier.GOLD: 3, Tier.READ: 8, Tier.SEEN: 16}


def test_counts_are_those_of_the_rendered_passage_and_survive_in_their_file(
    corpus: Corpus, tmp_path: Path
) -> None:
    path = tmp_path / "made" / "counts.i32"
    counts = Counts(corpus, TOKENS, shared_counts(path, len(corpus)))
    doc = corpus.id("d07")
    expected = TOKENS.count(section(999, corpus.title(doc), corpus.text(doc)))
    assert counts["d07"] == expected
    assert shared_counts(path, len(corpus))[doc] == expected
    assert path.stat().st_size == 4 * len(corpus)


@given(st.integers(0, 700), st.integers(0, DOCUMENTS - 1))
def test_a_cut_ends_at_a_paragraph_and_fits_and_is_the_longest_that_does(
    corpus: Corpus, counts: Counts, room: int, doc: int
) -> None:
    text, key = corpus.text(doc), corpus.key(doc)
    kept = counts.cut(key, room)
    ends = [i for i in range(200, len(text)) if text[i : i + 2] == "\n\n"]
    sizes = {end: TOKENS.count(section(999, corpus.title(doc), text[:end])) for end in ends}
    fitting = [end for end, size in sizes.items() if size <= room]
    if not fitting:
        assert kept is None
    else:
        assert kept == (sizes[max(fitting)], max(fitting))
