"""The experiment: does the rubric help, whose rubric should count, and do distractors matter?

Every run is a GRPO training of the tiny policy by TRL's trainer with the package's reward, from a
warm start that all runs with the same model seed and mix share. One folder a run; a finished one is
kept, an unfinished one is done again, so the same command continues after a kill.

    python experiments/rubric.py --out runs/experiment            train what is missing
    python experiments/rubric.py --out runs/experiment --only B- A-  only arms named so
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from kinds import Kind, tasks
from pydantic import BaseModel, ConfigDict

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as make_corpus
from longtrace.records import Example
from longtrace.rewards.combine import Best, Credit
from longtrace.store import read_json, write_json
from longtrace.training import policy, trl
from longtrace.training.config import Config
from longtrace.training.facts import facts
from longtrace.training.measure import Answered, respond
from longtrace.training.rows import dataset
from longtrace.training.tasks import FactLibrary, Task, example
from longtrace.training.warmup import PLAN, Style, mix, warm_start

FINAL: tuple[Kind, ...] = ("tiered", "shortcut", "hard", "long", "hops4")
_NAME = re.compile(r"@e\d+")
_MAX_TOKENS = 28
_TASK_SEED = 0


class Sizes(BaseModel):
    """How much of everything; see the comments in the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    prompts_per_step: int
    group_size: int
    learning_rate: float
    train_tasks: int
    curve_every: int
    curve_questions: int
    final_questions: int
    seeds: tuple[int, ...]
    model_seeds: tuple[int, ...]


class Arm(BaseModel):
    """One setting that is run with several seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    contexts: Kind
    mix: str
    eta: float = 0.3
    credit: Credit = "positive_only"
    best: Best = "all"
    steps: int | None = None
    seeds: tuple[int, ...] | None = None
    later: bool = False
    """Run after all seeds of the other arms."""


class Plan(BaseModel):
    """The TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: Sizes
    mixes: dict[str, dict[Style, float]]
    arms: tuple[Arm, ...]


class Run(NamedTuple):
    """One training: an arm with a seed."""

    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.arm.name}-{self.seed}"


class Bench:
    """The tasks and warm starts that runs share, made when they are first asked for."""

    def __init__(self, plan: Plan, out: Path) -> None:
        self.plan, self.out = plan, out
        self._train: dict[Kind, list[Task]] = {}
        self._held_out: dict[tuple[Kind, int], list[Example]] = {}

    @cached_property
    def library(self) -> FactLibrary:
        """The facts of the Factbook."""
        make_corpus(CorpusConfig(reader="factbook"), Options(run=self.out))
        corpus = Corpus.open(self.out / "corpus")
        return FactLibrary(corpus, facts(corpus))

    def train(self, kind: Kind) -> list[Task]:
        """What is trained on."""
        if kind not in self._train:
            count = self.plan.sizes.train_tasks
            self._train[kind] = tasks(self.library, kind, "train", count=count, seed=_TASK_SEED)
        return self._train[kind]

    def held_out(self, kind: Kind, count: int) -> list[Example]:
        """What is measured on: chains that no training has seen."""
        key = (kind, count)
        if key not in self._held_out:
            made = tasks(self.library, kind, "test", count=count, seed=_TASK_SEED + 1)
            self._held_out[key] = [example(one) for one in made]
        return self._held_out[key]

    def start(self, seed: int, styles: str) -> Path:
        """Folder of the warm start of a model seed with a mix of styles."""
        folder = self.out / "warm" / f"{styles}-{seed}"
        if folder.is_dir():
            return folder
        base = self.out / "warm" / f"base-{seed}"
        train = self.train("tiered")
        if not base.is_dir():
            held_out = tasks(self.library, "tiered", "test", count=200, seed=_TASK_SEED + 1)
            model, attempts = warm_start(
                train, held_out, seed=100 * seed, plans=PLAN[:2], said=say, advance=lambda _: None
            )
            say(attempts[-1].summary)
            _save(model, base, [attempt.model_dump() for attempt in attempts])
        model, _ = policy.load(str(base))
        report = mix(model, train, self.plan.mixes[styles], seed=seed, plan=PLAN[2])
        _save(model, folder, report.model_dump())
        return folder


def runs(plan: Plan, prefixes: Sequence[str]) -> Iterator[Run]:
    """All runs, seed by seed, so that a stopped experiment has every arm equally often."""
    every = [
        Run(arm, seed)
        for seed in plan.sizes.seeds
        for arm in plan.arms
        if not prefixes or arm.name.startswith(tuple(prefixes))
        if arm.seeds is None or seed in arm.seeds
    ]
    yield from sorted(every, key=lambda run: run.arm.later)


def train(run: Run, bench: Bench) -> None:
    """One training with its curve and its final measures, into `runs/<arm>-<seed>/result.json`."""
    sizes, arm = bench.plan.sizes, run.arm
    folder = bench.out / "runs" / run.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = (time.perf_counter(), time.process_time())
    steps = arm.steps or sizes.steps
    model_seed = dict(zip(sizes.seeds, sizes.model_seeds, strict=True))[run.seed]
    config = Config(
        steps=steps,
        group_size=sizes.group_size,
        prompts_per_step=sizes.prompts_per_step,
        learning_rate=sizes.learning_rate,
        eta=arm.eta,
        credit=arm.credit,
        best=arm.best,
        max_completion_tokens=_MAX_TOKENS,
        seed=run.seed,
        save_every=steps,
    )
    model, tokenizer = policy.load(str(bench.start(model_seed, arm.mix)))
    curve: list[dict[str, Any]] = []
    shown: tuple[Kind, ...] = (arm.contexts, "hard")

    def advance(step: int) -> None:
        if step % sizes.curve_every == 0:
            point: dict[str, Any] = {"step": step}
            point |= {kind: _measure(model, tokenizer, bench, kind, sizes) for kind in shown}
            curve.append(point)

    rows = dataset(example(one) for one in bench.train(arm.contexts))
    trl.train(model, tokenizer, rows, config, folder, advance=advance)
    final = {
        kind: measures(_answers(model, tokenizer, bench.held_out(kind, sizes.final_questions)))
        for kind in dict.fromkeys((arm.contexts, *FINAL))
    }
    shutil.rmtree(folder / "checkpoints")
    shutil.rmtree(folder / "model")
    took = (time.perf_counter() - started[0], time.process_time() - started[1])
    result = {
        "arm": arm.model_dump(mode="json"),
        "seed": run.seed,
        "model_seed": model_seed,
        "curve": curve,
        "final": final,
        "wall_s": round(took[0], 1),
        "cpu_s": round(took[1], 1),
    }
    write_json(folder / "result.json", result)


def measures(answers: Sequence[Answered]) -> dict[str, float]:
    """Accuracy, entity recall, names a response and the share of its names that are on the way."""
    named = [set(_NAME.findall(a.completion.text)) for a in answers]
    on_the_way = [
        len(names & {*a.score.hit, *a.score.missed})
        for names, a in zip(named, answers, strict=True)
    ]
    total = sum(len(names) for names in named)
    return {
        "accuracy": fmean(a.score.outcome or 0.0 for a in answers),
        "recall": fmean(a.score.rubric for a in answers),
        "names": total / len(answers),
        "precision": sum(on_the_way) / max(1, total),
    }


def _measure(
    model: Any, tokenizer: Any, bench: Bench, kind: Kind, sizes: Sizes
) -> dict[str, float]:
    was = model.training
    model.eval()
    answers = _answers(model, tokenizer, bench.held_out(kind, sizes.curve_questions))
    model.train(was)
    return measures(answers)


def _answers(model: Any, tokenizer: Any, examples: Sequence[Example]) -> list[Answered]:
    return respond(model, tokenizer, examples, decoding="greedy", max_tokens=_MAX_TOKENS)


def _save(model: Any, folder: Path, report: Any) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    policy.save(model, policy.build_tokenizer(), partial)
    write_json(partial / "warmup.json", report)
    partial.rename(folder)


def say(line: str) -> None:
    """One line of progress on standard error."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def read_plan(path: Path) -> Plan:
    """The plan in a TOML file."""
    return Plan.model_validate(tomllib.loads(path.read_text()))


def main() -> None:
    """Train every run that has no result yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/experiment"))
    parser.add_argument("--plan", type=Path, default=Path(__file__).with_name("rubric.toml"))
    parser.add_argument("--only", nargs="*", default=[], help="prefixes of arm names")
    parser.add_argument("--seeds", nargs="*", type=int, default=[], help="only these seeds")
    args = parser.parse_args()
    plan = read_plan(args.plan)
    args.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(plan, args.out)
    with policy.quiet(1):
        for run in runs(plan, args.only):
            done = args.out / "runs" / run.name / "result.json"
            if done.is_file() or (args.seeds and run.seed not in args.seeds):
                continue
            train(run, bench)
            result = read_json(done)
            hard, own = result["final"]["hard"], result["final"][run.arm.contexts]
            say(
                f"{run.name}: accuracy {own['accuracy']:.2f}, hard {hard['accuracy']:.2f}, "
                f"names {own['names']:.1f}; {result['cpu_s']:.0f} CPU s, {result['wall_s']:.0f} s"
            )


if __name__ == "__main__":
    main()
