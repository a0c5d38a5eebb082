"""Tables and figures of the experiment, from the results of its runs.

    python experiments/summary.py --out runs/experiment --docs docs

writes `docs/img/experiment-*.svg` and `docs/img/experiment.json`, and puts the tables into
`docs/experiment.md`, between its two marks. Differences are paired by seed and tested over warm
starts: runs that share one are not independent.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from markupsafe import Markup
from rubric import read_plan
from scipy import stats

from longtrace.report.charts import Scale, element, ticks
from longtrace.statistics import Interval
from longtrace.store import read_json, write_json

KINDS = ("tiered", "shortcut", "hard", "long", "hops4")
MEASURES = ("accuracy", "recall", "names")
NEEDED = 0.9
"""Accuracy on held-out questions of the training's own kind that a run is timed to."""
COLOURS = ("#b3261e", "#1a66b3", "#2e7d32", "#8e5bb5", "#b7791f", "#555555")
MARKS = ("<!-- tables of experiments/summary.py -->", "<!-- end of tables -->")
_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 130, 30, 34


class Compared(NamedTuple):
    """Two arms on one measure at the end of training, paired by seed."""

    question: str
    a: str
    b: str
    kind: str
    measure: str
    difference: Interval
    """Over warm starts, each with the mean of its seeds."""
    p: float
    """Exact two-sided sign-flip test over the same values."""


QUESTIONS: tuple[tuple[str, str, str, str, str], ...] = (
    # The first is the primary question of rubric.toml; the others are corrected for their number.
    ("rubric against outcome, shortcuts pay", "B-positive", "B-outcome", "hard", "accuracy"),
    ("rubric against outcome, shortcuts pay", "B-positive", "B-outcome", "hard", "recall"),
    ("rubric against outcome, shortcuts do not pay", "A-positive", "A-outcome", "hard", "accuracy"),
    ("everyone's rubric against right answers' only", "B-always", "B-positive", "hard", "accuracy"),
    ("best of the right against best of all", "B-correct", "B-positive", "hard", "accuracy"),
    ("everyone's rubric, a policy that may spray", "C-always", "C-positive", "tiered", "accuracy"),
    ("everyone's rubric, a policy that may spray", "C-always", "C-positive", "tiered", "names"),
    ("tiered against random distractors", "A-positive", "R-positive", "hard", "accuracy"),
    ("tiered against random distractors", "A-positive", "R-positive", "long", "accuracy"),
)


def over_runs(values: Sequence[float]) -> Interval:
    """Mean with Student's 95 % interval: there are too few runs for a bootstrap."""
    n, mean = len(values), fmean(values)
    if n < 3:
        return Interval(mean, None, None, n)
    half = float(stats.t.ppf(0.975, n - 1)) * stdev(values) / n**0.5
    return Interval(mean, mean - half, mean + half, n)


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of a mean at least as far from 0 if every sign were a coin's; exact.

    With n values it cannot be below 2 / 2^n, which is 0.031 for six.
    """
    seen = abs(sum(differences))
    flips = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    return sum(value >= seen - 1e-12 for value in sums) / len(sums)


def holm(values: Sequence[float]) -> list[float]:
    """The p-values adjusted for there being several, by Holm's method, in the order given."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    adjusted, so_far = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        so_far = max(so_far, min(1.0, values[place] * (len(values) - rank)))
        adjusted[place] = so_far
    return adjusted


def steps_to(curve: Sequence[Mapping[str, Any]], kind: str, needed: float) -> int | None:
    """First point of a curve at which accuracy has reached `needed`; None if never."""
    reached = (p["step"] for p in curve if p[kind]["accuracy"] >= needed)
    return next(reached, None)


def compare(results: Mapping[str, Mapping[int, Any]]) -> list[Compared]:
    """Every question with its paired difference."""
    rows = []
    for question, a, b, kind, measure in QUESTIONS:
        seeds = sorted(set(results.get(a, {})) & set(results.get(b, {})))
        if not seeds:
            continue
        pairs = [[results[arm][seed]["final"][kind][measure] for seed in seeds] for arm in (a, b)]
        gaps = [x - y for x, y in zip(*pairs, strict=True)]
        by_start: dict[int, list[float]] = {}
        for seed, gap in zip(seeds, gaps, strict=True):
            by_start.setdefault(results[a][seed]["model_seed"], []).append(gap)
        means = [fmean(own) for own in by_start.values()]
        gap = over_runs(means)
        rows.append(Compared(question, a, b, kind, measure, gap, sign_flip(means)))
    return rows


def results(out: Path) -> dict[str, dict[int, Any]]:
    """Arm -> seed -> result, of the finished runs."""
    found: dict[str, dict[int, Any]] = {}
    for path in sorted((out / "runs").glob("*/result.json")):
        value = read_json(path)
        found.setdefault(value["arm"]["name"], {})[value["seed"]] = value
    return found


def curve_figure(
    title: str, arms: Mapping[str, Mapping[int, Any]], read: Callable[[Any, Any], float]
) -> Markup:
    """Mean over runs with a 95 % band (Student's), one line an arm; `read` takes a run and a point.

    Positions are pixels, and colours are attributes, so that the file stands alone.
    """
    lines: dict[str, list[tuple[int, Interval]]] = {}
    for name, by_seed in arms.items():
        points: dict[int, list[float]] = {}
        for run in by_seed.values():
            for point in run["curve"]:
                points.setdefault(point["step"], []).append(read(run, point))
        whole = max(map(len, points.values()))
        lines[name] = [
            (step, over_runs(values))
            for step, values in sorted(points.items())
            if len(values) == whole
        ]
    top = max(i.mean for line in lines.values() for _, i in line)
    y = Scale(0.0, 1.0 if top <= 1.0 else float(int(top) + 2))
    x = Scale(0.0, float(max(step for line in lines.values() for step, _ in line)))
    marks = [_frame(title, x, y)]
    ends: list[tuple[float, str, str]] = []
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=False):
        marks.append(_band(line, x, y, colour))
        ends.append((_at_y(y, line[-1][1].mean), f"{name} (n={len(arms[name])})", colour))
    return element(
        "svg",
        Markup("").join([*marks, *_labels(ends)]),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width=_WIDTH,
        height=_HEIGHT,
        font_family="sans-serif",
        font_size=11,
        role="img",
        aria_label=title,
    )


def _frame(title: str, x: Scale, y: Scale) -> Markup:
    right = _WIDTH - _RIGHT
    marks = [
        element("rect", width=_WIDTH, height=_HEIGHT, fill="#ffffff"),
        element("text", title, x=_LEFT, y=18, font_size=12, font_weight="bold"),
        element("text", "updates", x=right, y=_HEIGHT - 4, text_anchor="end"),
    ]
    for value in ticks(y):
        at = _at_y(y, value)
        marks.append(element("line", x1=_LEFT, x2=right, y1=at, y2=at, stroke="#dddddd"))
        marks.append(element("text", f"{value:g}", x=_LEFT - 6, y=at + 4, text_anchor="end"))
    for value in ticks(x, 5):
        at = _at_x(x, value)
        marks.append(element("text", f"{value:g}", x=at, y=_HEIGHT - 18, text_anchor="middle"))
    return Markup("").join(marks)


def _band(line: Sequence[tuple[int, Interval]], x: Scale, y: Scale, colour: str) -> Markup:
    low = [(step, i.low if i.low is not None else i.mean) for step, i in line]
    high = [(step, i.high if i.high is not None else i.mean) for step, i in line]
    middle = [(step, i.mean) for step, i in line]

    def points(values: Sequence[tuple[int, float]]) -> str:
        return " ".join(f"{_at_x(x, s):.1f},{_at_y(y, v):.1f}" for s, v in values)

    area = element(
        "polygon", points=points([*low, *reversed(high)]), fill=colour, fill_opacity="0.15"
    )
    stroke = element(
        "polyline", points=points(middle), fill="none", stroke=colour, stroke_width="2"
    )
    return area + stroke


def _labels(ends: Sequence[tuple[float, str, str]]) -> list[Markup]:
    marks, above = [], 0.0
    for at, name, colour in sorted(ends):
        above = max(at, above + 14)
        marks.append(element("text", name, x=_WIDTH - _RIGHT + 6, y=above + 4, fill=colour))
    return marks


def _at_x(scale: Scale, value: float) -> float:
    return round(_LEFT + scale(value) / 100 * (_WIDTH - _LEFT - _RIGHT), 1)


def _at_y(scale: Scale, value: float) -> float:
    return round(_HEIGHT - _BOTTOM - scale(value) / 100 * (_HEIGHT - _TOP - _BOTTOM), 1)


def figures(found: Mapping[str, Mapping[int, Any]]) -> dict[str, Markup]:
    """The figures by file name."""

    def arms(*names: str) -> dict[str, Mapping[int, Any]]:
        return {name: found[name] for name in names if name in found}

    def hard(measure: str) -> Callable[[Any, Any], float]:
        return lambda run, point: float(point["hard"][measure])

    def own(measure: str) -> Callable[[Any, Any], float]:
        return lambda run, point: float(point[run["arm"]["contexts"]][measure])

    b = arms("B-outcome", "B-positive", "B-always", "B-correct")
    c = arms("C-positive", "C-always", "C-outcome")
    made = {
        "experiment-b-hard": ("B: held-out questions without a shortcut", b, hard("accuracy")),
        "experiment-b-own": ("B: held-out questions of the training's kind", b, own("accuracy")),
        "experiment-a": (
            "A and R: held-out questions without a shortcut",
            arms("A-outcome", "A-positive", "A-always", "R-positive", "R-outcome"),
            hard("accuracy"),
        ),
        "experiment-c-accuracy": ("C: held-out accuracy", c, own("accuracy")),
        "experiment-c-names": ("C: names in a response", c, own("names")),
        "experiment-long": (
            "Longer runs: held-out questions without a shortcut",
            arms("B-outcome-long", "C-always-long", "C-positive-long"),
            hard("accuracy"),
        ),
    }
    return {
        name: curve_figure(title, lines, read)
        for name, (title, lines, read) in made.items()
        if lines
    }


def tables(found: Mapping[str, Mapping[int, Any]], rows: Sequence[Compared]) -> str:
    """The tables as Markdown."""
    heads = ("arm", "runs", *KINDS, "names", "steps to 90 %")
    out = [
        "Accuracy on held-out questions, per cent, mean ± standard deviation over runs; `names`:"
    ]
    out += ["different names in a response to a tiered question.", "", *_head(heads)]
    for name, by_seed in found.items():
        runs = list(by_seed.values())
        reached = [steps_to(r["curve"], r["arm"]["contexts"], NEEDED) for r in runs]
        known = [step for step in reached if step is not None]
        steps = f"{fmean(known):.0f}" if known else "never"
        names = _mean([r["final"]["tiered"]["names"] for r in runs], 1, 1)
        reach = f"{steps} ({len(known)} of {len(runs)})"
        out.append(_row(name, len(runs), *_by_kind(runs, "accuracy"), names, reach))
    out += ["", "Entities of the way that a response names, per cent:", ""]
    out += _head(("arm", "runs", *KINDS))
    for name, by_seed in found.items():
        runs = list(by_seed.values())
        out.append(_row(name, len(runs), *_by_kind(runs, "recall")))
    out += ["", "Differences in points (names: in names), over warm starts:", "", *_questions(rows)]
    for pair, kind in (
        (("B-outcome", "B-positive"), "hard"),
        (("C-positive", "C-always"), "tiered"),
    ):
        out += ["", "Run by run, accuracy in per cent; `before`: of the warm start itself:", ""]
        out += _start_table(found, pair, kind)
    return "\n".join(out)


def _questions(rows: Sequence[Compared]) -> list[str]:
    """The primary question with its p, the others corrected for their number."""
    heads = ("question", "difference", "on", "starts", "mean [95 %]", "p", "p, Holm")
    corrected = ["primary", *(f"{p:.4f}" for p in holm([row.p for row in rows[1:]]))]
    out = _head(heads)
    for row, holms in zip(rows, corrected, strict=True):
        scale, digits = (1.0, 1) if row.measure == "names" else (100.0, 0)
        text = row.difference.text(scale=scale, digits=digits, sign=True)
        what = (f"{row.a} less {row.b}", f"{row.measure}, {row.kind}", row.difference.n)
        out.append(_row(row.question, *what, text, f"{row.p:.4f}", holms))
    return out


def _by_kind(runs: Sequence[Any], measure: str) -> list[str]:
    return [_mean([r["final"][kind][measure] for r in runs], 100, 0) for kind in KINDS]


def _head(names: Sequence[str]) -> list[str]:
    return [_row(*names), "|---" * len(names) + "|"]


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _start_table(
    found: Mapping[str, Mapping[int, Any]], arms: tuple[str, str], kind: str
) -> list[str]:
    """Accuracy of two arms, run by run, for each warm start, with what the start itself did."""
    heads = ["warm start", "seeds", "accuracy before", "recall before"]
    heads += [f"{arm}, {kind}" for arm in arms]
    out = _head(heads)
    for start, seeds in _by_start(found, *arms).items():
        before = found[arms[0]][seeds[0]]["curve"][0][kind]
        cells = [f"{start}", ", ".join(map(str, seeds))]
        cells += [f"{100 * before[measure]:.0f}" for measure in ("accuracy", "recall")]
        cells += [
            ", ".join(f"{100 * found[arm][s]['final'][kind]['accuracy']:.0f}" for s in seeds)
            for arm in arms
        ]
        out.append(_row(*cells))
    return out


def _by_start(found: Mapping[str, Mapping[int, Any]], *arms: str) -> dict[int, list[int]]:
    """Warm start -> the seeds that all of `arms` have from it."""
    starts: dict[int, list[int]] = {}
    for seed in sorted(set.intersection(*(set(found.get(arm, {})) for arm in arms))):
        starts.setdefault(found[arms[0]][seed]["model_seed"], []).append(seed)
    return dict(sorted(starts.items()))


def _mean(values: Sequence[float], scale: float, digits: int) -> str:
    """Mean over runs and their standard deviation."""
    spread = f" ± {stdev(values) * scale:.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values) * scale:.{digits}f}{spread}"


def between_marks(page: str, tables: str) -> str:
    """`page` with what stands between its two marks replaced.

    Raises:
        ValueError: the page lacks a mark.
    """
    before, begin, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"the page has no {MARKS[0]} with a later {MARKS[1]}")
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"


def main() -> None:
    """Write the figures and the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/experiment"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--plan", type=Path, default=Path(__file__).with_name("rubric.toml"))
    args = parser.parse_args()
    unordered = results(args.out)
    order = [arm.name for arm in read_plan(args.plan).arms]
    found = {name: unordered[name] for name in order if name in unordered}
    rows = compare(found)
    folder = args.docs / "img"
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures(found).items():
        (folder / f"{name}.svg").write_text(str(figure) + "\n", encoding="utf-8")
    plain = {
        name: [
            {key: run[key] for key in ("seed", "model_seed", "curve", "final", "cpu_s", "wall_s")}
            for run in by_seed.values()
        ]
        for name, by_seed in found.items()
    }
    write_json(folder / "experiment.json", plain)
    page = args.docs / "experiment.md"
    made = between_marks(page.read_text(encoding="utf-8"), tables(found, rows))
    page.write_text(made, encoding="utf-8")
    sys.stdout.write(f"wrote {page} and {folder}/experiment-*.svg\n")


if __name__ == "__main__":
    main()
