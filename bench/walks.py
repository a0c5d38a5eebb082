"""A hundred thousand random walks of eight hops over a link graph in compressed sparse rows.

The graph is synthetic: a million documents, about 20 links each, a third power of popularity. The
walks avoid what they have visited and damp hubs; sentences that back a hop are not looked up here.
"""

from __future__ import annotations

import numpy as np
from measure import table, timed

from longtrace.corpus.links import Graph, random_walks

DOCUMENTS = 1_000_000
LINKS = 20
WALKS = 100_000
HOPS = 8


def graph(seed: int = 0) -> Graph:
    """A graph with hubs."""
    rng = np.random.default_rng(seed)
    drawn = np.sort((DOCUMENTS * rng.random((DOCUMENTS, LINKS)) ** 3).astype(np.int32), axis=1)
    kept = np.ones(drawn.shape, np.bool_)
    kept[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    indptr = np.concatenate(([0], np.cumsum(kept.sum(axis=1))))
    return Graph(indptr, drawn[kept])


def main() -> None:
    """Measure and print."""
    made = graph()
    arrivals = np.bincount(made.targets, minlength=DOCUMENTS)
    weights = np.minimum(1.0, 200 / np.maximum(arrivals, 1))
    rows = []
    for name, chances in (("all targets alike", None), ("hubs damped", weights)):
        _, cpu = timed(
            lambda c=chances: random_walks(  # type: ignore[misc]
                made, hops=HOPS, indices=np.arange(WALKS), seed=0, weights=c
            )
        )
        rows.append((f"{WALKS:,} walks, {name}", f"{cpu:.2f} CPU s", "", "", "2 CPU s"))
    table(f"Walks of {HOPS} hops, {DOCUMENTS:,} documents, {len(made.targets):,} links", rows)


if __name__ == "__main__":
    main()
