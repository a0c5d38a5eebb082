"""The rows that the paper's authors published, as examples that any of the trainers can be given.

A row is `{"source", "input_messages", "label", "metadata": {"extra_reward_info": {"question",
"rubrics", ...}}}`. The prompts stay as they are; numbers among labels and rubric entities become
text; an entity listed twice is kept once, because twice would count twice in the rubric.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, Field, ValidationError

from longtrace.errors import InputError, RowError
from longtrace.records import Entity, Example, Message, content_id
from longtrace.text import normalise_name

_REMEDY = "expected a row of the published dataset; see docs/engines.md"


class _Info(BaseModel):
    question: str
    rubrics: list[str | int | float] = []


class _Metadata(BaseModel):
    extra_reward_info: _Info


class _Row(BaseModel):
    """The keys that are needed; others are ignored."""

    input_messages: list[dict[str, Any]] = Field(min_length=1)
    label: str | int | float
    metadata: _Metadata


def read_published(path: Path) -> Iterator[Example]:
    """Examples of a published JSONL file, one at a time; the file is over a gigabyte.

    Raises:
        InputError: the file is missing.
        RowError: a line is not such a row, its label is empty, or none of its entities can be
            matched; names the line.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the JSONL file of the published dataset")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _example(path, number, line)


def _example(path: Path, number: int, line: bytes) -> Example:
    try:
        row = _Row.model_validate(orjson.loads(line))
        messages = tuple(
            Message.model_validate({"role": m.get("role"), "content": m.get("content")})
            for m in row.input_messages
        )
    except orjson.JSONDecodeError as error:
        raise RowError(path, number, f"not valid JSON ({error.msg})", _REMEDY) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RowError(path, number, f"{where}: {first['msg']}", _REMEDY) from None
    info = row.metadata.extra_reward_info
    names = dict.fromkeys(str(name) for name in info.rubrics)
    entities = tuple(Entity(name=name) for name in names if normalise_name(name))
    if not str(row.label).strip():
        raise RowError(path, number, "label: empty, so no answer can be right", _REMEDY)
    if names and not entities:
        raise RowError(path, number, "no rubric entity that any text could name", _REMEDY)
    return Example(
        id=content_id([message.model_dump() for message in messages], str(row.label)),
        context_id="",
        messages=messages,
        question=info.question,
        answer=str(row.label),
        entities=entities,
    )
