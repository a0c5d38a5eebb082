from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.report.charts import (
    Part,
    Scale,
    axis,
    covering,
    curves,
    element,
    smooth,
    stack,
    step,
    ticks,
    whisker,
)
from longtrace.statistics import Interval

finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(finite, min_size=1, max_size=20))
def test_a_scale_covers_its_values_and_zero_with_round_ends(values: list[float]) -> None:
    scale = covering(values)
    slack = 1e-6 * (scale.high - scale.low)
    assert all(scale.low - slack <= value <= scale.high + slack for value in [*values, 0])
    assert scale.high > scale.low
    assert 2 <= len(ticks(scale)) <= 8


@given(st.floats(1e-6, 1e6))
def test_steps_are_round_and_cut_a_span_into_few_parts(span: float) -> None:
    distance = step(span)
    assert 1 < span / distance <= 4.01
    leading = float(f"{distance:e}".split("e")[0])
    assert leading == pytest.approx(min((1, 2, 2.5, 5), key=lambda nice: abs(nice - leading)))


def test_positions_stay_inside_the_drawing() -> None:
    scale = Scale(0, 50)
    assert [scale(v) for v in (-10, 0, 25, 50, 80)] == [0, 0, 50, 100, 100]


def test_attributes_and_text_are_escaped() -> None:
    made = element("text", "<b>&", aria_label='"><script>', class_="a")
    assert made == '<text aria-label="&#34;&gt;&lt;script&gt;" class="a">&lt;b&gt;&amp;</text>'


def test_a_stack_is_as_wide_as_its_units_and_leaves_out_what_is_empty() -> None:
    drawn = ET.fromstring(stack([Part("a", 3, "x"), Part("b", 0, "y"), Part("c", 1, "z")], "all"))
    assert [(r.get("x"), r.get("width"), r.get("class")) for r in drawn] == [
        ("0%", "75%", "x"),
        ("75%", "25%", "z"),
    ]


def test_a_stack_of_nothing_is_an_empty_drawing() -> None:
    assert not list(ET.fromstring(stack([Part("a", 0, "x")], "none")))


def test_a_whisker_marks_mean_interval_and_the_paper() -> None:
    drawn = ET.fromstring(whisker(Interval(25, 20, 40, 9), Scale(0, 50), "said", paper=10))
    bar = drawn.find("line[@class='bar ink']")
    dot = drawn.find("circle")
    diamond = drawn.find("svg[@class='paper']")
    assert bar is not None
    assert (bar.get("x1"), bar.get("x2")) == ("40%", "80%")
    assert dot is not None
    assert dot.get("cx") == "50%"
    assert diamond is not None
    assert diamond.get("x") == "20%"
    assert drawn.get("aria-label") == "said"


def test_a_mean_without_an_interval_has_no_bar() -> None:
    drawn = ET.fromstring(whisker(Interval(25, None, None, 1), Scale(0, 50), "said"))
    assert drawn.find("line[@class='bar ink']") is None


def test_zero_is_drawn_only_where_differences_cross_it() -> None:
    crossing = whisker(Interval(1, -1, 3, 9), Scale(-5, 5), "said")
    assert 'class="zero"' in crossing
    assert 'class="zero"' not in whisker(Interval(1, 0, 3, 9), Scale(0, 5), "said")


def test_axis_labels_carry_the_unit() -> None:
    drawn = ET.fromstring(axis(Scale(0, 50), " %"))
    assert [label.text for label in drawn] == ["0 %", "20 %", "40 %"]


def test_a_smoothed_value_is_the_mean_of_the_last_ones_that_are_there() -> None:
    assert smooth([1, None, 3, 5], 3) == [1, 1, 2, 4]
    assert smooth([None, 2], 5) == [None, 2]


def test_a_gap_in_a_curve_lifts_the_pen() -> None:
    drawn = curves([1, 2, 3], {"reward": [0.0, None, 1.0]}, "said", window=1)
    raw = ET.fromstring(drawn).find(".//path[@class='raw series-0']")
    assert raw is not None
    assert raw.get("d") == "M0 100M100 0"


def test_labels_of_lines_that_end_together_do_not_overlap() -> None:
    series = {name: [0.5, 0.9] for name in ("reward", "outcome", "rubric")}
    drawn = ET.fromstring(curves([1, 2], series, "said"))
    ends = [t for t in drawn.iter("text") if (t.get("class") or "").startswith("end")]
    heights = sorted(float((t.get("y") or "").rstrip("%")) for t in ends)
    assert len(heights) == 3
    assert all(b - a >= 7 for a, b in pairwise(heights))


def test_one_training_step_is_enough_for_a_curve() -> None:
    assert ET.fromstring(curves([7], {"reward": [0.5]}, "said")) is not None
