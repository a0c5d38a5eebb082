"""The link graph in compressed sparse rows: two memory-mapped arrays, shared by all workers.

For n documents and m links `indptr` has n + 1 entries and `targets[indptr[i] : indptr[i + 1]]` are
the documents that document i points to, sorted, without repeats and without i itself. 150M links
take 0.65 GB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import ahocorasick_rs
import numpy as np
import numpy.typing as npt

from longtrace.text import capitals, normalise, normalise_name

_ACRONYM_CHARS = 5  # three letters and the spaces around them
Ints = npt.NDArray[np.int32]


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


class NameScanner:
    """Finds which of many names stand in a text as whole words, in one pass.

    Args:
        names: for every document its name and aliases. A name that normalises to nothing, or to a
            single letter or digit, is never found.
    """

    def __init__(self, names: Iterable[Sequence[str]]) -> None:
        owners: dict[str, set[int]] = {}
        forms_of: dict[str, set[str]] = {}
        for doc, forms in enumerate(names):
            for form in forms:
                needle = normalise_name(form)
                if len(needle.strip()) > 1:
                    owners.setdefault(needle, set()).add(doc)
                    if len(needle) <= _ACRONYM_CHARS:
                        forms_of.setdefault(needle, set()).add(form)
        self._patterns = list(owners)
        self._owners = [sorted(owners[pattern]) for pattern in self._patterns]
        self._forms = {p: forms_of[needle] for p, needle in enumerate(owners) if needle in forms_of}
        self._matcher = ahocorasick_rs.AhoCorasick(self._patterns)

    def mentioned(self, text: str) -> set[int]:
        """Documents with a name in `text`, names inside longer names included."""
        hits = self._matcher.find_matches_as_indexes(normalise(text), overlapping=True)
        met = {pattern for pattern, _, _ in hits}
        return {
            doc for pattern in met if self._meant(pattern, text) for doc in self._owners[pattern]
        }

    def linked(self, text: str) -> set[int]:
        """Documents named in `text`: the longest name at a place counts, if one document has it."""
        hits = self._matcher.find_matches_as_indexes(normalise(text), overlapping=True)
        found: set[int] = set()
        for pattern, _, _ in _outermost(hits):
            if len(self._owners[pattern]) == 1 and self._meant(pattern, text):
                found.update(self._owners[pattern])
        return found

    def _meant(self, pattern: int, text: str) -> bool:
        """Whether some form of the pattern stands in `text` in the letters it needs."""
        forms = self._forms.get(pattern)
        return forms is None or any(capitals(form, text) for form in forms)


def _outermost(hits: list[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """The hits (pattern, start, end) that lie inside no other hit."""
    end_so_far = -1
    for hit in sorted(hits, key=lambda h: (h[1], -h[2])):
        if hit[2] > end_so_far:
            end_so_far = hit[2]
            yield hit
