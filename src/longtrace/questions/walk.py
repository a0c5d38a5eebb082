"""Random walks: self-avoiding paths, every step backed by sentences that name the next node.

`walk` needs only a `Walkable`, so the same function walks a corpus and a small graph of facts in
memory. `CorpusWalkable` is the corpus behind that interface: a step leads from a document to a
linked document whose name stands in one of its prose sentences. Names that many documents mention
are left out (`max_mention_share`): with United States on a walk, almost every document would hold a
gold entity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from longtrace.corpus.corpus import Corpus
from longtrace.questions.clues import STOP, Page, has_marks
from longtrace.records import Hop, Walk, content_id
from longtrace.text import words

BRANCH = 5
"""Candidates drawn at each step before one is taken (paper: at most 5)."""
TRIES = 60
"""Restarts before a walk is given up as dead."""
EVIDENCE = 8
"""Most evidence sentences kept for a step."""
PLAIN_WORDS = 4
"""Different ordinary words in a sentence that can be made a clue: lists of names have fewer."""
OutT = TypeVar("OutT")
_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")
_NO_PROSE = re.compile(
    r"^(?:lists?|index|outline|timeline) of\b|\(disambiguation\)|^(?:template|category|portal):",
    re.IGNORECASE,
)
"""Titles of pages that are no articles."""


class Step(NamedTuple):
    """A node of a walk and the sentences that lead from it to the next node."""

    node: int
    evidence: tuple[str, ...]
    """Drawn in random order, at most `EVIDENCE`; empty for the last node."""


class Walkable(Protocol):
    """A graph whose edges carry their evidence."""

    def starts(self) -> Sequence[int]:
        """Nodes where a walk may begin, in a fixed order."""
        ...

    def steps(self, node: int) -> Mapping[int, Sequence[str]]:
        """Nodes that `node` leads to, each with at least one piece of evidence."""
        ...


Choosing: TypeAlias = Generator[list[int], int, OutT]
"""Yields candidates, is sent the one to take."""


class Jumps(NamedTuple):
    """Where a walk may go now and then instead of along the graph."""

    graph: Walkable
    chance: float
    """Chance of a jump at each step, in [0, 1]."""


def walk(
    graph: Walkable, *, hops: int, rng: Random, jumps: Jumps | None = None, tries: int = TRIES
) -> list[Step] | None:
    """A path of `hops` steps, hence `hops + 1` different nodes; None if all `tries` ended early.

    At every step `BRANCH` unvisited nodes are drawn and one of them is taken, all from `rng`, so
    the path depends on the graph and the state of `rng` alone.

    Args:
        graph: what to walk.
        hops: number of steps.
        rng: source of all chance.
        jumps: where else a step may lead.
        tries: starts before giving up.
    """
    choosing = choices(graph, hops=hops, rng=rng, jumps=jumps, tries=tries)
    try:
        drawn = next(choosing)
        while True:
            drawn = choosing.send(rng.choice(drawn))
    except StopIteration as done:
        found: list[Step] | None = done.value
        return found


def choices(
    graph: Walkable, *, hops: int, rng: Random, jumps: Jumps | None = None, tries: int = TRIES
) -> Choosing[list[Step] | None]:
    """`walk` with the choice left to the caller: yields the candidates of every step.

    Where a jump is drawn, a single candidate is yielded.
    """
    starts = graph.starts()
    if not starts:
        return None
    for _ in range(tries):
        path = yield from _once(graph, starts[rng.randrange(len(starts))], hops, rng, jumps)
        if path is not None:
            return path
    return None


def _once(
    graph: Walkable, node: int, hops: int, rng: Random, jumps: Jumps | None
) -> Choosing[list[Step] | None]:
    path: list[Step] = []
    visited = {node}
    while len(path) < hops:
        jump = jumps if jumps and rng.random() < jumps.chance else None
        steps = (jump.graph if jump else graph).steps(node)
        options = sorted(other for other in steps if other not in visited)
        if not options:
            return None
        following = yield rng.sample(options, 1 if jump else min(BRANCH, len(options)))
        evidence = steps[following]
        path.append(Step(node, tuple(rng.sample(evidence, min(EVIDENCE, len(evidence))))))
        visited.add(following)
        node = following
    return [*path, Step(node, ())]


def prose(sentence: str) -> bool:
    """Whether a sentence can be made a clue.

    It has 60 to 420 characters, at least 9 words, `PLAIN_WORDS` of them ordinary (in lower case, no
    stop word), fewer than one digit in five characters, and nothing that reads as a mark.
    """
    if not 60 <= len(sentence) <= 420 or has_marks(sentence):
        return False
    if len(_DIGIT.findall(sentence)) >= 0.2 * len(sentence):
        return False
    spoken = _WORD.findall(sentence)
    plain = {w for w in spoken if w.islower() and len(w) > 2 and w not in STOP}
    return len(spoken) >= 9 and len(plain) >= PLAIN_WORDS


class CorpusWalkable:
    """The documents of a corpus as a graph to walk.

    Args:
        corpus: an open corpus.
        pages: text -> page, with a cache.
        max_mention_share: largest share of the documents that may name one on a walk, in (0, 1].
        min_chars: characters that the text of a document on a walk has at least.
        jumps: lead to every document that the text names, linked or not.
    """

    def __init__(
        self,
        corpus: Corpus,
        pages: Callable[[str], Page],
        max_mention_share: float,
        min_chars: int = 0,
        *,
        jumps: bool = False,
    ) -> None:
        self._corpus, self._pages, self._min_chars = corpus, pages, min_chars
        self._near = corpus.mentions if jumps else corpus.links
        rare = corpus.mention_counts <= max_mention_share * len(corpus)
        self.usable = rare & ~corpus.ambiguous
        """[n] bool: may stand on a walk."""
        self._starts: list[int] = np.flatnonzero(self.usable).tolist()
        self._steps = lru_cache(maxsize=8192)(self._find_steps)
        self._tells = lru_cache(maxsize=65536)(self._is_informative)

    def starts(self) -> Sequence[int]:
        """Documents with an unambiguous name that few other documents mention."""
        return self._starts

    def steps(self, node: int) -> Mapping[int, Sequence[str]]:
        """Near documents that a walk may visit, with the prose sentences that name them.

        Lists, disambiguation pages and pages with too little text lead nowhere, and nothing leads
        to them.
        """
        return self._steps(node)

    def _is_informative(self, doc: int) -> bool:
        if _NO_PROSE.search(self._corpus.title(doc)):
            return False
        return not self._min_chars or len(self._corpus.text(doc)) >= self._min_chars

    def _find_steps(self, doc: int) -> dict[int, list[str]]:
        if not self._tells(doc):
            return {}
        linked = self._near.of(doc)
        wanted = {d for d in map(int, linked[self.usable[linked]]) if self._tells(d)} - {doc}
        if not wanted:
            return {}
        finder = _Finder(self._corpus, {*wanted, *map(int, self._corpus.mentions.of(doc))})
        found: dict[int, list[str]] = {}
        for sentence in self._pages(self._corpus.text(doc)).sentences:
            if prose(sentence):
                for other in sorted(finder.named(sentence) & wanted):
                    found.setdefault(other, []).append(sentence)
        return found


class _Finder:
    """Finds names in sentences; a name inside a longer one does not count (South Georgia)."""

    def __init__(self, corpus: Corpus, docs: set[int]) -> None:
        self._first: dict[str, list[tuple[list[str], int]]] = {}
        for doc in sorted(docs):
            name = words(corpus.name(doc))
            if name:
                self._first.setdefault(name[0], []).append((name, doc))
        for names in self._first.values():
            names.sort(key=lambda entry: -len(entry[0]))

    def named(self, sentence: str) -> set[int]:
        """Documents whose name stands in `sentence`, names inside a longer name left out."""
        found, spoken, end = set[int](), words(sentence), 0
        for position, word in enumerate(spoken):
            if position < end:
                continue
            for name, doc in self._first.get(word, ()):
                if spoken[position : position + len(name)] == name:
                    found.add(doc)
                    end = position + len(name)
                    break
        return found


def record(corpus: Corpus, steps: Sequence[Step], *, seed: int, index: int) -> Walk:
    """A walk over a corpus as the record that is passed on."""
    hops = tuple(
        Hop(
            doc=corpus.key(step.node),
            entity=corpus.name(step.node),
            aliases=corpus.aliases(step.node),
            evidence=step.evidence,
        )
        for step in steps
    )
    return Walk(
        id=content_id(seed, index, [h.doc for h in hops]), hops=hops, index=index, seed=seed
    )
