"""How telling the distractors are: the share of them that hold at least one gold entity.

The unit is the question: shares are averaged over questions, intervals are bootstrapped over
them, and strategies are compared on the same questions. Where READ and SEEN together fit in the
budget, `tiered` and `trajectory-random` are the same documents, and the table says so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table

from longtrace.contexts.assemble import Bench
from longtrace.contexts.strategies import STRATEGIES, pool, shuffled
from longtrace.corpus.corpus import Corpus
from longtrace.records import Context, Passage, Question, Tier, Trajectory
from longtrace.statistics import Interval, mean_ci, paired_ci
from longtrace.store import read_records
from longtrace.text import Haystack

PAPER = {"random": 0.0135, "search": 0.15, "trajectory-random": 0.4216, "tiered": 0.5003}
"""Share of distractors that hold a gold entity, as reported for arXiv 2605.31584 (128K tokens)."""
CONTROL = "random-length"
PAIRS = (("search", "random"), ("trajectory-random", "search"), ("tiered", "trajectory-random"))
TIERS: dict[str, Tier | None] = {"all": None, "read": Tier.READ, "seen": Tier.SEEN}
SAME_SET_SHARE = 0.9
LENGTH_SAMPLE = 5_000
LENGTH_NEIGHBOURS = 25


class Distractor(NamedTuple):
    """One distractor of one context."""

    doc: str
    tier: Tier
    hit: bool
    """Whether it holds a gold entity."""
    chars: int


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

    A whole document is looked up in the corpus's mentions; of a cut one only the title and the
    text that is kept count.
    """
    doc = corpus.id(passage.doc)
    if passage.chars is None:
        gold = [corpus.id(hop.doc) for hop in question.hops]
        return bool(np.isin(gold, corpus.mentions.of(doc)).any())
    text = Haystack(f"{corpus.title(doc)}\n\n{corpus.text(doc)[: passage.chars]}")
    return any(text.holds(form) for hop in question.hops for form in (hop.entity, *hop.aliases))


def measure(
    files: Mapping[str, Path],
    questions: Mapping[str, Question],
    trajectories: Mapping[str, Trajectory],
    bench: Bench,
    *,
    seed: int,
) -> dict[str, Any]:
    """The overlap table of some strategies as JSON; every share is in [0, 1] or None.

    Args:
        files: strategy -> its `data.jsonl`.
        questions: by id.
        trajectories: question id -> the attempt whose documents were packed.
        bench: corpus and counts.
        seed: draws the bootstrap samples and the length-matched control.
    """
    packed = {name: _read(path, questions, bench.corpus) for name, path in files.items()}
    out: dict[str, Any] = {"paper": PAPER}
    if "tiered" in packed:
        packed[CONTROL] = _length_matched(packed["tiered"], questions, bench.corpus, seed)
    ids = sorted({key for rows in packed.values() for key in rows})
    rng = np.random.default_rng(seed)
    tables = {name: _shares(rows, ids) for name, rows in packed.items()}
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
    out["paired"] = {
        f"{a} - {b}": _json(paired_ci(tables[a]["all"], tables[b]["all"], rng=rng))
        for a, b in PAIRS
        if a in tables and b in tables
    }
    out["pool"] = _pool(packed, questions, trajectories, bench, rng)
    out["notes"] = _notes(out, trajectories.values())
    return out


def _read(path: Path, questions: Mapping[str, Question], corpus: Corpus) -> dict[str, Packed]:
    """Question id -> its context under one strategy."""
    rows: dict[str, Packed] = {}
    for context in read_records(path, Context):
        question = questions[context.question_id]
        others = [p for p in context.passages if p.tier is not Tier.GOLD]
        distractors = tuple(
            Distractor(p.doc, p.tier, holds_gold(p, question, corpus), _chars(p, corpus))
            for p in others
        )
        room = context.budget_tokens - context.tokens + sum(p.tokens for p in others)
        rows[question.id] = Packed(distractors, room, len(context.answer_bearing))
    return rows


def _chars(passage: Passage, corpus: Corpus) -> int:
    return passage.chars if passage.chars is not None else len(corpus.text(corpus.id(passage.doc)))


def _length_matched(
    tiered: Mapping[str, Packed], questions: Mapping[str, Question], corpus: Corpus, seed: int
) -> dict[str, Packed]:
    """Random documents with the lengths of the tiered picks: what length alone explains."""
    sample = islice(shuffled(len(corpus), Random(f"{seed}-lengths")), LENGTH_SAMPLE)
    by_length = sorted((len(corpus.text(doc)), doc) for doc in sample)
    rows = {}
    for key, context in tiered.items():
        rng, question = Random(f"{seed}-{CONTROL}-{key}"), questions[key]
        gold = {hop.doc for hop in question.hops}
        drawn = []
        for pick in context.distractors:
            at = bisect_left(by_length, (pick.chars, -1))
            near = by_length[max(0, at - LENGTH_NEIGHBOURS) : at + LENGTH_NEIGHBOURS]
            chars, doc = rng.choice(near)
            if (name := corpus.key(doc)) not in gold:
                whole = Passage(doc=name, tier=Tier.FILLER, tokens=0)
                hit = holds_gold(whole, question, corpus)
                drawn.append(Distractor(name, Tier.FILLER, hit, chars))
        rows[key] = Packed(tuple(drawn), context.room_tokens, 0)
    return rows


def _shares(rows: Mapping[str, Packed], ids: Sequence[str]) -> dict[str, list[float | None]]:
    """For all distractors and for each tier: one share a question, None where it has none."""
    return {
        name: [
            share(d.hit for d in rows[key].distractors if tier in (None, d.tier))
            if key in rows
            else None
            for key in ids
        ]
        for name, tier in TIERS.items()
    }


def _pooled(rows: Mapping[str, Packed]) -> dict[str, Any]:
    """Figures over all distractors of a strategy together."""
    every = [d for row in rows.values() for d in row.distractors]
    chars = np.array([d.chars for d in every]) if every else None
    return {
        "pooled": _round(share(d.hit for d in every)),
        "distractors": len(every),
        "n": {name: sum(tier in (None, d.tier) for d in every) for name, tier in TIERS.items()},
        "mean_chars": None if chars is None else round(float(chars.mean())),
        "answer_bearing": sum(row.answer_bearing for row in rows.values()),
    }


def _pool(
    packed: Mapping[str, Mapping[str, Packed]],
    questions: Mapping[str, Question],
    trajectories: Mapping[str, Trajectory],
    bench: Bench,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """READ and SEEN before packing, against the room there is for them."""
    own = packed.get("tiered") or packed.get("trajectory-random") or {}
    rows = [
        _pool_row(questions[key], trajectories[key], row.room_tokens, bench)
        for key, row in own.items()
    ]
    if not rows:
        return {}
    fits = sum(row.tokens <= row.room_tokens for row in rows)
    mixed, tiered = packed.get("trajectory-random", {}), packed.get("tiered", {})
    both = [
        share(d.doc in {m.doc for m in mixed[key].distractors} for d in row.distractors)
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
    question: Question, trajectory: Trajectory, room_tokens: int, bench: Bench
) -> PoolRow:
    found = pool(
        "tiered",
        question,
        trajectory,
        corpus=bench.corpus,
        counts=bench.counts,
        room_tokens=room_tokens,
        rng=Random(0),
    ).tiers
    passages = [
        Passage(doc=doc, tier=tier, tokens=bench.counts[doc])
        for doc, tier in found.items()
        if tier is not Tier.GOLD
    ]
    hits = {p.doc: holds_gold(p, question, bench.corpus) for p in passages}
    shares = [
        share(hits[p.doc] for p in passages if p.tier is tier) for tier in (Tier.READ, Tier.SEEN)
    ]
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
        notes.append(
            "The offline agent prefers to open results that name the entity it follows, which is "
            "mostly a gold one: half of READ > SEEN follows from that. The table checks the "
            "plumbing; it is no evidence about agents driven by a language model."
        )
    return notes


def _short(detail: Mapping[str, Any]) -> dict[str, Any]:
    shares = {key: detail[key]["mean"] if detail[key] else None for key in TIERS}
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


def text(table: Mapping[str, Any]) -> list[RenderableType]:
    """The table of `measure` for people, in percent."""
    columns = Table(
        title="share of distractors that hold a gold entity", title_justify="left", box=SIMPLE
    )
    for heading in ("strategy", "tier"):
        columns.add_column(heading, no_wrap=True)
    for heading in ("% [95 % CI]", "n", "mean chars", "paper"):
        columns.add_column(heading, justify="right", no_wrap=True)
    for name in (name for name in (*STRATEGIES, CONTROL) if name in table["detail"]):
        detail = table["detail"][name]
        paper = f"{100 * table['paper'][name]:.2f}" if name in table["paper"] else ""
        chars = f"{detail['mean_chars']:,}" if detail["mean_chars"] else "-"
        columns.add_row(
            name, "all", _percent(detail["all"]), f"{detail['distractors']:,}", chars, paper
        )
        for tier in ("read", "seen"):
            if detail[tier]:
                columns.add_row("", tier.upper(), _percent(detail[tier]), f"{detail['n'][tier]:,}")
    lines: list[RenderableType] = [columns]
    pairs = [f"{a} - {b}" for a, b in PAIRS]
    lines += [_difference(p, table["paired"][p], table) for p in pairs if p in table["paired"]]
    if found := table["pool"]:
        same = f"{100 * found['same']['mean']:.0f}" if found["same"] else "-"
        lines.append(
            f"READ and SEEN before packing: {found['tokens']:,} tokens a question, room for "
            f"{found['room_tokens']:,}; READ {_percent(found['read'])} %, SEEN "
            f"{_percent(found['seen'])} %; {same} % of the tiered set is in trajectory-random too"
        )
    return [*lines, *(f"note: {note}" for note in table["notes"])]


def _percent(found: Mapping[str, Any] | None) -> str:
    return Interval(**found).text(scale=100, digits=1) if found else "-"


def _difference(pair: str, found: Mapping[str, Any] | None, table: Mapping[str, Any]) -> str:
    if pair == "tiered - trajectory-random" and table["pool"]["same_set"]:
        return f"{pair}: not comparable, they are the same set"
    if found is None:
        return f"{pair}: -"
    interval = Interval(**found)
    verdict = "" if interval.excludes_zero else ", not significant"
    return f"{pair}: {interval.text(scale=100, digits=1, sign=True)} points, paired{verdict}"
