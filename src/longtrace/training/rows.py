"""The rows of a training: tasks over facts for the tiny policy, or the exported dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from longtrace.contexts.export import require_current
from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError, RunFolderError, command
from longtrace.records import Entity, Example, Message
from longtrace.store import Stage, read_records
from longtrace.training.config import Config
from longtrace.training.facts import facts
from longtrace.training.tasks import FactLibrary, Task, task

_TRIES_A_TASK = 6
_COLUMNS = ("prompt", "question", "answer", "answer_aliases", "entities", "group_id")


class Rows(NamedTuple):
    """What is trained on and what is measured on."""

    train: Any
    """`datasets.Dataset` with the columns of `longtrace.training.reward.reward_function`."""
    test: list[Example]


def make_tasks(
    stage: Stage, corpus: Corpus, config: Config, *, advance: Callable[[int], None]
) -> list[Task]:
    """Make the tasks that are still missing, one line each in the stage, and return all of them.

    Raises:
        InputError: the corpus has no facts that can be read, or too few for the tasks wanted.
    """
    library = FactLibrary(corpus, facts(corpus))
    if not library.starts():
        raise InputError(
            "the corpus holds no compact facts for the tiny policy, which reads Factbook fields; "
            "use `longtrace corpus --reader factbook`, or train your own model with --model"
        )
    path = stage.folder / "data.jsonl"
    tasks = list(read_records(path, Task)) if path.is_file() else []
    known = {made.id for made in tasks}
    for index in range(stage.done, _TRIES_A_TASK * config.tasks):
        if len(tasks) >= config.tasks:
            break
        made = task(library, hops=config.hops, seed=config.seed, index=index)
        if isinstance(made, Task) and made.id in known:
            made = "made before"
        if isinstance(made, Task):
            stage.accept(made)
            known.add(made.id)
            tasks.append(made)
        else:
            stage.reject(index, made)
        advance(len(tasks))
    if len({made.split for made in tasks}) < 2:
        raise InputError(
            f"only {len(tasks)} questions over facts could be made; "
            "use fewer --hops or a larger corpus"
        )
    return tasks


def dataset(examples: Iterable[Example]) -> Any:
    """Examples as a `datasets.Dataset`; the group of a row is its example's id."""
    from datasets import Dataset

    return Dataset.from_list(
        [
            {
                "prompt": [message.model_dump() for message in example.messages],
                "question": example.question,
                "answer": example.answer,
                "answer_aliases": list(example.answer_aliases),
                "entities": [entity.model_dump() for entity in example.entities],
                "group_id": example.id,
            }
            for example in examples
        ]
    )


def require_export(folder: Path) -> None:
    """Check that `longtrace export --to trl` has been run.

    Raises:
        RunFolderError: it has not.
    """
    require_files(folder, "parquet")


def require_files(folder: Path, suffix: str) -> None:
    """Check that `longtrace export --to <name of the folder>` has been run, on today's contexts.

    Raises:
        RunFolderError: it has not, or the contexts were made anew since.
    """
    for name in (f"train.{suffix}", f"test.{suffix}", "meta.json"):
        path = folder / name
        if not path.is_file():
            run = folder.parent.parent
            raise RunFolderError(
                f"{path}: no such file; run `{command('export', run, '--to', folder.name)}` first"
            )
    require_current(folder)


def exported(folder: Path) -> Rows:
    """The rows that `longtrace export --to trl` wrote into `folder`.

    Raises:
        RunFolderError: they are not there.
        InputError: a column is missing.
    """
    from datasets import Dataset

    require_export(folder)
    parts: list[Any] = []
    for name in ("train", "test"):
        path = folder / f"{name}.parquet"
        rows = Dataset(pq.read_table(path))
        missing = sorted({*_COLUMNS} - {*rows.column_names})
        if missing:
            raise InputError(
                f"{path}: no column {missing[0]!r}; run `longtrace export --to trl --fresh` again"
            )
        parts.append(rows)
    return Rows(parts[0], [_example(row) for row in parts[1]])


def _example(row: dict[str, Any]) -> Example:
    messages: Sequence[dict[str, str]] = row["prompt"]
    return Example(
        id=str(row["group_id"]),
        context_id=str(row.get("context_id") or ""),
        messages=tuple(
            Message.model_validate({k: m[k] for k in ("role", "content")}) for m in messages
        ),
        question=row["question"],
        answer=row["answer"],
        answer_aliases=tuple(row["answer_aliases"] or ()),
        entities=tuple(Entity.model_validate(entity) for entity in row["entities"]),
    )
