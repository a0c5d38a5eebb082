"""Charts as inline SVG: numbers in, markup out, no script needed to see them.

Positions are percentages, so a chart fills whatever width it is given while its text and strokes
keep their size. Colours are class names that the page's style sheet fills in, which is how light,
dark and print share one drawing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from longtrace.statistics import Interval


class Part(NamedTuple):
    """One segment of a stacked bar."""

    label: str
    units: int
    tone: str
    """Class name that colours the segment."""


class Scale(NamedTuple):
    """A linear map from values to percentages of a chart's width or height."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        """Position of `value` in percent, held within [0, 100]."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)


def element(tag: str, content: object = "", **attributes: object) -> Markup:
    """One SVG or HTML element; attribute values and plain-text content are escaped.

    `class_` stands for `class`, and underscores in other names for dashes.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(Markup(name.rstrip("_").replace("_", "-")), value)
        for name, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), written, escape(content))


def percent(value: float) -> str:
    """A position as SVG writes it."""
    return f"{value:g}%"


def step(span: float, count: int = 4) -> float:
    """A round distance, 1, 2, 2.5 or 5 times a power of ten, about `count` of them in `span`."""
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= raw * 0.999)


def ticks(scale: Scale, count: int = 4) -> list[float]:
    """Round values within the scale, its ends included where they are round."""
    distance = step(scale.high - scale.low, count)
    first = math.ceil(scale.low / distance - 1e-9)
    last = math.floor(scale.high / distance + 1e-9)
    return [round(index * distance, 10) for index in range(first, last + 1)]


def covering(values: Sequence[float], *, zero: bool = True) -> Scale:
    """A scale with round ends that holds all `values`, and zero if asked for."""
    held = [*values, 0.0] if zero else list(values)
    low, high = min(held, default=0.0), max(held, default=1.0)
    if high - low < 1e-9:
        return Scale(low, low + 1.0)
    distance = step(high - low)
    return Scale(
        math.floor(low / distance + 1e-9) * distance, math.ceil(high / distance - 1e-9) * distance
    )


def whisker(
    interval: Interval, scale: Scale, label: str, *, tone: str = "ink", paper: float | None = None
) -> Markup:
    """A dot with its interval as a bar on `scale`, and the paper's figure as a hollow diamond.

    Args:
        interval: in the unit of `scale`.
        scale: shared by all whiskers that are to be compared.
        label: what a screen reader says.
        tone: class of the dot and bar.
        paper: the published figure, in the same unit.
    """
    marks = [
        element("line", class_="grid", x1=percent(scale(t)), x2=percent(scale(t)), y1=0, y2=20)
        for t in ticks(scale)
    ]
    if scale.low < 0 < scale.high:
        zero = percent(scale(0))
        marks.append(element("line", class_="zero", x1=zero, x2=zero, y1=0, y2=20))
    if interval.low is not None and interval.high is not None:
        ends = {"x1": percent(scale(interval.low)), "x2": percent(scale(interval.high))}
        marks.append(element("line", class_=f"bar {tone}", y1=10, y2=10, **ends))
    if paper is not None:
        turned = element("rect", x=-4, y=-4, width=8, height=8, transform="rotate(45)")
        at = element(
            "svg", turned, class_="paper", x=percent(scale(paper)), y=10, overflow="visible"
        )
        marks.append(at)
    dot = element("circle", class_=f"dot {tone}", cx=percent(scale(interval.mean)), cy=10, r=4.5)
    return element(
        "svg",
        Markup("").join([*marks, dot]),
        class_="whisker",
        role="img",
        aria_label=label,
        width="100%",
        height=20,
    )


def axis(scale: Scale, unit: str) -> Markup:
    """Tick labels under a column of whiskers; every second one where there are five or more."""
    labels = []
    shown = ticks(scale)
    for value in shown if len(shown) < 5 else shown[::2]:
        at = scale(value)
        anchor = "start" if at < 2 else "end" if at > 98 else "middle"
        text = f"{value:g}{unit}"
        labels.append(element("text", text, x=percent(at), y=11, text_anchor=anchor))
    inner = Markup("").join(labels)
    return element("svg", inner, class_="axis", width="100%", height=14, aria_hidden="true")


def stack(parts: Sequence[Part], label: str) -> Markup:
    """A bar cut into `parts` by count; parts of zero are left out."""
    total = sum(part.units for part in parts)
    marks, start = [], 0.0
    for part in parts:
        if part.units:
            width = 100 * part.units / total
            title = element("title", f"{part.label}: {part.units:,}")
            box = {"x": percent(round(start, 3)), "width": percent(round(width, 3))}
            marks.append(element("rect", title, class_=part.tone, y=0, height=14, **box))
            start += width
    inner = Markup("").join(marks)
    return element(
        "svg", inner, class_="stack", role="img", aria_label=label, width="100%", height=14
    )


def smooth(values: Sequence[float | None], window: int) -> list[float | None]:
    """Trailing mean of the last `window` values that are there; None where there is none."""
    means: list[float | None] = []
    for end in range(1, len(values) + 1):
        held = [v for v in values[max(0, end - window) : end] if v is not None]
        means.append(sum(held) / len(held) if held else None)
    return means


def curves(
    steps: Sequence[int],
    series: Mapping[str, Sequence[float | None]],
    label: str,
    *,
    window: int = 5,
) -> Markup:
    """Lines over training steps: every value thin, the mean of the last `window` thick.

    Args:
        steps: the x values, ascending.
        series: values in [0, 1] aligned with `steps`; None leaves a gap.
        label: what a screen reader says.
        window: steps in the trailing mean.
    """
    x = Scale(min(steps), max(max(steps), min(steps) + 1))
    y = covering([v for values in series.values() for v in values if v is not None])
    frame = [_level(y, value) for value in ticks(y)]
    frame += [
        element("text", f"{value:g}", x=percent(x(value)), y="100%", dy=18, text_anchor="middle")
        for value in ticks(x, 6)
        if float(value).is_integer()
    ]
    lines = [
        element("path", d=_path(steps, drawn, x, y), class_=f"{kind} series-{number}")
        for number, values in enumerate(series.values())
        for kind, drawn in (("raw", values), ("mean", smooth(values, window)))
    ]
    plot = element(
        "svg",
        Markup("").join(lines),
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        overflow="visible",
    )
    ends = _end_labels(series, y, window)
    return element(
        "svg",
        Markup("").join([*frame, plot, *ends]),
        class_="curves",
        role="img",
        aria_label=label,
        width="100%",
        height=240,
        overflow="visible",
    )


def _level(y: Scale, value: float) -> Markup:
    at = percent(round(100 - y(value), 2))
    line = element("line", class_="grid", x1="0", x2="100%", y1=at, y2=at)
    return line + element("text", f"{value:g}", x=0, y=at, dx=-8, dy=4, text_anchor="end")


def _path(steps: Sequence[int], values: Sequence[float | None], x: Scale, y: Scale) -> str:
    """An SVG path through the values that are there, lifted over gaps."""
    commands, pen_down = [], False
    for at, value in zip(steps, values, strict=True):
        if value is not None:
            commands.append(f"{'L' if pen_down else 'M'}{x(at):g} {round(100 - y(value), 2):g}")
        pen_down = value is not None
    return "".join(commands)


def _end_labels(
    series: Mapping[str, Sequence[float | None]], y: Scale, window: int
) -> list[Markup]:
    """Names beside the right ends of the lines, pushed apart where they would overlap."""
    last = [
        (100 - y(mean), number, name)
        for number, (name, values) in enumerate(series.items())
        if (mean := smooth(values, window)[-1]) is not None
    ]
    labels, above = [], -math.inf
    for wanted, number, name in sorted(last):
        at = max(wanted, above + 7)
        above = at
        place = {"x": "100%", "y": percent(round(at, 2)), "dx": 8, "dy": 4}
        labels.append(element("text", name, class_=f"end series-{number}", **place))
    return labels
