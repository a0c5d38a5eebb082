"""Options of the `contexts` verb."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator

from longtrace.config import Config as StageConfig
from longtrace.contexts.certificate import Policy
from longtrace.contexts.strategies import STRATEGIES, Siblings, Strategy
from longtrace.contexts.units import PASSAGE_CHARS, Kind
from longtrace.llm import Endpoint

MIN_BUDGET_TOKENS = 256
MIN_STEP = 1.05
"""Rungs closer than what a cut may leave empty would not hold each other."""


class Config(StageConfig):
    """Pack gold documents and distractors into contexts of a token budget."""

    strategy: Literal["all", "random", "search", "trajectory-random", "tiered", "near-miss"] = "all"
    """How distractors are chosen; `all` makes every kind, which the overlap table compares."""
    budget_tokens: int = Field(default=32_000, ge=MIN_BUDGET_TOKENS)
    """The most tokens a prompt may have: documents, instruction and question."""
    ladder: tuple[int, ...] = ()
    """Several budgets, as in 4096,8192,16384, instead of one: a row for each, the longer ones
    holding the shorter ones."""
    tokenizer: str = "corpus"
    """A tokenizer.json file, a folder with one, or a hub name; `corpus` trains one on the corpus,
    with no download."""
    unit: Kind = "document"
    """What is packed: whole documents, or passages cut where paragraphs end."""
    passage_chars: int = Field(default=PASSAGE_CHARS, ge=500)
    """Longest passage, in characters, with --unit passage."""
    siblings: Siblings = "keep"
    """Other passages of gold documents: keep them as distractors, or drop them."""
    answer_bearing: Policy = "drop"
    """Distractors with the answer and the last entity: drop them, or promote them to gold; strict
    drops all that hold the answer."""
    prompts: Literal["varied", "fixed"] = "varied"
    """Instruction and document layout: drawn for every question, or the same for all."""
    min_pass_rate: float = Field(default=0.0, ge=0, le=1)
    """Leave out questions that a smaller share of the judged attempts got right."""
    max_pass_rate: float = Field(default=1.0, ge=0, le=1)
    """Leave out questions that a larger share got right: too easy to learn from."""
    reader: Endpoint = Endpoint()
    """Model that must fail without the gold documents; nobody is asked where none is given."""
    seed: int = 0
    """Decides every draw."""

    @field_validator("ladder")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(rung < MIN_BUDGET_TOKENS for rung in value):
            raise ValueError(f"every rung must be at least {MIN_BUDGET_TOKENS}")
        rungs = tuple(sorted(set(value)))
        if any(longer < MIN_STEP * shorter for shorter, longer in pairwise(rungs)):
            raise ValueError(f"every rung must be at least {MIN_STEP} times the one before")
        return rungs

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """The strategies asked for."""
        return STRATEGIES if self.strategy == "all" else (self.strategy,)

    @property
    def rungs(self) -> tuple[int, ...]:
        """The budgets asked for, ascending."""
        return self.ladder or (self.budget_tokens,)
