"""The `contexts` verb: every solved question packed by every strategy, and the overlap table."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

import orjson
from pydantic import Field

import longtrace
from longtrace.config import Config as StageConfig
from longtrace.config import Options, Result
from longtrace.contexts import overlap, render
from longtrace.contexts.assemble import Bench, Rejected, assemble
from longtrace.contexts.counts import Counts, shared_counts
from longtrace.contexts.strategies import STRATEGIES, Strategy, shuffled
from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError
from longtrace.parallel import ordered_map, progress
from longtrace.records import Context, Question, Trajectory, content_id
from longtrace.store import Stage, fingerprint, read_json, read_records, write_json
from longtrace.tokens import Tokens, load, train

TRAINING_CHARS = 8_000_000
INPUTS = ("corpus", "questions", "trajectories")


class Config(StageConfig):
    """Pack gold documents and distractors into contexts of a token budget."""

    strategy: Literal["all", "random", "search", "trajectory-random", "tiered"] = "all"
    """How distractors are chosen; `all` makes every kind, which the overlap table compares."""
    budget_tokens: int = Field(default=32_000, ge=256)
    """The most tokens a prompt may have: documents, instruction and question."""
    tokenizer: str = "corpus"
    """A tokenizer.json file or a hub name; `corpus` trains one on the corpus, with no download."""
    seed: int = 0
    """Decides every draw."""

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """The strategies asked for."""
        return STRATEGIES if self.strategy == "all" else (self.strategy,)


class Solved(NamedTuple):
    """What one pass over the trajectories leaves: the first correct attempt at each question."""

    correct: dict[str, Trajectory]
    attempted: set[str]


class Job(NamedTuple):
    """One question to pack."""

    question: Question
    trajectory: Trajectory | None
    problem: str
    strategies: tuple[Strategy, ...]


def solved(run: Path) -> Solved:
    """The first correct trajectory of every question, and which questions were tried at all."""
    correct: dict[str, Trajectory] = {}
    attempted: set[str] = set()
    for trajectory in read_records(run / "trajectories" / "data.jsonl", Trajectory):
        attempted.add(trajectory.question_id)
        if trajectory.correct:
            correct.setdefault(trajectory.question_id, trajectory)
    return Solved(correct, attempted)


def _questions(run: Path, limit: int | None) -> Iterator[Question]:
    return islice(read_records(run / "questions" / "data.jsonl", Question), limit)


def _identity(config: Config, options: Options, given: Tokens | None) -> dict[str, Any]:
    """What the rows of every strategy depend on."""
    return {
        "budget_tokens": config.budget_tokens,
        "tokenizer": given.fingerprint if given else "corpus",
        "seed": config.seed,
        "prompt": render.fingerprint(),
        "limit": options.limit,
    }


def _tokenizer(path: Path, given: Tokens | None, corpus: Corpus) -> Tokens:
    """The tokenizer of the run, written to `path` for the workers and for later readers."""
    if given is not None:
        given.save(path)
    elif not path.exists():
        train(_sample(corpus)).save(path)
    return load(str(path))


def _sample(corpus: Corpus) -> Iterator[str]:
    """Documents in random order, up to `TRAINING_CHARS` characters, the same for every run."""
    chars = 0
    for doc in shuffled(len(corpus), Random("tokenizer")):
        yield corpus.text(doc)
        chars += len(corpus.text(doc))
        if chars >= TRAINING_CHARS:
            return


def _bench(run: Path) -> Bench:
    """Corpus, tokenizer and counts of a run whose tokenizer has been written."""
    corpus = Corpus.open(run / "corpus")
    tokens = load(str(run / "contexts" / "tokenizer.json"))
    measured = content_id(fingerprint(run / "corpus"), tokens.fingerprint, render.fingerprint())
    known = shared_counts(run / "contexts" / f"counts-{measured}.i32", len(corpus))
    return Bench(corpus, tokens, Counts(corpus, tokens, known))


class _Worker:
    """State of a process: opened once by `_setup`, used by every `_work`."""

    bench: Bench
    budget_tokens: int
    seed: int


def _setup(run: Path, budget_tokens: int, seed: int) -> None:
    _Worker.bench = _bench(run)
    _Worker.budget_tokens, _Worker.seed = budget_tokens, seed


def _work(job: Job) -> list[Context | Rejected]:
    if job.trajectory is None:
        return [Rejected(job.problem)] * len(job.strategies)
    return [
        assemble(
            job.question,
            job.trajectory,
            strategy,
            _Worker.bench,
            budget_tokens=_Worker.budget_tokens,
            seed=_Worker.seed,
        )
        for strategy in job.strategies
    ]


def _jobs(
    questions: Iterator[Question], found: Solved, done: Mapping[Strategy, int]
) -> Iterator[Job]:
    """Every question that some strategy has not done yet."""
    for number, question in enumerate(questions):
        todo = tuple(strategy for strategy, n in done.items() if n <= number)
        if todo:
            tried = question.id in found.attempted
            problem = "never solved" if tried else "never attempted"
            yield Job(question, found.correct.get(question.id), problem, todo)


def _pack(
    config: Config, options: Options, stages: Mapping[Strategy, Stage], found: Solved
) -> None:
    """Make the rows that are missing, question by question, and complete every strategy."""
    total = sum(1 for _ in _questions(options.run, options.limit))
    done = {strategy: stage.done for strategy, stage in stages.items() if not stage.complete}
    jobs = list(_jobs(_questions(options.run, options.limit), found, done))
    with ExitStack() as open_stages, progress("contexts", total) as advance_to:
        for strategy in done:
            open_stages.enter_context(stages[strategy])
        made = ordered_map(
            _work,
            jobs,
            workers=min(options.workers, max(1, len(jobs))),
            setup=_setup,
            setup_args=(options.run, config.budget_tokens, config.seed),
        )
        for number, (job, outcomes) in enumerate(zip(jobs, made, strict=True), 1):
            for strategy, outcome in zip(job.strategies, outcomes, strict=True):
                _write(stages[strategy], job.question, outcome)
            advance_to(total - len(jobs) + number)
        _refuse_nothing(options.run, config, stages)
        for strategy in done:
            stages[strategy].finish()


def _write(stage: Stage, question: Question, outcome: Context | Rejected) -> None:
    if isinstance(outcome, Context):
        stage.accept(outcome)
    elif outcome.needs_tokens is None:
        stage.reject(question.id, outcome.reason)
    else:
        stage.reject(question.id, outcome.reason, needs_tokens=outcome.needs_tokens)


def _refuse_nothing(run: Path, config: Config, stages: Mapping[Strategy, Stage]) -> None:
    """Stop, and leave no rows behind, if no question has a context."""
    if any(stage.accepted for stage in stages.values()):
        return
    stage = next(iter(stages.values()))
    lines = (stage.folder / "rejected.jsonl").read_bytes().splitlines()
    needs = [n for n in (orjson.loads(line).get("needs_tokens") for line in lines) if n]
    for stage in stages.values():
        shutil.rmtree(stage.folder)
    if not needs:
        raise InputError(
            f"{run / 'trajectories'}: no question has a correct trajectory; "
            f"run `longtrace trajectories --run {run} --fresh` with more attempts"
        )
    raise InputError(
        f"--budget-tokens {config.budget_tokens}: gold documents alone need more in all "
        f"{len(needs)} solved questions; {min(needs)} is the smallest budget that would do for "
        f"one of them, {max(needs)} for all"
    )


def _summary(folder: Path, strategies: tuple[Strategy, ...]) -> dict[str, Any]:
    """Counts of the strategies made, and those of the most telling one at the top."""
    metas = {name: read_json(folder / name / "meta.json") for name in strategies}
    each = {
        name: {"count": meta["count"], "rejected": meta["rejected"]} for name, meta in metas.items()
    }
    return {**each[strategies[-1]], "strategies": each}


def _result(meta: Mapping[str, Any], table: dict[str, Any], run: Path) -> Result:
    dropped = ", ".join(f"{n} {reason}" for reason, n in meta["rejected"].items())
    budget = meta["config"]["budget_tokens"]
    lines = [
        f"{meta['count']:,} contexts a strategy of at most {budget:,} tokens"
        + (f"; left out: {dropped}" if dropped else "")
    ]
    return Result(
        table,
        [*lines, *overlap.text(table)],
        run / "contexts",
        f"longtrace export --run {run}",
    )


def _measure(config: Config, options: Options, found: Solved) -> dict[str, Any]:
    """The overlap table of the strategies asked for, also written to `overlap.json`."""
    folder = options.run / "contexts"
    table = overlap.measure(
        {name: folder / name / "data.jsonl" for name in config.strategies},
        {question.id: question for question in _questions(options.run, options.limit)},
        found.correct,
        _bench(options.run),
        seed=config.seed,
    )
    write_json(folder / "overlap.json", table)
    return table


def run(config: Config, options: Options) -> Result:
    """Pack the solved questions of a run and measure what stands round the gold documents.

    Raises:
        InputError: gold alone exceeds the budget in every question, or none was solved.
        RunFolderError: an earlier stage is missing, or the folder is of another configuration.
    """
    folder = options.run / "contexts"
    inputs = {name: fingerprint(options.run / name) for name in INPUTS}
    found = solved(options.run)
    if options.dry_run:
        n = sum(q.id in found.correct for q in _questions(options.run, options.limit))
        return Result(
            {"questions": n, "strategies": list(config.strategies)},
            [f"would pack {n} solved questions by {', '.join(config.strategies)}"],
        )
    given = None if config.tokenizer == "corpus" else load(config.tokenizer)
    identity = _identity(config, options, given)
    if options.fresh:
        for name in ("meta.json", "overlap.json", "tokenizer.json"):
            (folder / name).unlink(missing_ok=True)
    stages = {
        name: Stage(folder / name, {**identity, "strategy": name}, inputs, fresh=options.fresh)
        for name in config.strategies
    }
    whole = {"config": {**identity, "strategy": config.strategy}, "inputs": inputs}
    if (folder / "meta.json").is_file():
        meta = read_json(folder / "meta.json")
        if {key: meta[key] for key in whole} == whole:
            return _result(meta, read_json(folder / "overlap.json"), options.run)
        (folder / "meta.json").unlink()
    _tokenizer(folder / "tokenizer.json", given, Corpus.open(options.run / "corpus"))
    _pack(config, options, stages, found)
    table = _measure(config, options, found)
    summary = _summary(folder, config.strategies)
    meta = {**whole, "version": longtrace.__version__, **summary, "overlap": table["overlap"]}
    write_json(folder / "meta.json", meta)
    return _result(meta, table, options.run)
