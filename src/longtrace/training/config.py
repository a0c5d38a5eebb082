"""What a training depends on, and what differs between the tiny policy and a user's model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg

from longtrace.config import Config as BaseConfig
from longtrace.rewards.combine import Best, CreditOption, NormalizeOption


class Config(BaseConfig):
    """GRPO with the outcome and rubric rewards, by an unmodified TRL."""

    engine: CliPositionalArg[Literal["trl"]] = "trl"
    """The trainer that is used."""
    model: str | None = None
    """Folder or hub name of a model to train on the exported rows; none: a tiny policy on facts."""
    lora_rank: int = Field(default=16, ge=0)
    """Rank of the LoRA adapters for `--model`; 0 trains every weight."""
    steps: int = Field(default=60, ge=1)
    """Updates."""
    group_size: int = Field(default=8, ge=2)
    """Responses to each prompt, G."""
    prompts_per_step: int = Field(default=16, ge=1)
    """Prompts in each update; an update sees group_size times as many responses."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Constant step size; 2e-4 for the tiny policy and 1e-5 for `--model` if not given."""
    eta: float = Field(default=0.3, ge=0, le=1)
    """Weight of the rubric in the reward."""
    credit: CreditOption = "positive_only"
    """Whose rubric counts: right answers' only, everyone's, or wrong answers' only."""
    normalize: NormalizeOption = "group_max"
    """Whether the rubric is divided by the group's best."""
    best: Best = "all"
    """Over whom the group's best is taken: all judged responses, or the right ones."""
    temperature: float = Field(default=1.0, gt=0)
    """Of sampling in training, and of the sampled half of the evaluation."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """Longest response in tokens; 24 for the tiny policy and 2048 for `--model` if not given."""
    thinks: bool = False
    """The model writes a thinking part that ends in `</think>`; without one it is ill-formed."""
    eval_questions: int = Field(default=400, ge=1)
    """Held-out questions the policy is measured on before and after."""
    tasks: int = Field(default=2400, ge=100)
    """Questions over facts to make for the tiny policy; about a fifth are held out."""
    hops: int = Field(default=3, ge=2, le=5)
    """Facts on the way to the answer of such a question."""
    seed: int = 0
    """Of the tasks, the first warm start, the order of the rows and the sampling."""
    save_every: int = Field(default=10, ge=1)
    """Updates between checkpoints."""
    threads: int = Field(default=1, ge=1)
    """CPU threads. Sums of floating-point numbers, hence the results, depend on it."""
    resume: bool = False
    """Continue from the last checkpoint, also with more `--steps` than the training had."""

    def identity(self) -> dict[str, Any]:
        """The resolved values; `resume` says how to run, not what comes out."""
        return self.model_dump(mode="json", exclude={"resume"})

    @property
    def rate(self) -> float:
        """The learning rate that is used."""
        return self.learning_rate or (1e-5 if self.model else 2e-4)

    @property
    def completion_tokens(self) -> int:
        """The longest response that is allowed."""
        return self.max_completion_tokens or (2048 if self.model else 24)
