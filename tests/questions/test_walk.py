"""Walks over graphs made here, a small corpus and the Factbook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from longtrace.corpus.corpus import Corpus
from longtrace.questions.clues import page_cache
from longtrace.questions.walk import EVIDENCE, CorpusWalkable, prose, record, walk

Edges = dict[int, dict[int, list[str]]]


class Facts:
    """A graph in memory."""

    def __init__(self, edges: Edges) -> None:
        self.edges = edges

    def starts(self) -> Sequence[int]:
        return sorted(self.edges)

    def steps(self, node: int) -> Mapping[int, Sequence[str]]:
        return self.edges.get(node, {})


nodes = st.integers(0, 8)
graphs = st.dictionaries(
    nodes, st.dictionaries(nodes, st.lists(st.text(max_size=3), min_size=1, max_size=12))
)


@given(graphs, st.integers(1, 5), st.integers())
def test_a_walk_follows_edges_never_returns_and_carries_their_evidence(
    edges: Edges, hops: int, seed: int
) -> None:
    path = walk(Facts(edges), hops=hops, rng=Random(seed))
    if path is None:
        return
    assert len(path) == hops + 1
    assert len({step.node for step in path}) == hops + 1
    assert path[-1].evidence == ()
    for step, after in pairwise(path):
        available = edges[step.node][after.node]
        assert len(step.evidence) == min(EVIDENCE, len(available))
        assert set(step.evidence) <= set(available)


@given(graphs, st.integers(1, 4), st.integers())
def test_the_same_seed_gives_the_same_walk(edges: Edges, hops: int, seed: int) -> None:
    graph = Facts(edges)
    assert walk(graph, hops=hops, rng=Random(seed)) == walk(graph, hops=hops, rng=Random(seed))


def test_a_graph_without_long_enough_paths_gives_no_walk() -> None:
    assert walk(Facts({0: {1: ["a"]}, 1: {0: ["b"]}}), hops=2, rng=Random(0)) is None
    assert walk(Facts({}), hops=1, rng=Random(0)) is None


def test_the_only_path_is_found() -> None:
    line: Edges = {n: {n + 1: [f"{n}"]} for n in range(5)}
    path = walk(Facts(line), hops=5, rng=Random(1))
    assert path is not None
    assert [step.node for step in path] == [0, 1, 2, 3, 4, 5]


USABLE = [
    "Fishermen from Tristan sometimes visit South Georgia to repair their boats.",
    "Rivers rise there [s] and join other rivers below the capital before reaching the sea.",
]
UNUSABLE = [
    "Fishermen visit South Georgia.",
    "Land boundaries: Angola 1,065 km; Botswana 0.15 km; Malawi 847 km; Mozambique 439 km",
    "The page says [name] was repaired by fishermen who sometimes visit southern islands.",
    "word " * 100,
]


def test_only_prose_of_fair_length_without_marks_is_evidence() -> None:
    assert [prose(sentence) for sentence in USABLE] == [True] * len(USABLE)
    assert [prose(sentence) for sentence in UNUSABLE] == [False] * len(UNUSABLE)


def test_a_name_inside_a_longer_name_is_not_evidence(islands: Corpus) -> None:
    graph = CorpusWalkable(islands, page_cache(), 1.0)
    steps = graph.steps(islands.id("tristan"))
    assert islands.id("south") in steps
    assert islands.id("georgia") not in steps


def test_lists_and_short_sentences_lead_nowhere(islands: Corpus) -> None:
    graph = CorpusWalkable(islands, page_cache(), 1.0)
    assert islands.id("gough") not in graph.steps(islands.id("tristan"))


def test_walks_keep_to_rare_and_unambiguous_names(islands: Corpus) -> None:
    every = CorpusWalkable(islands, page_cache(), 1.0)
    assert islands.id("mercury1") not in every.starts()
    assert islands.id("tristan") in every.starts()
    rare = CorpusWalkable(islands, page_cache(), 0.34)
    assert islands.id("tristan") not in rare.starts()


def test_every_step_over_the_factbook_names_the_next_entity(factbook: Corpus) -> None:
    graph = CorpusWalkable(factbook, page_cache(), 0.08)
    found = [walk(graph, hops=4, rng=Random(seed)) for seed in range(20)]
    paths = [path for path in found if path is not None]
    assert len(paths) >= 15
    for path in paths:
        for step, after in pairwise(path):
            assert factbook.mention_counts[after.node] <= 0.08 * len(factbook)
            assert all(factbook.name(after.node).lower() in s.lower() for s in step.evidence)


def test_a_walk_record_names_documents_and_depends_on_its_path(factbook: Corpus) -> None:
    path = walk(CorpusWalkable(factbook, page_cache(), 0.08), hops=2, rng=Random(0))
    assert path is not None
    row = record(factbook, path, seed=3, index=5)
    assert [hop.doc for hop in row.hops] == [factbook.key(step.node) for step in path]
    assert (row.seed, row.index) == (3, 5)
    assert row.id != record(factbook, path[:-1], seed=3, index=5).id
