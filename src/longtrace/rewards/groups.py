"""Stored responses, group by group: from a file of groups, or from the rollouts a training kept."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError, RowError
from longtrace.records import Completion, Context, Entity, Score
from longtrace.store import read_records

_REMEDY = (
    'expected {"entities": [names], "samples": [{"response": text, "outcome": 0 to 1 or null, '
    '"ill_formed": false}]}'
)


class Passage(BaseModel):
    """A piece of the prompt, to see where a named entity stands. Other keys are ignored."""

    model_config = ConfigDict(frozen=True)

    title: str = ""
    tier: str = ""
    text: str


class Sample(BaseModel):
    """One response of a group. Other keys of the row are ignored."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    response: str
    """The final answer text, thinking removed."""
    outcome: Annotated[float, Field(ge=0, le=1)] | None
    """1 right, 0 wrong, null if nobody could tell."""
    ill_formed: bool = False
    """Truncated, or not one thinking part followed by an answer: outcome and rubric count as 0."""


class Group(BaseModel):
    """All responses to one prompt. Other keys of the row are ignored."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    entities: tuple[Entity | str | StrictInt, ...]
    """Names, or objects with `name` and `aliases`."""
    samples: tuple[Sample, ...] = Field(min_length=1)
    question: str = ""
    """Shown to a judge."""
    answer: str | None = None
    """The reference answer; needed to judge again."""
    answer_aliases: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    """The prompt's documents, to see which of them name an entity."""


def read_groups(path: Path, *, judged: bool = True) -> Iterator[tuple[str, Group]]:
    """Groups of a file with the place each stands at, one at a time where the file is JSONL.

    Args:
        path: one JSON object {"groups": [...]}, or JSONL with one group a line.
        judged: every sample must have an outcome. If not, one left out is None, and the group must
            have an answer.

    Raises:
        InputError: the file is missing, cannot be read, holds no group, or a row is not a group; a
            line of JSONL is named by its number, a group of a JSON object by its place in the list.
    """
    found = False
    for place, value in _rows(path):
        found = True
        try:
            group = Group.model_validate(value if judged else _unjudged(value))
        except ValidationError as error:
            raise InputError(f"{place}: {_first(error)}; {_REMEDY}") from None
        if not judged and group.answer is None:
            raise InputError(f'{place}: no "answer", which judging again needs; {_REMEDY}')
        yield place, group
    if not found:
        raise InputError(f"{path}: no groups in this file; {_REMEDY}")


class _Rollout(BaseModel):
    """A row of a training's `samples.jsonl`, as far as it is needed here."""

    step: int
    question: str
    answer: str
    completion: Completion
    score: Score


def read_rollouts(run: Path) -> Iterator[tuple[str, Group]]:
    """Groups of `run`'s stored training rollouts, in order.

    Aliases and passages are found where the run's `dataset/` holds the prompts; else an entity is
    known by its name alone.

    Raises:
        InputError: the run has no stored rollouts.
    """
    path = run / "training" / "samples.jsonl"
    if not path.is_file():
        raise InputError(
            f"--groups FILE is needed, {run} has no training/samples.jsonl to score; "
            "see docs/rewards.md"
        )
    prompts = _prompts(run)
    rows: list[_Rollout] = []
    for row in read_records(path, _Rollout):
        same = (row.step, row.completion.example_id)
        if rows and same != (rows[0].step, rows[0].completion.example_id):
            yield _place(path, rows), _group(rows, prompts)
            rows = []
        rows.append(row)
    if rows:
        yield _place(path, rows), _group(rows, prompts)


def _place(path: Path, rows: list[_Rollout]) -> str:
    return f"{path}: {rows[0].completion.example_id} at step {rows[0].step}"


def _group(rows: list[_Rollout], prompts: Mapping[str, dict[str, Any]]) -> Group:
    first = rows[0]
    names = dict.fromkeys(name for row in rows for name in (*row.score.hit, *row.score.missed))
    known = prompts.get(first.completion.example_id, {})
    return Group(
        entities=tuple(Entity(name=name) for name in names),
        question=first.question,
        answer=first.answer,
        samples=tuple(
            Sample(
                response=row.completion.text,
                outcome=row.score.outcome,
                ill_formed=row.score.problem in ("ill_formed", "truncated"),
            )
            for row in rows
        ),
    ).model_copy(update=known)


def _prompts(run: Path) -> dict[str, dict[str, Any]]:
    """By group id what the exported dataset and the contexts know about a prompt."""
    known: dict[str, dict[str, Any]] = {}
    context_of: dict[str, str] = {}
    for path in sorted((run / "dataset").glob("**/*.parquet")):
        columns = ["group_id", "context_id", "entities", "answer_aliases"]
        if not set(columns) <= set(pq.read_schema(path).names):
            continue
        for row in pq.read_table(path, columns=columns).to_pylist():
            known[row["group_id"]] = {
                "entities": tuple(Entity.model_validate(entity) for entity in row["entities"]),
                "answer_aliases": tuple(row["answer_aliases"] or ()),
            }
            context_of[row["context_id"]] = row["group_id"]
    if not known or not (run / "corpus" / "meta.json").is_file():
        return known
    corpus = Corpus.open(run / "corpus")
    for path in sorted((run / "contexts").glob("*/data.jsonl")):
        for context in read_records(path, Context):
            group = context_of.get(context.id)
            if group is not None:
                known[group]["passages"] = tuple(_passages(context, corpus))
    return known


def _passages(context: Context, corpus: Corpus) -> Iterator[Passage]:
    for passage in context.passages:
        doc = corpus.id(passage.doc)
        text = passage.part(corpus.text(doc))
        yield Passage(title=corpus.title(doc), tier=passage.tier.value, text=text)


def _unjudged(value: object) -> object:
    """A row in which every sample has an outcome, None where it had none."""
    if not isinstance(value, dict) or not isinstance(value.get("samples"), list):
        return value
    samples = [
        {"outcome": None, **sample} if isinstance(sample, dict) else sample
        for sample in value["samples"]
    ]
    return {**value, "samples": samples}


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open("rb") as lines:
            first = next((line for line in map(_unmarked, lines) if line.strip()), b"")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; check --groups") from None
    if _is_row(first):
        yield from _lines(path)
        return
    try:
        value = orjson.loads(_unmarked(path.read_bytes()) or b"{}")
    except orjson.JSONDecodeError as error:
        raise RowError(path, error.lineno, f"not valid JSON ({error.msg})", _REMEDY) from None
    groups = value.get("groups") if isinstance(value, dict) else None
    if not isinstance(groups, list):
        raise InputError(f'{path}: no list under "groups"; {_REMEDY}')
    yield from ((f"{path}: group {number}", row) for number, row in enumerate(groups, 1))


def _unmarked(data: bytes) -> bytes:
    """`data` without the byte order mark that some editors begin a file with."""
    return data.removeprefix(codecs.BOM_UTF8)


def _is_row(line: bytes) -> bool:
    """Whether a file that starts with `line` holds one row a line."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return not (isinstance(value, dict) and "groups" in value)


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(map(_unmarked, lines), 1):
            if not line.strip():
                continue
            try:
                yield f"{path}:{number}", orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise RowError(path, number, f"not valid JSON ({error.msg})", _REMEDY) from None


def _first(error: ValidationError) -> str:
    """The first complaint; of a union's complaints, under the key a person wrote."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("Entity", "str", "int"))
    return f"{where}: {first['msg']}" if where else first["msg"]
