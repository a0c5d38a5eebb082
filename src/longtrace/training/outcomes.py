"""Right or wrong, for a whole batch of a training: by rule, or by asking a judge as well.

A trainer calls its reward function synchronously, a judge is asked asynchronously. The event loop
and the judge's client live as long as the training, so that its pace, budget and cache hold for all
batches. What the judge cannot tell is None; a budget that is used up stops the training, which
continues from its last checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from longtrace.errors import InputError
from longtrace.llm import LLM, Endpoint, Spent
from longtrace.records import Verdict
from longtrace.rewards.answer import exact
from longtrace.rewards.judge import Judge
from longtrace.rewards.outcome import Kind, outcome


class Asked(NamedTuple):
    """One answer, and what it should be."""

    text: str
    """What the response says after its thinking."""
    question: str
    answer: str
    aliases: tuple[str, ...] = ()


Outcomes = Callable[[Sequence[Asked]], list[Verdict]]
"""The verdicts on a batch of answers, in order."""


def by_exact_rule(batch: Sequence[Asked]) -> list[Verdict]:
    """Verdicts by equality of words alone; no one is asked."""
    return [exact(asked.text, asked.answer, asked.aliases) for asked in batch]


@contextmanager
def outcomes(
    kind: Kind,
    endpoint: Endpoint,
    cache: Path,
    report: Callable[[Spent], None] | None = None,
) -> Iterator[Outcomes]:
    """How to tell right from wrong while the context is open.

    Args:
        kind: `exact`, `two_way_substring`, `judge` or `exact_then_judge`.
        endpoint: the judge's, for the last two.
        cache: SQLite file of the judge's replies, so that no question is paid twice.
        report: told what the judge has used, when the context is left; not called without a judge.

    Raises:
        InputError: a judge is needed and none is configured.
    """
    if kind == "exact":
        yield by_exact_rule
        return
    needs_judge = kind in ("judge", "exact_then_judge")
    if needs_judge and not (endpoint.base_url and endpoint.model):
        raise InputError(
            f"--outcome {kind.replace('_', '-')} needs --judge.base-url and --judge.model"
        )
    with asyncio.Runner() as runner:
        llm = LLM(endpoint, cache) if needs_judge else None
        judge = Judge(llm) if llm else None

        async def tell(batch: Sequence[Asked]) -> list[Verdict]:
            told = (
                outcome(
                    asked.text,
                    question=asked.question,
                    answer=asked.answer,
                    aliases=asked.aliases,
                    kind=kind,
                    judge=judge,
                )
                for asked in batch
            )
            return list(await asyncio.gather(*told))

        try:
            yield lambda batch: runner.run(tell(batch))
        finally:
            if llm is not None:
                if report is not None:
                    report(llm.spent)
                runner.run(llm.__aexit__(None, None, None))
