"""What the `trajectories` verb can be told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from longtrace.llm import Endpoint
from longtrace.trajectories.attempt import Limits


class Config(Endpoint):
    """A search agent's attempts at the questions."""

    attempts: int = Field(default=3, ge=1)
    """Attempts at a question. Of the offline agent the first is the widest, later ones tighter."""
    k: int = Field(default=20, ge=1)
    """Results a search lists."""
    agent: Literal["offline", "llm"] = "offline"
    """Who searches: rules that read masked clues, or the model."""
    mode: Literal["tools", "scaffold"] = "tools"
    """How the model is driven: it calls tools freely, or a weak one is led from move to move."""
    temperature: float = Field(default=0.7, ge=0)
    """Temperature of the model's replies; attempts at 0 are all the same."""
    max_steps: int = Field(default=30, ge=3)
    """Requests to the model in one attempt."""
    max_attempt_tokens: int = Field(default=400_000, ge=1)
    """Prompt and completion tokens of one attempt."""
    max_attempt_s: float | None = Field(default=None, gt=0)
    """Seconds of one attempt; with it, two equal runs may differ."""
    reply_tokens: int = Field(default=1024, ge=16)
    """Longest reply of the model."""
    page_chars: int = Field(default=6000, ge=200)
    """Characters of a document that one `open` shows to the model."""
    window_tokens: int = Field(default=24_000, ge=1000)
    """Longest conversation; older results are shortened beyond."""
    judge: Endpoint = Endpoint()
    """Endpoint of a judge for answers in other words; without one they are wrong."""

    @property
    def limits(self) -> Limits:
        """What one attempt may use."""
        return Limits(
            steps=self.max_steps,
            tokens=self.max_attempt_tokens,
            seconds=self.max_attempt_s,
            reply_tokens=self.reply_tokens,
            page_chars=self.page_chars,
            window_tokens=self.window_tokens,
        )

    def identity(self) -> dict[str, Any]:
        """What the trajectories depend on: of model and judge only if they are asked."""
        if self.agent == "offline":
            return self.model_dump(mode="json", include={"attempts", "k"})
        own = self.model_dump(mode="json", exclude={*Endpoint.model_fields, "judge"})
        judge = self.judge.identity() if self.judge.base_url else None
        return {**own, "endpoint": Endpoint.identity(self), "judge": judge}
