"""The five ways to choose distractors, behind one function.

`random` and `search` are what the field does without trajectories; the others use what the agent
listed and opened, and `near-miss` also what wrong attempts cited. All of them leave out the gold
documents and any document that would itself answer the question, so that they differ in the choice
alone. Where passages are packed, a document that is chosen stands for all its passages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Literal, NamedTuple, get_args

from longtrace.contexts.certificate import Checker, Policy
from longtrace.contexts.pack import Order
from longtrace.contexts.tiers import tiers
from longtrace.contexts.units import Units
from longtrace.corpus.corpus import Corpus
from longtrace.records import Proof, Question, Tier, Trajectory

Strategy = Literal["random", "search", "trajectory-random", "tiered", "near-miss"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
ORDER: dict[Strategy, Order] = {
    "random": "given",
    "search": "given",
    "trajectory-random": "pooled",
    "tiered": "tiered",
    "near-miss": "tiered",
}
FIRST_SEARCH = 64
Siblings = Literal["keep", "drop"]


class Rules(NamedTuple):
    """What may stand beside the gold documents."""

    answer_bearing: Policy = "drop"
    siblings: Siblings = "keep"
    """Whether other passages of a gold document are packed; where documents are packed whole there
    are none."""


class NoGoldPassageError(Exception):
    """No passage of a gold document leads on: the question cannot be packed in passages."""


class Pool(NamedTuple):
    """Units that a context may be packed from."""

    tiers: dict[str, Tier]
    """Name -> tier, gold included; for `random` and `search` in the order to take them."""
    proofs: tuple[Proof, ...]
    """Of the distractors that were left out or promoted."""


class Source(NamedTuple):
    """What distractors are chosen from."""

    corpus: Corpus
    units: Units
    checker: Checker


def pool(
    strategy: Strategy,
    question: Question,
    attempts: Sequence[Trajectory],
    source: Source,
    *,
    rules: Rules,
    tokens: Mapping[str, int],
    room_tokens: int,
    rng: Random,
) -> Pool:
    """The gold units and as many distractors as there are, or as could fill the room.

    Args:
        strategy: how distractors are chosen.
        question: gives the gold documents, the words to search with, and the answer.
        attempts: a correct attempt first, which gives READ and SEEN; of the others `near-miss`
            takes what the wrong ones cited.
        source: the corpus.
        rules: what may not be a distractor.
        tokens: tokens of units as passages.
        room_tokens: tokens left beside the gold units; `random` and `search` draw no more than
            fill it, and no more is promoted than fits in it.
        rng: draws the documents of `random`.
    """
    out = dict.fromkeys(gold_units(question, source), Tier.GOLD)
    proofs: list[Proof] = []
    filled = promoted = 0
    hops = {source.corpus.id(hop.doc) for hop in question.hops}
    for doc, tier in _drawn(strategy, question, attempts, source, rng):
        if doc in hops and rules.siblings == "drop":
            continue
        for name in source.units.of(doc):
            if tier is Tier.FILLER and filled >= room_tokens - promoted:
                return Pool(out, tuple(proofs))
            if name in out:
                continue
            proof = source.checker.offends(name, question, rules.answer_bearing)
            if proof is None:
                out[name] = tier
                filled += tokens[name] if tier is Tier.FILLER else 0
                continue
            if proof.action == "promoted" and promoted + tokens[name] <= room_tokens:
                out[name] = Tier.GOLD
                promoted += tokens[name]
            else:
                proof = proof.model_copy(update={"action": "dropped"})
            proofs.append(proof)
    return Pool(out, tuple(proofs))


def gold_units(question: Question, source: Source) -> list[str]:
    """The gold documents, or of each the passage with its evidence sentence.

    Where the sentence is not in the document's text, the first passage that names the next entity
    (for the last document: the answer) stands for it.

    Raises:
        NoGoldPassageError: there is none either.
    """
    names: dict[str, None] = {}
    follows = [(hop.entity, *hop.aliases) for hop in question.hops[1:]]
    follows.append((question.answer, *question.answer_aliases))
    for hop, forms in zip(question.hops, follows, strict=True):
        doc = source.corpus.id(hop.doc)
        held = source.units.holding(doc, hop.evidence) or source.units.naming(doc, forms)
        if not held:
            raise NoGoldPassageError(hop.doc)
        names.update(dict.fromkeys(held))
    return list(names)


def touched(
    strategy: Strategy, question: Question, attempts: Sequence[Trajectory], units: Units
) -> dict[str, Tier]:
    """Document key -> tier of every document an attempt gives, gold left out.

    Where passages are packed, a gold document is there too, for its other passages: READ if the
    attempt opened it, SEEN if it was only listed.
    """
    used = attempts if strategy == "near-miss" else attempts[:1]
    gold = {hop.doc for hop in question.hops}
    found = tiers(used, gold)
    for key in gold:
        del found[key]
    if units.kind == "passage":
        opened = {key for attempt in used for key in attempt.opened}
        listed = {key for attempt in used for key in attempt.listed}
        for key in sorted(gold & (opened | listed)):
            found[key] = Tier.READ if key in opened else Tier.SEEN
    return found


def shuffled(n: int, rng: Random) -> Iterator[int]:
    """0 .. n - 1 in random order, one at a time: memory grows with what is taken, not with `n`."""
    moved: dict[int, int] = {}
    for place in range(n):
        drawn = rng.randrange(place, n)
        yield moved.get(drawn, drawn)
        moved[drawn] = moved.pop(place, place)


def _drawn(
    strategy: Strategy,
    question: Question,
    attempts: Sequence[Trajectory],
    source: Source,
    rng: Random,
) -> Iterable[tuple[int, Tier]]:
    """(document, tier) in the order to take them; gold ones among them."""
    corpus = source.corpus
    if strategy == "random":
        return ((doc, Tier.FILLER) for doc in shuffled(len(corpus), rng))
    if strategy == "search":
        return ((doc, Tier.FILLER) for doc in _searched(question.text, corpus))
    found = touched(strategy, question, attempts, source.units)
    known = ((corpus.find(key), tier) for key, tier in found.items())
    return [(doc, tier) for doc, tier in known if doc is not None]  # models cite invented keys


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
