"""The functions slime loads by path: score a response, shape the groups of a step, cap a response.

Nothing of slime is imported before it calls, and nothing of it is changed:

    --custom-rm-path                    longtrace.training.slime.custom_rm
    --custom-reward-post-process-path   longtrace.training.slime.reward_post_process
    --custom-generate-function-path     longtrace.training.slime.generate

The reward function returns the outcome alone, because it sees one response; its score travels in
`sample.metadata` to the second function, which sees every sample of the step. Options come from the
YAML file of `--custom-config-path` as `longtrace_eta`, `longtrace_credit` and so on, the fields of
`engines.RewardOptions`.

Source: THUDM/slime v0.3.1, `docs` of its customisation paths and the call sites in
`slime/rollout/rm_hub`, `slime/rollout/sglang_rollout.py` and `slime/ray/rollout.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from longtrace.errors import InputError
from longtrace.records import Score
from longtrace.training.engines import RewardOptions, options, score, shape_group

KEY = "longtrace"
"""Key of a sample's metadata under which its score travels."""
_PREFIX = "longtrace_"
_END = re.compile(r"(?:<\|[^<>|\s]{1,40}\|>|<\uff5c[^<>\uff5c\s]{1,40}\uff5c>|</s>)\Z")
"""A token that ends a response, of Qwen, DeepSeek or Llama: slime keeps it in the text."""
_END_CHARS, _MOST_ENDS = 50, 4


async def custom_rm(args: Any, sample: Any, **kwargs: Any) -> Any:
    """The outcome of one response, in [0, 1]; a list of them for a list of samples.

    An outcome nobody could tell is 0.0 here, where the engine wants a number; the score in the
    metadata says that it is not known, and `reward_post_process` takes the sample out. The same
    holds for a sample whose generation failed or was aborted.
    """
    if isinstance(sample, list):
        return [await custom_rm(args, one, **kwargs) for one in sample]
    status = _status(sample)
    if status in ("completed", "truncated"):
        row = {**_metadata(sample), "answer": sample.label}
        cut = status == "truncated"
        judged = await score(_unended(sample.response), row, reward_options(args), truncated=cut)
    else:
        judged = Score(outcome=None, rubric=0.0, problem=f"generation {status}")
    sample.metadata = {**_metadata(sample), KEY: judged.model_dump(mode="json")}
    return judged.outcome or 0.0


def reward_post_process(args: Any, samples: Sequence[Any]) -> tuple[list[float], list[float]]:
    """Rewards and advantages of all samples of a step, in order.

    Samples of a prompt are found by `group_index`. One that is not known, or was aborted before it
    was scored, has 0 for both and is marked `remove_sample`, which masks its tokens.
    """
    how = reward_options(args)
    flat = [one for sample in samples for one in (sample if isinstance(sample, list) else [sample])]
    groups: dict[Any, list[int]] = {}
    for place, sample in enumerate(flat):
        groups.setdefault(sample.group_index, []).append(place)
    raw, shaped = [0.0] * len(flat), [0.0] * len(flat)
    for members in groups.values():
        earned = shape_group([_score(flat[place]) for place in members], how)
        given = earned.advantages_G if _normalised(args) else _centred(earned.rewards_G)
        for place, reward, advantage in zip(members, earned.rewards_G, given, strict=True):
            if reward is None or advantage is None:
                flat[place].remove_sample = True
            else:
                raw[place], shaped[place] = reward, advantage
    return raw, shaped


async def generate(
    args: Any, sample: Any, sampling_params: dict[str, Any], evaluation: bool = False
) -> Any:
    """The stock generation with the response capped so that prompt and response fit the context.

    Raises:
        InputError: the prompt alone fills the context; remedy in the message.
    """
    from slime.rollout.sglang_rollout import GenerateState  # type: ignore[import-not-found]
    from slime.rollout.sglang_rollout import generate as stock

    limit = args.eval_max_context_len if evaluation else args.rollout_max_context_len
    if limit is not None:
        prompt_tokens = len(sample.tokens) or _tokens(GenerateState(args), sample)
        written = sampling_params["max_new_tokens"]
        sampling_params = {
            **sampling_params,
            "max_new_tokens": capped(prompt_tokens - sample.response_length, written, limit),
        }
    return await stock(args, sample, sampling_params)


def capped(prompt_tokens: int, response_tokens: int, context_tokens: int) -> int:
    """The longest response that still fits the context, at most `response_tokens`.

    Raises:
        InputError: the prompt alone fills the context.

    Source: the published launch, response <= min(32,000, 160,000 - prompt).
    """
    if prompt_tokens >= context_tokens:
        raise InputError(
            f"a prompt of {prompt_tokens:,} tokens leaves no room in a context of "
            f"{context_tokens:,}; raise --rollout-max-context-len or export smaller contexts"
        )
    return min(response_tokens, context_tokens - prompt_tokens)


def reward_options(args: Any) -> RewardOptions:
    """The reward options among the engine's arguments."""
    given = {
        name: getattr(args, _PREFIX + name)
        for name in RewardOptions.model_fields
        if hasattr(args, _PREFIX + name)
    }
    return options(given)


def _tokens(state: Any, sample: Any) -> int:
    prompt = sample.prompt
    if isinstance(prompt, str):
        return len(state.tokenizer.encode(prompt, add_special_tokens=False))
    return len(state.tokenizer.apply_chat_template(prompt, add_generation_prompt=True))


def _unended(text: str) -> str:
    """`text` without the tokens that end it, as the other trainers decode a response."""
    for _ in range(_MOST_ENDS):
        text = text.rstrip()
        found = _END.search(text, max(0, len(text) - _END_CHARS))
        if found is None:
            break
        text = text[: found.start()]
    return text


def _metadata(sample: Any) -> Mapping[str, Any]:
    return sample.metadata if isinstance(sample.metadata, dict) else {}


def _score(sample: Any) -> Score | None:
    found = _metadata(sample).get(KEY)
    return None if found is None else Score.model_validate(found)


def _status(sample: Any) -> str:
    return str(getattr(sample.status, "value", sample.status))


def _normalised(args: Any) -> bool:
    return bool(getattr(args, "grpo_std_normalization", True))


def _centred(rewards_G: Sequence[float | None]) -> list[float | None]:
    known = [reward for reward in rewards_G if reward is not None]
    mean = sum(known) / len(known) if known else 0.0
    return [None if reward is None else reward - mean for reward in rewards_G]
