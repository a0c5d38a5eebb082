"""Long-context training data from what a search agent did.

The names below are the pure core; every stage of the pipeline is a verb of the `longtrace` command.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtrace.contexts.pack import pack
    from longtrace.contexts.tiers import tiers
    from longtrace.rewards.combine import combine
    from longtrace.rewards.rubric import rubric_score

__version__ = "0.1.0"
__all__ = ["combine", "pack", "rubric_score", "tiers"]

_HOME = {
    "combine": "longtrace.rewards.combine",
    "pack": "longtrace.contexts.pack",
    "rubric_score": "longtrace.rewards.rubric",
    "tiers": "longtrace.contexts.tiers",
}


def __getattr__(name: str) -> Any:
    """Import the public functions on first use, so that `import longtrace` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module 'longtrace' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
