"""The training stage as the page shows it: curves, before and after, and a few rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longtrace.records import Record
from longtrace.report.inspector import shorten
from longtrace.report.stages import meta
from longtrace.store import read_records
from longtrace.training.reward import Rollout as Sample
from longtrace.training.stage import Change
from longtrace.training.trl import StepMetrics
from longtrace.training.warmup import Attempt

GROUPS = 24
"""Most groups of rollouts that go into the page."""
TEXT_CHARS = 900
QUESTION_CHARS = 600
TINY_ABOUT = (
    "GRPO on a policy of 178 thousand parameters, warm-started on compact facts from the same "
    "documents. Its questions are its own, not those of the inspector."
)
TINY = (
    "This checks that walk, tools, tiers, packing, reward and trainer work together. It says "
    "nothing about language: the policy reads anonymised facts. Intervals are over questions of "
    "one training, not over trainings."
)
OWN = "One training of one model: the intervals are over questions, not over trainings."


class Rollout(Record):
    """One response of a group with its score."""

    text: str
    outcome: float | None
    rubric: float
    reward: float | None
    hit: tuple[str, ...]
    missed: tuple[str, ...]
    problem: str = ""


class Group(Record):
    """Responses to the same prompt."""

    label: str
    question: str
    answer: str
    samples: tuple[Rollout, ...]


class Training(Record):
    """What training did."""

    about: str
    steps: tuple[int, ...]
    series: dict[str, tuple[float | None, ...]]
    """Values in [0, 1] a step, by name."""
    changes: tuple[Change, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def read_training(folder: Path) -> Training | None:
    """What the folder of a complete training stage says; None if it is not complete.

    Raises:
        RowError: a row of `metrics.jsonl` or `samples.jsonl` cannot be read.
    """
    found = meta(folder)
    if found is None:
        return None
    tiny = not found["config"].get("model")
    warmup = [Attempt.model_validate(row) for row in found.get("warmup") or ()]
    metrics = list(read_records(folder / "metrics.jsonl", StepMetrics))
    return Training(
        about=TINY_ABOUT if tiny else f"GRPO on {found['config']['model']}.",
        steps=tuple(row.step for row in metrics),
        series={
            "reward": tuple(row.reward for row in metrics),
            "outcome": tuple(row.outcome for row in metrics),
            "rubric": tuple(row.rubric for row in metrics),
        },
        changes=tuple(Change.model_validate(row) for row in found["evaluation"]),
        notes=(*(_sentence(attempt.summary) for attempt in warmup), TINY if tiny else OWN),
        groups=tuple(_groups(folder / "samples.jsonl")),
    )


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."


def _groups(path: Path) -> list[Group]:
    """The first group kept of each step, evenly thinned to `GROUPS`, the last one included."""
    if not path.is_file():
        return []
    groups: dict[tuple[int, str], list[Sample]] = {}
    for row in read_records(path, Sample):
        groups.setdefault((row.step, row.completion.example_id), []).append(row)
    keys = list(groups)
    every = max(1, -(-len(keys) // GROUPS))
    return [_group(groups[key]) for key in keys[::-1][::every][::-1]]


def _group(rows: Sequence[Sample]) -> Group:
    first = rows[0]
    right = sum(1 for row in rows if row.score.outcome)
    return Group(
        label=f"after {first.step} updates: {right} of {len(rows)} right",
        question=shorten(first.question, QUESTION_CHARS),
        answer=shorten(first.answer, QUESTION_CHARS),
        samples=tuple(
            Rollout(
                text=shorten(row.completion.text, TEXT_CHARS),
                outcome=row.score.outcome,
                rubric=row.score.rubric,
                reward=row.reward,
                hit=row.score.hit,
                missed=row.score.missed,
                problem=row.score.problem.replace("_", " "),
            )
            for row in rows
        ),
    )
