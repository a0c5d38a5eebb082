"""How full contexts are, where the gold stands in them, and what was done about answers."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from longtrace.contexts.assemble import FULL
from longtrace.records import Context, Tier

POSITIONS = 10
FILL_EDGES = (0.5, 0.9, 0.95, 0.98, FULL)
LENGTH_BINS = 10
_TOLD = {True: "answered", False: "not answered", None: "unknown"}


def figures(contexts: Iterable[Context], *, asked: bool = False) -> dict[str, Any]:
    """Histograms and counts of some contexts, as JSON.

    `asked` says whether a model was shown each of them without its gold documents.

    - `fill`: contexts by tokens as a share of the budget; `full` is a hundredth of it or less
      missing.
    - `short_of_documents`: contexts less than full because there was nothing more to pack.
    - `gold_positions`: gold passages by the tenth of the prompt in which they begin.
    - `proofs`: distractors by what the certificate says of them.
    - `without_gold`: contexts by what a model said, `unknown` where that could not be told; empty
      if none was asked.
    - `rungs`: contexts by budget.
    """
    fill, proofs, told, rungs = Counter[str](), Counter[str](), Counter[str](), Counter[int]()
    layouts, phrasings = Counter[str](), Counter[str]()
    positions = [0] * POSITIONS
    short, tokens = 0, []
    for context in contexts:
        share = context.tokens / context.budget_tokens
        fill[_fill_label(share)] += 1
        short += share < FULL and context.exhausted
        tokens.append(context.tokens)
        rungs[context.budget_tokens] += 1
        layouts[context.layout] += 1
        phrasings[context.phrasing] += 1
        proofs.update(f"{proof.rule}: {proof.action}" for proof in context.certificate)
        if asked:
            told[_TOLD[context.answered_without_gold]] += 1
        for place in gold_places(context):
            positions[min(POSITIONS - 1, int(POSITIONS * place))] += 1
    return {
        "fill": {label: fill[label] for label in _fill_labels() if fill[label]},
        "short_of_documents": short,
        "gold_positions": positions,
        "tokens": histogram(tokens),
        "proofs": dict(sorted(proofs.items())),
        "without_gold": dict(sorted(told.items())),
        "rungs": {str(rung): n for rung, n in sorted(rungs.items())},
        "layouts": dict(sorted(layouts.items())),
        "phrasings": dict(sorted(phrasings.items())),
    }


def gold_places(context: Context) -> list[float]:
    """Where each gold passage begins, as a share of the tokens of all passages, in [0, 1)."""
    total = sum(passage.tokens for passage in context.passages)
    out, before = [], 0
    for passage in context.passages:
        if passage.tier is Tier.GOLD:
            out.append(before / total)
        before += passage.tokens
    return out


def histogram(tokens: Sequence[int]) -> dict[str, int]:
    """Counts of values in at most ten bins of equal, round width; label `from-to` -> count.

    A bin is at least a hundredth of the largest value wide.
    """
    if not tokens:
        return {}
    low, high = min(tokens), max(tokens)
    width = 1
    for width in (m * 10**e for e in range(12) for m in (1, 2, 5)):
        if high // width - low // width < LENGTH_BINS and 100 * width >= high:
            break
    bins = Counter(value // width for value in tokens)
    return {
        f"{at * width:,}-{(at + 1) * width - 1:,}": bins[at]
        for at in range(low // width, high // width + 1)
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    """The figures of one strategy in a line or two."""
    total = sum(found["fill"].values())
    full = sum(found["fill"].get(label, 0) for label in _fill_labels()[-1:])
    short = found["short_of_documents"]
    rest = total - full - short
    text = f"fill: {full:,} of {total:,} contexts within 1 % of the budget"
    if short:
        text += f", {short:,} short of documents"
    if rest:
        text += f", {rest:,} short for other reasons"
    out = [text, f"gold by tenths of the prompt: {' '.join(map(str, found['gold_positions']))}"]
    if found["proofs"]:
        proofs = ", ".join(f"{name} {n:,}" for name, n in found["proofs"].items())
        out.append(f"distractors with the answer: {proofs}")
    if found["without_gold"]:
        told = ", ".join(f"{name} {n:,}" for name, n in found["without_gold"].items())
        out.append(f"model without gold: {told}")
    return out


def _fill_labels() -> list[str]:
    edges = [f"{100 * edge:g}" for edge in (0, *FILL_EDGES, 1)]
    return [f"{a}-{b} %" for a, b in pairwise(edges)]


def _fill_label(share: float) -> str:
    return _fill_labels()[bisect_right(FILL_EDGES, share)]
