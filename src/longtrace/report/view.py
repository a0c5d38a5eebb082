"""Numbers into what the template shows: words, figures and drawings.

Text from the run stays plain here and is escaped by the template; only drawings made by `charts`
are markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import orjson
from markupsafe import Markup, escape

from longtrace.contexts.overlap import CONTROL, PAIRS
from longtrace.contexts.strategies import STRATEGIES
from longtrace.report import charts
from longtrace.report.charts import Part, Scale
from longtrace.report.data import Overlap, Pool, RunData, Shares
from longtrace.report.inspector import QuestionView
from longtrace.report.stages import Reason, StageView
from longtrace.report.training import Group, Training
from longtrace.statistics import TOO_FEW, Interval
from longtrace.training.stage import Change

NOTHING = "\u2013"
MEASURES = {"outcome": "Right answers", "rubric": "Entities named"}
OTHERS = (
    "The paper's figures come from another corpus, other questions, an agent driven by a language "
    "model and contexts of 128K tokens. They are there for the order, not for the level."
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
    stale: str


class Cell(NamedTuple):
    """An estimate in a table."""

    value: str
    range: str
    drawing: Markup
    remark: str = ""


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
    pairs_axis: Markup | None
    warnings: list[Markup]
    notes: list[Markup]


class ChangeLine(NamedTuple):
    """A measure before and after training."""

    name: str
    cells: tuple[Cell | None, ...]
    """Before, after, difference."""
    questions: str


class TrainingPart(NamedTuple):
    """The training section."""

    about: str
    curves: Markup | None
    changes: list[ChangeLine]
    axis: Markup
    difference_axis: Markup
    notes: list[Markup]
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
            Tile("Solved by the agent", f"{100 * solved / asked:.0f} %", f"{solved:,} of {asked:,}")
        )
    if data.context_tokens is not None:
        detail = f"{data.context_count:,} contexts, {data.context_strategy}"
        found.append(Tile("Tokens a context", _short(data.context_tokens), detail))
    changes = data.training.changes if data.training else ()
    change = next((c for c in changes if c.measure == "outcome"), None)
    if change and change.before and change.after:
        value = f"{_hundredths(change.before.mean)} \u2192 {_hundredths(change.after.mean)}"
        detail = f"{change.decoding}, held out, n = {change.after.n:,}"
        found.append(Tile("Accuracy, before \u2192 after", value, detail))
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
        stale=", ".join(stage.stale),
    )


def _bounds(interval: Interval, *, sign: str = "") -> str:
    """The 95 % interval of a share in percent, or that there are too few values for one."""
    if interval.low is None or interval.high is None:
        return TOO_FEW
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
    rows = {name: overlap.detail[name] for name in (*STRATEGIES, CONTROL) if name in overlap.detail}
    shown = [cell for row in rows.values() for cell in (row.all, row.read, row.seen)]
    scale = charts.covering([*_ends(shown), *(100 * share for share in overlap.paper.values())])
    spread = charts.covering(_ends(overlap.paired.values()))
    same = overlap.pool is not None and overlap.pool.same_set
    pairs = {f"{a} - {b}": (a, b) for a, b in PAIRS}
    notes = [prose(note) for note in overlap.notes]
    told = [prose(_pool(overlap.pool))] if overlap.pool else []
    return OverlapPart(
        rows=[
            _overlap_line(name, row, scale, overlap.paper.get(name)) for name, row in rows.items()
        ],
        axis=charts.axis(scale, " %"),
        pairs=[
            _pair(pairs[name], overlap.paired[name], spread, same_set=same)
            for name in pairs
            if name in overlap.paired
        ],
        pairs_axis=charts.axis(spread, "") if any(overlap.paired.values()) else None,
        warnings=notes[:1] if same else [],
        notes=[*told, *notes[1 if same else 0 :], prose(OTHERS)],
    )


def prose(text: str) -> Markup:
    """A sentence, escaped, with what stands between backticks as code."""
    pieces = [
        charts.element("code", piece) if number % 2 else escape(piece)
        for number, piece in enumerate(text.split("`"))
    ]
    return Markup("").join(pieces)


def _overlap_line(name: str, row: Shares, scale: Scale, paper: float | None) -> OverlapLine:
    tone = "strong" if name == "tiered" else "ink"
    drawn = (
        (row.all, tone, paper, "all"),
        (row.read, "read", None, "read"),
        (row.seen, "seen", None, "seen"),
    )
    cells = tuple(
        _share(cell, scale, f"{name}, {kind} distractors", colour, published) if cell else None
        for cell, colour, published, kind in drawn
    )
    published = "" if paper is None else f"{100 * paper:.2f} %"
    return OverlapLine(name, name == CONTROL, cells, f"{row.distractors:,}", published)


def _share(
    cell: Interval, scale: Scale, label: str, tone: str = "ink", paper: float | None = None
) -> Cell:
    value, bounds = f"{100 * cell.mean:.1f} %", _bounds(cell)
    published = None if paper is None else 100 * paper
    said = f"{label}: {value} {bounds}"
    return Cell(
        value, bounds, charts.whisker(_percents(cell), scale, said, tone=tone, paper=published)
    )


def _pair(
    names: tuple[str, str], difference: Interval | None, scale: Scale, *, same_set: bool
) -> PairLine:
    name = " \u2212 ".join(names)
    if difference is None:
        return PairLine(name, NOTHING, "", None, "no question has both")
    value, bounds = f"{100 * difference.mean:+.1f} points", _bounds(difference, sign="+")
    if same_set and names == PAIRS[-1]:
        return PairLine(name, NOTHING, "", None, "the same set: no claim")
    drawing = charts.whisker(_percents(difference), scale, f"{name}: {value} {bounds}")
    return PairLine(name, value, bounds, drawing, difference.verdict)


def _pool(pool: Pool) -> str:
    fits = (
        f"In {pool.fits:,} of {pool.questions:,} questions all of it fits, and there the two "
        "trajectory strategies are one set."
        if pool.fits
        else "In no question all of it fits."
    )
    share = "" if pool.same is None else f"{100 * pool.same.mean:.0f} %"
    same = f" `trajectory-random` also picked {share} of what `tiered` picked." if share else ""
    return (
        f"What the agent read and saw holds {_short(pool.tokens)} tokens a question on average; "
        f"the gold documents leave room for {_short(pool.room_tokens)}. {fits}{same}"
    )


def _hundredths(share: float) -> str:
    """A share rounded as its whole per cent are elsewhere, so that 0.215 is 0.22 where 22 % is."""
    return f"{round(100 * share) / 100:.2f}"


def _training(training: Training) -> TrainingPart:
    changes = training.changes
    scale = charts.covering(_ends(i for c in changes for i in (c.before, c.after)))
    spread = charts.covering(_ends(c.difference for c in changes))
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
        changes=[_change(change, scale, spread) for change in changes],
        axis=charts.axis(scale, " %"),
        difference_axis=charts.axis(spread, ""),
        notes=[prose(note) for note in training.notes],
        rollouts=training.groups,
    )


def _change(change: Change, scale: Scale, spread: Scale) -> ChangeLine:
    name = f"{MEASURES.get(change.measure, change.measure)}, {change.decoding}"
    before, after, difference = change.before, change.after, change.difference
    moved = None
    if difference is not None:
        value, bounds = f"{100 * difference.mean:+.1f}", _bounds(difference, sign="+")
        drawing = charts.whisker(_percents(difference), spread, f"{name}: {value} {bounds}")
        moved = Cell(value, bounds, drawing, difference.verdict)
    cells = (
        _share(before, scale, f"{name}, before") if before else None,
        _share(after, scale, f"{name}, after", "strong") if after else None,
        moved,
    )
    shown = after or before
    return ChangeLine(name, cells, f"{shown.n:,}" if shown else NOTHING)
