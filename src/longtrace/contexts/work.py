"""The work of the `contexts` verb, spread over processes: one question and rung at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from longtrace.contexts import render
from longtrace.contexts.assemble import Bench, Memory, Plan, Rejected, assemble
from longtrace.contexts.certificate import Checker
from longtrace.contexts.counts import Counts, shared_counts
from longtrace.contexts.strategies import Rules, Source, Strategy
from longtrace.contexts.units import Kind, Units
from longtrace.contexts.without_gold import answered_without_gold
from longtrace.corpus.corpus import Corpus
from longtrace.llm import LLM, Endpoint
from longtrace.llm_limits import in_order
from longtrace.parallel import ordered_map
from longtrace.records import Context, Question, Trajectory, content_id
from longtrace.store import fingerprint
from longtrace.tokens import Tokens, load

ANSWERED = "answered without gold"
ItemT = TypeVar("ItemT")
Outcome = Context | Rejected


class Setting(NamedTuple):
    """What is the same for every question of a run."""

    run: Path
    kind: Kind
    passage_chars: int
    rules: Rules
    seed: int


class Job(NamedTuple):
    """One question to pack to one budget by some strategies."""

    question: Question
    attempts: tuple[Trajectory, ...]
    """A correct one first; empty if there is none."""
    problem: str
    """Why there is none."""
    form: render.Form
    budget_tokens: int
    strategies: tuple[Strategy, ...]


def open_bench(setting: Setting, tokens: Tokens, known: npt.NDArray[np.int32] | None) -> Bench:
    """Corpus, tokenizer and counts; the counts start from nothing if `known` is None."""
    corpus = Corpus.open(setting.run / "corpus")
    units = Units(corpus, setting.kind, setting.passage_chars)
    known = np.zeros(len(corpus), np.int32) if known is None else known
    source = Source(corpus, units, Checker(corpus, units))
    return Bench(source, tokens, Counts(units, tokens, known))


def shared_bench(setting: Setting) -> Bench:
    """The bench of a run whose tokenizer has been written; counts are shared by its processes."""
    folder = setting.run / "contexts"
    tokens = load(str(folder / "tokenizer.json"))
    measured = content_id(fingerprint(setting.run / "corpus"), tokens.fingerprint)
    documents = len(Corpus.open(setting.run / "corpus"))
    return open_bench(setting, tokens, shared_counts(folder / f"counts-{measured}.i32", documents))


class _Worker:
    """State of a process: opened once by `_setup`, used by every `_work`."""

    bench: Bench
    setting: Setting


def _setup(setting: Setting) -> None:
    _Worker.bench, _Worker.setting = shared_bench(setting), setting


def _work(job: Job) -> list[Outcome]:
    if not job.attempts:
        return [Rejected(job.problem)] * len(job.strategies)
    memory: Memory = {}
    setting = _Worker.setting
    plans = (
        Plan(
            job.question,
            job.attempts,
            strategy,
            job.form,
            setting.rules,
            job.budget_tokens,
            setting.seed,
        )
        for strategy in job.strategies
    )
    return [assemble(plan, _Worker.bench, memory) for plan in plans]


def outcomes(
    setting: Setting, jobs: Sequence[Job], *, workers: int, reader: Endpoint
) -> Iterator[tuple[Job, list[Outcome]]]:
    """What became of every job, in order, one outcome for each of its strategies.

    If `reader` has an address, that model must fail without the gold documents; else the outcome is
    a rejection.
    """
    made = ordered_map(
        _work,
        jobs,
        workers=min(workers, max(1, len(jobs))),
        setup=_setup,
        setup_args=(setting,),
    )
    pairs = zip(jobs, made, strict=True)
    return _checked(setting, pairs, reader) if reader.base_url else pairs


def _checked(
    setting: Setting, made: Iterable[tuple[Job, list[Outcome]]], reader: Endpoint
) -> Iterator[tuple[Job, list[Outcome]]]:
    """`made`, each context shown to a model without its gold documents."""
    corpus = Corpus.open(setting.run / "corpus")
    cache = setting.run / "cache" / "contexts.sqlite"
    cache.parent.mkdir(exist_ok=True)

    async def check(llm: LLM, outcome: Outcome, question: Question) -> Outcome:
        if isinstance(outcome, Rejected):
            return outcome
        told = await answered_without_gold(outcome, question, corpus, llm)
        if told:
            return Rejected(ANSWERED)
        return outcome.model_copy(update={"answered_without_gold": told})

    async def check_all(
        llm: LLM, batch: Sequence[tuple[Job, list[Outcome]]]
    ) -> list[tuple[Job, list[Outcome]]]:
        flat = [(outcome, job.question) for job, found in batch for outcome in found]
        told = in_order(lambda pair: check(llm, *pair), flat, ahead=reader.concurrency)
        results = iter([outcome async for outcome in told])
        return [(job, list(islice(results, len(found)))) for job, found in batch]

    async def client() -> LLM:
        return LLM(reader, cache)

    with asyncio.Runner() as runner:
        llm = runner.run(client())
        try:
            for batch in _batches(made, reader.concurrency):
                yield from runner.run(check_all(llm, batch))
        finally:
            runner.run(llm.__aexit__(None, None, None))


def _batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
