"""What a policy answers on held-out questions, with intervals, before and after training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from longtrace.records import Completion, Example, Record, Score
from longtrace.statistics import Interval, mean_ci, paired_ci, wilson
from longtrace.training.outcomes import Outcomes, by_exact_rule
from longtrace.training.reward import Judged, Response, judge

Decoding = Literal["greedy", "sampled"]
_ROWS_AT_ONCE = 100
_ROWS_AT_ONCE_LONG = 4
_SHORT_TOKENS = 512


class Answered(Record):
    """A response to a held-out question, with its score."""

    decoding: Decoding
    question: str
    answer: str
    completion: Completion
    score: Score


class Measured(NamedTuple):
    """Means over the questions that could be judged."""

    outcome: Interval | None
    """Share of right answers, with its Wilson interval; None if nothing could be judged."""
    rubric: Interval | None
    """Mean share of the gold entities named, with its bootstrap interval over questions."""


def respond(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    decoding: Decoding,
    max_tokens: int,
    temperature: float = 1.0,
    seed: int = 0,
    thinks: bool = False,
    outcomes: Outcomes = by_exact_rule,
) -> list[Answered]:
    """One response of `model` to every example, in order; the global random state is kept.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer, padding on the left.
        examples: what to answer.
        decoding: the likeliest word each time, or drawn at `temperature`.
        max_tokens: longest response.
        temperature: of `sampled`.
        seed: of the draws.
        thinks: whether a response must have a closed thinking part.
        outcomes: tells right from wrong.
    """
    import torch

    sampling: dict[str, Any] = {"do_sample": False}
    if decoding == "sampled":
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    out: list[Answered] = []
    prompts = [_prompt(tokenizer, example) for example in examples]
    at_once = _ROWS_AT_ONCE if max_tokens <= _SHORT_TOKENS else _ROWS_AT_ONCE_LONG
    devices = [model.device] if model.device.type == "cuda" else []
    ends = end_tokens(model, tokenizer)
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        for start in range(0, len(examples), at_once):
            rows = tokenizer(
                prompts[start : start + at_once],
                return_tensors="pt",
                padding=True,
                return_token_type_ids=False,
                add_special_tokens=False,
            ).to(model.device)
            written = model.generate(
                **rows,
                **sampling,
                max_new_tokens=max_tokens,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=sorted(ends),
            )
            new = written[:, rows["input_ids"].shape[1] :].tolist()
            asked = examples[start : start + at_once]
            responses = [
                _response(example, tokenizer, tokens, ends)
                for example, tokens in zip(asked, new, strict=True)
            ]
            judged = judge(responses, thinks=thinks, outcomes=outcomes)
            out += [_answered(e, j, decoding) for e, j in zip(asked, judged, strict=True)]
    return out


def measured(answers: Sequence[Answered], *, seed: int = 0) -> Measured:
    """Outcome and rubric of a policy's answers, in [0, 1], with 95 % intervals."""
    outcomes = [a.score.outcome for a in answers]
    judged = [o for o in outcomes if o is not None]
    rubric = [a.score.rubric if a.score.outcome is not None else None for a in answers]
    right = sum(o > 0 for o in judged)
    return Measured(
        wilson(right, len(judged), missing=len(outcomes) - len(judged)),
        mean_ci(rubric, rng=np.random.default_rng(seed)),
    )


def change(before: Sequence[Answered], after: Sequence[Answered], *, seed: int = 0) -> Measured:
    """Paired differences, after less before, over the questions judged both times."""
    pairs: list[Interval | None] = []
    for part in ("outcome", "rubric"):
        values = [
            [getattr(a.score, part) if a.score.outcome is not None else None for a in answers]
            for answers in (after, before)
        ]
        pairs.append(paired_ci(values[0], values[1], rng=np.random.default_rng(seed)))
    return Measured(*pairs)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens at which the model stops: those of its generation config and of its tokenizer."""
    given = model.generation_config.eos_token_id
    ids = [given] if isinstance(given, int) else list(given or [])
    return frozenset(i for i in (*ids, tokenizer.eos_token_id) if i is not None)


def _prompt(tokenizer: Any, example: Example) -> str:
    messages = [message.model_dump() for message in example.messages]
    text: str = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return text


def _response(
    example: Example, tokenizer: Any, tokens: Sequence[int], ends: frozenset[int]
) -> Response:
    return Response(
        tokenizer.decode(tokens, skip_special_tokens=True),
        example.question,
        example.answer,
        example.entities,
        example.answer_aliases,
        not ends.intersection(tokens),
    )


def _answered(example: Example, judged: Judged, decoding: Decoding) -> Answered:
    completion = Completion(
        example_id=example.id,
        sample=0,
        thinking=judged.thinking,
        text=judged.text,
        stop="length" if judged.truncated else "stop",
    )
    return Answered(
        decoding=decoding,
        question=example.question,
        answer=example.answer,
        completion=completion,
        score=judged.score,
    )
