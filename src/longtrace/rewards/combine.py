"""The formula: what each response of a group is worth. It is written here and nowhere else.

With outcome o in {0, 1}, rubric share r in [0, 1] and b the best r of the group:

    reward = 0                               if o = 0
           = (1 - eta) * o + eta * r / b     otherwise

What could not be judged has outcome None: it gets no reward, takes no part in b, and is for the
caller to count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, Literal, TypeAlias

from longtrace.choices import chosen, either_spelling
from longtrace.errors import InputError
from longtrace.records import Score

Credit: TypeAlias = Literal["positive_only", "always", "negative_only"]
"""Whose rubric counts: right answers' only (published), everyone's, or wrong answers' only."""
Normalize: TypeAlias = Literal["group_max", "raw"]
"""Whether the rubric is divided by the group's best."""
Best: TypeAlias = Literal["all", "correct"]
"""Over whom the group's best is taken: all judged members (published), or the right ones."""

CreditOption: TypeAlias = Annotated[Credit, either_spelling]
"""`Credit` as an option of a verb, where `positive-only` is the same as `positive_only`."""
NormalizeOption: TypeAlias = Annotated[Normalize, either_spelling]
"""`Normalize` as an option of a verb, where `group-max` is the same as `group_max`."""


def combine(
    scores_G: Sequence[Score],
    *,
    eta: float = 0.3,
    credit: Credit = "positive_only",
    normalize: Normalize = "group_max",
    best: Best = "all",
) -> list[float | None]:
    """Rewards of one group in the order of `scores_G`, in [0, 1]; None where the outcome is None.

    Args:
        scores_G: all responses to one prompt.
        eta: weight of the rubric, in [0, 1].
        credit: `positive_only`: 0 unless right; `always`: the sum for everyone; `negative_only`: a
            right answer gets its outcome alone, a wrong one eta times its rubric.
        normalize: `group_max` divides the rubric by the group's best (0 stays 0); `raw` does not.
        best: `all` takes the best over all judged members, wrong ones included; `correct` over the
            right ones, so that a wrong response that names everything does not set the bar; then
            a member above the bar counts as 1, and where nobody is right the best is over all.

    Raises:
        InputError: `eta` is outside [0, 1], or a choice is none of those above; `positive-only` is
            the same as `positive_only`.

    Source: LongTraceRL (arXiv 2605.31584), rubric reward with group normalisation, as the published
    training code computes it; eta 0.3 is the published value.
    """
    if not 0.0 <= eta <= 1.0:
        raise InputError(f"eta = {eta}: the weight of the rubric must be between 0 and 1")
    credit, best = chosen(credit, Credit, "credit"), chosen(best, Best, "best")
    normalize = chosen(normalize, Normalize, "normalize")
    top = _best(scores_G, best) if normalize == "group_max" else 1.0
    return [_reward(score, top, eta, credit) for score in scores_G]


def advantages(rewards_G: Sequence[float | None], eps: float = 1e-6) -> list[float | None]:
    """(reward - mean) / (standard deviation + eps) over the judged members; None stays None.

    The deviation is the unbiased one (n - 1). Where all judged rewards are equal, or only one is
    judged, there is nothing to learn from and every advantage is 0.

    Source: GRPO as the published training code computes it (eps 1e-6; TRL uses 1e-4).
    """
    judged = [reward for reward in rewards_G if reward is not None]
    if not has_signal(rewards_G):
        return [None if reward is None else 0.0 for reward in rewards_G]
    mean = fmean(judged)
    spread = math.sqrt(math.fsum((r - mean) ** 2 for r in judged) / (len(judged) - 1))
    return [None if r is None else (r - mean) / (spread + eps) for r in rewards_G]


def has_signal(rewards_G: Sequence[float | None]) -> bool:
    """Whether at least two judged rewards of the group differ, so that some advantage is not 0."""
    return len({reward for reward in rewards_G if reward is not None}) > 1


def _best(scores_G: Sequence[Score], best: Best) -> float:
    judged = [score for score in scores_G if score.outcome is not None]
    right = [score for score in judged if score.outcome]
    counted = right if best == "correct" and right else judged
    return max((score.rubric for score in counted), default=0.0)


def _reward(score: Score, top: float, eta: float, credit: Credit) -> float | None:
    if score.outcome is None:
        return None
    if credit == "positive_only" and score.outcome == 0:
        return 0.0
    if credit == "negative_only" and score.outcome > 0:
        return score.outcome
    rubric = min(1.0, score.rubric / top) if top > 0 else 0.0
    return (1 - eta) * score.outcome + eta * rubric
