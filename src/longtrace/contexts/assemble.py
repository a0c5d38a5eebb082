"""One question, one strategy, one budget, one context: choose, pack, render, count, correct."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from longtrace.contexts import render
from longtrace.contexts.counts import Counts
from longtrace.contexts.pack import pack
from longtrace.contexts.render import Counted, Form
from longtrace.contexts.strategies import (
    ORDER,
    NoGoldPassageError,
    Rules,
    Source,
    Strategy,
    gold_units,
    pool,
)
from longtrace.records import Context, Passage, Proof, Question, Tier, Trajectory, content_id
from longtrace.tokens import Tokens

GOLD_EXCEEDS = "gold exceeds budget"
NO_GOLD_PASSAGE = "no passage of a gold document leads on"
FULL = 0.99
"""A context with fewer tokens than this share of its budget is packed again, if it can be."""
_TRIES = 4
_STREAM: dict[Strategy, Strategy] = {"near-miss": "tiered"}
"""`near-miss` draws as `tiered` does, so that the two differ in NEAR_MISS alone."""


class Bench(NamedTuple):
    """What contexts are made from and measured with."""

    source: Source
    tokens: Tokens
    counts: Counts


class Rejected(NamedTuple):
    """Why a question has no context."""

    reason: str
    needs_tokens: int | None = None
    """The smallest budget that holds the gold documents; None if that is not the reason."""


class Chosen(NamedTuple):
    """Passages of one try, in prompt order, with estimated counts."""

    passages: tuple[Passage, ...]
    exhausted: bool
    proofs: tuple[Proof, ...]


Packed = tuple[Chosen, Counted]
"""A try and its exact counts."""
Memory = dict[object, Counted]
"""Counts of prompts made a moment ago: strategies often agree in what they pack."""


class Plan(NamedTuple):
    """What is the same for all tries at a context."""

    question: Question
    attempts: Sequence[Trajectory]
    """A correct one first."""
    strategy: Strategy
    form: Form
    rules: Rules
    budget_tokens: int
    seed: int

    def rng(self, purpose: str) -> Random:
        """Random numbers that depend on seed, strategy, question and purpose; on no budget."""
        stream = _STREAM.get(self.strategy, self.strategy)
        return Random(f"{self.seed}-{stream}-{self.question.id}-{purpose}")


def assemble(plan: Plan, bench: Bench, memory: Memory | None = None) -> Context | Rejected:
    """The context of a question under a strategy; its whole prompt has at most the budget's tokens.

    Counts of passages do not quite add up for every tokenizer, so the rendered prompt is counted
    once more. If it is too long, or misses the budget by more than a hundredth although there is
    more to pack, packing is repeated for as many tokens less or more; at last a word may be cut.
    """
    memory = {} if memory is None else memory
    try:
        return _assemble(plan, bench, memory)
    except NoGoldPassageError:
        return Rejected(NO_GOLD_PASSAGE)


def _assemble(plan: Plan, bench: Bench, memory: Memory) -> Context | Rejected:
    budget = plan.budget_tokens
    best: Packed | None = None
    for anywhere in (False, True):
        best = _packed(plan, bench, memory, best, anywhere=anywhere)
        if best is None or best[0].exhausted or best[1].total >= FULL * budget:
            break
    if best is None:
        alone = _gold_only(plan, bench)
        best = alone, _count(plan, alone.passages, bench, memory)
        if best[1].total > budget:
            return Rejected(GOLD_EXCEEDS, best[1].total)
    return _context(plan, bench, *best)


def _packed(
    plan: Plan, bench: Bench, memory: Memory, best: Packed | None, *, anywhere: bool
) -> Packed | None:
    """The fullest of `best` and some tries that fit the budget; None if none does."""
    budget = plan.budget_tokens
    reserve = budget // 1000
    target = budget - reserve
    for _ in range(_TRIES):
        made = choose(plan, bench, target, anywhere=anywhere)
        if made is None:
            break
        counted = _count(plan, made.passages, bench, memory)
        if counted.total <= budget and (best is None or counted.total > best[1].total):
            best = made, counted
        if counted.total <= budget and (made.exhausted or counted.total >= FULL * budget):
            break
        target += budget - reserve - counted.total
    return best


def gold_tokens(question: Question, form: Form, bench: Bench) -> int | None:
    """Tokens of the prompt with the gold units alone: the smallest budget that would do.

    None if a gold document has no passage that leads on.
    """
    corpus = bench.source.corpus
    try:
        names = gold_units(question, bench.source)
    except NoGoldPassageError:
        return None
    units = bench.source.units
    passages = [units.passage(Passage(doc=name, tier=Tier.GOLD, tokens=0)) for name in names]
    parts = render.sections(passages, corpus, form.layout)
    return render.count(parts, question.text, bench.tokens, form.phrasing).total


def choose(
    plan: Plan, bench: Bench, target_tokens: int, *, anywhere: bool = False
) -> Chosen | None:
    """Passages for about `target_tokens` of prompt; None if gold alone seems to need more.

    With `anywhere` the last of them may be cut inside a word.
    """
    slack = plan.budget_tokens // 250
    tokens, cut = bench.counts.in_layout(plan.form.layout, slack, anywhere=anywhere)
    around = bench.tokens.count(render.prompt([], plan.question.text, plan.form.phrasing))
    gold = sum(tokens[name] for name in gold_units(plan.question, bench.source))
    room = target_tokens - around - gold
    if room < 0:
        return None
    chosen = pool(
        plan.strategy,
        plan.question,
        plan.attempts,
        bench.source,
        rules=plan.rules,
        tokens=tokens,
        room_tokens=room,
        rng=plan.rng("draw"),
    )
    packed = pack(
        chosen.tiers,
        tokens,
        budget_tokens=target_tokens - around,
        rng=plan.rng("order"),
        order=ORDER[plan.strategy],
        cut=cut,
    )
    exhausted = len(packed) == len(chosen.tiers) and all(p.chars is None for p in packed)
    noted = _notes(packed, plan, bench.source)
    passages = tuple(bench.source.units.passage(passage) for passage in packed)
    return Chosen(passages, exhausted, (*chosen.proofs, *noted))


def _gold_only(plan: Plan, bench: Bench) -> Chosen:
    names = dict.fromkeys(gold_units(plan.question, bench.source), Tier.GOLD)
    packed = pack(names, dict.fromkeys(names, 0), budget_tokens=0, rng=plan.rng("order"))
    passages = tuple(bench.source.units.passage(passage) for passage in packed)
    return Chosen(passages, False, ())


def _notes(packed: Sequence[Passage], plan: Plan, source: Source) -> list[Proof]:
    """Distractors that hold the answer alone and stay."""
    found = (
        source.checker.proof(passage.doc, plan.question, plan.rules.answer_bearing)
        for passage in packed
        if passage.tier is not Tier.GOLD
    )
    return [proof for proof in found if proof is not None]


def _count(plan: Plan, passages: tuple[Passage, ...], bench: Bench, memory: Memory) -> Counted:
    """Exact counts of the rendered prompt."""
    key = (plan.question.id, plan.form, tuple((p.doc, p.start, p.chars) for p in passages))
    if key not in memory:
        parts = render.sections(passages, bench.source.corpus, plan.form.layout)
        memory[key] = render.count(parts, plan.question.text, bench.tokens, plan.form.phrasing)
    return memory[key]


def _context(plan: Plan, bench: Bench, chosen: Chosen, counted: Counted) -> Context:
    exact = tuple(
        passage.model_copy(update={"tokens": n})
        for passage, n in zip(chosen.passages, counted.passages, strict=True)
    )
    kept = [(p.doc, p.start, p.chars) for p in exact]
    fingerprint = bench.tokens.fingerprint
    identity = (plan.question.id, plan.strategy, plan.seed, plan.budget_tokens, fingerprint)
    return Context(
        id=content_id(*identity, *plan.form, kept),
        question_id=plan.question.id,
        passages=exact,
        tokens=counted.total,
        budget_tokens=plan.budget_tokens,
        tokenizer=fingerprint,
        strategy=plan.strategy,
        seed=plan.seed,
        phrasing=plan.form.phrasing,
        layout=plan.form.layout,
        exhausted=chosen.exhausted,
        certificate=chosen.proofs,
    )
