"""What a training depends on, and what differs between the tiny policy and a user's model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg

from longtrace.config import Config as BaseConfig
from longtrace.llm import Endpoint
from longtrace.rewards.combine import Best, CreditOption, NormalizeOption
from longtrace.rewards.outcome import Kind, KindOption, default_kind

_LAUNCH = {"preset", "nodes", "plan", "gpu", "gpus", "prompt_tokens", "response_tokens"}
_HOW = _LAUNCH | {"resume", "report_to", "judge"}
_LATER = {
    "outcome",
    "clip_low",
    "clip_high",
    "updates_per_batch",
    "vllm",
    "icepop_min",
    "icepop_max",
}


class Config(BaseConfig):
    """GRPO with the outcome and rubric rewards, by an unmodified TRL."""

    engine: CliPositionalArg[Literal["trl", "slime", "verl"]] = "trl"
    """The trainer: trl trains here; slime and verl are given a launch for a cluster."""
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
    outcome: KindOption | None = None
    """How right is told from wrong: exact, two-way-substring, judge or exact-then-judge; if not
    given, exact-then-judge where a judge is configured, else exact."""
    judge: Endpoint = Endpoint()
    """The judge's endpoint."""
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
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    """How far below 1 the ratio of new to old probability still counts."""
    clip_high: float = Field(default=0.28, gt=0)
    """How far above 1 it still counts."""
    updates_per_batch: int = Field(default=1, ge=1)
    """Updates on each batch of responses; clipping does nothing with 1."""
    vllm: Literal["off", "colocate", "server"] = "off"
    """Generate `--model`'s responses with vLLM, in this process or a server started with TRL."""
    icepop_min: float = Field(default=0.5, ge=0, lt=1)
    """With vLLM: a token counts only if its probability here is at least this times vLLM's."""
    icepop_max: float = Field(default=2.0, gt=1)
    """With vLLM: and at most this times vLLM's."""
    report_to: str = ""
    """Where TRL also reports: tensorboard, wandb or trackio; `metrics.jsonl` is always written."""
    preset: str = "qwen3-4b-thinking-2507"
    """Model whose launch or plan is asked for; also deepseek-r1-0528-qwen3-8b and
    qwen3-30b-a3b-thinking-2507."""
    nodes: int = Field(default=4, ge=1)
    """Nodes of 8 GPUs of a launch: 1 or 4."""
    plan: bool = False
    """Say what fits on the GPUs and how long a step takes, and stop; exit 2 if it does not fit."""
    gpu: Literal["a100-80", "h100", "h200"] = "h100"
    """With `--plan`: the kind of GPU."""
    gpus: int = Field(default=1, ge=1)
    """With `--plan` and trl: their number."""
    prompt_tokens: int = Field(default=128_000, ge=1)
    """With `--plan`: longest prompt."""
    response_tokens: int = Field(default=32_000, ge=1)
    """With `--plan`: longest response."""
    resume: bool = False
    """Continue from the last checkpoint, also with more `--steps` than the training had."""

    def identity(self) -> dict[str, Any]:
        """The resolved values; what says how to run, or where else to, is left out.

        Later options are there only where they differ from their defaults, so that a folder made
        before there were any is still the same.
        """
        plain = self.model_dump(mode="json", exclude=_HOW | _LATER)
        later = self.model_dump(mode="json", include=_LATER, exclude_defaults=True)
        if "judge" in self.told_by:
            later["judge"] = self.judge.identity()
        return plain | later

    @property
    def told_by(self) -> Kind:
        """How right is told from wrong in fact."""
        return self.outcome or default_kind(self.judge.base_url)

    @property
    def rate(self) -> float:
        """The learning rate that is used."""
        return self.learning_rate or (1e-5 if self.model else 2e-4)

    @property
    def completion_tokens(self) -> int:
        """The longest response that is allowed."""
        return self.max_completion_tokens or (2048 if self.model else 24)
