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
from pathlib import Path
from random import Random
from statistics import fmean, median

from longtrace.corpus.corpus import Corpus
from longtrace.questions.similar import shingles
from longtrace.records import Answer, Open, Question, Search, Trajectory
from longtrace.statistics import wilson
from longtrace.store import read_records

SHOWN = 3


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
        lines += ["", *about_attempts(rows)]
    if rows:
        asked = {question.id: question for question in questions}
        lines += ["", *about_overlap(rows, asked, Corpus.open(folder / "corpus"))]
        lines += ["", *examples(rows, asked)]
    sys.stdout.write("\n".join(lines) + "\n")


def about_questions(questions: Sequence[Question]) -> Iterator[str]:
    """Who wrote how many, why drafts were refused, and how much was copied."""
    by_model = [q for q in questions if q.writer.startswith("llm:")]
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


def _copied(question: Question) -> float:
    """Share of a question's clues with half of their three-word shingles in the evidence."""
    pairs = zip(question.clues, question.hops, strict=True)
    found = []
    for clue, hop in pairs:
        own, source = shingles(clue, 3), shingles(" ".join(hop.evidence), 3)
        found.append(len(own & source) >= 0.5 * len(own))
    return fmean(found)


def about_attempts(rows: Sequence[Trajectory]) -> Iterator[str]:
    """Success with its interval, ends, steps, tokens."""
    judged = [row for row in rows if row.correct is not None]
    right = sum(row.correct is True for row in judged)
    interval = wilson(right, len(judged))
    share = f"{interval.text(scale=100, digits=0)} %" if interval else "none judged"
    yield "| attempts | right [95 % interval] | searches | opened | cited | tokens, median |"
    yield "|---|---|---|---|---|---|"
    tokens = median(row.usage.prompt_tokens + row.usage.completion_tokens for row in rows)
    means = (
        fmean(len(get) for get in (getattr(row, name) for row in rows))
        for name in ("searches", "opened", "cited")
    )
    shown = " | ".join(f"{mean:.1f}" for mean in means)
    yield f"| {len(rows)} | {right} of {len(judged)}: {share} | {shown} | {tokens:,.0f} |"
    ends = Counter(row.stop for row in rows)
    yield ""
    yield "Ends: " + ", ".join(f"{stop} {n}" for stop, n in ends.most_common()) + "."


def about_overlap(
    rows: Sequence[Trajectory], questions: dict[str, Question], corpus: Corpus
) -> Iterator[str]:
    """Share of documents that name a gold entity, over all attempts, solved or not.

    The table of `longtrace contexts` rests on solved questions, which are few for a weak model.
    """
    kinds: dict[str, list[bool]] = {"random": [], "listed, not opened": [], "opened": []}
    rng = Random(0)
    for row in rows:
        gold = {corpus.id(hop.doc) for hop in questions[row.question_id].hops}
        opened = {corpus.id(key) for key in row.opened} - gold
        listed = {corpus.id(key) for key in row.listed} - gold - opened
        drawn = set(rng.sample(range(len(corpus)), 10)) - gold
        for kind, docs in zip(kinds, (drawn, listed, opened), strict=True):
            kinds[kind] += [
                bool(gold & {*corpus.mentions.of(doc).tolist()}) for doc in sorted(docs)
            ]
    yield "| documents that are not gold | naming a gold entity | share [95 % interval] |"
    yield "|---|---|---|"
    for kind, found in kinds.items():
        interval = wilson(sum(found), len(found))
        share = f"{interval.text(scale=100, digits=1)} %" if interval else "none"
        yield f"| {kind} | {sum(found)} of {len(found)} | {share} |"


def examples(rows: Sequence[Trajectory], questions: dict[str, Question]) -> Iterator[str]:
    """A right attempt, a wrong one and one without an answer, as far as there are such."""
    wanted = [
        [row for row in rows if row.correct],
        [row for row in rows if row.answer is not None and not row.correct],
        [row for row in rows if row.answer is None],
    ]
    first = [group[0] for group in wanted if group]
    rest = [row for row in rows if row not in first]
    for row in [*first, *rest][:SHOWN]:
        question = questions[row.question_id]
        yield f"**{question.text}**"
        yield ""
        walk = " > ".join(hop.entity for hop in question.hops)
        yield f"Right answer: {question.answer}. Walk: {walk}. Written by: {question.writer}."
        yield ""
        for step in row.steps:
            if isinstance(step, Search):
                yield f"- search `{step.query}`: {', '.join(step.results) or 'nothing'}"
            elif isinstance(step, Open):
                yield f"- open {step.doc}"
            elif isinstance(step, Answer):
                yield f"- answer `{step.text}`, citing {', '.join(step.cited) or 'nothing'}"
        verdict = {True: "right", False: "wrong", None: "unknown"}[row.correct]
        yield f"- ended: {row.stop}, {verdict}"
        yield ""


if __name__ == "__main__":
    main()
