"""Random walks over a graph in compressed sparse rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from longtrace.corpus.links import build_graph, random_walks

ROWS = st.lists(st.lists(st.integers(0, 11), max_size=6), min_size=12, max_size=12)


@given(ROWS, st.integers(0, 9), st.integers(0, 2**40))
def test_a_walk_follows_links_and_visits_nothing_twice(
    rows: list[list[int]], hops: int, seed: int
) -> None:
    graph = build_graph(rows)
    walks = random_walks(graph, hops=hops, indices=np.arange(9), seed=seed)
    assert walks.shape == (9, hops + 1)
    for walk in walks.tolist():
        path = [doc for doc in walk if doc >= 0]
        assert len(set(path)) == len(path)
        assert walk == path + [-1] * (hops + 1 - len(path))
        for here, there in pairwise(path):
            assert there in graph.of(here)
        if len(path) <= hops:  # it stopped because it had to
            assert set(graph.of(path[-1]).tolist()) <= set(path)


def test_a_walk_depends_on_seed_and_index_alone() -> None:
    graph = build_graph([[(i * 7 + k) % 50 for k in range(1, 9)] for i in range(50)])
    whole = random_walks(graph, hops=8, indices=np.arange(200), seed=3)
    parts = [random_walks(graph, hops=8, indices=np.arange(a, a + 50), seed=3) for a in (150, 0)]
    assert np.array_equal(whole[150:], parts[0])
    assert np.array_equal(whole[:50], parts[1])
    assert not np.array_equal(whole, random_walks(graph, hops=8, indices=np.arange(200), seed=4))


def test_weights_set_the_chances_and_zero_is_never_visited() -> None:
    graph = build_graph([[1, 2, 3], [], [], []])
    weights = np.array([1.0, 0.5, 0.25, 0.0])
    walks = random_walks(graph, hops=1, indices=np.arange(60_000), seed=0, weights=weights)
    assert 3 not in walks
    ends = walks[walks[:, 0] == 0, 1]
    assert abs((ends == 1).mean() - 2 / 3) < 0.02
