"""Re-score stored responses under any variant of the reward, without a model and without a run.

A trainer's log says what every response was; this says what each would have earned with another
matcher, credit rule or eta. The outcome is taken from the file, and one that nobody could tell
(null) stays unjudged.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError
from rich.table import Table

import longtrace.config
from longtrace.config import Options, Result
from longtrace.errors import InputError, RowError
from longtrace.records import Entity, Score
from longtrace.rewards.combine import Best, CreditOption, NormalizeOption, combine, has_signal
from longtrace.rewards.rubric import Match, score_response

_REMEDY = (
    'expected {"entities": [names], "samples": [{"response": text, "outcome": 0 to 1 or null, '
    '"ill_formed": false}]}'
)


class Config(longtrace.config.Config):
    """Which variant of the reward to compute, and for which responses."""

    groups: Path | None = None
    """File of groups: one JSON object {"groups": [...]}, or JSONL with one group a line."""
    match: Match = "words"
    """words: whole words and aliases, any script; upstream: the published matcher, bit for bit."""
    credit: CreditOption = "positive_only"
    """Whose rubric counts: positive-only (right answers'), always, or negative-only."""
    normalize: NormalizeOption = "group_max"
    """group-max divides the rubric by the group's best; raw leaves it as it is."""
    best: Best = "all"
    """The group's best is over all judged members, or over correct ones."""
    eta: float = Field(default=0.3, ge=0, le=1)
    """Weight of the rubric, from 0 to 1."""


class Sample(BaseModel):
    """One response of a group. Other keys of the row are ignored."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    response: str
    """The final answer text, thinking removed."""
    outcome: Annotated[float, Field(ge=0, le=1)] | None
    """1 right, 0 wrong, null if nobody could tell."""
    ill_formed: bool = False
    """Truncated, or not one thinking part followed by an answer: outcome and rubric count as 0."""


class Group(BaseModel):
    """All responses to one prompt. Other keys of the row are ignored."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    entities: tuple[Entity | str | StrictInt, ...]
    """Names, or objects with `name` and `aliases`."""
    samples: tuple[Sample, ...] = Field(min_length=1)


class Scored(NamedTuple):
    """A group with its scores and rewards, in the order of its samples."""

    scores_G: list[Score]
    rewards_G: list[float | None]


def score_group(group: Group, config: Config) -> Scored:
    """Scores and rewards of one group under the variant that `config` names."""
    scores_G = [
        score_response(
            sample.response,
            group.entities,
            outcome=sample.outcome,
            ill_formed=sample.ill_formed,
            match=config.match,
        )
        for sample in group.samples
    ]
    rewards_G = combine(
        scores_G,
        eta=config.eta,
        credit=config.credit,
        normalize=config.normalize,
        best=config.best,
    )
    return Scored(scores_G, rewards_G)


def read_groups(path: Path) -> Iterator[tuple[str, Group]]:
    """Groups of a file with the place each stands at, one at a time where the file is JSONL.

    Raises:
        InputError: the file is missing, cannot be read, holds no group, or a row is not a group; a
            line of JSONL is named by its number, a group of a JSON object by its place in the list.
    """
    found = False
    for place, value in _rows(path):
        found = True
        try:
            yield place, Group.model_validate(value)
        except ValidationError as error:
            raise InputError(f"{place}: {_first(error)}; {_REMEDY}") from None
    if not found:
        raise InputError(f"{path}: no groups in this file; {_REMEDY}")


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open("rb") as lines:
            first = next((line for line in lines if line.strip()), b"")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; check --groups") from None
    if _is_row(first):
        yield from _lines(path)
        return
    try:
        value = orjson.loads(path.read_bytes() or b"{}")
    except orjson.JSONDecodeError as error:
        raise RowError(path, error.lineno, f"not valid JSON ({error.msg})", _REMEDY) from None
    groups = value.get("groups") if isinstance(value, dict) else None
    if not isinstance(groups, list):
        raise InputError(f'{path}: no list under "groups"; {_REMEDY}')
    yield from ((f"{path}: group {number}", row) for number, row in enumerate(groups, 1))


def _is_row(line: bytes) -> bool:
    """Whether a file that starts with `line` holds one row a line."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return not (isinstance(value, dict) and "groups" in value)


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield f"{path}:{number}", orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise RowError(path, number, f"not valid JSON ({error.msg})", _REMEDY) from None


def _first(error: ValidationError) -> str:
    """The first complaint; of a union's complaints, under the key a person wrote."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("Entity", "str", "int"))
    return f"{where}: {first['msg']}" if where else first["msg"]


def _table(scored: list[Scored], config: Config) -> Table:
    scores = [score for group in scored for score in group.scores_G]
    rewards = [reward for group in scored for reward in group.rewards_G if reward is not None]
    flat = sum(not has_signal(group.rewards_G) for group in scored)
    ill_formed = sum(score.problem == "ill_formed" for score in scores)
    table = Table(show_header=False, box=None, pad_edge=False)
    variant = f"{config.match}, {config.credit}, {config.normalize}, best {config.best}"
    table.add_row("variant", f"{variant}, eta {config.eta:g}")
    table.add_row("groups", f"{len(scored)} with {len(scores)} responses")
    table.add_row("without signal", f"{flat / len(scored):.1%} of groups (all rewards equal)")
    table.add_row("mean rubric", f"{fmean(score.rubric for score in scores):.4f}")
    table.add_row("mean reward", f"{fmean(rewards):.4f}" if rewards else "none judged")
    table.add_row("unjudged", f"{len(scores) - len(rewards)} responses, left out")
    table.add_row("ill-formed", f"{ill_formed} responses, counted as 0")
    return table


def run(config: Config, options: Options) -> Result:
    """Score the groups of a file; reads no run folder and writes nothing."""
    if config.groups is None:
        raise InputError("--groups FILE is needed: the responses to score; see docs/rewards.md")
    scored: list[Scored] = []
    responses = 0
    for place, group in islice(read_groups(config.groups), options.limit):
        responses += len(group.samples)
        if options.dry_run:
            continue
        try:
            scored.append(score_group(group, config))
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
    if options.dry_run:
        text = f"would score {responses} responses"
        return Result(json={"responses": responses}, text=[text])
    rows = [{"rubric": [s.rubric for s in g.scores_G], "rewards": g.rewards_G} for g in scored]
    return Result(json={"groups": rows}, text=[_table(scored, config)])
