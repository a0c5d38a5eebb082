"""What the page says of a run, read from its folder: stages, overlap table, training, questions.

Every part is None or empty where its stage is not complete: a report of half a run is a report that
says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError, field_validator

import longtrace
from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError, RunFolderError, command
from longtrace.records import Context, Question, Record
from longtrace.report import stages
from longtrace.report.inspector import QuestionView, Titles, inspect
from longtrace.report.stages import OFFERED, StageView, Tally
from longtrace.report.training import Training, read_training
from longtrace.statistics import Interval
from longtrace.store import read_json, read_records

READERS = {"factbook": "The CIA World Factbook", "jsonl": "Documents from a JSONL file"}
FOLDERS = ("corpus", "questions", "trajectories", "contexts", "dataset", "training")


class _FromFile(Record):
    """What is used of a file that holds more."""

    model_config = ConfigDict(extra="ignore")


class Shares(_FromFile):
    """Shares of distractors that name a walk entity, for one strategy, in [0, 1]."""

    all: Interval | None
    read: Interval | None
    seen: Interval | None
    distractors: int
    mean_chars: int | None = None


class Pool(_FromFile):
    """How the documents an agent touched compare with the room for them."""

    tokens: float
    """Mean tokens of READ and SEEN documents."""
    room_tokens: float
    """Mean tokens that the gold documents leave."""
    fits: int
    """Questions whose whole pool fits in the room."""
    questions: int
    same: Interval | None
    """Share of the tiered picks that the shuffled pool also picked."""
    same_set: bool
    """Whether tiered and shuffled picks are the same documents for nearly all questions."""


class Overlap(_FromFile):
    """The overlap table, as `longtrace contexts` measured it."""

    detail: dict[str, Shares]
    paired: dict[str, Interval | None]
    """`tiered - trajectory-random` -> their difference on the same questions."""
    pool: Pool | None
    paper: dict[str, float]
    notes: tuple[str, ...]

    @field_validator("pool", mode="before")
    @classmethod
    def _nothing_is_none(cls, value: object) -> object:
        return value or None


class RunData(Record):
    """Everything on the page."""

    name: str
    folder: str
    version: str
    about: str
    """What the documents are; empty if there is no corpus yet."""
    stages: tuple[StageView, ...]
    tally: Tally | None
    context_tokens: float | None
    """Mean tokens of the contexts of `context_strategy`."""
    context_count: int
    context_strategy: str
    overlap: Overlap | None
    training: Training | None
    titles: tuple[str, ...]
    questions: tuple[QuestionView, ...]
    questions_total: int
    settings: dict[str, Any]
    """The resolved configuration of every complete stage."""


def read_run(run: Path, questions: int) -> RunData:
    """What the run folder `run` holds, with at most `questions` questions to look at.

    Raises:
        RunFolderError: no stage of the run is complete.
        RowError: a file of the run holds a row that cannot be read.
    """
    counts = stages.attempts(run)
    lines = _stages(run, counts)
    if not any(stage.complete for stage in lines):
        raise RunFolderError(f"{run}: no complete stage; run `{command('corpus', run)}` first")
    folders = [run / "contexts" / name for name in OFFERED]
    made = [folder for folder in folders if stages.meta(folder) is not None]
    tokens = _tokens(made[0]) if made else []
    titles, views = _questions(run, questions, counts is not None, made)
    return RunData(
        name=run.resolve().name,
        folder=str(run),
        version=longtrace.__version__,
        about=_about(run),
        stages=tuple(lines),
        tally=counts,
        context_tokens=sum(tokens) / len(tokens) if tokens else None,
        context_count=len(tokens),
        context_strategy=made[0].name if made else "",
        overlap=_overlap(run / "contexts"),
        training=read_training(run / "training"),
        titles=tuple(titles),
        questions=tuple(views),
        questions_total=next((s.kept for s in lines if s.verb == "questions"), 0),
        settings=_settings(run),
    )


def _stages(run: Path, counts: Tally | None) -> list[StageView]:
    return [
        stages.corpus_stage(run),
        stages.questions_stage(run),
        stages.trajectories_stage(run, counts),
        *stages.contexts_stages(run),
        *stages.dataset_stages(run),
        stages.training_stage(run),
    ]


def _about(run: Path) -> str:
    """The corpus in words: its reader and, where there is one, its file."""
    found = stages.meta(run / "corpus")
    if found is None:
        return ""
    config = found.get("config", {})
    path = config.get("path")
    reader = str(config.get("reader", ""))
    about = READERS.get(reader, f"Read by {reader}")
    return f"{about}: {Path(path).name}" if path else about


def _tokens(folder: Path) -> list[int]:
    return [context.tokens for context in read_records(folder / "data.jsonl", Context)]


def _questions(
    run: Path, count: int, attempted: bool, contexts: list[Path]
) -> tuple[list[str], list[QuestionView]]:
    """Titles and the first `count` questions; none where questions or corpus are not complete."""
    if stages.meta(run / "questions") is None or stages.meta(run / "corpus") is None:
        return [], []
    titles = Titles(_title_of(Corpus.open(run / "corpus")))
    chosen = list(islice(read_records(run / "questions" / "data.jsonl", Question), count))
    trajectories = run / "trajectories" / "data.jsonl" if attempted else None
    views = inspect(chosen, trajectories, [f / "data.jsonl" for f in contexts], titles)
    return titles.titles, views


def _title_of(corpus: Corpus) -> Callable[[str], str]:
    """Title by key; the key itself for a document that the corpus does not hold."""

    def title(key: str) -> str:
        try:
            return corpus.title(corpus.id(key))
        except InputError:
            return key

    return title


def _settings(run: Path) -> dict[str, Any]:
    folders = {folder: stages.meta(run / folder) for folder in FOLDERS}
    return {folder: found.get("config", {}) for folder, found in folders.items() if found}


def _overlap(folder: Path) -> Overlap | None:
    """The overlap table; None if the contexts are not complete."""
    path = folder / "overlap.json"
    if stages.meta(folder) is None or not path.is_file():
        return None
    try:
        return Overlap.model_validate(read_json(path))
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(
            f"{path}: {where}: not an overlap table; run `longtrace contexts` again with --fresh"
        ) from None
