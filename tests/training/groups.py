"""The shared fixture of groups as records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from longtrace.records import Score
from longtrace.training.engines import RewardOptions, options

PATH = Path(__file__).with_name("groups.json")
SIZE = 4


class Group(NamedTuple):
    """One group and what it must earn, by variant."""

    name: str
    scores: list[Score]
    expected: dict[str, dict[str, list[float | None]]]


def groups() -> list[Group]:
    """All groups of the fixture."""
    return [
        Group(row["name"], [Score(**score) for score in row["scores"]], row["expected"])
        for row in orjson.loads(PATH.read_bytes())["groups"]
    ]


def variants() -> dict[str, RewardOptions]:
    """The options of every variant."""
    given: dict[str, dict[str, Any]] = orjson.loads(PATH.read_bytes())["variants"]
    return {name: options(fields) for name, fields in given.items()}


def wanted(variant: str) -> list[float]:
    """Advantages of all groups one after the other; 0 where the outcome is unknown."""
    return flat(group.expected[variant]["advantages_G"] for group in groups())


def flat(parts: Any) -> list[float]:
    """Lists one after the other, None as 0."""
    lists: Sequence[Sequence[float | None]] = list(parts)
    return [value or 0.0 for one in lists for value in one]
