"""What the engines that load our functions by path share: options, scoring and shaping of groups.

slime and verl score one response at a time and see whole groups later, at different places. So the
reward is in two parts here: `score`, which looks at one response and may ask a judge, and
`shape_group`, which is pure and calls the one formula in `rewards/combine.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from longtrace.config import Config
from longtrace.errors import InputError
from longtrace.records import Entity, Score
from longtrace.rewards.answer import split_thinking
from longtrace.rewards.combine import (
    Best,
    CreditOption,
    NormalizeOption,
    advantages,
    combine,
)
from longtrace.rewards.outcome import Asks, Kind, KindOption, default_kind, outcome
from longtrace.rewards.rubric import score_response


class RewardOptions(Config):
    """The reward as an engine's configuration carries it."""

    eta: float = 0.3
    """Weight of the rubric."""
    credit: CreditOption = "positive_only"
    """Whose rubric counts: right answers' only, everyone's, or wrong answers' only."""
    normalize: NormalizeOption = "group_max"
    """Whether the rubric is divided by the group's best."""
    best: Best = "all"
    """Over whom the group's best is taken: all judged responses, or the right ones."""
    thinks: bool = True
    """The model writes a thinking part that ends in `</think>`; without one it is ill-formed."""
    outcome: KindOption | None = None
    """How the outcome is found: exact, two-way-substring, judge or exact-then-judge; if not given,
    exact-then-judge where `judge_url` is, else exact."""
    judge_url: str = ""
    """Base URL of the judge's OpenAI-compatible endpoint."""
    judge_model: str = ""
    """Model that the judge's endpoint serves."""
    judge_cache: str = ""
    """File in which the judge's replies are kept; none: no cache."""

    @property
    def told_by(self) -> Kind:
        """How the outcome is found in fact."""
        return self.outcome or default_kind(self.judge_url)


OUTCOME = frozenset({"outcome", "judge_url", "judge_model", "judge_cache"})
"""The options that say how right is told from wrong; the others shape the rewards of a group."""


class Shaped(NamedTuple):
    """What the members of one group earn; None where the outcome is not known."""

    rewards_G: list[float | None]
    advantages_G: list[float | None]


def options(given: Mapping[str, Any]) -> RewardOptions:
    """Options from the values an engine's configuration has; what it does not name is default.

    Raises:
        InputError: a name or value that is not one of the options.
    """
    try:
        return RewardOptions(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"longtrace reward option {where}: {first['msg']}") from None


async def score(
    response: str, row: Mapping[str, Any], how: RewardOptions, *, truncated: bool = False
) -> Score:
    """Outcome and rubric of one response; both 0, without a judge, if cut off or ill-formed.

    Args:
        response: what the model wrote, thinking included.
        row: `question`, `answer`, `answer_aliases` and `entities` (names, or {name, aliases}) of
            the exported row.
        how: options of the reward.
        truncated: the response was cut off.

    Raises:
        InputError: the row has no answer, or a judge is asked and none is configured.
    """
    if row.get("answer") is None:
        raise InputError(
            "a row has no answer to compare with; give the rows of `longtrace export`, and slime "
            "--label-key label"
        )
    entities = _entities(row)
    split = split_thinking(response, thinks=how.thinks)
    if truncated or not split.well_formed:
        return score_response(
            "", entities, outcome=0.0, ill_formed=not split.well_formed, truncated=truncated
        )
    verdict = await outcome(
        split.content,
        question=str(row.get("question", "")),
        answer=str(row["answer"]),
        aliases=tuple(row.get("answer_aliases") or ()),
        kind=how.told_by,
        judge=_judge(how, asyncio.get_running_loop()) if "judge" in how.told_by else None,
    )
    right = None if verdict.correct is None else float(verdict.correct)
    return score_response(split.content, entities, outcome=right, problem=verdict.problem)


def shape_group(scores_G: Sequence[Score | None], how: RewardOptions) -> Shaped:
    """Rewards and advantages of one group; a member without a score (None) is not known.

    Advantages are (reward - mean) / (unbiased deviation + 1e-6) over the known members, as in the
    published training code; a group in which all earn the same has advantage 0.
    """
    known = [score or Score(outcome=None, rubric=0.0, problem="no score") for score in scores_G]
    rewards_G = combine(
        known, eta=how.eta, credit=how.credit, normalize=how.normalize, best=how.best
    )
    return Shaped(rewards_G, advantages(rewards_G))


def _entities(row: Mapping[str, Any]) -> list[Entity]:
    given = row.get("entities")
    found = [] if given is None else list(given)
    return [Entity(name=e) if isinstance(e, str) else Entity.model_validate(e) for e in found]


@lru_cache(maxsize=8)
def _judge(how: RewardOptions, loop: asyncio.AbstractEventLoop) -> Asks:
    """The judge of an event loop, whose connections work on no other; one for all its questions.

    Raises:
        InputError: the endpoint or the model is missing.
    """
    del loop
    from longtrace.llm import LLM, Endpoint
    from longtrace.rewards.judge import Judge

    if not how.judge_url or not how.judge_model:
        raise InputError(
            f"outcome {how.told_by} needs judge_url and judge_model in the reward options"
        )
    endpoint = Endpoint(base_url=how.judge_url, model=how.judge_model)
    return Judge(LLM(endpoint, Path(how.judge_cache) if how.judge_cache else None))
