"""The `train` verb: rows, a policy, GRPO, and held-out questions before and after.

Each part leaves its artefact in `training/` in one step, so a killed run continues with the part it
was in: tasks line by line, the warm start from its beginning, GRPO from its last checkpoint. The
bytes are those of an undisturbed run on the same machine with the same number of threads.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from longtrace.config import Options, Result
from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError, RunFolderError, command
from longtrace.llm import Spent
from longtrace.parallel import progress
from longtrace.records import Example, Record
from longtrace.statistics import Interval
from longtrace.store import (
    Stage,
    fingerprint,
    read_identity,
    read_json,
    read_records,
    write_json,
)
from longtrace.training import launch, plan, policy, rows, trl
from longtrace.training.config import Config
from longtrace.training.measure import Answered, Decoding, change, measured, respond
from longtrace.training.outcomes import Outcomes, outcomes
from longtrace.training.tasks import Task, example
from longtrace.training.warmup import Attempt, total_steps, warm_start

__all__ = ["Change", "Config", "run"]

_DECODINGS: tuple[Decoding, ...] = ("sampled", "greedy")


class Change(Record):
    """One measure on held-out questions, before and after training."""

    decoding: Decoding
    measure: str
    """`outcome`: share of right answers. `rubric`: mean share of the gold entities named."""
    before: Interval | None
    after: Interval | None
    difference: Interval | None
    """After less before, paired by question."""


def run(config: Config, options: Options) -> Result:
    """Train a policy and measure it; the folder is `training/` of the run.

    With `--plan` say what fits; for another engine than TRL give its launch.
    """
    if config.plan:
        return plan.run(config, options)
    if config.engine != "trl":
        return launch.run(config, options)
    folder = options.run / "training"
    policy.require_extra()
    trl.vllm_options(config)
    identity = config.identity() | ({"limit": options.limit} if options.limit else {})
    inputs = _inputs(config, options.run)
    if options.dry_run:
        return _plan(config, folder)
    if config.resume:
        _reopen(folder, identity)
    with (
        policy.quiet(config.threads),
        Stage(folder, identity, inputs, fresh=options.fresh) as stage,
    ):
        if not stage.complete:
            _work(stage, config, options)
    return _result(config, options.run, folder)


def _inputs(config: Config, run_folder: Path) -> dict[str, str]:
    if not config.model:
        return {"corpus": fingerprint(run_folder / "corpus")}
    exported = run_folder / "dataset" / "trl"
    rows.require_export(exported)
    return {"dataset": fingerprint(exported)}


def _reopen(folder: Path, identity: dict[str, Any]) -> None:
    """Let a training go on with more steps; nothing else may differ from the folder's settings.

    Raises:
        RunFolderError: there is nothing to continue.
        InputError: fewer steps than were asked for before.
    """
    if not (folder / "stage.json").is_file():
        raise RunFolderError(
            f"{folder}: nothing to continue; run the same command without --resume"
        )
    was = read_identity(folder).model_dump()
    before, now = was["config"].get("steps"), identity["steps"]
    if before == now or {**was["config"], "steps": now} != orjson.loads(orjson.dumps(identity)):
        return  # the stage itself says what differs
    if now < before:
        raise InputError(f"--steps {now}: {folder} was made with {before}; give at least as many")
    for name in ("meta.json", "evaluation.json", "after.jsonl"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "model", ignore_errors=True)
    write_json(folder / "stage.json", {**was, "config": identity})


def _work(stage: Stage, config: Config, options: Options) -> None:
    """Everything that is still to be done, in order."""
    folder = stage.folder
    if config.model:
        given, start = rows.exported(options.run / "dataset" / "trl"), config.model
        train, test = given.train, given.test
    else:
        examples = _tiny(stage, config, options.run)
        train, test, start = rows.dataset(examples[0]), examples[1], str(folder / "policy")
    test = test[: config.eval_questions]
    if options.limit:
        train = train.select(range(min(options.limit, len(train))))
    cache = options.run / "cache" / "judge.sqlite"
    used: list[Spent] = []
    with outcomes(config.told_by, config.judge, cache, used.append) as tell:
        if not (folder / "before.jsonl").is_file():
            _write_answers(folder / "before.jsonl", config, start, test, tell)
        if not (folder / "model").is_dir():
            model, tokenizer = _load(start, config)
            with progress("grpo", config.steps) as advance:
                trl.train(model, tokenizer, train, config, folder, advance=advance, outcomes=tell)
        if not (folder / "after.jsonl").is_file():
            _write_answers(folder / "after.jsonl", config, str(folder / "model"), test, tell)
    changes = evaluate(folder)
    write_json(folder / "evaluation.json", {"changes": [_plain(c) for c in changes]})
    warmup = folder / "policy" / "warmup.json"
    stage.finish(
        steps=config.steps,
        evaluation=[_plain(c) for c in changes],
        warmup=read_json(warmup) if warmup.is_file() else None,
        **({"judge": used[0].model_dump(mode="json")} if used else {}),
    )


def _tiny(stage: Stage, config: Config, run_folder: Path) -> tuple[list[Example], list[Example]]:
    """Tasks and a warm-started policy; (training rows, held-out rows)."""
    with progress("tasks", config.tasks) as advance:
        corpus = Corpus.open(run_folder / "corpus")
        tasks = rows.make_tasks(stage, corpus, config, advance=advance)
    train = [task for task in tasks if task.split == "train"]
    test = [task for task in tasks if task.split == "test"]
    _write(stage.folder / "train.jsonl", map(example, train))
    _write(stage.folder / "test.jsonl", map(example, test))
    if not (stage.folder / "policy").is_dir():
        _warm_up(stage.folder / "policy", train, test, config)
    return [example(task) for task in train], [example(task) for task in test]


def _warm_up(folder: Path, train: Sequence[Task], test: Sequence[Task], config: Config) -> None:
    with progress("warm start", total_steps()) as advance:
        model, attempts = warm_start(train, test, seed=config.seed, said=_say, advance=advance)
    partial = folder.with_name("policy.partial")
    shutil.rmtree(partial, ignore_errors=True)
    policy.save(model, policy.build_tokenizer(), partial)
    write_json(partial / "warmup.json", [attempt.model_dump() for attempt in attempts])
    partial.rename(folder)


def _write_answers(
    path: Path, config: Config, name: str, test: Sequence[Example], tell: Outcomes
) -> None:
    model, tokenizer = _load(name, config)
    if config.model and policy.has_gpu():
        model = model.to("cuda")
    answers = [
        answer
        for decoding in _DECODINGS
        for answer in respond(
            model,
            tokenizer,
            test,
            decoding=decoding,
            max_tokens=config.completion_tokens,
            temperature=config.temperature,
            seed=config.seed,
            thinks=config.thinks,
            outcomes=tell,
        )
    ]
    _write(path, answers)


def _load(name: str, config: Config) -> tuple[Any, Any]:
    frozen = config.model is not None and config.lora_rank > 0
    return policy.load(name, half=frozen and policy.has_gpu())


def evaluate(folder: Path) -> list[Change]:
    """Every measure from the answers in `before.jsonl` and `after.jsonl`."""
    before, after = (
        list(read_records(folder / f"{when}.jsonl", Answered)) for when in ("before", "after")
    )
    changes: list[Change] = []
    for decoding in _DECODINGS:
        old, new = ([a for a in answers if a.decoding == decoding] for answers in (before, after))
        parts = (measured(old), measured(new), change(old, new))
        for place, measure in enumerate(("outcome", "rubric")):
            was, now, difference = (part[place] for part in parts)
            changes.append(
                Change(
                    decoding=decoding,
                    measure=measure,
                    before=was,
                    after=now,
                    difference=difference,
                )
            )
    return changes


def _plan(config: Config, folder: Path) -> Result:
    responses = config.steps * config.prompts_per_step * config.group_size
    plan = {
        "model": config.model or "tiny policy",
        "steps": config.steps,
        "responses": responses,
        "max_tokens": responses * config.completion_tokens,
    }
    line = (
        f"{plan['model']}: {config.steps} updates of {config.prompts_per_step} prompts x "
        f"{config.group_size} responses, at most {plan['max_tokens']:,} tokens, into {folder}"
    )
    return Result(json=plan, text=[line])


def _result(config: Config, run_folder: Path, folder: Path) -> Result:
    done = read_json(folder / "meta.json")
    changes = [Change.model_validate(row) for row in done["evaluation"]]
    text: list[Any] = []
    if done["warmup"]:
        attempts = [Attempt.model_validate(row) for row in done["warmup"]]
        text += [attempt.summary for attempt in attempts]
    curve = trl.metrics(folder)
    text.append(_curve_line(curve))
    text.append(_table(changes))
    if "judge" in done:
        text.append(f"judge: {Spent.model_validate(done['judge']).text}")
    text.append(_meaning(config))
    return Result(
        json={"steps": len(curve), "changes": [_plain(c) for c in changes]},
        text=text,
        wrote=folder,
        next=command("report", run_folder),
    )


def _table(changes: Sequence[Change]) -> Table:
    n = next((c.before.n for c in changes if c.before), 0)
    title = f"held-out questions, n = {n}: per cent with 95 % intervals"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("", "before", "after", "difference"):
        table.add_column(heading)
    names = {"outcome": "answers right", "rubric": "entities named"}
    for row in changes:
        cells = (row.before, row.after)
        table.add_row(
            f"{names[row.measure]}, {row.decoding}",
            *(cell.text(scale=100, digits=0) if cell else "not judged" for cell in cells),
            row.difference.text(scale=100, digits=0, sign=True) if row.difference else "not judged",
        )
    return table


def _curve_line(curve: Sequence[trl.StepMetrics]) -> str:
    """The curve's ends, each as the mean of five updates."""

    def mean(part: Sequence[trl.StepMetrics], name: str) -> str:
        values = [v for row in part if (v := getattr(row, name)) is not None]
        return f"{sum(values) / len(values):.2f}" if values else "none"

    ends = [
        f"{name} {mean(curve[:5], name)} -> {mean(curve[-5:], name)}"
        for name in ("reward", "outcome", "rubric")
    ]
    return f"{len(curve)} updates, first five -> last five: {', '.join(ends)}"


def _meaning(config: Config) -> str:
    if config.model:
        return "One training of one model; the intervals are over questions, not over trainings."
    return (
        "This checks the plumbing: walk, tools, tiers, packing, reward and trainer work together. "
        "It says nothing about language: the policy has 178 thousand parameters, reads anonymised "
        "facts, and was warm-started to skip steps. Skipping does not pay here, so a reward for "
        "the outcome alone would teach the same."
    )


def _plain(row: Change) -> dict[str, Any]:
    plain = row.model_dump()
    for key in ("before", "after", "difference"):
        value = getattr(row, key)
        plain[key] = value._asdict() if value is not None else None
    return plain


def _write(path: Path, records: Iterable[Record]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(b"".join(row.model_dump_json().encode() + b"\n" for row in records))
    partial.replace(path)


def _say(line: str) -> None:
    Console(stderr=True, soft_wrap=True).print(line, highlight=False, markup=False)
