"""What the `questions` verb can be told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from longtrace.llm import Endpoint
from longtrace.questions.clues import MAX_HOPS


class Config(Endpoint):
    """Random walks into multi-hop questions."""

    count: int = Field(default=100, ge=1)
    """Questions wanted."""
    hops: int = Field(default=4, ge=1, le=MAX_HOPS)
    """Links on a walk; the question then rests on one document more. The paper uses 8."""
    seed: int = 0
    """Another seed gives other walks."""
    max_mention_share: float = Field(default=0.01, gt=0, le=1)
    """Largest share of documents that may mention a document on a walk; small corpora need more."""
    max_walks: int | None = Field(default=None, ge=1)
    """Walks tried before giving up; 12 a question if not given."""
    min_chars: int = Field(default=0, ge=0)
    """Characters that the text of every document on a walk has at least."""
    jump: float = Field(default=0.0, ge=0, le=1)
    """Chance that a step goes to any document the page names, linked or not."""
    select: Literal["random", "llm"] = "random"
    """Who takes one of the five candidates of a step: chance, or the model."""
    writer: Literal["offline", "llm"] = "offline"
    """Who writes: rules (masked clues), or the model; where its drafts fail, rules again."""
    max_tokens: int = Field(default=600, ge=64)
    """Longest reply of the model."""

    @property
    def asks(self) -> bool:
        """Whether a model has a part in it."""
        return "llm" in (self.select, self.writer)

    def identity(self) -> dict[str, Any]:
        """What the questions depend on: of the endpoint only if it is asked."""
        own = self.model_dump(mode="json", exclude=set(Endpoint.model_fields))
        if not self.asks:
            own = {key: own[key] for key in own if key not in _MODEL_KEYS}
            return own
        return {**own, "endpoint": Endpoint.identity(self)}


_MODEL_KEYS = ("select", "writer", "max_tokens")
