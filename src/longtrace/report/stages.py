"""The funnel: what every stage took in, kept and dropped, and what makes a missing stage.

Stages count different things (documents, walks, attempts, contexts, rows), so each gets a bar of
its own: all units are its width, and the dropped ones are listed by reason. Only complete stages
are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from longtrace.contexts.strategies import STRATEGIES
from longtrace.errors import command
from longtrace.records import Record, Trajectory
from longtrace.report.charts import Part
from longtrace.store import fingerprint, read_meta, read_records

FORMATS = ("trl", "longtracerl")
OFFERED = ("tiered", *(name for name in reversed(STRATEGIES) if name != "tiered"))
"""Strategies in the order the page offers them: the method first, then what it is compared with."""


class Reason(NamedTuple):
    """Why units were dropped, and how many."""

    reason: str
    units: int


class StageView(Record):
    """One line of the funnel."""

    verb: str
    name: str
    command: str
    """What makes or remakes this stage."""
    complete: bool = False
    kept: int = 0
    unit: str = ""
    """What is counted, in the plural."""
    parts: tuple[Part, ...] = ()
    """The bar: kept and dropped units."""
    reasons: tuple[Reason, ...] = ()
    note: str = ""
    stale: tuple[str, ...] = ()
    """Earlier stages that have been made anew since, so that these rows come from others."""


class Tally(Record):
    """What came of all attempts at all questions."""

    attempts: int
    right: int
    wrong: int
    unjudged: int
    """Answered, but nobody could tell whether rightly."""
    silent: int
    """Ended without an answer."""
    questions: int
    """Questions with at least one attempt."""
    solved: int
    """Questions with at least one right attempt."""


def meta(folder: Path) -> dict[str, Any] | None:
    """The `meta.json` of a complete stage; None if it is not complete."""
    return read_meta(folder) if (folder / "meta.json").is_file() else None


def stale(run: Path, found: Mapping[str, Any]) -> tuple[str, ...]:
    """Inputs of a complete stage that are not what now stands in the run folder."""
    inputs = found.get("inputs", {})
    return tuple(
        name
        for name in ("corpus", "questions", "trajectories")
        if name in inputs and (meta(run / name) is None or fingerprint(run / name) != inputs[name])
    )


def tally(trajectories: Iterable[Trajectory]) -> Tally:
    """Counts of attempts and of questions solved."""
    ended: Counter[str] = Counter()
    solved: dict[str, bool] = {}
    for attempt in trajectories:
        ended[_outcome(attempt)] += 1
        was = solved.get(attempt.question_id, False)
        solved[attempt.question_id] = was or attempt.correct is True
    return Tally(
        attempts=ended.total(),
        right=ended["right"],
        wrong=ended["wrong"],
        unjudged=ended["unjudged"],
        silent=ended["silent"],
        questions=len(solved),
        solved=sum(solved.values()),
    )


def _outcome(attempt: Trajectory) -> str:
    if attempt.answer is None:
        return "silent"
    return {True: "right", False: "wrong", None: "unjudged"}[attempt.correct]


def corpus_stage(run: Path) -> StageView:
    """Documents read."""
    found = meta(run / "corpus")
    if found is None:
        return StageView(verb="corpus", name="Corpus", command=command("corpus", run))
    note = f"{found.get('characters', 0):,} characters, {found.get('links', 0):,} links"
    if "largest_component" in found:
        note += f"; {found['largest_component']:,} documents reach one another"
    return _counted("corpus", "Corpus", "documents", run, found, note)


def questions_stage(run: Path) -> StageView:
    """Walks that became questions."""
    found = meta(run / "questions")
    if found is None:
        return StageView(verb="questions", name="Questions", command=command("questions", run))
    hops = found["config"].get("hops")
    total = found["count"] + sum(found["rejected"].values())
    note = f"from {total:,} walks" + (f" of {hops} hops" if hops else "")
    return _counted("questions", "Questions", "questions", run, found, note)


def trajectories_stage(run: Path, counts: Tally | None) -> StageView:
    """Attempts by how they ended."""
    typed = command("trajectories", run)
    found = meta(run / "trajectories")
    if found is None or counts is None:
        return StageView(verb="trajectories", name="Trajectories", command=typed)
    reasons = _reasons(found["rejected"])
    parts = (
        Part("right", counts.right, "right-tone"),
        Part("wrong", counts.wrong, "wrong-tone"),
        Part("not judged", counts.unjudged, "drop-tone"),
        Part("no answer", counts.silent, "none-tone"),
        Part("dropped", sum(reason.units for reason in reasons), "drop-tone"),
    )
    note = f"{counts.solved:,} of {counts.questions:,} questions solved at least once"
    return StageView(
        verb="trajectories",
        name="Trajectories",
        command=typed,
        complete=True,
        kept=counts.attempts,
        unit="attempts",
        parts=parts,
        reasons=reasons,
        note=note,
        stale=stale(run, found),
    )


def contexts_stages(run: Path) -> list[StageView]:
    """Contexts made, one line for all strategies that kept and dropped the same questions."""
    typed = command("contexts", run)
    if meta(run / "contexts") is None:
        return [StageView(verb="contexts", name="Contexts", command=typed)]
    alike: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for name in OFFERED:
        value = meta(run / "contexts" / name)
        if value is not None:
            key = repr((value["count"], sorted(value["rejected"].items())))
            alike.setdefault(key, (value, []))[1].append(name)
    return [
        _counted("contexts", "Contexts", "each" if len(names) > 1 else "", run, value, _and(names))
        for value, names in alike.values()
    ]


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def dataset_stages(run: Path) -> list[StageView]:
    """Rows exported, one line a format that is there."""
    found = {name: meta(run / "dataset" / name) for name in FORMATS}
    lines = []
    for name, value in found.items():
        if value is not None:
            splits = value.get("splits", {})
            note = ", ".join(f"{rows:,} {split}" for split, rows in splits.items())
            lines.append(_counted("export", f"Dataset, {name}", "rows", run, value, note))
    return lines or [StageView(verb="export", name="Dataset", command=command("export", run))]


def training_stage(run: Path) -> StageView:
    """Updates made."""
    typed = command("train", run)
    found = meta(run / "training")
    if found is None:
        return StageView(verb="train", name="Training", command=typed)
    config = found["config"]
    steps, prompts, group = (config[k] for k in ("steps", "prompts_per_step", "group_size"))
    return StageView(
        verb="train",
        name="Training",
        command=typed,
        complete=True,
        kept=steps,
        unit="updates",
        parts=(Part("done", steps, "kept-tone"), Part("left", 0, "drop-tone")),
        note=f"{steps * prompts * group:,} rollouts: {prompts} prompts an update, {group} each",
        stale=stale(run, found),
    )


def _counted(
    verb: str, name: str, unit: str, run: Path, found: Mapping[str, Any], note: str
) -> StageView:
    """A stage in which a unit is either kept or dropped for a reason."""
    reasons = _reasons(found.get("rejected", {}))
    dropped = sum(reason.units for reason in reasons)
    return StageView(
        verb=verb,
        name=name,
        command=command(verb, run),
        complete=True,
        kept=found["count"],
        unit=unit,
        parts=(Part("kept", found["count"], "kept-tone"), Part("dropped", dropped, "drop-tone")),
        reasons=reasons,
        note=note,
        stale=stale(run, found),
    )


def _reasons(rejected: Mapping[str, int]) -> tuple[Reason, ...]:
    """Reasons with counts, the most frequent first."""
    ordered = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Reason(reason, count) for reason, count in ordered)


def attempts(run: Path) -> Tally | None:
    """The tally of a run's trajectories; None if that stage is not complete."""
    folder = run / "trajectories"
    if meta(folder) is None:
        return None
    return tally(read_records(folder / "data.jsonl", Trajectory))
