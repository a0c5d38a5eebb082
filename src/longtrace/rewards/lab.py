"""What another variant of the reward would have paid for the same responses, and who moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple, get_args

from longtrace.records import Entity, Score
from longtrace.rewards.combine import (
    Best,
    Credit,
    Normalize,
    advantages,
    combine,
    has_signal,
)
from longtrace.rewards.groups import Group, Passage
from longtrace.rewards.rubric import Match, Name, score_response
from longtrace.text import Haystack

_SMALL = 1e-9
_CHOICES: dict[str, tuple[Any, ...]] = {
    "match": get_args(Match),
    "credit": get_args(Credit),
    "normalize": get_args(Normalize),
    "best": get_args(Best),
    "eta": (0.0, 0.1, 0.3, 0.5),
}


class Variant(NamedTuple):
    """One way to compute the reward."""

    match: Match = "words"
    credit: Credit = "positive_only"
    normalize: Normalize = "group_max"
    best: Best = "all"
    eta: float = 0.3

    def neighbours(self) -> Iterator[tuple[str, Variant]]:
        """Every variant that differs in one choice, with that choice in words."""
        for field, values in _CHOICES.items():
            for value in values:
                if value != getattr(self, field):
                    yield f"{field} {value}", self._replace(**{field: value})


class Scored(NamedTuple):
    """A group with its scores, rewards and advantages, in the order of its samples."""

    scores_G: list[Score]
    rewards_G: list[float | None]
    advantages_G: list[float | None]


class Move(NamedTuple):
    """How rewards and advantages of the same responses differ between two variants."""

    name: str
    variant: Variant
    no_signal: float
    """Share of groups in which all judged rewards are equal."""
    reward: float | None
    """Mean over the judged responses."""
    reward_change: float
    """Mean absolute difference to the base variant."""
    advantage_change: float
    flipped: float
    """Share of judged responses whose advantage has the other sign."""


class Place(NamedTuple):
    """An entity, how often it is hit, and which passages name it."""

    name: str
    hits: int
    """Responses of the group that name it."""
    passages: tuple[str, ...]
    """Tier and title of each passage that names it, in prompt order."""


def score_group(group: Group, variant: Variant) -> Scored:
    """Scores, rewards and advantages of one group under `variant`.

    Raises:
        InputError: an entity is a number and the matcher is `upstream`.
    """
    scores_G = [
        score_response(
            sample.response,
            group.entities,
            outcome=sample.outcome,
            ill_formed=sample.ill_formed,
            match=variant.match,
        )
        for sample in group.samples
    ]
    return reward_group(scores_G, variant)


def reward_group(scores_G: list[Score], variant: Variant) -> Scored:
    """`score_group` where the scores are known; `variant.match` plays no part."""
    rewards_G = combine(
        scores_G,
        eta=variant.eta,
        credit=variant.credit,
        normalize=variant.normalize,
        best=variant.best,
    )
    return Scored(scores_G, rewards_G, advantages(rewards_G))


def moves(groups: Sequence[Group], base: Variant) -> list[Move]:
    """The base variant against itself, then every neighbour of it, over the same groups."""
    scored = {base.match: [score_group(group, base) for group in groups]}
    first = scored[base.match]
    rows = [_move("as asked", base, first, first)]
    for name, variant in base.neighbours():
        if variant.match not in scored:
            if any(isinstance(entity, int) for group in groups for entity in group.entities):
                continue  # the published matcher fails on numbers
            scored[variant.match] = [score_group(group, variant) for group in groups]
        other = [reward_group(group.scores_G, variant) for group in scored[variant.match]]
        rows.append(_move(name, variant, first, other))
    return rows


def places(group: Group, scored: Scored) -> list[Place]:
    """For every entity of a group who names it: how many responses, and which passages."""
    texts = [
        (_label(number, passage), Haystack(f"{passage.title}\n\n{passage.text}"))
        for number, passage in enumerate(group.passages, 1)
    ]
    hits = [name for score in scored.scores_G for name in score.hit]
    return [
        Place(
            _name(entity),
            hits.count(_name(entity)),
            tuple(label for label, text in texts if any(map(text.holds, _forms(entity)))),
        )
        for entity in group.entities
    ]


def _label(number: int, passage: Passage) -> str:
    title = passage.title or f"passage {number}"
    return f"{passage.tier}: {title}" if passage.tier else title


def _name(entity: Name) -> str:
    return entity.name if isinstance(entity, Entity) else str(entity)


def _forms(entity: Name) -> tuple[str, ...]:
    return (_name(entity), *(entity.aliases if isinstance(entity, Entity) else ()))


def _move(name: str, variant: Variant, base: list[Scored], other: list[Scored]) -> Move:
    pairs = [
        (was, now)
        for old, new in zip(base, other, strict=True)
        for was, now in zip(_judged(old), _judged(new), strict=True)
    ]
    judged = [(was, now) for was, now in pairs if was is not None and now is not None]
    return Move(
        name=name,
        variant=variant,
        no_signal=fmean(not has_signal(group.rewards_G) for group in other),
        reward=fmean(now[0] for _, now in judged) if judged else None,
        reward_change=_mean(abs(now[0] - was[0]) for was, now in judged),
        advantage_change=_mean(abs(now[1] - was[1]) for was, now in judged),
        flipped=_mean(
            min(was[1], now[1]) < -_SMALL and max(was[1], now[1]) > _SMALL for was, now in judged
        ),
    )


def _judged(group: Scored) -> list[tuple[float, float] | None]:
    """Reward and advantage of every member; None where it could not be judged."""
    return [
        None if reward is None or advantage is None else (reward, advantage)
        for reward, advantage in zip(group.rewards_G, group.advantages_G, strict=True)
    ]


def _mean(values: Iterable[float]) -> float:
    """The mean; 0 of nothing."""
    kept = list(values)
    return fmean(kept) if kept else 0.0
