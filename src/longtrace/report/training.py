"""The training stage as the page shows it: curves, before and after, and a few rollouts."""

from __future__ import annotations

from pathlib import Path

from longtrace.records import Record
from longtrace.report.stages import meta
from longtrace.statistics import Interval


class Change(Record):
    """A measure on held-out questions before and after training."""

    name: str
    before: Interval | None
    after: Interval | None


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
    notes: tuple[str, ...] = ()


def read_training(folder: Path) -> Training | None:
    """What the folder of a complete training stage says; None if it is not complete."""
    if meta(folder) is None:
        return None
    return None
