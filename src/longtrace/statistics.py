"""Means with honest intervals: what every number that is shown goes through.

The unit of resampling is the question, because distractors of one question, and rollouts of one
prompt, are not independent. What could not be judged is None: it is left out and counted, never
read as 0. Below eight values a bootstrap interval is far too narrow (of two equal values it has no
width at all), and so few questions carry no verdict: then a mean is shown without an interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEWEST = 8
"""Fewest values that get a bootstrap interval. Where all have one sign, a two-sided sign test of
eight gives p = 0.008; one of five cannot reach 5 %."""
TOO_FEW = f"n < {FEWEST}"
"""What is shown in place of an interval."""
_Z95 = 1.959963984540054
_CHUNK_VALUES = 4_000_000


class Interval(NamedTuple):
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float | None
    """None where there are too few values for an interval."""
    high: float | None
    n: int
    """Values used."""
    missing: int = 0
    """Values left out because they were None."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0; False where there is no interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def verdict(self) -> str:
        """What to say of a difference: empty if it excludes 0, else why it proves nothing."""
        if self.low is None or self.high is None:
            return "no verdict"
        return "" if self.excludes_zero else "not significant"

    def text(self, *, scale: float = 1.0, digits: int = 2, sign: bool = False) -> str:
        """`mean [low, high]`, each times `scale`; `mean (n < 8)` where there is no interval."""
        spec = f"{'+' if sign else ''}.{digits}f"
        mean = format(self.mean * scale, spec)
        if self.low is None or self.high is None:
            return f"{mean} ({TOO_FEW})"
        return f"{mean} [{self.low * scale:{spec}}, {self.high * scale:{spec}}]"


def mean_ci(
    values: Sequence[float | None], *, rng: np.random.Generator, resamples: int = 2000
) -> Interval | None:
    """Mean with its percentile bootstrap interval over questions; None if all values are None.

    Args:
        values: one value a question; None where the question has none.
        rng: draws the resamples.
        resamples: number of bootstrap samples.

    Returns:
        The interval; without bounds where fewer than `FEWEST` values are known.

    Raises:
        ValueError: a value is infinite or not a number.
    """
    used = np.array([value for value in values if value is not None], float)
    if not np.isfinite(used).all():
        raise ValueError("a value is infinite or not a number; give None for what is missing")
    missing = len(values) - len(used)
    if not len(used):
        return None
    mean = float(used.mean())
    if len(used) < FEWEST:
        return Interval(mean, None, None, len(used), missing)
    means: list[float] = []
    step = max(1, _CHUNK_VALUES // len(used))
    for start in range(0, resamples, step):
        size = (min(step, resamples - start), len(used))
        means.extend(used[rng.integers(0, len(used), size)].mean(axis=1))
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(mean, float(low), float(high), len(used), missing)


def paired_ci(
    a: Sequence[float | None],
    b: Sequence[float | None],
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> Interval | None:
    """Mean of `a - b` with its bootstrap interval; None if no question has both values.

    Raises:
        ValueError: the two do not have one value for each question, or a value is no number.
    """
    differences = [
        x - y if x is not None and y is not None else None for x, y in zip(a, b, strict=True)
    ]
    return mean_ci(differences, rng=rng, resamples=resamples)


def wilson(successes: int, n: int, *, missing: int = 0) -> Interval | None:
    """Share of successes in `n` trials with its Wilson score interval; None if `n` is 0.

    Raises:
        ValueError: `successes` is not in 0..n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return None
    share, z2 = successes / n, _Z95 * _Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), n, missing)
