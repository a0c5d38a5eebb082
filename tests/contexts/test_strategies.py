from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.contexts.certificate import Checker
from longtrace.contexts.counts import Counts
from longtrace.contexts.strategies import (
    STRATEGIES,
    Pool,
    Rules,
    Source,
    Strategy,
    gold_units,
    pool,
    shuffled,
    touched,
)
from longtrace.contexts.units import Kind, Units
from longtrace.corpus.corpus import Corpus
from longtrace.records import Answer, Tier
from longtrace.tokens import train

from .conftest import DOCUMENTS, attempts, correct_first, question

TOKENS = train(["river stone harbour mill bridge copper orchard winter market lantern"], 400)
EVERYTHING = 10**9
DEFAULT = Rules()


@pytest.fixture(scope="module")
def corpus(unpacked: Path) -> Corpus:
    return Corpus.open(unpacked / "corpus")


def made(
    strategy: Strategy,
    n: int,
    corpus: Corpus,
    *,
    room: int = EVERYTHING,
    rules: Rules = DEFAULT,
    kind: Kind = "document",
) -> tuple[Pool, Counts]:
    units = Units(corpus, kind, 600)
    counts = Counts(units, TOKENS, np.zeros(len(corpus), np.int32))
    found = pool(
        strategy,
        question(n),
        correct_first(n),
        Source(corpus, units, Checker(corpus, units)),
        rules=rules,
        tokens=counts.in_layout("section")[0],
        room_tokens=room,
        rng=Random(0),
    )
    return found, counts


@given(st.integers(0, 60), st.integers(0, 99))
def test_shuffled_gives_every_number_once(n: int, seed: int) -> None:
    assert sorted(shuffled(n, Random(seed))) == list(range(n))


def test_shuffled_draws_every_order_about_equally_often() -> None:
    orders = Counter(tuple(shuffled(3, Random(seed))) for seed in range(6_000))
    assert len(orders) == 6
    assert all(850 < n < 1150 for n in orders.values())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_document_with_answer_and_last_entity_is_dropped_and_named(
    strategy: Strategy, corpus: Corpus
) -> None:
    found, _ = made(strategy, 0, corpus)
    assert [(proof.doc, proof.action) for proof in found.proofs] == [("d31", "dropped")]
    assert "d31" not in found.tiers


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_is_made_gold_where_it_is_to_be_promoted(strategy: Strategy, corpus: Corpus) -> None:
    found, _ = made(strategy, 0, corpus, rules=Rules("promote"))
    assert [(proof.doc, proof.action) for proof in found.proofs] == [("d31", "promoted")]
    assert found.tiers["d31"] is Tier.GOLD


def test_what_is_to_be_promoted_and_does_not_fit_is_dropped(corpus: Corpus) -> None:
    found, _ = made("tiered", 0, corpus, rules=Rules("promote"), room=100)
    assert [(proof.doc, proof.action) for proof in found.proofs] == [("d31", "dropped")]
    assert "d31" not in found.tiers


@pytest.mark.parametrize("strategy", ["random", "search"])
def test_fillers_are_no_more_than_the_room_takes(strategy: Strategy, corpus: Corpus) -> None:
    found, counts = made(strategy, 1, corpus, room=1_000)
    fillers = [doc for doc, tier in found.tiers.items() if tier is Tier.FILLER]
    assert sum(counts.of(doc, "section") for doc in fillers) >= 1_000
    assert sum(counts.of(doc, "section") for doc in fillers[:-1]) < 1_000


def test_search_takes_the_ranking_of_the_engine(corpus: Corpus) -> None:
    found, _ = made("search", 1, corpus)
    ranked = [corpus.key(doc) for doc in corpus.search(question(1).text, DOCUMENTS)]
    gold = {hop.doc for hop in question(1).hops}
    assert [doc for doc in found.tiers if doc not in gold] == [d for d in ranked if d not in gold]


def test_tiered_and_trajectory_random_draw_from_the_same_tiers(corpus: Corpus) -> None:
    pools = [made(strategy, 1, corpus)[0] for strategy in ("tiered", "trajectory-random")]
    assert pools[0] == pools[1]
    assert Counter(pools[0].tiers.values()) == {Tier.GOLD: 3, Tier.READ: 8, Tier.SEEN: 16}


def test_near_miss_adds_what_wrong_attempts_cited_and_nothing_else(corpus: Corpus) -> None:
    tiered, near = made("tiered", 1, corpus)[0], made("near-miss", 1, corpus)[0]
    assert near.tiers["d59"] is Tier.NEAR_MISS
    assert {k: v for k, v in near.tiers.items() if k != "d59"} == {
        k: v for k, v in tiered.tiers.items() if k != "d59"
    }
    assert made("near-miss", 2, corpus)[0] == made("tiered", 2, corpus)[0]


def test_a_passage_of_gold_is_the_one_with_the_evidence_and_its_siblings_are_not_gold(
    corpus: Corpus,
) -> None:
    units = Units(corpus, "passage", 600)
    source = Source(corpus, units, Checker(corpus, units))
    asked = question(1)
    gold = gold_units(asked, source)
    assert [units.key(name) for name in gold] == [hop.doc for hop in asked.hops]
    for name, hop in zip(gold, asked.hops, strict=True):
        assert hop.evidence[0] in units.text(units.unit(name))
    keys = {hop.doc for hop in asked.hops}
    for strategy in STRATEGIES:
        found, _ = made(strategy, 1, corpus, kind="passage")
        siblings = {n for n in found.tiers if units.key(n) in keys} - set(gold)
        expected = {n for key in keys for n in units.of(corpus.id(key))} - set(gold)
        assert siblings == expected, strategy
        without, _ = made(strategy, 1, corpus, kind="passage", rules=Rules(siblings="drop"))
        assert set(without.tiers) == set(found.tiers) - siblings


def test_siblings_have_the_tier_of_what_the_agent_did_with_their_document(corpus: Corpus) -> None:
    found = touched("tiered", question(1), correct_first(1), Units(corpus, "passage"))
    assert all(found[hop.doc] is Tier.READ for hop in question(1).hops)
    whole = touched("tiered", question(1), correct_first(1), Units(corpus))
    assert not {hop.doc for hop in question(1).hops} & set(whole)
    assert attempts(1)[1] == correct_first(1)[0]


def test_a_citation_of_a_document_that_does_not_exist_is_passed_over(corpus: Corpus) -> None:
    wrong = attempts(1)[0]
    steps = (*wrong.steps[:-1], Answer(text="?", cited=("d59", "no such document")))
    told = (*correct_first(1)[:1], wrong.model_copy(update={"steps": steps}))
    units = Units(corpus, "document", 600)
    counts = Counts(units, TOKENS, np.zeros(len(corpus), np.int32))
    found = pool(
        "near-miss",
        question(1),
        told,
        Source(corpus, units, Checker(corpus, units)),
        rules=DEFAULT,
        tokens=counts.in_layout("section")[0],
        room_tokens=EVERYTHING,
        rng=Random(0),
    )
    assert found.tiers["d59"] is Tier.NEAR_MISS
    assert "no such document" not in found.tiers
