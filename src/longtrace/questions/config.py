"""What the `questions` verb can be told."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from longtrace.errors import InputError
from longtrace.llm import Endpoint
from longtrace.questions.clues import MAX_HOPS
from longtrace.questions.model_check import Check


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
    max_copied: float = Field(default=1.0, ge=0, le=1)
    """Largest part of a model's clue that may be copied from its evidence; 1 refuses no copy."""
    from_musique: Path | None = None
    """Questions of a MuSiQue file instead of walks; the corpus must hold its paragraphs."""
    checks: tuple[Check, ...] = ()
    """What a model must confirm, separated by commas: closed-book (it fails without documents),
    gold-only (it succeeds with the walk's documents), necessity (it fails when any one of them is
    missing)."""
    check_chars: int = Field(default=6000, ge=200)
    """Characters of a document that these checks show, around the sentence that is needed."""
    lint: bool = False
    """Drop questions whose rubric has an entity that cannot be matched fairly; collect aliases."""
    near_duplicates: float | None = Field(default=None, gt=0, le=1)
    """Drop questions that share this part of their word shingles with an earlier one."""
    benchmarks: tuple[Path, ...] = ()
    """Files of benchmark questions, or signatures of them, separated by commas, that no question
    may overlap."""

    @property
    def asks(self) -> bool:
        """Whether a model has a part in it."""
        return "llm" in (self.select, self.writer) or bool(self.checks)

    def identity(self) -> dict[str, Any]:
        """What the questions depend on: of the endpoint only if it is asked."""
        own = self.model_dump(mode="json", exclude=set(Endpoint.model_fields))
        own["benchmarks"] = [source_hash(path) for path in self.benchmarks]
        if self.from_musique is not None:
            own["from_musique"] = source_hash(self.from_musique)
        if self.max_copied == 1:
            del own["max_copied"]  # the rule is off
        if self.asks:
            return {**own, "endpoint": Endpoint.identity(self)}
        return {key: value for key, value in own.items() if key not in _MODEL_KEYS}


_MODEL_KEYS = ("select", "writer", "max_tokens", "max_copied", "checks", "check_chars")


def source_hash(path: Path) -> str:
    """What a run remembers of a file it was given: its content.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); check the path") from None
