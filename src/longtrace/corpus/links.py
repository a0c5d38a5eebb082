"""The link graph in compressed sparse rows: two memory-mapped arrays, shared by all workers.

For n documents and m links `indptr` has n + 1 entries and `targets[indptr[i] : indptr[i + 1]]` are
the documents that document i points to, sorted, without repeats and without i itself. 150M links
take 0.65 GB.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from longtrace.corpus.hashes import mix

Ints = npt.NDArray[np.int32]
Pairs = npt.NDArray[np.int64]
_TRIES = 8
"""Draws before the targets that are left are listed; any number gives the same chances."""


class Graph(NamedTuple):
    """A directed graph over documents 0 .. n - 1."""

    indptr: npt.NDArray[np.int64]
    """[n + 1] where each document's targets begin."""
    targets: Ints
    """[m] documents pointed to."""

    def of(self, doc: int) -> Ints:
        """Targets of `doc`, ascending."""
        return self.targets[self.indptr[doc] : self.indptr[doc + 1]]

    def save(self, folder: Path, name: str) -> None:
        """Write the two arrays below `folder`."""
        np.save(folder / f"{name}_indptr.npy", self.indptr)
        np.save(folder / f"{name}_targets.npy", self.targets)

    @classmethod
    def load(cls, folder: Path, name: str) -> Graph:
        """Map the two arrays of `save`; nothing is read until it is used."""
        parts = (np.load(folder / f"{name}_{p}.npy", mmap_mode="r") for p in ("indptr", "targets"))
        return cls(*parts)


def build_graph(rows: Iterable[Iterable[int]], *, loops: bool = False) -> Graph:
    """The graph whose document i points to those in the i-th row; itself only with `loops`."""
    indptr, targets = array("q", [0]), array("i")
    for doc, row in enumerate(rows):
        targets.extend(sorted({target for target in row if loops or target != doc}))
        indptr.append(len(targets))
    return Graph(np.frombuffer(indptr, np.int64), np.frombuffer(targets, np.int32))


def save_graph(
    folder: Path, name: str, documents: int, parts: Iterable[Callable[[], Pairs]]
) -> None:
    """Write a graph whose edges come in parts, holding one part in memory at a time.

    Args:
        folder: where the arrays go, each under its final name only when it is whole.
        name: of the graph.
        documents: n.
        parts: each gives, as often as it is called, pairs (document, target), ascending and unique;
            the documents of a part come after those of the part before it.
    """
    again = list(parts)
    indptr = np.zeros(documents + 1, np.int64)
    for part in again:
        indptr += np.bincount(part()[:, 0] + 1, minlength=documents + 1)
    indptr = np.cumsum(indptr)
    partial = folder / f"{name}_targets.npy.partial"
    targets = open_memmap(partial, mode="w+", dtype=np.int32, shape=(int(indptr[-1]),))
    start = 0
    for part in again:
        found = part()[:, 1]
        targets[start : start + len(found)] = found
        start += len(found)
    targets.flush()
    np.save(folder / f"{name}_indptr.npy", indptr)
    partial.rename(folder / f"{name}_targets.npy")


def largest_component(graph: Graph) -> int:
    """Documents in the largest strongly connected component."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    n = len(graph.indptr) - 1
    if n == 0:
        return 0
    ones = np.ones(len(graph.targets), np.int8)
    matrix = csr_array((ones, graph.targets, graph.indptr), shape=(n, n))
    _, labels = connected_components(matrix, directed=True, connection="strong")
    return int(np.bincount(labels).max())


def random_walks(
    graph: Graph,
    *,
    hops: int,
    indices: npt.NDArray[np.int64],
    seed: int,
    weights: npt.NDArray[np.float64] | None = None,
) -> Ints:
    """Self-avoiding random walks, all at once.

    Every walk depends on the graph, `seed` and its own index alone, so any split of the indices
    over processes gives the same walks. A step goes to one of the unvisited targets with chances in
    proportion to their weights, which is how hubs are damped.

    Args:
        graph: at least one document must have a positive weight.
        hops: steps of a walk.
        indices: [w] numbers of the walks.
        seed: of the run.
        weights: [n] in [0, 1], 0 for documents never visited; None for all alike.

    Returns:
        [w, hops + 1] documents; -1 from where a walk found no unvisited target.
    """
    weights = np.ones(len(graph.indptr) - 1) if weights is None else weights
    starts = np.flatnonzero(weights > 0)
    walks = np.full((len(indices), hops + 1), -1, np.int32)
    walks[:, 0] = starts[_below(_draw(seed, indices, 0), len(starts))]
    alive = np.arange(len(indices))
    for hop in range(1, hops + 1):
        alive = alive[_step(graph, walks, alive, indices, hop, seed, weights)]
    return walks


def _step(
    graph: Graph,
    walks: Ints,
    alive: Pairs,
    indices: Pairs,
    hop: int,
    seed: int,
    weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Take one step of the walks `alive`; [a] whether each found a target."""
    here = walks[alive, hop - 1]
    first = graph.indptr[here]
    degree = graph.indptr[here + 1] - first
    waiting = np.flatnonzero(degree > 0)
    for attempt in range(_TRIES):
        walk = alive[waiting]
        salt = (hop * (_TRIES + 1) + attempt) * 2
        draw = _draw(seed, indices[walk], salt)
        target = graph.targets[first[waiting] + _below(draw, degree[waiting])]
        visited = (walks[walk, :hop] == target[:, None]).any(axis=1)
        taken = ~visited & (_unit(_draw(seed, indices[walk], salt + 1)) < weights[target])
        walks[walk[taken], hop] = target[taken]
        waiting = waiting[~taken]
    for place in waiting:
        walk = alive[place]
        options = graph.of(int(here[place]))
        options = options[~np.isin(options, walks[walk, :hop])]
        chances = np.cumsum(weights[options])
        if len(options) and chances[-1] > 0:
            salt = (hop * (_TRIES + 1) + _TRIES) * 2
            draw = _unit(_draw(seed, indices[walk : walk + 1], salt))[0]
            walks[walk, hop] = options[np.searchsorted(chances, draw * chances[-1], side="right")]
    found: npt.NDArray[np.bool_] = walks[alive, hop] >= 0
    return found


def _draw(seed: int, indices: Pairs, salt: int) -> npt.NDArray[np.uint64]:
    """[w] 64 random bits for every (seed, index, salt)."""
    key = (seed * 0x9E3779B97F4A7C15 + salt * 0xC2B2AE3D27D4EB4F) & 0xFFFFFFFFFFFFFFFF
    return mix(mix(indices.astype(np.uint64) + np.uint64(1)) + np.uint64(key))


def _unit(draw: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """[w] in [0, 1)."""
    return (draw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _below(draw: npt.NDArray[np.uint64], size: int | Pairs) -> Pairs:
    """[w] integers in [0, size)."""
    return (_unit(draw) * size).astype(np.int64)
