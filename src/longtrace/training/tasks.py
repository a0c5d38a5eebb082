"""Multi-hop questions over compact facts, by the pipeline's own walk, tools, tiers and packing.

Every fact is a small document (`Germany exports-to` / `Germany exports-to France .`) in a search
index in memory. A task is a walk over the countries plus one leaf fact; a deterministic policy
looks each step up with the search agent's tools; what it opened and did not cite, and what it was
only shown, become the distractors. Names are replaced by `@e0` .. `@e79`, another mapping each time
a task is used, so that the policy must read: the real graph is fixed and could be learned by heart.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Literal, NamedTuple

from longtrace.contexts.pack import pack
from longtrace.contexts.tiers import tiers
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.search import SearchIndex
from longtrace.questions.clues import page_cache
from longtrace.questions.walk import walk
from longtrace.records import Entity, Example, Message, Record, Tier, Trajectory, content_id
from longtrace.training.facts import Fact, fact_text, fact_title
from longtrace.trajectories.tools import Tools

NAMES = 80
"""Anonymous names: more than a context of 28 facts can need."""
FACT_TOKENS = 4
"""Subject, relation, object and full stop: what a fact costs in the tiny policy's tokenizer."""
FACTS_RANGE = (20, 28)
"""Facts in a context, gold included; drawn for each task."""
_RESULTS = 14
_OPENS = 3
_HELD_OUT_OF_256 = 51

Split = Literal["train", "test"]


class PackedFact(Record):
    """A fact in a task's context, with real names."""

    doc: str
    """Key of the fact's small document."""
    subject: str
    relation: str
    object: str
    tier: Tier


class Task(Record):
    """One question over facts, with real names. `anonymise` makes of it what a policy reads."""

    id: str
    split: Split
    """`test` for a fifth of all (start, relations), by hash, so that no chain is in both."""
    relations: tuple[str, ...]
    """The relations of the question in order; the last one is a leaf relation."""
    chain: tuple[str, ...]
    """The start, the countries on the way, and the answer: one more than `relations`."""
    facts: tuple[PackedFact, ...]
    """The context in prompt order."""
    names: dict[str, str]
    """Real name -> anonymous name in the row that is trained or evaluated on."""
    trajectory: Trajectory
    """The lookup policy's attempt, from which the tiers are."""


class Anonymised(NamedTuple):
    """A task under one drawing of names."""

    facts: tuple[tuple[str, str, str], ...]
    relations: tuple[str, ...]
    chain: tuple[str, ...]


class FactLibrary:
    """The facts of a corpus as small documents that can be searched, opened and walked.

    Args:
        corpus: the corpus the facts were parsed from.
        known: its facts.
    """

    def __init__(self, corpus: Corpus, known: Iterable[Fact]) -> None:
        self.facts = list(known)
        self._names = {f.subject: corpus.name(f.subject) for f in self.facts}
        self._keys = [f"{corpus.key(f.subject)}#{f.relation}" for f in self.facts]
        self._ids = {key: number for number, key in enumerate(self._keys)}
        rows = ((n, self.title(n), self.text(n)) for n in range(len(self.facts)))
        self._index = SearchIndex.build(rows, None)
        self.pages = page_cache()
        self._leaves = defaultdict[int, list[int]](list)
        self._steps = defaultdict[int, dict[int, list[str]]](dict)
        for number, fact in enumerate(self.facts):
            if fact.target is None:
                self._leaves[fact.subject].append(number)
            elif fact.target in self._names:
                to = self._steps[fact.subject].setdefault(fact.target, [])
                to.append(self._keys[number])

    def subject(self, number: int) -> str:
        """Name of the country that fact `number` is about."""
        return self._names[self.facts[number].subject]

    def search(self, query: str, k: int) -> list[int]:
        """Ids of the best `k` facts, best first."""
        return self._index.search(query, k)

    def id(self, key: str) -> int:
        """Id of the fact with `key`."""
        return self._ids[key]

    def key(self, number: int) -> str:
        """Key of a fact: its document's key, `#`, its relation."""
        return self._keys[number]

    def title(self, number: int) -> str:
        """Title of a fact's small document."""
        return fact_title(self.subject(number), self.facts[number].relation)

    def text(self, number: int) -> str:
        """Text of a fact's small document."""
        fact = self.facts[number]
        return fact_text(self.subject(number), fact.relation, fact.object)

    @cached_property
    def _starts(self) -> list[int]:
        return sorted(self._steps)

    def starts(self) -> Sequence[int]:
        """Countries (ids of their documents) with a hop fact."""
        return self._starts

    def steps(self, node: int) -> Mapping[int, Sequence[str]]:
        """Countries that `node` leads to, each with the keys of the facts that say so."""
        return self._steps.get(node, {})

    def leaves(self, node: int) -> Sequence[int]:
        """Ids of the leaf facts about a country."""
        return self._leaves.get(node, ())


def task(
    library: FactLibrary,
    *,
    hops: int,
    seed: int,
    index: int,
    facts_range: tuple[int, int] = FACTS_RANGE,
) -> Task | str:
    """Task number `index`, or why there is none; depends on the arguments and the library alone.

    Args:
        library: the facts.
        hops: relations in the question, the leaf relation included; at least 2.
        seed: of the run.
        index: number of the task.
        facts_range: fewest and most facts of a context, gold included.
    """
    rng = Random(f"{seed}-{index}")
    gold = _gold(library, hops, rng)
    if isinstance(gold, str):
        return gold
    relations = tuple(library.facts[n].relation for n in gold)
    chain = (*map(library.subject, gold), library.facts[gold[-1]].object)
    name = content_id(chain, relations)
    attempt = look_up(library, name, chain[0], relations, answer=chain[-1])
    if not attempt.correct:
        return "never solved"
    budget_tokens = FACT_TOKENS * rng.randint(*facts_range)
    tier_of = tiers([attempt], [library.key(n) for n in gold])
    passages = pack(
        tier_of, dict.fromkeys(tier_of, FACT_TOKENS), budget_tokens=budget_tokens, rng=rng
    )
    if len(passages) < facts_range[0]:
        return "too few distractors"
    packed = tuple(_packed(library, passage.doc, passage.tier) for passage in passages)
    return Task(
        id=name,
        split=_split(chain[0], relations),
        relations=relations,
        chain=chain,
        facts=packed,
        names=draw_names(packed, rng),
        trajectory=attempt,
    )


def look_up(
    library: FactLibrary, question_id: str, start: str, relations: Sequence[str], *, answer: str
) -> Trajectory:
    """A deterministic attempt: search each step, open the first few results, cite what states it.

    It reads the question's start and relations and what the tools return; `answer` only judges the
    result.
    """
    tools = Tools(library, k=_RESULTS, pages=library.pages)
    entity, cited = start, list[str]()
    for relation in relations:
        wanted = f"{fact_title(entity, relation)} "
        found = ""
        for hit in (tools.search(wanted) or ())[:_OPENS]:
            text = tools.open(hit.key) or ""
            if text.startswith(wanted) and not found:
                found = text.removeprefix(wanted).removesuffix(" .")
                cited.append(hit.key)
        if not found:
            break
        entity = found
    solved = len(cited) == len(relations)
    if solved:
        tools.answer(entity, cited)
    return tools.trajectory(question_id, 0, model="offline", correct=solved and entity == answer)


def anonymise(task: Task, rng: Random) -> Anonymised:
    """`task` under a fresh drawing of names, its facts in a fresh order."""
    drawn = _renamed(task, draw_names(task.facts, rng))
    facts = list(drawn.facts)
    rng.shuffle(facts)
    return drawn._replace(facts=tuple(facts))


def context(facts: Iterable[tuple[str, str, str]]) -> str:
    """Facts as the text that the policy reads."""
    return " ".join(fact_text(*fact) for fact in facts)


def question(start: str, relations: Sequence[str]) -> str:
    """The question as the policy reads it."""
    return " ".join(["question:", start, *relations, "?"])


def example(task: Task) -> Example:
    """A task as the row that is trained or evaluated on, under the task's own names.

    The rubric asks for the countries on the way: neither the start, which the question names, nor
    the answer.
    """
    drawn = _renamed(task, task.names)
    asked = question(drawn.chain[0], drawn.relations)
    prompt = f"{context(drawn.facts)} \n {asked}"
    return Example(
        id=content_id(task.id, prompt),
        context_id=task.id,
        messages=(Message(role="user", content=prompt),),
        question=asked,
        answer=drawn.chain[-1],
        entities=tuple(Entity(name=name) for name in drawn.chain[1:-1]),
    )


def _renamed(task: Task, names: Mapping[str, str]) -> Anonymised:
    facts = tuple((names[f.subject], f.relation, names[f.object]) for f in task.facts)
    return Anonymised(facts, task.relations, tuple(names[name] for name in task.chain))


def draw_names(facts: Iterable[PackedFact], rng: Random) -> dict[str, str]:
    """A different anonymous name for every name in the facts."""
    real = dict.fromkeys(name for fact in facts for name in (fact.subject, fact.object))
    drawn = rng.sample(range(NAMES), len(real))
    return {name: f"@e{number}" for name, number in zip(real, drawn, strict=True)}


def _gold(library: FactLibrary, hops: int, rng: Random) -> list[int] | str:
    """Ids of the facts of a walk and a leaf; or why there are none."""
    path = walk(library, hops=hops - 1, rng=rng)
    if path is None:
        return "dead walk"
    gold = [library.id(rng.choice(step.evidence)) for step in path[:-1]]
    used = {library.facts[n].relation for n in gold}
    if len(used) < len(gold):
        return "a relation twice"
    leaves = library.leaves(path[-1].node)
    return [*gold, rng.choice(leaves)] if leaves else "no leaf fact"


def _packed(library: FactLibrary, key: str, tier: Tier) -> PackedFact:
    number = library.id(key)
    fact = library.facts[number]
    return PackedFact(
        doc=key,
        subject=library.subject(number),
        relation=fact.relation,
        object=fact.object,
        tier=tier,
    )


def _split(start: str, relations: Sequence[str]) -> Split:
    digest = hashlib.sha256(f"{start}|{'|'.join(relations)}".encode()).digest()
    return "test" if digest[0] < _HELD_OUT_OF_256 else "train"
