"""The reward lab as one HTML page without script: everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import jinja2

from longtrace.rewards.groups import Group
from longtrace.rewards.lab import Move, Place, Scored, Variant

_MOST_GROUPS = 200
_MOST_CHARS = 1200


def page(
    variant: Variant,
    groups: Sequence[Group],
    scored: Sequence[Scored],
    places: Sequence[Sequence[Place]],
    moves: Sequence[Move],
) -> str:
    """A self-contained page: the comparison, then the first 200 groups in full.

    Args:
        variant: how `scored` was computed.
        groups: the responses.
        scored: their scores, rewards and advantages, aligned with `groups`.
        places: who names each entity, aligned with `groups`.
        moves: the comparison with other variants, the base first.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cut"] = _cut
    text = (resources.files("longtrace.rewards") / "lab.html").read_text(encoding="utf-8")
    shown = list(zip(groups, scored, places, strict=True))[:_MOST_GROUPS]
    return environment.from_string(text).render(
        variant=variant, shown=shown, total=len(groups), moves=moves, unit=_unit
    )


def _cut(text: str) -> str:
    """The beginning and the end of a long text."""
    if len(text) <= _MOST_CHARS:
        return text
    half = _MOST_CHARS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters ...]\n{text[-half:]}"


def _unit(value: float | None) -> str:
    """A number with its sign, or a dash."""
    return "\u2013" if value is None else f"{value:+.2f}"
