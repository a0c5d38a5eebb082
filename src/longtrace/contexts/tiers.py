"""From what an agent did to why each document matters.

A document that the agent opened and did not cite looked useful and was not: the hardest kind of
distractor there is without writing one. One that was only listed looked less useful. No model and
no corpus is needed to tell them apart.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from longtrace.records import Tier, Trajectory


def tiers(trajectories: Sequence[Trajectory], gold: Collection[str]) -> dict[str, Tier]:
    """Tier of every document that is gold or that a trajectory touched, most telling tier first.

    GOLD: in `gold`. NEAR_MISS: cited, and every attempt that cites it is wrong. READ: opened in any
    attempt, cited in none. SEEN: listed in any attempt, opened and cited in none. A document that
    is not gold and is cited by an attempt that is right, or that could not be judged, may well
    support the answer: it is no distractor and is left out. An opening that found nothing
    (`Open.found` false) is not a reading.

    Args:
        trajectories: attempts at one question; the paper uses one correct attempt, so that there is
            no NEAR_MISS.
        gold: keys of the documents of the question's walk.

    Returns:
        Document key -> tier; gold sorted by key, the rest by tier, then in the order the attempts
        came upon them.
    """
    cited = {doc for attempt in trajectories for doc in attempt.cited}
    supported = {doc for a in trajectories if a.correct is not False for doc in a.cited}
    near = (doc for attempt in trajectories for doc in attempt.cited if doc not in supported)
    read = (doc for attempt in trajectories for doc in attempt.opened if doc not in cited)
    seen = (doc for attempt in trajectories for doc in attempt.listed if doc not in cited)
    out = dict.fromkeys(sorted(gold), Tier.GOLD)
    for docs, tier in ((near, Tier.NEAR_MISS), (read, Tier.READ), (seen, Tier.SEEN)):
        for doc in docs:
            out.setdefault(doc, tier)
    return out
