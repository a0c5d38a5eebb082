"""What a real model did in a run folder, as Markdown: questions, attempts, overlap, three attempts.

    python experiments/real_model.py --run runs/model

Run `longtrace questions` and `trajectories` first; docs/real-model.md has the commands.
Stages that are not complete are described as far as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from random import Random
from statistics import fmean, median

import numpy as np

from longtrace.corpus.corpus import Corpus
from longtrace.questions.similar import shingles
from longtrace.records import Answer, Open, Question, Search, Trajectory
from longtrace.statistics import Interval, mean_ci, paired_ci, wilson
from longtrace.store import read_records
from longtrace.text import names as stands_in


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    folder: Path = parser.parse_args().run
    questions = list(read_records(folder / "questions" / "data.jsonl", Question))
    lines = [*about_questions(questions)]
    rows: list[Trajectory] = []
    if (folder / "trajectories" / "data.jsonl").is_file():
        rows = list(read_records(folder / "trajectories" / "data.jsonl", Trajectory))
    if rows:
        asked = {question.id: question for question in questions}
        lines += ["", *about_attempts(rows, asked), "", *about_steps(rows, asked)]
        lines += ["", *about_overlap(rows, asked, Corpus.open(folder / "corpus"))]
        lines += ["", *examples(rows, asked)]
    sys.stdout.write("\n".join(lines) + "\n")


def about_questions(questions: Sequence[Question]) -> Iterator[str]:
    """Who wrote how many, why drafts were refused, and how much was copied."""
    by_model = [q for q in questions if _by_model(q)]
    retried = sum(bool(q.checked and q.checked.refused) for q in by_model)
    yield (
        f"{len(questions)} questions: {len(by_model)} by the model ({retried} of them on the "
        f"second try), {len(questions) - len(by_model)} by rules in its place."
    )
    yield ""
    reasons = Counter(
        part.split(" ", 2)[-1] if part.startswith("clue ") else part
        for q in questions
        for draft in (q.checked.refused if q.checked else ())
        for part in draft.split("; ")
    )
    yield "Reasons for refusing drafts: " + "; ".join(
        f"{r} ({n})" for r, n in reasons.most_common()
    )
    copied = [_copied(q) for q in by_model]
    if copied:
        yield f"Clues of the model that repeat most of their evidence: {fmean(copied):.0%}."


def _by_model(question: Question) -> bool:
    return question.writer.startswith("llm:")


def _copied(question: Question) -> float:
    """Share of a question's clues with half of their three-word shingles in the evidence."""
    pairs = zip(question.clues, question.hops, strict=True)
    found = []
    for clue, hop in pairs:
        own, source = shingles(clue, 3), shingles(" ".join(hop.evidence), 3)
        found.append(len(own & source) >= 0.5 * len(own))
    return fmean(found)


def about_attempts(rows: Sequence[Trajectory], questions: dict[str, Question]) -> Iterator[str]:
    """Success with its interval, by attempt and by who wrote the question; ends, steps, tokens."""
    yield "| attempts | right [95 % interval] | searches | opened | cited | tokens, median |"
    yield "|---|---|---|---|---|---|"
    numbers = sorted({row.attempt for row in rows})
    for number in numbers:
        yield _attempts(f"number {number + 1}", [row for row in rows if row.attempt == number])
    first = [row for row in rows if row.attempt == 0]
    for name, wanted in (("the model", True), ("rules", False)):
        group = [row for row in first if _by_model(questions[row.question_id]) is wanted]
        if group:
            yield _attempts(f"number 1, questions by {name}", group)
    asked = {row.question_id for row in rows}
    solved = {row.question_id for row in rows if row.correct}
    ends = Counter(row.stop for row in rows)
    prompt = sum(row.usage.prompt_tokens for row in rows)
    completion = sum(row.usage.completion_tokens for row in rows)
    yield ""
    yield (
        f"Solved by one of {len(numbers)} attempts: {_share(len(solved), len(asked))}. Ends: "
        + ", ".join(f"{stop} {n}" for stop, n in ends.most_common())
        + f". Tokens in all: {prompt:,} in prompts, {completion:,} in replies."
    )


def _attempts(name: str, rows: Sequence[Trajectory]) -> str:
    judged = [row for row in rows if row.correct is not None]
    right = sum(row.correct is True for row in judged)
    tokens = median(row.usage.prompt_tokens + row.usage.completion_tokens for row in rows)
    done = ("searches", "opened", "cited")
    shown = " | ".join(f"{fmean(len(getattr(row, kind)) for row in rows):.1f}" for kind in done)
    return f"| {name} | {_share(right, len(judged))} | {shown} | {tokens:,.0f} |"


def _share(right: int, n: int) -> str:
    interval = wilson(right, n)
    share = f": {interval.text(scale=100, digits=0)} %" if interval else ""
    return f"{right} of {n}{share}"


def about_steps(rows: Sequence[Trajectory], questions: dict[str, Question]) -> Iterator[str]:
    """How far along the walk attempts came, and whether the model reads what is listed first."""
    steps = Counter[str]()
    places: list[int] = []
    for row in rows:
        gold = [hop.doc for hop in questions[row.question_id].hops]
        steps["the first document of the walk was listed"] += gold[0] in row.listed
        steps["the first was opened"] += gold[0] in row.opened
        steps["the last was listed"] += gold[-1] in row.listed
        steps["the last was opened"] += gold[-1] in row.opened
        steps["all were opened"] += {*gold} <= {*row.opened}
        last: Search | None = None
        for step in row.steps:
            if isinstance(step, Search):
                last = step
            elif isinstance(step, Open) and last and step.doc in last.results:
                places.append(last.results.index(step.doc) + 1)
    yield f"Of {len(rows)} attempts: " + ", ".join(f"{k} in {n}" for k, n in steps.items()) + "."
    yield ""
    counted = Counter(places)
    shown = ", ".join(f"{place}: {counted[place]}" for place in sorted(counted))
    yield f"Documents opened, by their place in the list: {shown}."


def about_overlap(
    rows: Sequence[Trajectory], questions: dict[str, Question], corpus: Corpus
) -> Iterator[str]:
    """Share of documents that name a gold entity, over all attempts, solved or not.

    The table of `longtrace contexts` rests on solved questions, which are few for a weak model.
    A search for the name of a gold document lists documents that hold it; so everything is counted
    once more over the searches before the first such one. Intervals are over questions, whose
    attempts are taken together.
    """
    rng, draw = Random(0), np.random.default_rng(0)
    for early in (False, True):
        hits: dict[str, dict[str, list[bool]]] = {}
        for row in rows:
            for kind, found in _hits(row, questions[row.question_id], corpus, rng, early).items():
                hits.setdefault(kind, {}).setdefault(row.question_id, []).extend(found)
        shares = {
            kind: [fmean(found) if found else None for found in by_question.values()]
            for kind, by_question in hits.items()
        }
        title = "before a gold name was searched for" if early else "documents that are not gold"
        yield f"| {title} | naming a gold entity | share [95 % interval] | questions |"
        yield "|---|---|---|---|"
        for kind, column in shares.items():
            every = [hit for found in hits[kind].values() for hit in found]
            counted = f"{sum(every)} of {len(every)}"
            yield f"| {kind} | {counted} | {_percent(mean_ci(column, rng=draw))} |"
        yield ""
        for a, b in (("listed, not opened", "random"), ("opened", "listed, not opened")):
            told = paired_ci(shares[a], shares[b], rng=draw)
            if told:
                value = told.text(scale=100, digits=1, sign=True)
                verdict = f", {told.verdict}" if told.verdict else ""
                yield f"{a} - {b}, paired: {value} points over {told.n} questions{verdict}."
        yield ""


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return "none | 0"
    return f"{interval.text(scale=100, digits=1)} % | {interval.n}"


def _hits(
    row: Trajectory, question: Question, corpus: Corpus, rng: Random, early: bool
) -> dict[str, list[bool]]:
    """Kind of document -> for each, whether it names a gold entity."""
    gold = {corpus.id(hop.doc) for hop in question.hops}
    names = [hop.entity for hop in question.hops]
    steps = row.steps
    if early:
        led = (
            number
            for number, step in enumerate(steps)
            if isinstance(step, Search) and any(stands_in(step.query, name) for name in names)
        )
        steps = steps[: next(led, len(steps))]
    opened = {corpus.id(step.doc) for step in steps if isinstance(step, Open)} - gold
    shown = (step.results for step in steps if isinstance(step, Search))
    listed = {corpus.id(key) for results in shown for key in results} - gold - opened
    drawn = set(rng.sample(range(len(corpus)), 10)) - gold
    kinds = {"random": drawn, "listed, not opened": listed, "opened": opened}
    if not early:
        kinds["cited"] = {corpus.id(key) for key in row.cited} - gold
    return {
        kind: [bool(gold & {*corpus.mentions.of(doc).tolist()}) for doc in sorted(docs)]
        for kind, docs in kinds.items()
    }


def examples(rows: Sequence[Trajectory], questions: dict[str, Question]) -> Iterator[str]:
    """A right attempt, and two others: of a question of the model's and of one of the rules'."""

    def first(*, right: bool, by_model: bool) -> list[Trajectory]:
        return [
            row
            for row in rows
            if (row.correct is True) is right and _by_model(questions[row.question_id]) is by_model
        ][:1]

    solved = [*first(right=True, by_model=True), *first(right=True, by_model=False)][:1]
    for row in [
        *solved,
        *first(right=False, by_model=True),
        *first(right=False, by_model=False),
    ]:
        question = questions[row.question_id]
        yield f"**{question.text}**"
        yield ""
        walk = " > ".join(hop.entity for hop in question.hops)
        yield f"Right answer: {question.answer}. Walk: {walk}. Written by: {question.writer}."
        yield ""
        for kind, steps in groupby(row.steps, type):
            if kind is Open:
                yield f"- open {', '.join(step.doc for step in steps if isinstance(step, Open))}"
                continue
            for step in steps:
                if isinstance(step, Search):
                    yield f"- search `{step.query}`: {', '.join(step.results) or 'nothing'}"
                elif isinstance(step, Answer):
                    yield f"- answer `{step.text}`, citing {', '.join(step.cited) or 'nothing'}"
        verdict = {True: "right", False: "wrong", None: "unknown"}[row.correct]
        yield f"- ended: {row.stop}, {verdict}"
        yield ""


if __name__ == "__main__":
    main()
