"""The reward as a function that TRL calls: our scores, our formula, TRL's contract.

TRL repeats every prompt `num_generations` times in a row and hands over the local process's slice
of a batch. The group's best needs whole groups, and TRL checks only the global batch size, so the
slice is checked here; or the processes exchange their scores (`RewardSettings.gather`), and then a
group may lie across processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from longtrace.errors import InputError
from longtrace.records import Completion, Entity, Record, Score
from longtrace.rewards.answer import Raw, split_thinking
from longtrace.rewards.combine import Best, Credit, Normalize, combine, has_signal
from longtrace.rewards.rubric import score_response
from longtrace.training.outcomes import Asked, Outcomes, by_exact_rule


class Rollout(Record):
    """One response of a group, its score and what it earned."""

    step: int
    """Updates done before it was sampled."""
    question: str
    answer: str
    completion: Completion
    score: Score
    reward: float | None


class RewardSettings(NamedTuple):
    """What the reward depends on, beside the responses."""

    group_size: int
    eta: float = 0.3
    credit: Credit = "positive_only"
    normalize: Normalize = "group_max"
    best: Best = "all"
    thinks: bool = False
    """Whether a response must have a thinking part that ends in `</think>`."""
    end_tokens: frozenset[int] = frozenset()
    """Tokens that end a response; one that ends otherwise was cut off. Empty: not checked."""
    gather: bool = False
    """Whether the processes of a distributed training exchange scores, so that a group may be split
    over them. Every process must then have equally many responses, as TRL sees to."""


class Judged(NamedTuple):
    """A response in its parts, with its score."""

    thinking: str
    text: str
    truncated: bool
    score: Score


RewardFunction = Callable[..., list[float | None]]


class Response(NamedTuple):
    """A response and what it is judged by."""

    completion: Raw
    question: str
    answer: str
    entities: Sequence[Entity]
    answer_aliases: Sequence[str] = ()
    truncated: bool = False


def judge(
    responses: Sequence[Response], *, thinks: bool = False, outcomes: Outcomes = by_exact_rule
) -> list[Judged]:
    """Outcome and rubric of responses; a cut-off or ill-formed one has 0 for both and says so.

    Thinking earns nothing: both parts look at what comes after it.

    Args:
        responses: in any order, which is kept.
        thinks: whether a response must have a thinking part that ends.
        outcomes: tells right from wrong; asked about the well-formed ones, all at once.
    """
    splits = [split_thinking(r.completion, thinks=thinks) for r in responses]
    usable = [
        split.well_formed and not r.truncated for r, split in zip(responses, splits, strict=True)
    ]
    asked = [
        Asked(split.content, r.question, r.answer, tuple(r.answer_aliases))
        for r, split, fine in zip(responses, splits, usable, strict=True)
        if fine
    ]
    verdicts = iter(outcomes(asked))
    judged: list[Judged] = []
    for r, split, fine in zip(responses, splits, usable, strict=True):
        verdict = next(verdicts) if fine else None
        score = score_response(
            split.content,
            r.entities,
            outcome=None if verdict is None or verdict.correct is None else float(verdict.correct),
            ill_formed=not split.well_formed,
            truncated=r.truncated,
            problem=verdict.problem if verdict else "",
        )
        judged.append(Judged(split.thinking, split.content, r.truncated, score))
    return judged


def reward_function(
    settings: RewardSettings,
    seen: Callable[[list[Rollout]], None] | None = None,
    outcomes: Outcomes = by_exact_rule,
) -> RewardFunction:
    """A reward function for `GRPOTrainer(reward_funcs=...)`.

    The dataset needs the columns `group_id`, `question`, `answer`, `entities` (list of {name,
    aliases}) and may have `answer_aliases`. Means of outcome and rubric, the share that could not
    be judged, and the share of groups without any difference in reward are logged as
    `longtrace/...`. The four shapes a response can have are read: text with both think tags, text
    that starts inside the thinking, messages with `reasoning_content`, and those cut off in it.

    Args:
        settings: of the reward.
        seen: called with every batch of rollouts, in order.
        outcomes: tells right from wrong; see `training.outcomes`.

    Returns:
        A function that returns one reward a completion, None where the outcome could not be judged.
        It raises InputError if a group is not whole.
    """

    def longtrace(
        *,
        completions: Sequence[Raw],
        completion_ids: Sequence[Sequence[int]],
        group_id: Sequence[str],
        question: Sequence[str],
        answer: Sequence[str],
        entities: Sequence[Sequence[Mapping[str, Any]]],
        answer_aliases: Sequence[Sequence[str] | None] | None = None,
        trainer_state: Any = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        responses = [
            Response(
                completions[i],
                question[i],
                answer[i],
                [Entity.model_validate(e) for e in entities[i]],
                (answer_aliases[i] if answer_aliases else None) or (),
                _truncated(completion_ids[i], settings.end_tokens),
            )
            for i in range(len(completions))
        ]
        judged = judge(responses, thinks=settings.thinks, outcomes=outcomes)
        shaped = shape(group_id, [j.score for j in judged], settings)
        if log_metric is not None:
            means = batch_means(shaped.scores, shaped.rewards, settings.group_size)
            for name, value in means.items():
                log_metric(f"longtrace/{name}", value)
        if seen is not None:
            step = trainer_state.global_step if trainer_state is not None else 0
            rows = zip(group_id, question, answer, judged, shaped.local, strict=True)
            seen([_rollout(step, n % settings.group_size, *row) for n, row in enumerate(rows)])
        return shaped.local

    return longtrace


class Shaped(NamedTuple):
    """Rewards of a batch, of this process and of all of them."""

    local: list[float | None]
    """Rewards of this process's responses, in order."""
    scores: list[Score]
    """Scores of the whole groups that were looked at: all processes' where they were gathered."""
    rewards: list[float | None]
    """Rewards, aligned with `scores`."""


def shape(group_id: Sequence[str], scores: Sequence[Score], settings: RewardSettings) -> Shaped:
    """Rewards of a batch of scored responses, group by group.

    With `settings.gather` this is a collective call: every process must make it.

    Raises:
        InputError: a group is not whole.
    """
    rows = [(one, score.model_dump()) for one, score in zip(group_id, scores, strict=True)]
    start = 0
    if settings.gather:
        from accelerate import PartialState
        from accelerate.utils import gather_object

        start = PartialState().process_index * len(rows)
        rows = gather_object(rows)
    check_groups([one for one, _ in rows], settings.group_size)
    every = [Score.model_validate(score) for _, score in rows]
    rewards: list[float | None] = []
    for first in range(0, len(every), settings.group_size):
        rewards += combine(
            every[first : first + settings.group_size],
            eta=settings.eta,
            credit=settings.credit,
            normalize=settings.normalize,
            best=settings.best,
        )
    return Shaped(rewards[start : start + len(scores)], every, rewards)


def batch_means(
    scores: Sequence[Score], rewards: Sequence[float | None], group_size: int
) -> dict[str, float]:
    """Means over a batch of whole groups: outcome and rubric over the judged, shares over all."""
    judged = [score for score in scores if score.outcome is not None]
    groups = [rewards[i : i + group_size] for i in range(0, len(rewards), group_size)]
    means = {
        "missing": 1 - len(judged) / len(scores),
        "no_signal": fmean(not has_signal(rewards_G) for rewards_G in groups),
    }
    if judged:
        means["outcome"] = fmean(score.outcome or 0.0 for score in judged)
        means["rubric"] = fmean(score.rubric for score in judged)
    return means


def check_groups(group_id: Sequence[str], group_size: int) -> None:
    """Check that a batch is whole groups, one after the other.

    Raises:
        InputError: a group is split over processes or batches; says what to set.
    """
    slices = [group_id[i : i + group_size] for i in range(0, len(group_id), group_size)]
    if all(len(ids) == group_size and len(set(ids)) == 1 for ids in slices):
        return
    raise InputError(
        f"the reward got {len(group_id)} responses that are not whole groups of {group_size}: "
        "make per_device_train_batch_size x steps_per_generation a multiple of num_generations "
        "on every process, or let the processes exchange scores with RewardSettings(gather=True)"
    )


def check_layout(local: int, group_size: int, *, gather: bool) -> None:
    """Check before a training that no group will be split over processes.

    Args:
        local: responses of one process in a batch that is generated at once:
            per_device_train_batch_size x steps_per_generation.
        group_size: responses to a prompt.
        gather: the processes exchange their scores.

    Raises:
        InputError: a group would be split.
    """
    if gather or local % group_size == 0:
        return
    raise InputError(
        f"a process has {local} responses at once and groups have {group_size}, so groups would be "
        "split over processes and each would see a wrong group's best; make "
        "per_device_train_batch_size x steps_per_generation a multiple of num_generations, "
        "or set gather"
    )


def _rollout(
    step: int,
    sample: int,
    group_id: str,
    question: str,
    answer: str,
    judged: Judged,
    reward: float | None,
) -> Rollout:
    completion = Completion(
        example_id=group_id,
        sample=sample,
        thinking=judged.thinking,
        text=judged.text,
        stop="length" if judged.truncated else "stop",
    )
    return Rollout(
        step=step,
        question=question,
        answer=answer,
        completion=completion,
        score=judged.score,
        reward=reward,
    )


def _truncated(tokens: Sequence[int], ends: frozenset[int]) -> bool:
    return bool(ends) and (not tokens or tokens[-1] not in ends)
