"""How telling the distractors are: the share of them that hold at least one gold entity.

Shares are averaged over questions, intervals are bootstrapped over them, and strategies are
compared on the same questions. Where READ and SEEN together fit in the budget, `tiered` and
`trajectory-random` are the same documents, and the table says so. Where passages are packed, the
share is also given without the other passages of gold documents, whose titles name a gold entity.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from longtrace.contexts.assemble import Bench
from longtrace.contexts.render import PLAIN, heading
from longtrace.contexts.strategies import Rules, Source, pool, shuffled
from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError, RunFolderError, command
from longtrace.records import Context, Passage, Question, Tier, Trajectory
from longtrace.statistics import Interval, mean_ci, paired_ci
from longtrace.store import read_json, read_records
from longtrace.text import Haystack

PAPER = {"random": 0.0135, "search": 0.15, "trajectory-random": 0.4216, "tiered": 0.5003}
"""Share of distractors that hold a gold entity, as reported for arXiv 2605.31584 (128K tokens)."""
CONTROL = "random-length"
PAIRS = (
    ("search", "random"),
    ("trajectory-random", "search"),
    ("near-miss", "tiered"),
    ("tiered", "trajectory-random"),
)
"""Strategies that are compared; the last pair may turn out to be the same set."""
TIERS: dict[str, Tier | None] = {
    "all": None,
    "near_miss": Tier.NEAR_MISS,
    "read": Tier.READ,
    "seen": Tier.SEEN,
}
OTHERS = "other_articles"
"""Key of the share without other passages of gold documents."""
PARTS: Mapping[str, type] = {
    **dict.fromkeys(("paper", "detail", "overlap", "paired", "pool"), dict),
    **dict.fromkeys(("questions", "budget_tokens"), int),
    "notes": list,
}
"""What every table has, and of what type."""
SAME_SET_SHARE = 0.9
LENGTH_SAMPLE = 5_000
LENGTH_NEIGHBOURS = 25


class Distractor(NamedTuple):
    """One distractor of one context."""

    unit: tuple[str, int | None]
    """Document and first character."""
    tier: Tier
    hit: bool
    """Whether it holds a gold entity."""
    chars: int
    sibling: bool
    """Whether it is another passage of a gold document."""


class Packed(NamedTuple):
    """One context as the table needs it."""

    distractors: tuple[Distractor, ...]
    room_tokens: int
    """Tokens of the budget that gold documents, instruction and question leave."""
    answer_bearing: int


class PoolRow(NamedTuple):
    """READ and SEEN of one question, before packing."""

    tokens: int
    room_tokens: int
    read: float | None
    seen: float | None


def share(hits: Iterable[bool]) -> float | None:
    """Share of true values; None of none."""
    values = list(hits)
    return sum(values) / len(values) if values else None


def holds_gold(passage: Passage, question: Question, corpus: Corpus) -> bool:
    """Whether a passage names the subject of a gold document, as whole words, by any alias.

    A whole document is looked up in the corpus's mentions; of a part of one only the title and the
    text that is kept count.
    """
    doc = corpus.id(passage.doc)
    gold = [corpus.id(hop.doc) for hop in question.hops]
    somewhere = doc in gold or bool(np.isin(gold, corpus.mentions.of(doc)).any())
    if passage.chars is None or not somewhere:
        return somewhere
    text = Haystack(f"{heading(corpus.title(doc))}\n\n{passage.part(corpus.text(doc))}")
    return any(text.holds(form) for hop in question.hops for form in (hop.entity, *hop.aliases))


def measure(
    files: Mapping[str, Path],
    questions: Mapping[str, Question],
    trajectories: Mapping[str, Trajectory],
    bench: Bench,
    *,
    rules: Rules,
    budget_tokens: int,
    seed: int,
) -> dict[str, Any]:
    """The overlap table of some strategies as JSON; every share is in [0, 1] or None.

    Args:
        files: strategy -> its `data.jsonl`.
        questions: by id.
        trajectories: question id -> the attempt whose documents were packed.
        bench: corpus and counts.
        rules: what the contexts were packed by.
        budget_tokens: the rung that is measured, where the rows are of several.
        seed: draws the bootstrap samples and the length-matched control.
    """
    packed = {
        name: _read(path, questions, bench.source.corpus, budget_tokens)
        for name, path in files.items()
    }
    passages = bench.source.units.kind == "passage"
    out: dict[str, Any] = {"paper": PAPER, "budget_tokens": budget_tokens}
    out["unit"] = bench.source.units.kind
    if "tiered" in packed:
        packed[CONTROL] = _length_matched(packed["tiered"], questions, bench.source, seed)
    ids = sorted({key for rows in packed.values() for key in rows})
    rng = np.random.default_rng(seed)
    tables = {name: _shares(rows, ids, others=passages) for name, rows in packed.items()}
    out["questions"] = len(ids)
    out["detail"] = {
        name: {
            **{key: _json(mean_ci(column, rng=rng)) for key, column in columns.items()},
            **_pooled(packed[name]),
        }
        for name, columns in tables.items()
    }
    out["overlap"] = {name: _short(out["detail"][name]) for name in files}
    out["control"] = {name: _short(out["detail"][name]) for name in packed if name not in files}
    out["paired"] = _paired(tables, "all", rng)
    out["pool"] = _pool(packed, questions, trajectories, bench, rules, rng)
    if passages:
        out["paired_" + OTHERS] = _paired(tables, OTHERS, rng)
    out["notes"] = _notes(out, trajectories.values())
    return out


def _paired(
    tables: Mapping[str, Mapping[str, list[float | None]]], column: str, rng: np.random.Generator
) -> dict[str, Any]:
    """Differences between strategies on the same questions."""
    return {
        f"{a} - {b}": _json(paired_ci(tables[a][column], tables[b][column], rng=rng))
        for a, b in PAIRS
        if a in tables and b in tables
    }


def read(folder: Path) -> dict[str, Any] | None:
    """The table that `contexts` wrote into `folder`; None if it is missing.

    Raises:
        RunFolderError: the file is something else.
    """
    path = folder / "overlap.json"
    if not path.is_file():
        return None
    with suppress(InputError):
        table = read_json(path)
        if isinstance(table, dict) and all(isinstance(table.get(k), v) for k, v in PARTS.items()):
            return table
    raise RunFolderError(
        f"{path}: not an overlap table; delete it and run "
        f"`{command('contexts', folder.parent)}` with the options it was made with"
    )


def _read(
    path: Path, questions: Mapping[str, Question], corpus: Corpus, budget_tokens: int
) -> dict[str, Packed]:
    """Question id -> its context of one rung under one strategy."""
    rows: dict[str, Packed] = {}
    for context in read_records(path, Context):
        if context.budget_tokens != budget_tokens:
            continue
        question = questions[context.question_id]
        others = [p for p in context.passages if p.tier is not Tier.GOLD]
        distractors = tuple(_distractor(p, question, corpus) for p in others)
        room = context.budget_tokens - context.tokens + sum(p.tokens for p in others)
        rows[question.id] = Packed(distractors, room, len(context.answer_bearing))
    return rows


def _distractor(passage: Passage, question: Question, corpus: Corpus) -> Distractor:
    return Distractor(
        (passage.doc, passage.start),
        passage.tier,
        holds_gold(passage, question, corpus),
        len(passage.part(corpus.text(corpus.id(passage.doc)))),
        any(passage.doc == hop.doc for hop in question.hops),
    )


def _length_matched(
    tiered: Mapping[str, Packed], questions: Mapping[str, Question], source: Source, seed: int
) -> dict[str, Packed]:
    """Random units with the lengths of the tiered picks: what length alone explains."""
    corpus, units = source.corpus, source.units
    sample = islice(shuffled(len(corpus), Random(f"{seed}-lengths")), LENGTH_SAMPLE)
    by_length = sorted(
        (len(units.text(units.unit(name))), name) for doc in sample for name in units.of(doc)
    )
    rows = {}
    for key, context in tiered.items():
        rng, question = Random(f"{seed}-{CONTROL}-{key}"), questions[key]
        gold = {hop.doc for hop in question.hops}
        drawn = []
        for pick in context.distractors:
            at = bisect_left(by_length, (pick.chars, ""))
            near = by_length[max(0, at - LENGTH_NEIGHBOURS) : at + LENGTH_NEIGHBOURS]
            _, name = rng.choice(near)
            if units.key(name) not in gold:
                whole = units.passage(Passage(doc=name, tier=Tier.FILLER, tokens=0))
                drawn.append(_distractor(whole, question, corpus))
        rows[key] = Packed(tuple(drawn), context.room_tokens, 0)
    return rows


def _shares(
    rows: Mapping[str, Packed], ids: Sequence[str], *, others: bool
) -> dict[str, list[float | None]]:
    """For all distractors and for each tier: one share a question, None where it has none."""

    def column(counts: Callable[[Distractor], bool]) -> list[float | None]:
        return [
            share(d.hit for d in rows[key].distractors if counts(d)) if key in rows else None
            for key in ids
        ]

    columns = {name: column(partial(_of_tier, tier)) for name, tier in TIERS.items()}
    if others:
        columns[OTHERS] = column(lambda d: not d.sibling)
    return columns


def _of_tier(tier: Tier | None, distractor: Distractor) -> bool:
    return tier in (None, distractor.tier)


def _pooled(rows: Mapping[str, Packed]) -> dict[str, Any]:
    """Figures over all distractors of a strategy together."""
    every = [d for row in rows.values() for d in row.distractors]
    chars = np.array([d.chars for d in every]) if every else None
    return {
        "pooled": _round(share(d.hit for d in every)),
        "distractors": len(every),
        "n": {
            **{name: sum(_of_tier(tier, d) for d in every) for name, tier in TIERS.items()},
            OTHERS: sum(not d.sibling for d in every),
        },
        "mean_chars": None if chars is None else round(float(chars.mean())),
        "answer_bearing": sum(row.answer_bearing for row in rows.values()),
    }


def _pool(
    packed: Mapping[str, Mapping[str, Packed]],
    questions: Mapping[str, Question],
    trajectories: Mapping[str, Trajectory],
    bench: Bench,
    rules: Rules,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """READ and SEEN before packing, against the room there is for them."""
    own = packed.get("tiered") or packed.get("trajectory-random") or {}
    rows = [
        _pool_row(questions[key], trajectories[key], row.room_tokens, bench, rules)
        for key, row in own.items()
    ]
    if not rows:
        return {}
    fits = sum(row.tokens <= row.room_tokens for row in rows)
    mixed, tiered = packed.get("trajectory-random", {}), packed.get("tiered", {})
    both = [
        share(d.unit in {m.unit for m in mixed[key].distractors} for d in row.distractors)
        for key, row in tiered.items()
        if key in mixed
    ]
    return {
        "tokens": round(float(np.mean([row.tokens for row in rows]))),
        "room_tokens": round(float(np.mean([row.room_tokens for row in rows]))),
        "fits": fits,
        "questions": len(rows),
        "same": _json(mean_ci(both, rng=rng)),
        "same_set": fits >= SAME_SET_SHARE * len(rows),
        "read": _json(mean_ci([row.read for row in rows], rng=rng)),
        "seen": _json(mean_ci([row.seen for row in rows], rng=rng)),
    }


def _pool_row(
    question: Question, trajectory: Trajectory, room_tokens: int, bench: Bench, rules: Rules
) -> PoolRow:
    tokens, _ = bench.counts.in_layout(PLAIN.layout)
    found = pool(
        "tiered",
        question,
        (trajectory,),
        bench.source,
        rules=rules,
        tokens=tokens,
        room_tokens=room_tokens,
        rng=Random(0),
    ).tiers
    passages = [
        bench.source.units.passage(Passage(doc=name, tier=tier, tokens=tokens[name]))
        for name, tier in found.items()
        if tier is not Tier.GOLD
    ]
    hits = [(p.tier, holds_gold(p, question, bench.source.corpus)) for p in passages]
    shares = [share(hit for t, hit in hits if t is tier) for tier in (Tier.READ, Tier.SEEN)]
    return PoolRow(sum(p.tokens for p in passages), room_tokens, shares[0], shares[1])


def _notes(table: Mapping[str, Any], trajectories: Collection[Trajectory]) -> list[str]:
    """What a reader must know before reading the table."""
    notes, found = [], table["pool"]
    if found and found["fits"]:
        notes.append(
            f"In {found['fits']} of {found['questions']} questions READ and SEEN together fit in "
            "the budget: there `trajectory-random` and `tiered` are the same documents"
            + (", so that their difference says nothing." if found["same_set"] else ".")
        )
    if any(trajectory.model == "offline" for trajectory in trajectories):
        notes += [
            "The offline agent prefers to open results that name the entity it follows, which is "
            "mostly a gold one: half of READ > SEEN follows from that.",
            "So the table checks the plumbing; it is no evidence about agents driven by a language "
            "model.",
        ]
    return notes


def _short(detail: Mapping[str, Any]) -> dict[str, Any]:
    kept = [key for key in (*TIERS, OTHERS) if key in ("all", "read", "seen") or detail.get(key)]
    shares = {key: detail[key]["mean"] if detail[key] else None for key in kept}
    return {**shares, "distractors": detail["distractors"]}


def _json(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {
        key: _round(value) if isinstance(value, float) else value
        for key, value in interval._asdict().items()
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
