"""The `contexts` verb: every solved question packed by every strategy, and the overlap table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

import longtrace
from longtrace.config import Options, Result
from longtrace.contexts import figures, overlap, overlap_text, render
from longtrace.contexts.assemble import Rejected, gold_tokens
from longtrace.contexts.config import Config
from longtrace.contexts.strategies import STRATEGIES, Rules, Strategy, shuffled
from longtrace.contexts.work import Job, Outcome, Setting, open_bench, outcomes, shared_bench
from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError, command
from longtrace.lock import Lock
from longtrace.parallel import progress
from longtrace.records import Answer, Context, Question, Trajectory
from longtrace.store import (
    Stage,
    check_inputs,
    fingerprint,
    is_made,
    read_meta,
    read_records,
    write_json,
)
from longtrace.tokens import Tokens, load, train

__all__ = ["Config", "Solved", "run", "solved"]

TRAINING_CHARS = 8_000_000
INPUTS = ("corpus", "questions", "trajectories")


class Solved(NamedTuple):
    """What one pass over the trajectories leaves of every question."""

    attempts: dict[str, tuple[Trajectory, ...]]
    """The first correct attempt, and of the others what they cited; empty if none was correct."""
    rates: dict[str, float]
    """Share of the attempts whose correctness is known that are right; absent if none is known."""

    @property
    def correct(self) -> dict[str, Trajectory]:
        """The first correct attempt at every question that has one."""
        return {key: attempts[0] for key, attempts in self.attempts.items() if attempts}


def solved(run: Path) -> Solved:
    """The attempts at every question that was tried, the first correct one in front."""
    first: dict[str, Trajectory] = {}
    others: dict[str, list[Trajectory]] = {}
    judged: dict[str, list[bool]] = {}
    for trajectory in read_records(run / "trajectories" / "data.jsonl", Trajectory):
        key = trajectory.question_id
        others.setdefault(key, [])
        if trajectory.correct is not None:
            judged.setdefault(key, []).append(trajectory.correct)
        if trajectory.correct and key not in first:
            first[key] = trajectory
        elif trajectory.cited:
            answers = tuple(step for step in trajectory.steps if isinstance(step, Answer))
            others[key].append(trajectory.model_copy(update={"steps": answers}))
    return Solved(
        {k: (first[k], *rest) if k in first else () for k, rest in others.items()},
        {k: fmean(verdicts) for k, verdicts in judged.items()},
    )


def _questions(run: Path, limit: int | None) -> Iterator[Question]:
    return islice(read_records(run / "questions" / "data.jsonl", Question), limit)


def _setting(config: Config, options: Options) -> Setting:
    rules = Rules(config.answer_bearing, config.siblings)
    return Setting(options.run, config.unit, config.passage_chars, rules, config.seed)


def _identity(config: Config, options: Options, given: Tokens | None) -> dict[str, Any]:
    """What the rows of every strategy depend on."""
    band = {"min_pass_rate": config.min_pass_rate, "max_pass_rate": config.max_pass_rate}
    return {
        **(band if band != {"min_pass_rate": 0.0, "max_pass_rate": 1.0} else {}),
        "budget_tokens": config.budget_tokens if not config.ladder else max(config.rungs),
        "ladder": list(config.ladder),
        "tokenizer": given.fingerprint if given else "corpus",
        "unit": config.unit,
        "passage_chars": config.passage_chars if config.unit == "passage" else None,
        "siblings": config.siblings,
        "answer_bearing": config.answer_bearing,
        "seed": config.seed,
        "prompt": render.fingerprint(),
        "prompts": config.prompts,
        "reader": config.reader.identity() if config.reader.base_url else None,
        "limit": options.limit,
    }


def _tokenizer(run: Path, given: Tokens | None) -> Tokens:
    """The tokenizer given, or the one trained on this corpus, which is kept for the next time."""
    if given is not None:
        return given
    path = run / "contexts" / f"trained-{fingerprint(run / 'corpus')}.json"
    if path.is_file():
        with suppress(InputError):  # a damaged one is trained again, from the same documents
            return load(str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    train(_sample(Corpus.open(run / "corpus"))).save(path)
    return load(str(path))


def _sample(corpus: Corpus) -> Iterator[str]:
    """Documents in random order, up to `TRAINING_CHARS` characters, the same for every run."""
    chars = 0
    for doc in shuffled(len(corpus), Random("tokenizer")):
        yield corpus.text(doc)
        chars += len(corpus.text(doc))
        if chars >= TRAINING_CHARS:
            return


def _require_room(config: Config, options: Options, found: Solved, tokens: Tokens) -> None:
    """Check that some question can be packed, before anything is deleted or made.

    Raises:
        InputError: none was solved, or gold alone exceeds the largest budget in every question.
    """
    top, attempted = max(config.rungs), False
    needs: list[int] = []
    bench = open_bench(_setting(config, options), tokens, None)
    for question in _questions(options.run, options.limit):
        if found.attempts.get(question.id):
            form = render.form(config.prompts, config.seed, question.id)
            needed = gold_tokens(question, form, bench)
            if needed is not None and needed <= top:
                return
            attempted = True
            needs += [] if needed is None else [needed]
    if attempted and not needs:
        raise InputError(
            "--unit passage: in no solved question every gold document has a passage that leads "
            "on; use --unit document"
        )
    if not needs:
        raise InputError(
            f"{options.run / 'trajectories'}: no question has a correct trajectory; "
            f"run `{command('trajectories', options.run, '--fresh')}` with more attempts"
        )
    raise InputError(
        f"--budget-tokens {top}: gold documents alone need more in all {len(needs)} solved "
        f"questions; {min(needs)} is the smallest budget that would do for one of them, "
        f"{max(needs)} for all"
    )


def _jobs(
    config: Config, options: Options, found: Solved, done: Mapping[Strategy, int]
) -> Iterator[Job]:
    """Every question and rung that some strategy has not done yet."""
    number = 0
    for question in _questions(options.run, options.limit):
        attempts = found.attempts.get(question.id)
        problem = "never attempted" if attempts is None else "never solved"
        rate = found.rates.get(question.id, 0.0)
        if attempts and not config.min_pass_rate <= rate <= config.max_pass_rate:
            attempts, problem = (), "pass rate outside the band"
        form = render.form(config.prompts, config.seed, question.id)
        for rung in config.rungs:
            todo = tuple(strategy for strategy, n in done.items() if n <= number)
            if todo:
                yield Job(question, attempts or (), problem, form, rung, todo)
            number += 1


def _pack(
    config: Config, options: Options, stages: Mapping[Strategy, Stage], found: Solved
) -> None:
    """Make the rows that are missing, question by question, and complete every strategy."""
    done = {strategy: stage.done for strategy, stage in stages.items() if not stage.complete}
    jobs = list(_jobs(config, options, found, done))
    made = outcomes(_setting(config, options), jobs, workers=options.workers, reader=config.reader)
    with ExitStack() as open_stages, progress("contexts", len(jobs)) as advance_to:
        for strategy in done:
            open_stages.enter_context(stages[strategy])
        for number, (job, found_here) in enumerate(made, 1):
            for strategy, outcome in zip(job.strategies, found_here, strict=True):
                _write(stages[strategy], job, outcome, rungs=len(config.rungs))
            advance_to(number)
        for strategy in done:
            rows = read_records(stages[strategy].folder / "data.jsonl", Context)
            asked = bool(config.reader.base_url)
            stages[strategy].finish(**figures.figures(rows, asked=asked))


def _write(stage: Stage, job: Job, outcome: Outcome, *, rungs: int) -> None:
    if isinstance(outcome, Rejected):
        detail = {"budget_tokens": job.budget_tokens} if rungs > 1 else {}
        if outcome.needs_tokens is not None:
            detail["needs_tokens"] = outcome.needs_tokens
        stage.reject(job.question.id, outcome.reason, **detail)
    else:
        stage.accept(outcome)


def _summary(folder: Path, strategies: tuple[Strategy, ...]) -> dict[str, Any]:
    """Counts of the strategies made, and those of `tiered` (or the last one) at the top."""
    metas = {name: read_meta(folder / name) for name in strategies}
    each = {
        name: {k: v for k, v in meta.items() if k not in ("config", "content", "inputs", "version")}
        for name, meta in metas.items()
    }
    shown = each["tiered" if "tiered" in each else strategies[-1]]
    return {"count": shown["count"], "rejected": shown["rejected"], "strategies": each}


def _result(meta: Mapping[str, Any], table: dict[str, Any], run: Path) -> Result:
    dropped = ", ".join(f"{n} {reason}" for reason, n in meta["rejected"].items())
    ladder, budget = meta["config"]["ladder"], f"{meta['config']['budget_tokens']:,}"
    rungs = f" on {len(ladder)} rungs from {ladder[0]:,}" if ladder else ""
    lines = [
        f"{meta['count']:,} contexts a strategy of at most {budget} tokens{rungs}"
        + (f"; left out: {dropped}" if dropped else "")
    ]
    name = "tiered" if "tiered" in meta["strategies"] else list(meta["strategies"])[-1]
    shown = figures.lines(meta["strategies"][name])
    if len(meta["strategies"]) > 1:
        shown = [f"{name}, {line}" for line in shown]
    return Result(
        table,
        [*lines, *shown, *overlap_text.text(table)],
        run / "contexts",
        command("export", run),
    )


def _measure(
    config: Config, options: Options, found: Solved, strategies: tuple[Strategy, ...]
) -> dict[str, Any]:
    """The overlap table of these strategies, also written to `overlap.json`."""
    folder = options.run / "contexts"
    table = overlap.measure(
        {name: folder / name / "data.jsonl" for name in strategies},
        {question.id: question for question in _questions(options.run, options.limit)},
        found.correct,
        shared_bench(_setting(config, options)),
        rules=Rules(config.answer_bearing, config.siblings),
        budget_tokens=max(config.rungs),
        seed=config.seed,
    )
    write_json(folder / "overlap.json", table)
    return table


def _open(
    config: Config, options: Options, identity: Mapping[str, Any], inputs: Mapping[str, str]
) -> dict[Strategy, Stage]:
    """The folders of the strategies asked for, emptied with `--fresh`."""
    folder = options.run / "contexts"
    if options.fresh:
        for name in ("meta.json", "overlap.json", "tokenizer.json"):
            (folder / name).unlink(missing_ok=True)
    return {
        name: Stage(folder / name, {**identity, "strategy": name}, inputs, fresh=options.fresh)
        for name in config.strategies
    }


def _finished(
    config: Config, options: Options, identity: Mapping[str, Any], inputs: Mapping[str, str]
) -> Result | None:
    """What an earlier call made, if nothing of it is missing.

    Raises:
        RunFolderError: a strategy was made with another configuration, or a file is damaged.
    """
    folder = options.run / "contexts"
    stages = _open(config, options, identity, inputs).values()
    if not all(stage.complete for stage in stages) or not (folder / "meta.json").is_file():
        return None
    meta, table = read_meta(folder), overlap.read(folder)
    made = {key: value for key, value in meta["config"].items() if key != "strategy"}
    known = {*config.strategies} <= {*meta.get("strategies", ())}
    if table is None or not known or (made, meta["inputs"]) != (identity, inputs):
        return None
    return _result(meta, table, options.run)


def _inputs(run: Path) -> dict[str, str]:
    """Fingerprints of the earlier stages, each of which must be made from those before it."""
    folders = {name: run / name for name in INPUTS}
    found = {name: fingerprint(folder) for name, folder in folders.items()}
    for folder in folders.values():
        check_inputs(folder, folders)
    return found


def _check(config: Config) -> None:
    if config.ladder and config.answer_bearing == "promote":
        raise InputError(
            "--ladder with --answer-bearing promote: what is promoted takes room from what a "
            "shorter context holds; use drop or strict"
        )
    if bool(config.reader.base_url) != bool(config.reader.model):
        raise InputError("--reader.base-url and --reader.model belong together; give both or none")


def _sum_up(
    config: Config,
    options: Options,
    identity: Mapping[str, Any],
    inputs: Mapping[str, str],
    found: Solved,
) -> Result:
    """Measure every complete strategy that was made alike, and write `meta.json`."""
    folder = options.run / "contexts"
    strategies = tuple(
        name
        for name in STRATEGIES
        if is_made(folder / name, {**identity, "strategy": name}, inputs)
    )
    table = _measure(config, options, found, strategies)
    named = "all" if strategies == STRATEGIES else ", ".join(strategies)
    meta = {
        "config": {**identity, "strategy": named},
        "inputs": inputs,
        "version": longtrace.__version__,
        "tokenizer": config.tokenizer,
        **_summary(folder, strategies),
        "overlap": table["overlap"],
    }
    write_json(folder / "meta.json", meta)
    return _result(meta, table, options.run)


def run(config: Config, options: Options) -> Result:
    """Pack the solved questions of a run and measure what stands round the gold documents.

    Raises:
        InputError: gold alone exceeds the budget in every question, or none was solved.
        RunFolderError: an earlier stage is missing, or the folder is of another configuration.
    """
    _check(config)
    folder = options.run / "contexts"
    inputs = _inputs(options.run)
    found = solved(options.run)
    if options.dry_run:
        n = sum(q.id in found.correct for q in _questions(options.run, options.limit))
        return Result(
            {"questions": n, "strategies": list(config.strategies)},
            [f"would pack {n} solved questions by {', '.join(config.strategies)}"],
        )
    given = None if config.tokenizer == "corpus" else load(config.tokenizer)
    identity = _identity(config, options, given)
    if not options.fresh:
        finished = _finished(config, options, identity, inputs)
        if finished is not None:
            return finished
    with Lock(folder):
        tokens = _tokenizer(options.run, given)
        _require_room(config, options, found, tokens)
        stages = _open(config, options, identity, inputs)
        (folder / "meta.json").unlink(missing_ok=True)
        tokens.save(folder / "tokenizer.json")
        _pack(config, options, stages, found)
        return _sum_up(config, options, identity, inputs, found)
