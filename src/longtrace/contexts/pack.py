"""Fill a token budget: all gold documents, then distractors as a strategy asks, in random order.

Documents are taken until one does not fit, never picked for being short: a packer that looked for
whatever still fits would prefer short documents and so change what the strategies are compared on.
What is taken is a beginning of one queue, and a document's place depends on itself alone, so that
with the same seed a larger budget holds all that a smaller one holds, in the same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from random import Random
from typing import Literal, NamedTuple

from longtrace.choices import chosen
from longtrace.errors import InputError
from longtrace.records import Passage, Tier

Order = Literal["tiered", "pooled", "given"]


class Kept(NamedTuple):
    """The beginning of a document that is kept when the whole does not fit."""

    tokens: int
    """Tokens of the passage as rendered."""
    chars: int
    """Characters of the document's text."""


Cut = Callable[[str, int], Kept | None]
"""`cut(doc, room_tokens)`: the longest beginning that fits in the room; None if there is none."""


def pack(
    tiers: Mapping[str, Tier],
    tokens: Mapping[str, int],
    *,
    budget_tokens: int,
    rng: Random,
    order: Order = "tiered",
    cut: Cut | None = None,
) -> list[Passage]:
    """Passages in prompt order whose tokens sum to at most `budget_tokens`.

    Every gold document is in. Distractors follow until one does not fit: that one is cut if `cut`
    is given and can, and filling ends, so that the room left is smaller than one passage. All of
    them stand in random order.

    Args:
        tiers: document key -> tier, as `longtrace.contexts.tiers.tiers` returns it.
        tokens: document key -> tokens of the document as a passage. Looked up only as far as
            needed.
        budget_tokens: the most tokens that all passages may have together.
        rng: decides which documents are taken and where they stand; the same state gives the same
            passages, and for a larger budget the same ones and more.
        order: `tiered` takes NEAR_MISS, READ, SEEN and FILLER one after the other, each shuffled;
            `pooled` takes all of them in one shuffle; `given` keeps the order of `tiers` (a search
            ranking). For the first two the result does not depend on the order of `tiers`.
        cut: shortens the one document that does not fit; None leaves it out.

    Raises:
        InputError: gold alone exceeds the budget, a document has no token count, or `order` is none
            of the three.
    """
    order = chosen(order, Order, "order")
    salt = rng.getrandbits(64)
    gold = sorted(doc for doc, tier in tiers.items() if tier is Tier.GOLD)
    passages = [Passage(doc=doc, tier=Tier.GOLD, tokens=_count(tokens, doc)) for doc in gold]
    room = budget_tokens - sum(passage.tokens for passage in passages)
    if room < 0:
        raise InputError(
            f"the {len(gold)} gold documents need {budget_tokens - room} tokens, the budget is "
            f"{budget_tokens}; use a budget of at least {budget_tokens - room}, or fewer hops"
        )
    for doc in _queue(tiers, order, rng):
        needed = _count(tokens, doc)
        if needed > room:
            kept = cut(doc, room) if cut else None
            if kept is not None and kept.tokens <= room:
                passages.append(
                    Passage(doc=doc, tier=tiers[doc], tokens=kept.tokens, chars=kept.chars)
                )
            break
        passages.append(Passage(doc=doc, tier=tiers[doc], tokens=needed))
        room -= needed
    return sorted(passages, key=lambda passage: _place(salt, passage.doc))


def _place(salt: int, doc: str) -> bytes:
    """Where a document stands among others: random, and the same whatever the others are."""
    return hashlib.blake2b(f"{salt} {doc}".encode(), digest_size=16).digest()


def _queue(tiers: Mapping[str, Tier], order: Order, rng: Random) -> list[str]:
    """Distractors in the order in which they are taken."""
    docs = [doc for doc, tier in tiers.items() if tier is not Tier.GOLD]
    if order == "given":
        return docs
    docs.sort()
    rng.shuffle(docs)
    if order == "tiered":
        rank = {tier: place for place, tier in enumerate(Tier)}
        docs.sort(key=lambda doc: rank[tiers[doc]])
    return docs


def _count(tokens: Mapping[str, int], doc: str) -> int:
    try:
        return tokens[doc]
    except KeyError:
        raise InputError(f"{doc}: no token count for this document; add it to `tokens`") from None
