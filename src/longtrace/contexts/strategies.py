"""The four ways to choose distractors, behind one function.

`random` and `search` are what the field does without trajectories; `trajectory-random` and
`tiered` use what the agent listed and opened. All of them leave out the gold documents and any
document that would itself answer the question, so that they differ in the choice alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Literal, NamedTuple, get_args

from longtrace.contexts.counts import Counts
from longtrace.contexts.pack import Order
from longtrace.contexts.tiers import tiers
from longtrace.corpus.corpus import Corpus
from longtrace.records import Question, Tier, Trajectory
from longtrace.text import names

Strategy = Literal["random", "search", "trajectory-random", "tiered"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
ORDER: dict[Strategy, Order] = {
    "random": "given",
    "search": "given",
    "trajectory-random": "pooled",
    "tiered": "tiered",
}
FIRST_SEARCH = 64


class Pool(NamedTuple):
    """Documents that a context may be packed from."""

    tiers: dict[str, Tier]
    """Document key -> tier, gold included; for `random` and `search` in the order to take them."""
    answer_bearing: tuple[str, ...]
    """Keys of distractors left out because they would answer the question."""


def pool(
    strategy: Strategy,
    question: Question,
    trajectory: Trajectory,
    *,
    corpus: Corpus,
    counts: Counts,
    room_tokens: int,
    rng: Random,
) -> Pool:
    """The gold documents and as many distractors as there are, or as could fill the room.

    Args:
        strategy: how distractors are chosen.
        question: gives the gold documents, the words to search with, and the answer.
        trajectory: a correct attempt; gives READ and SEEN.
        corpus: gives documents, search and mentions.
        counts: tokens of documents as passages.
        room_tokens: tokens left beside the gold documents; `random` and `search` draw no more
            documents than fill it.
        rng: draws the documents of `random`.
    """
    gold = {hop.doc: Tier.GOLD for hop in question.hops}
    distractors: Iterable[int]
    if strategy in ("trajectory-random", "tiered"):
        found = tiers([trajectory], gold)
        distractors = [corpus.id(key) for key, tier in found.items() if tier is not Tier.GOLD]
        enough = None
    else:
        searched = strategy == "search"
        found = {}
        distractors = _searched(question.text, corpus) if searched else shuffled(len(corpus), rng)
        enough = room_tokens
    return _without_answers(distractors, gold, found, question, corpus, counts, enough)


def shuffled(n: int, rng: Random) -> Iterator[int]:
    """0 .. n - 1 in random order, one at a time: memory grows with what is taken, not with `n`."""
    moved: dict[int, int] = {}
    for place in range(n):
        drawn = rng.randrange(place, n)
        yield moved.get(drawn, drawn)
        moved[drawn] = moved.pop(place, place)


def answers(doc: int, question: Question, corpus: Corpus) -> bool:
    """Whether `doc` holds the answer and the question's last entity, both as whole words."""
    last = corpus.id(question.hops[-1].doc)
    if last not in corpus.mentions.of(doc):
        return False
    text = f"{corpus.title(doc)}\n\n{corpus.text(doc)}"
    return any(names(text, form) for form in (question.answer, *question.answer_aliases))


def _searched(query: str, corpus: Corpus) -> Iterator[int]:
    """Results of one search, best first; more are asked for as they are needed."""
    given: set[int] = set()
    k = FIRST_SEARCH
    while True:
        results = corpus.search(query, k)
        for doc in results:
            if doc not in given:
                given.add(doc)
                yield doc
        if len(results) < k:
            return
        k *= 2


def _without_answers(
    distractors: Iterable[int],
    gold: dict[str, Tier],
    found: dict[str, Tier],
    question: Question,
    corpus: Corpus,
    counts: Counts,
    enough_tokens: int | None,
) -> Pool:
    out, dropped, filled = dict(gold), [], 0
    for doc in distractors:
        if enough_tokens is not None and filled >= enough_tokens:
            break
        key = corpus.key(doc)
        if key in gold:
            continue
        if answers(doc, question, corpus):
            dropped.append(key)
            continue
        out[key] = found.get(key, Tier.FILLER)
        if enough_tokens is not None:
            filled += counts.of(doc)
    return Pool(out, tuple(dropped))
