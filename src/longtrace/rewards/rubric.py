"""Which gold entities a response names, and what share of them that is.

`words` asks whether a name or one of its aliases stands in the text as whole words. `upstream` is
the matcher of the published reward code, kept bit for bit with its defects, so that published
numbers can be recomputed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from longtrace.choices import chosen
from longtrace.errors import InputError
from longtrace.records import Entity, Score
from longtrace.text import Haystack, normalise_name

Match: TypeAlias = Literal["words", "upstream"]
Name: TypeAlias = Entity | str | int
"""An entity, or its name alone; `words` reads a number as its digits, `upstream` refuses it."""

_UPSTREAM_WORD = re.compile(r"[a-zA-Z0-9_]+|[\u4e00-\u9fff]")


class RubricScore(NamedTuple):
    """The share of the entities that a text names, and which ones."""

    share: float
    """Hits over entities, in [0, 1]; 0 where there are no entities."""
    hit: tuple[str, ...]
    missed: tuple[str, ...]
    """Names not found; `hit` and `missed` together hold every entity once, in the order given."""
    unmatchable: tuple[str, ...] = ()
    """Those of `missed` that no text can name: nothing of the name or its aliases is a word."""


def rubric_score(text: str, entities: Sequence[Name], *, match: Match = "words") -> RubricScore:
    """Share of `entities` named in `text`, in [0, 1]; whole words, so "Iran" is not in "Tirana".

    An entity listed twice counts twice. With `match="upstream"` aliases are ignored, names are
    found inside words, and a name without Latin letters, digits or Han characters is found in
    every text.

    Raises:
        InputError: an entity is a number and `match` is `upstream`, which fails on it; or `match`
            is neither of the two.

    Source: the published reward server; the share is its "raw" rubric reward.
    """
    find = _words(text) if chosen(match, Match, "match") == "words" else _upstream(text)
    hit: list[str] = []
    missed: list[str] = []
    unmatchable: list[str] = []
    for entity in entities:
        name, found = _name(entity), find(entity)
        (hit if found else missed).append(name)
        if found is None:
            unmatchable.append(name)
    share = len(hit) / len(entities) if entities else 0.0
    return RubricScore(share, tuple(hit), tuple(missed), tuple(unmatchable))


def score_response(
    text: str,
    entities: Sequence[Name],
    *,
    outcome: float | None,
    ill_formed: bool = False,
    truncated: bool = False,
    problem: str = "",
    match: Match = "words",
) -> Score:
    """The two parts of one response's reward; both are 0 for one cut off or ill-formed.

    Args:
        text: the final answer text, thinking removed.
        entities: what the rubric looks for.
        outcome: 1 right, 0 wrong, None if nobody could tell.
        ill_formed: the response is not one thinking part followed by an answer.
        truncated: the response was cut off.
        problem: why the outcome is None.
        match: see `rubric_score`.

    Source: the published training code, which applies the ill-formed rule before any judging.
    """
    if ill_formed or truncated:
        missed = tuple(map(_name, entities))
        problem = "truncated" if truncated else "ill_formed"
        return Score(outcome=0.0, rubric=0.0, missed=missed, problem=problem)
    found = rubric_score(text, entities, match=match)
    if outcome is None and not problem:
        problem = "unjudged"
    return Score(
        outcome=outcome, rubric=found.share, hit=found.hit, missed=found.missed, problem=problem
    )


def _name(entity: Name) -> str:
    return entity.name if isinstance(entity, Entity) else str(entity)


def _words(text: str) -> Callable[[Name], bool | None]:
    """Whether an entity or an alias of it stands in `text` as whole words; None if none can."""
    haystack = Haystack(text)

    def find(entity: Name) -> bool | None:
        aliases = entity.aliases if isinstance(entity, Entity) else ()
        names = [name for name in (_name(entity), *aliases) if normalise_name(name)]
        return any(map(haystack.holds, names)) if names else None

    return find


def _upstream(text: str) -> Callable[[Name], bool]:
    """Whether the published matcher finds an entity in `text`."""
    haystack = _upstream_normalise(text)

    def find(entity: Name) -> bool:
        if isinstance(entity, int):
            raise InputError(
                f"entity {entity} is a number, on which the published matcher fails; quote it"
            )
        return _upstream_normalise(_name(entity)) in haystack

    return find


def _upstream_normalise(text: str) -> str:
    return " ".join(_UPSTREAM_WORD.findall(text.lower().strip()))
