from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from longtrace import pack
from longtrace.contexts.pack import Kept, Order
from longtrace.errors import InputError
from longtrace.records import Tier

pools = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.tuples(st.sampled_from(Tier), st.integers(1, 50)),
    max_size=25,
)
orders: st.SearchStrategy[Order] = st.sampled_from(["tiered", "pooled", "given"])
Pool = dict[str, tuple[Tier, int]]


def split(pool: Pool) -> tuple[dict[str, Tier], dict[str, int]]:
    return {k: v[0] for k, v in pool.items()}, {k: v[1] for k, v in pool.items()}


def halve(doc: str, room: int) -> Kept | None:
    return Kept(room // 2, room // 2 * 4) if room >= 4 else None


@given(pools, st.integers(0, 600), st.integers(0, 9), orders, st.booleans())
def test_packing_never_exceeds_the_budget(
    pool: Pool, budget: int, seed: int, order: Order, cutting: bool
) -> None:
    tiers, tokens = split(pool)
    assume(sum(n for tier, n in pool.values() if tier is Tier.GOLD) <= budget)
    cut = halve if cutting else None
    passages = pack(tiers, tokens, budget_tokens=budget, rng=Random(seed), order=order, cut=cut)
    assert sum(p.tokens for p in passages) <= budget
    assert len({p.doc for p in passages}) == len(passages)
    assert sum(p.chars is not None for p in passages) <= 1
    assert {p.doc for p in passages if p.tier is Tier.GOLD} == {
        doc for doc, tier in tiers.items() if tier is Tier.GOLD
    }
    assert all(p.tier is tiers[p.doc] for p in passages)


@given(pools, st.integers(0, 600), st.integers(0, 9), orders)
def test_the_budget_is_full_to_within_one_passage(
    pool: Pool, budget: int, seed: int, order: Order
) -> None:
    tiers, tokens = split(pool)
    assume(sum(n for tier, n in pool.values() if tier is Tier.GOLD) <= budget)
    passages = pack(tiers, tokens, budget_tokens=budget, rng=Random(seed), order=order)
    left = set(tiers) - {p.doc for p in passages}
    if left:
        room = budget - sum(p.tokens for p in passages)
        assert room < max(tokens[doc] for doc in left)


@given(pools, st.integers(0, 600), st.integers(0, 9))
def test_no_later_tier_is_used_while_an_earlier_one_has_documents_left(
    pool: Pool, budget: int, seed: int
) -> None:
    tiers, tokens = split(pool)
    assume(sum(n for tier, n in pool.values() if tier is Tier.GOLD) <= budget)
    passages = pack(tiers, tokens, budget_tokens=budget, rng=Random(seed))
    rank = list(Tier).index
    used = {p.doc for p in passages}
    last = max((rank(p.tier) for p in passages), default=0)
    assert all(rank(tier) >= last for doc, tier in tiers.items() if doc not in used)


@given(pools, st.integers(0, 9), st.sampled_from(["tiered", "pooled"]))
def test_same_seed_same_passages_whatever_the_order_of_the_input(
    pool: Pool, seed: int, order: Order
) -> None:
    tiers, tokens = split(pool)
    turned = dict(reversed(tiers.items()))
    budget = sum(tokens.values())
    first = pack(tiers, tokens, budget_tokens=budget, rng=Random(seed), order=order)
    assert first == pack(turned, tokens, budget_tokens=budget, rng=Random(seed), order=order)


def test_given_order_takes_the_best_ranked_first_and_shuffles_only_at_the_end() -> None:
    ranked = {f"d{i}": Tier.FILLER for i in range(10)}
    for seed in range(5):
        passages = pack(
            ranked, dict.fromkeys(ranked, 10), budget_tokens=40, rng=Random(seed), order="given"
        )
        assert {p.doc for p in passages} == {"d0", "d1", "d2", "d3"}
    docs = [p.doc for p in passages]
    assert docs != sorted(docs)


def test_pooled_mixes_the_tiers() -> None:
    tiers = {f"r{i}": Tier.READ for i in range(20)} | {f"s{i}": Tier.SEEN for i in range(20)}
    tokens = dict.fromkeys(tiers, 1)
    passages = pack(tiers, tokens, budget_tokens=20, rng=Random(0), order="pooled")
    assert {p.tier for p in passages} == {Tier.READ, Tier.SEEN}
    tiered = pack(tiers, tokens, budget_tokens=20, rng=Random(0))
    assert {p.tier for p in tiered} == {Tier.READ}


def test_the_document_that_does_not_fit_is_cut_and_ends_the_filling() -> None:
    tiers = {"a": Tier.READ, "b": Tier.SEEN, "c": Tier.FILLER}
    tokens = {"a": 10, "b": 100, "c": 1}
    passages = pack(tiers, tokens, budget_tokens=30, rng=Random(0), cut=halve)
    assert {(p.doc, p.tokens, p.chars) for p in passages} == {("a", 10, None), ("b", 10, 40)}


def test_gold_over_the_budget_names_the_budget_that_would_do() -> None:
    with pytest.raises(InputError, match="budget of at least 30"):
        pack({"g": Tier.GOLD}, {"g": 30}, budget_tokens=29, rng=Random(0))


def test_a_document_without_a_count_is_named() -> None:
    with pytest.raises(InputError, match="x: no token count"):
        pack({"x": Tier.READ}, {}, budget_tokens=5, rng=Random(0))


@given(pools, st.integers(0, 300), st.integers(0, 300), st.integers(0, 9), orders)
def test_a_larger_budget_holds_all_that_a_smaller_one_holds_in_the_same_order(
    pool: Pool, budget: int, more: int, seed: int, order: Order
) -> None:
    tiers, tokens = split(pool)
    assume(sum(n for tier, n in pool.values() if tier is Tier.GOLD) <= budget)
    small, large = (
        [
            p.doc
            for p in pack(tiers, tokens, budget_tokens=b, rng=Random(seed), order=order, cut=halve)
        ]
        for b in (budget, budget + more)
    )
    assert [doc for doc in large if doc in small] == [doc for doc in small if doc in large]
    assert set(small) <= set(large)
