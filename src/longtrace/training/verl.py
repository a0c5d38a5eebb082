"""The functions verl loads: a reward for one response, and an advantage estimator for groups.

verl gives the advantage step nothing but one number a response, so the reward packs outcome and
rubric into that number and the estimator takes them apart again:

    right    1 + rubric     in [1, 2]
    wrong        - rubric   in [-1, 0]
    unknown  -2

The advantages then come from the same formula as everywhere. verl's own score curves show the
packed number; `outcome`, `rubric` and `acc` are returned beside it and are what to look at.

    reward.custom_reward_function.path=pkg://longtrace.training.verl
    reward.custom_reward_function.name=compute_score
    algorithm.adv_estimator=longtrace_grpo
    VERL_USE_EXTERNAL_MODULES=longtrace.training.verl_plugin   in the environment

Source: verl 0.9.1, `verl/trainer/ppo/core_algos.py` and `verl/experimental/reward_loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longtrace.records import Score
from longtrace.training.engines import RewardOptions, options, score, shape_group

UNKNOWN = -2.0
"""The packed number of a response whose outcome nobody could tell."""
ESTIMATORS: Mapping[str, Mapping[str, Any]] = {
    "longtrace_grpo": {},
    "longtrace_grpo_best_correct": {"best": "correct"},
    "longtrace_grpo_always": {"credit": "always"},
    "longtrace_grpo_outcome": {"eta": 0.0},
}
"""Names of the estimators that `verl_plugin` registers, with the options each differs in."""
_LIKELIEST_WRONG = -1.5


def pack(judged: Score) -> float:
    """Outcome and rubric of one response as one number; see the module's table."""
    if judged.outcome is None:
        return UNKNOWN
    return 1.0 + judged.rubric if judged.outcome > 0 else -judged.rubric


def unpack(number: float) -> Score:
    """The score that `pack` made `number` of, without the names."""
    if number < _LIKELIEST_WRONG:
        return Score(outcome=None, rubric=0.0, problem="unjudged")
    if number >= 1.0:
        return Score(outcome=1.0, rubric=min(1.0, number - 1.0))
    return Score(outcome=0.0, rubric=min(1.0, max(0.0, -number)))


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """One response's packed reward and its parts.

    Args:
        data_source: of the row; not looked at.
        solution_str: the response, thinking included.
        ground_truth: the answer.
        extra_info: `question`, `answer_aliases` and `entities` of the exported row.
        **kwargs: `reward_kwargs` of the configuration, fields of `engines.RewardOptions` with the
            prefix `longtrace_`; what verl adds besides is not looked at.

    Returns:
        `score` (packed), `acc` and `outcome` (0.0 where unknown), `rubric`, `unknown`.
    """
    prefix = "longtrace_"
    how = options({k.removeprefix(prefix): v for k, v in kwargs.items() if k.startswith(prefix)})
    judged = await score(solution_str, {**(extra_info or {}), "answer": ground_truth}, how)
    right = judged.outcome or 0.0
    return {
        "score": pack(judged),
        "acc": right,
        "outcome": right,
        "rubric": judged.rubric,
        "unknown": float(judged.outcome is None),
    }


def group_advantages(
    numbers: Sequence[float], index: Sequence[Any], how: RewardOptions
) -> list[float]:
    """Advantages of packed rewards, in order; those of unknown outcome are 0.

    Args:
        numbers: one packed reward a response.
        index: id of the prompt that each response belongs to.
        how: options of the reward.
    """
    groups: dict[Any, list[int]] = {}
    for place, prompt in enumerate(index):
        groups.setdefault(prompt, []).append(place)
    found = [0.0] * len(numbers)
    for members in groups.values():
        earned = shape_group([unpack(numbers[place]) for place in members], how)
        for place, advantage in zip(members, earned.advantages_G, strict=True):
            found[place] = advantage or 0.0
    return found


def estimator(how: RewardOptions) -> Callable[..., tuple[Any, Any]]:
    """An advantage estimator as verl calls it, for one set of options."""

    def longtrace_grpo(
        token_level_rewards: Any, response_mask: Any, index: Any, config: Any = None, **_: Any
    ) -> tuple[Any, Any]:
        """Advantages and returns, both float[batch, length], 0 outside the response."""
        import torch

        numbers = token_level_rewards.sum(-1)  # float[batch]
        found = group_advantages(numbers.tolist(), list(index), how)
        spread = torch.tensor(found, dtype=token_level_rewards.dtype, device=numbers.device)
        advantages = spread.unsqueeze(-1) * response_mask
        return advantages, advantages

    return longtrace_grpo


def register(name: str, **given: Any) -> None:
    """Register an estimator under `name`; call it in a module of your own for other options.

    Args:
        name: what `algorithm.adv_estimator` then names.
        **given: fields of `engines.RewardOptions` that differ from their defaults.
    """
    from verl.trainer.ppo.core_algos import (  # type: ignore[import-not-found]
        register_adv_est,
    )

    register_adv_est(name)(estimator(options(given)))
