import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.statistics import FEWEST, Interval, mean_ci, paired_ci, wilson


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


shares = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30)


@given(shares)
def test_missing_values_are_left_out_and_counted(values: list[float | None]) -> None:
    known = [v for v in values if v is not None]
    result = mean_ci(values, rng=rng(), resamples=50)
    if not known:
        assert result is None
        return
    assert result is not None
    assert result.mean == pytest.approx(sum(known) / len(known))
    assert (result.n, result.missing) == (len(known), len(values) - len(known))


@given(st.lists(st.floats(0, 1), min_size=FEWEST, max_size=30))
def test_interval_stays_within_the_values(values: list[float]) -> None:
    result = mean_ci(values, rng=rng(), resamples=50)
    assert result is not None
    assert result.low is not None
    assert result.high is not None
    assert min(values) - 1e-9 <= result.low <= result.high <= max(values) + 1e-9


def test_interval_has_about_the_width_of_the_normal_approximation() -> None:
    values = [0.0, 1.0] * 200
    result = mean_ci(values, rng=rng())
    assert result is not None
    assert result.high is not None
    assert result.high - 0.5 == pytest.approx(1.96 * 0.5 / math.sqrt(400), rel=0.1)


def test_same_rng_same_interval() -> None:
    values = [0.1, 0.7, 0.3, 0.9] * 3
    assert mean_ci(values, rng=rng()) == mean_ci(values, rng=rng())


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=FEWEST - 1))
def test_few_values_have_a_mean_but_no_interval_and_no_verdict(values: list[float]) -> None:
    result = mean_ci(values, rng=rng())
    assert result is not None
    assert result.mean == pytest.approx(sum(values) / len(values))
    assert (result.low, result.high, result.n) == (None, None, len(values))
    assert not result.excludes_zero
    assert result.verdict == "no verdict"


def test_what_has_no_interval_says_so() -> None:
    result = mean_ci([0.4], rng=rng())
    assert result == Interval(0.4, None, None, 1)
    assert result.text(scale=100, digits=1) == "40.0 (n < 8)"
    assert Interval(0.4, 0.3, 0.5, 3).text() == "0.40 [0.30, 0.50]"


def test_the_verdict_is_empty_where_zero_is_excluded() -> None:
    verdicts = [Interval(1, low, 2, 9).verdict for low in (0.5, 0.0, -0.5)]
    assert verdicts == ["", "not significant", "not significant"]


def test_equal_differences_of_a_few_pairs_prove_nothing_and_of_enough_do() -> None:
    few = paired_ci([0.5, 0.7], [0.4, 0.6], rng=rng())
    assert few is not None
    assert not few.excludes_zero
    enough = paired_ci([0.5] * FEWEST, [0.4] * FEWEST, rng=rng())
    assert enough is not None
    assert enough.excludes_zero


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="None for what is missing"):
        mean_ci([value, 1.0], rng=rng())
    with pytest.raises(ValueError, match="None for what is missing"):
        paired_ci([value, 1.0], [0.0, 1.0], rng=rng())


def test_pairs_are_compared_only_where_both_are_known() -> None:
    result = paired_ci([0.5, None, 0.9, 0.7], [0.4, 0.1, None, 0.6], rng=rng())
    assert result is not None
    assert (result.n, result.missing) == (2, 2)
    assert result.mean == pytest.approx(0.1)


def test_unpaired_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_ci([0.1], [0.1, 0.2], rng=rng())


def test_wilson_gives_the_textbook_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20 (score method without continuity correction).
    for successes, n, low, high in ((81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611)):
        result = wilson(successes, n)
        assert result is not None
        assert result.low == pytest.approx(low, abs=1e-4)
        assert result.high == pytest.approx(high, abs=1e-4)
    assert wilson(0, 0) is None
    with pytest.raises(ValueError, match="3 successes"):
        wilson(3, 2)


def test_text_shows_sign_scale_and_bounds() -> None:
    assert (
        Interval(0.108, 0.057, 0.158, 9).text(scale=100, digits=1, sign=True)
        == "+10.8 [+5.7, +15.8]"
    )
