"""The table of verbs: which module has the `Config` and `run(config, options)` of which verb."""

from __future__ import annotations

import importlib
from types import ModuleType

VERBS: dict[str, tuple[str, str]] = {
    "demo": ("longtrace.demo", "the whole pipeline on a real corpus, on a laptop CPU, no API key"),
    "corpus": ("longtrace.corpus.stage", "documents into a store, a search index and a link graph"),
    "questions": ("longtrace.questions.stage", "random walks into multi-hop questions"),
    "trajectories": ("longtrace.trajectories.stage", "a search agent's attempts at the questions"),
    "contexts": ("longtrace.contexts.stage", "tiered distractors packed to a token budget"),
    "export": ("longtrace.contexts.export", "contexts rendered as rows for a trainer"),
    "train": ("longtrace.training.stage", "GRPO with the outcome and rubric rewards"),
    "report": ("longtrace.report.page", "one self-contained HTML page about a run"),
    "score": (
        "longtrace.rewards.replay",
        "re-score stored responses under any variant of the reward",
    ),
    "serve": ("longtrace.rewards.server", "rewards over HTTP, the published contract included"),
    "doctor": ("longtrace.doctor", "what this installation can do, and what is missing"),
}


def load(verb: str) -> ModuleType:
    """The module of a verb, imported now: no verb loads the packages of another."""
    return importlib.import_module(VERBS[verb][0])
