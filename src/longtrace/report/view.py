"""Numbers into what the template shows: words, figures and drawings.

Text from the run stays plain here and is escaped by the template; only drawings made by `charts`
are markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import orjson
from markupsafe import Markup

from longtrace.report import charts
from longtrace.report.charts import Part, Scale
from longtrace.report.data import CONTROL, Overlap, OverlapRow, Pair, Pool, RunData
from longtrace.report.inspector import QuestionView
from longtrace.report.stages import Reason, StageView
from longtrace.report.training import Change, Group, Training
from longtrace.statistics import Interval

PAPER = {"random": 0.0135, "search": 0.15, "trajectory-random": 0.4216, "tiered": 0.5003}
"""Share of distractors with a gold entity in the paper's overlap table (arXiv 2605.31584)."""
NOTHING = "\u2013"
CAUTION = (
    "Half of Read > Seen follows from how the offline agent works: it opens the results that name "
    "the entity it is following, and that entity is usually gold. This table shows that the "
    "pipeline does what it says. It is no evidence for the paper's claim about agents driven by "
    "language models. The paper's figures come from another corpus, other questions and another "
    "agent."
)
SAME_SET = (
    "For nearly all questions everything the agent read and saw fits into the budget, so tiered "
    "and trajectory-random hold the same documents. No difference between the two can be claimed "
    "at this budget."
)


class Tile(NamedTuple):
    """A main number of the head."""

    name: str
    value: str
    detail: str


class StageLine(NamedTuple):
    """A line of the funnel."""

    name: str
    command: str
    complete: bool
    kept: int
    unit: str
    bar: Markup
    legend: tuple[Part, ...]
    reasons: tuple[Reason, ...]
    note: str


class Cell(NamedTuple):
    """An estimate in a table."""

    value: str
    range: str
    drawing: Markup


class OverlapLine(NamedTuple):
    """A strategy's line in the overlap table."""

    name: str
    control: bool
    cells: tuple[Cell | None, ...]
    distractors: str
    paper: str


class PairLine(NamedTuple):
    """A paired difference."""

    name: str
    value: str
    range: str
    drawing: Markup | None
    remark: str


class OverlapPart(NamedTuple):
    """The overlap section."""

    rows: list[OverlapLine]
    axis: Markup
    pairs: list[PairLine]
    warnings: list[str]
    notes: list[str]


class ChangeLine(NamedTuple):
    """A measure before and after training."""

    name: str
    cells: tuple[Cell | None, Cell | None]
    questions: str


class TrainingPart(NamedTuple):
    """The training section."""

    about: str
    curves: Markup | None
    changes: list[ChangeLine]
    axis: Markup
    notes: tuple[str, ...]
    rollouts: tuple[Group, ...]


class View(NamedTuple):
    """What the template is given."""

    name: str
    folder: str
    version: str
    about: str
    tiles: list[Tile]
    stages: list[StageLine]
    overlap: OverlapPart | None
    training: TrainingPart | None
    questions: tuple[QuestionView, ...]
    questions_total: int
    settings: str


def of(data: RunData) -> View:
    """The view of a run."""
    settings = orjson.dumps(data.settings, option=orjson.OPT_INDENT_2).decode()
    return View(
        name=data.name,
        folder=data.folder,
        version=data.version,
        about=data.about,
        tiles=tiles(data),
        stages=[_stage(stage) for stage in data.stages],
        overlap=_overlap(data.overlap) if data.overlap else None,
        training=_training(data.training) if data.training else None,
        questions=data.questions,
        questions_total=data.questions_total,
        settings=settings if data.settings else "",
    )


def tiles(data: RunData) -> list[Tile]:
    """The main numbers of the stages that are complete."""
    made = {stage.verb: stage for stage in data.stages if stage.complete}
    found = []
    if "corpus" in made:
        corpus = made["corpus"]
        found.append(Tile("Documents", f"{corpus.kept:,}", corpus.note.split(", ")[0]))
    if "questions" in made:
        found.append(Tile("Questions", f"{made['questions'].kept:,}", made["questions"].note))
    if data.tally and data.tally.questions:
        solved, asked = data.tally.solved, data.tally.questions
        found.append(
            Tile("Solved by the agent", f"{solved / asked:.0%}", f"{solved:,} of {asked:,}")
        )
    if data.context_tokens is not None:
        detail = f"{data.context_count:,} contexts, {data.context_strategy}"
        found.append(Tile("Tokens a context", _short(data.context_tokens), detail))
    change = data.training.changes[0] if data.training and data.training.changes else None
    if change and change.before and change.after:
        value = f"{change.before.mean:.2f} → {change.after.mean:.2f}"
        found.append(Tile(f"{change.name}, trained", value, f"held out, n = {change.after.n:,}"))
    return found


def _short(number: float) -> str:
    """`number` to about three digits: 812, 28.9 K, 1.2 M."""
    for size, unit in ((1e6, " M"), (1e3, " K")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


def _stage(stage: StageView) -> StageLine:
    legend = tuple(part for part in stage.parts if part.units) if len(stage.parts) > 2 else ()
    said = ", ".join(f"{part.units:,} {part.label}" for part in stage.parts)
    return StageLine(
        name=stage.name,
        command=stage.command,
        complete=stage.complete,
        kept=stage.kept,
        unit=stage.unit,
        bar=charts.stack(stage.parts, f"{stage.name}: {said}") if stage.complete else Markup(""),
        legend=legend,
        reasons=stage.reasons,
        note=stage.note,
    )


def _bounds(interval: Interval, *, sign: str = "") -> str:
    """The 95 % interval of a share in percent; empty if there is none."""
    if interval.low is None or interval.high is None:
        return ""
    return f"[{100 * interval.low:{sign}.1f}, {100 * interval.high:{sign}.1f}]"


def _percents(interval: Interval) -> Interval:
    low = None if interval.low is None else 100 * interval.low
    high = None if interval.high is None else 100 * interval.high
    return interval._replace(mean=100 * interval.mean, low=low, high=high)


def _ends(intervals: Iterable[Interval | None]) -> list[float]:
    """All means and bounds, in percent."""
    return [
        100 * v
        for i in intervals
        if i is not None
        for v in (i.mean, i.low, i.high)
        if v is not None
    ]


def _overlap(overlap: Overlap) -> OverlapPart:
    shown = [cell for row in overlap.rows for cell in (row.all, row.read, row.seen)]
    scale = charts.covering([*_ends(shown), *(100 * share for share in PAPER.values())])
    notes = [_pool(overlap.pool)] if overlap.pool else []
    pairs = overlap.pairs
    spread = charts.covering(_ends(pair.difference for pair in pairs))
    return OverlapPart(
        rows=[_overlap_line(row, scale) for row in overlap.rows],
        axis=charts.axis(scale, " %"),
        pairs=[_pair(pair, spread) for pair in pairs],
        warnings=[SAME_SET] if overlap.same_set else [],
        notes=[*notes, CAUTION],
    )


def _overlap_line(row: OverlapRow, scale: Scale) -> OverlapLine:
    paper = PAPER.get(row.strategy)
    tone = "strong" if row.strategy == "tiered" else "ink"
    drawn = (
        (row.all, tone, paper, "all"),
        (row.read, "read", None, "read"),
        (row.seen, "seen", None, "seen"),
    )
    cells = tuple(
        _share(cell, scale, f"{row.strategy}, {name} distractors", colour, published)
        if cell
        else None
        for cell, colour, published, name in drawn
    )
    count = NOTHING if row.distractors is None else f"{row.distractors:,}"
    published = "" if paper is None else f"{100 * paper:.2f} %"
    return OverlapLine(row.strategy, row.strategy == CONTROL, cells, count, published)


def _share(
    cell: Interval, scale: Scale, label: str, tone: str = "ink", paper: float | None = None
) -> Cell:
    value, bounds = f"{100 * cell.mean:.1f} %", _bounds(cell)
    published = None if paper is None else 100 * paper
    said = f"{label}: {value} {bounds}"
    return Cell(
        value, bounds, charts.whisker(_percents(cell), scale, said, tone=tone, paper=published)
    )


def _pair(pair: Pair, scale: Scale) -> PairLine:
    name = f"{pair.first} \u2212 {pair.second}"
    if pair.difference is None:
        return PairLine(name, NOTHING, "", None, "no question has both")
    value, bounds = f"{100 * pair.difference.mean:+.1f} points", _bounds(pair.difference, sign="+")
    drawing = charts.whisker(_percents(pair.difference), scale, f"{name}: {value} {bounds}")
    remark = "" if pair.difference.excludes_zero else "not significant"
    return PairLine(
        name, value, bounds, drawing, "the same set: no claim" if pair.same_set else remark
    )


def _pool(pool: Pool) -> str:
    same = (
        ""
        if pool.same is None
        else f" Of the tiered picks, trajectory-random also picked {pool.same:.0%}."
    )
    return (
        f"What the agent read and saw holds {_short(pool.tokens)} tokens a question on average; "
        f"the gold documents leave room for {_short(pool.room)}. For {pool.fits:.0%} of the "
        f"questions all of it fits.{same}"
    )


def _training(training: Training) -> TrainingPart:
    scale = charts.covering(_ends(i for c in training.changes for i in (c.before, c.after)))
    last = {name: values[-1] for name, values in training.series.items() if values}
    said = ", ".join(f"{name} {value:.2f}" for name, value in last.items() if value is not None)
    drawn = (
        charts.curves(training.steps, training.series, f"Training curve; at the last step {said}")
        if training.steps
        else None
    )
    return TrainingPart(
        about=training.about,
        curves=drawn,
        changes=[_change(change, scale) for change in training.changes],
        axis=charts.axis(scale, " %"),
        notes=training.notes,
        rollouts=training.groups,
    )


def _change(change: Change, scale: Scale) -> ChangeLine:
    def cell(interval: Interval | None, tone: str, when: str) -> Cell | None:
        return _share(interval, scale, f"{change.name} {when}", tone) if interval else None

    n = (change.after or change.before or Interval(0, None, None, 0)).n
    cells = (cell(change.before, "ink", "before"), cell(change.after, "strong", "after"))
    return ChangeLine(change.name, cells, f"{n:,}")
