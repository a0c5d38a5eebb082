"""Kinds of contexts for the experiment: the same questions with other facts around the gold ones.

`tiered` is what the pipeline makes. `random` draws the distractors from all facts. `shortcut` has
the last relation once, so that the last relation alone gives the answer. `hard` has it at least six
times and `long` has more facts than any context of the training; `hops4` asks for one more step
than any training does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal

from longtrace.records import Tier
from longtrace.training.tasks import FactLibrary, PackedFact, Task, draw_names, task

Kind = Literal["tiered", "random", "shortcut", "hard", "long", "hops4"]

HARD_LAST = 6
"""Facts with the last relation in a `hard` context, at least."""
LONG = (32, 36)
"""Facts in a `long` context."""
_TRIES = 40


def tasks(library: FactLibrary, kind: Kind, split: str, *, count: int, seed: int) -> list[Task]:
    """`count` tasks of a split in contexts of a kind; the same for the same arguments."""
    hops = 4 if kind == "hops4" else 3
    drawn = {"facts_range": LONG} if kind == "long" else {}
    made: dict[str, Task] = {}
    for index in range(_TRIES * count):
        one = task(library, hops=hops, seed=seed, index=index, **drawn)
        if isinstance(one, Task) and one.split == split and one.id not in made:
            made[one.id] = in_kind(one, library, kind, Random(f"{kind}-{seed}-{index}"))
            if len(made) == count:
                return list(made.values())
    raise ValueError(f"only {len(made)} {kind} tasks of {count} could be made")


def in_kind(one: Task, library: FactLibrary, kind: Kind, rng: Random) -> Task:
    """`one` with the distractors of `kind` and its context's size as it was."""
    gold = [fact for fact in one.facts if fact.tier is Tier.GOLD]
    others = [fact for fact in one.facts if fact.tier is not Tier.GOLD]
    if kind == "random":
        others = _fill([], gold, library, len(others), rng)
    elif kind == "shortcut":
        kept = [fact for fact in others if fact.relation != one.relations[-1]]
        others = _fill(kept, gold, library, len(others), rng, never=one.relations[-1])
    elif kind == "hard":
        others = _harder(others, gold, library, one.relations[-1], rng)
    facts = [*gold, *others]
    rng.shuffle(facts)
    return one.model_copy(update={"facts": tuple(facts), "names": draw_names(facts, rng)})


def _harder(
    others: Sequence[PackedFact],
    gold: Sequence[PackedFact],
    library: FactLibrary,
    relation: str,
    rng: Random,
) -> list[PackedFact]:
    """Distractors of which at least `HARD_LAST` - 1 carry the last relation."""
    same = [fact for fact in others if fact.relation == relation]
    rest = [fact for fact in others if fact.relation != relation]
    wanted = max(len(same), HARD_LAST - 1)
    same = _fill(same, gold, library, wanted, rng, only=relation)
    return [*same, *rest[: len(others) - wanted]]


def _fill(
    kept: Sequence[PackedFact],
    gold: Sequence[PackedFact],
    library: FactLibrary,
    count: int,
    rng: Random,
    *,
    never: str = "",
    only: str = "",
) -> list[PackedFact]:
    """`kept` and random facts, `count` in all."""
    facts = list(kept)
    known = {fact.doc for fact in (*kept, *gold)}
    for number in _shuffled(len(library.facts), rng):
        if len(facts) >= count:
            break
        relation, key = library.facts[number].relation, library.key(number)
        if key in known or relation == never or (only and relation != only):
            continue
        facts.append(
            PackedFact(
                doc=key,
                subject=library.subject(number),
                relation=relation,
                object=library.facts[number].object,
                tier=Tier.FILLER,
            )
        )
    return facts


def _shuffled(count: int, rng: Random) -> Iterator[int]:
    numbers = list(range(count))
    rng.shuffle(numbers)
    yield from numbers
