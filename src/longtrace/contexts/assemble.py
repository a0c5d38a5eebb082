"""One question, one strategy, one context: choose, pack, render, count, and shrink if need be."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from longtrace.contexts import render
from longtrace.contexts.counts import Counts
from longtrace.contexts.pack import pack
from longtrace.contexts.strategies import ORDER, Strategy, pool
from longtrace.corpus.corpus import Corpus
from longtrace.records import Context, Question, Trajectory, content_id
from longtrace.tokens import Tokens

GOLD_EXCEEDS = "gold exceeds budget"


class Bench(NamedTuple):
    """What contexts are made from and measured with."""

    corpus: Corpus
    tokens: Tokens
    counts: Counts


class Rejected(NamedTuple):
    """Why a question has no context."""

    reason: str
    needs_tokens: int | None = None
    """The smallest budget that holds the gold documents; None if that is not the reason."""


def assemble(
    question: Question,
    trajectory: Trajectory,
    strategy: Strategy,
    bench: Bench,
    *,
    budget_tokens: int,
    seed: int,
) -> Context | Rejected:
    """The context of a question under a strategy; its whole prompt has at most `budget_tokens`.

    Counts of passages do not quite add up for every tokenizer, so the rendered prompt is counted
    once more. If it is too long, packing is repeated with as many tokens less.

    Args:
        question: its hops are the gold documents.
        trajectory: a correct attempt at it.
        strategy: how distractors are chosen.
        bench: corpus, tokenizer and counts.
        budget_tokens: the most tokens the prompt may have.
        seed: with strategy and question, decides every draw.
    """
    around = bench.tokens.count(render.prompt([], question.text))
    gold = sum(bench.counts[hop.doc] for hop in question.hops)
    room, spare = budget_tokens - around - gold, 0
    while spare <= room:
        rng = Random(f"{seed}-{strategy}-{question.id}")
        chosen = pool(
            strategy,
            question,
            trajectory,
            corpus=bench.corpus,
            counts=bench.counts,
            room_tokens=room - spare,
            rng=rng,
        )
        passages = pack(
            chosen.tiers,
            bench.counts,
            budget_tokens=gold + room - spare,
            rng=rng,
            order=ORDER[strategy],
            cut=bench.counts.cut,
        )
        parts = render.sections(passages, bench.corpus)
        counted = render.count(parts, question.text, bench.tokens)
        if counted.total <= budget_tokens:
            exact = tuple(
                passage.model_copy(update={"tokens": n})
                for passage, n in zip(passages, counted.passages, strict=True)
            )
            kept = [(p.doc, p.chars) for p in exact]
            return Context(
                id=content_id(question.id, strategy, seed, bench.tokens.fingerprint, kept),
                question_id=question.id,
                passages=exact,
                tokens=counted.total,
                budget_tokens=budget_tokens,
                tokenizer=bench.tokens.fingerprint,
                strategy=strategy,
                seed=seed,
                answer_bearing=chosen.answer_bearing,
            )
        spare += counted.total - budget_tokens
    return Rejected(GOLD_EXCEEDS, budget_tokens + spare - room)
