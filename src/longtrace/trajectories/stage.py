"""The `trajectories` verb: the agent's attempts at every question, and which of them are right.

A unit of work is one attempt; questions are taken in order, the attempts at each in order. Wrong
attempts are kept: a question that no attempt solves is left out only when contexts are made.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from longtrace.config import Options, Result
from longtrace.corpus.corpus import Corpus
from longtrace.errors import command
from longtrace.llm import LLM
from longtrace.llm_limits import in_order
from longtrace.parallel import ordered_map, progress
from longtrace.questions.clues import Weights, page_cache
from longtrace.records import Question, Trajectory
from longtrace.store import Stage, check_inputs, fingerprint, read_records
from longtrace.trajectories.agent import Agent, policy
from longtrace.trajectories.config import Config
from longtrace.trajectories.grade import exact
from longtrace.trajectories.model_agent import ModelRunner, until_out
from longtrace.trajectories.rehearsal import estimate, made_before
from longtrace.trajectories.tools import Tools

__all__ = ["Config", "run"]

HELD = 3
"""Times as many attempts as run at once may be done and wait for an earlier, longer one."""


class Runner:
    """Makes attempts at questions over one corpus."""

    def __init__(self, corpus: Corpus, k: int) -> None:
        self._corpus, self._k = corpus, k
        self._weight = Weights(corpus.document_frequency, len(corpus))
        self._pages = page_cache()

    def attempt(self, question: Question, attempt: int) -> Trajectory:
        """One attempt of the offline agent, from 0; it is shown the question's text alone."""
        chosen = policy(attempt)
        tools = Tools(
            self._corpus,
            k=self._k,
            max_searches=chosen.max_searches,
            max_opens=chosen.max_opens,
            weight=self._weight,
            pages=self._pages,
        )
        Agent(tools, chosen, self._weight, self._pages).run(question.text)
        trajectory = tools.trajectory(question.id, attempt, model="offline", correct=None)
        correct = exact(trajectory.answer, question)
        return trajectory.model_copy(update={"correct": correct})


_worker: list[Runner] = []


def _setup(folder: Path, k: int) -> None:
    _worker[:] = [Runner(Corpus.open(folder), k)]


def _attempt(unit: tuple[Question, int]) -> Trajectory:
    return _worker[0].attempt(*unit)


def run(config: Config, options: Options) -> Result:
    """Write `trajectories/` of the run folder.

    Raises:
        RunFolderError: corpus or questions are missing, or the folder was made otherwise.
    """
    source, asked = options.run / "corpus", options.run / "questions"
    inputs = {"corpus": fingerprint(source), "questions": fingerprint(asked)}
    check_inputs(asked, {"corpus": source})
    questions = [*itertools.islice(read_records(asked / "data.jsonl", Question), options.limit)]
    total = len(questions) * config.attempts
    folder = options.run / "trajectories"
    identity = {**config.identity(), "questions": len(questions)}
    if options.dry_run:
        line = f"would make {config.attempts} attempts at each of {len(questions):,} questions"
        facts: dict[str, Any] = {"questions": len(questions), "trajectories": total}
        if config.agent == "llm":
            made = made_before(folder, identity, fresh=options.fresh)
            found = estimate(config, Corpus.open(source), questions, made)
            return Result(json={**facts, **found.json}, text=[line, *found.text])
        return Result(json=facts, text=[line])
    with Stage(folder, identity, inputs, fresh=options.fresh) as stage:
        if not stage.complete:
            if config.agent == "llm":
                asyncio.run(_work_with_model(stage, config, options.run, questions))
            else:
                _work(stage, config, source, questions, options.workers)
            stage.finish(**_summary(folder / "data.jsonl"))
    return _result(folder, stage.meta, options.run)


def _work(
    stage: Stage, config: Config, source: Path, questions: list[Question], workers: int
) -> None:
    units = list(itertools.product(questions, range(config.attempts)))
    left = units[stage.done :]
    if not left:
        return
    made: Iterator[Trajectory] = ordered_map(
        _attempt, left, workers=workers, setup=_setup, setup_args=(source, config.k)
    )
    with progress("trajectories", len(units)) as advance_to:
        for trajectory in made:
            stage.accept(trajectory)
            advance_to(stage.done)


async def _work_with_model(
    stage: Stage, config: Config, folder: Path, questions: list[Question]
) -> None:
    """Attempts under way at once on one event loop, written in order."""
    units = list(itertools.product(questions, range(config.attempts)))
    corpus = Corpus.open(folder / "corpus")
    async with AsyncExitStack() as open_clients:
        llm = await open_clients.enter_async_context(
            LLM(config, folder / "cache" / "trajectories.sqlite")
        )
        judge = None
        if config.judge.base_url:
            judge = await open_clients.enter_async_context(
                LLM(config.judge, folder / "cache" / "judge.sqlite")
            )
        runner = ModelRunner(corpus, config, llm, judge)
        at_once = config.concurrency
        made = in_order(runner.attempt, units[stage.done :], ahead=at_once, held=HELD * at_once)
        with progress("trajectories", len(units)) as advance_to:
            async with aclosing(made):
                async for trajectory in until_out(made, lambda: runner.problem):
                    stage.accept(trajectory)
                    advance_to(stage.done)


def _summary(path: Path) -> dict[str, Any]:
    """Figures for each attempt number, and the questions that none solved."""
    groups: dict[int, list[Trajectory]] = {}
    solved: dict[str, bool] = {}
    for row in read_records(path, Trajectory):
        groups.setdefault(row.attempt, []).append(row)
        solved[row.question_id] = solved.get(row.question_id, False) or row.correct is True
    return {
        "attempts": [summed(rows) for _, rows in sorted(groups.items())],
        "questions": len(solved),
        "never_solved": sum(not was for was in solved.values()),
    }


def summed(rows: list[Trajectory]) -> dict[str, float]:
    """Shares of right, wrong, missing and unjudged answers, and means of what was done."""
    judged = [row for row in rows if row.correct is not None]
    answered = sum(row.answer is not None for row in judged)
    right = sum(row.correct is True for row in judged)
    figures = {
        "right": right / len(rows),
        "wrong": (answered - right) / len(rows),
        "no_answer": (len(judged) - answered) / len(rows),
        "unjudged": 1 - len(judged) / len(rows),
        "searches": fmean(len(row.searches) for row in rows),
        "opened": fmean(len(row.opened) for row in rows),
        "cited": fmean(len(row.cited) for row in rows),
    }
    return {name: round(value, 4) for name, value in figures.items()}


def _result(folder: Path, meta: dict[str, Any], run_folder: Path) -> Result:
    shown = ("right", "wrong", "no_answer", "unjudged")
    counted = ("searches", "opened", "cited")
    table = Table(
        "attempt", *(name.replace("_", " ") for name in (*shown, *counted)), box=SIMPLE_HEAD
    )
    for number, figures in enumerate(meta["attempts"]):
        shares = (f"{figures.get(name, 0):.0%}" for name in shown)
        means = (f"{figures[name]:.1f}" for name in counted)
        table.add_row(str(number), *shares, *means)
    never, questions = meta["never_solved"], meta["questions"]
    return Result(
        json={key: meta[key] for key in ("count", "questions", "never_solved", "attempts")},
        text=[
            table,
            Text(f"{never:,} of {questions:,} questions were solved by no attempt"),
        ],
        wrote=folder / "data.jsonl",
        next=command("contexts", run_folder),
    )
