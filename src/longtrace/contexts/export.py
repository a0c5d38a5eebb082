"""The `export` verb: contexts rendered as rows for a trainer.

A context is a recipe; here its text is made, one row at a time, so that memory stays flat however
long the prompts are. Questions are kept for evaluation by a hash of their id: the same question
falls on the same side for every strategy, budget and tokenizer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from longtrace.config import Config as StageConfig
from longtrace.config import Options, Result
from longtrace.contexts import card, render
from longtrace.contexts.card import CANARY
from longtrace.contexts.export_engines import VERL_SCHEMA, slime_row, verl_row
from longtrace.contexts.strategies import Strategy
from longtrace.contexts.units import Texts
from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError, command
from longtrace.parallel import progress
from longtrace.records import Context, Entity, Example, Message, Question, content_id
from longtrace.store import (
    Stage,
    check_inputs,
    fingerprint,
    read_identity,
    read_meta,
    read_records,
)

ROW_GROUP_CHARS = 32_000_000
_ENTITY = pa.struct([("name", pa.string()), ("aliases", pa.list_(pa.string()))])
_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.large_string())])
TRL_SCHEMA = pa.schema(
    [
        ("prompt", pa.list_(_MESSAGE)),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("answer_aliases", pa.list_(pa.string())),
        ("entities", pa.list_(_ENTITY)),
        ("group_id", pa.string()),
        ("context_id", pa.string()),
        ("strategy", pa.string()),
        ("budget_tokens", pa.int64()),
        ("canary", pa.string()),
    ]
)

_NEXT = {"trl": (), "slime": ("slime", "--dry-run"), "verl": ("verl", "--dry-run")}
"""Row format -> what to type after `longtrace train`."""


class Config(StageConfig):
    """Render contexts as rows for a trainer."""

    to: Literal["trl", "slime", "verl", "longtracerl"] = "trl"
    """Row format: a trainer's columns, or the rows that the paper's authors published."""
    strategy: Strategy = "tiered"
    """Which contexts."""
    holdout: float = Field(default=0.1, ge=0, le=0.9)
    """Share of the questions kept for evaluation, in `test`."""
    format: Literal["parquet", "jsonl"] = "parquet"
    """File format of `trl` rows; `slime` and `longtracerl` rows are JSONL, `verl` rows Parquet."""
    licence: str = ""
    """Licence of the documents, for the dataset card; if not given, what is known of the reader's
    source."""
    seed: int = 0
    """Decides which questions are kept for evaluation."""

    @property
    def suffix(self) -> str:
        """File name suffix of the rows."""
        fixed = {"slime": "jsonl", "longtracerl": "jsonl", "verl": "parquet"}
        return fixed.get(self.to, self.format)


def example(context: Context, question: Question, texts: Texts) -> Example:
    """The row that `context` is the recipe of, its prompt rendered as one user message."""
    message = Message(role="user", content=render.prompt_of(context, question.text, texts))
    return Example(
        id=content_id(context.id, render.fingerprint()),
        context_id=context.id,
        messages=(message,),
        question=question.text,
        answer=question.answer,
        answer_aliases=question.answer_aliases,
        entities=tuple(Entity(name=hop.entity, aliases=hop.aliases) for hop in question.hops),
    )


def held_out(question_id: str, *, holdout: float, seed: int) -> bool:
    """Whether a question is kept for evaluation; about `holdout` of all questions are."""
    digest = hashlib.sha256(f"{seed}-{question_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < holdout * 2**64


def trl_row(row: Example, context: Context) -> dict[str, Any]:
    """Columns for TRL's GRPOTrainer; those besides `prompt` reach the reward function by name."""
    return {
        "prompt": [message.model_dump() for message in row.messages],
        "question": row.question,
        "answer": row.answer,
        "answer_aliases": list(row.answer_aliases),
        "entities": [entity.model_dump(mode="json") for entity in row.entities],
        "group_id": row.id,
        "context_id": row.context_id,
        "strategy": context.strategy,
        "budget_tokens": context.budget_tokens,
        "canary": CANARY,
    }


def longtracerl_row(row: Example, context: Context) -> dict[str, Any]:
    """A row in the published shape; what that shape has no place for is in `extra_reward_info`.

    Its rubric is names alone: the published reward knows no aliases.
    """
    return {
        "source": "longqa",
        "input_messages": [message.model_dump() for message in row.messages],
        "label": row.answer,
        "metadata": {
            "extra_reward_info": {
                "question": row.question,
                "rubrics": [entity.name for entity in row.entities],
                "dataset_name": "longtrace",
                "context_id": row.context_id,
                "strategy": context.strategy,
                "budget_tokens": context.budget_tokens,
                "canary": CANARY,
            }
        },
    }


class Writer(Protocol):
    """Where the rows of one split go."""

    def __enter__(self) -> Self:
        """Open for writing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; the file gets its name only if nothing went wrong."""

    def add(self, row: dict[str, Any]) -> None:
        """Write one row."""


class _File:
    """A file that gets its name when it is whole."""

    def __init__(self, path: Path) -> None:
        self.path, self.partial = path, path.with_name(path.name + ".partial")

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        if kind is None:
            self.partial.replace(self.path)

    def _open(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


class JsonLines(_File):
    """Rows as JSON, one a line."""

    def _open(self) -> None:
        self._out = self.partial.open("wb")

    def add(self, row: dict[str, Any]) -> None:
        """Write one row."""
        self._out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def _close(self) -> None:
        self._out.close()


class Parquet(_File):
    """Rows as Parquet, in row groups of some 32 million characters of prompt."""

    schema = TRL_SCHEMA

    def _open(self) -> None:
        self._writer = pq.ParquetWriter(self.partial, self.schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._chars = 0

    def add(self, row: dict[str, Any]) -> None:
        """Write one row."""
        self._rows.append(row)
        self._chars += sum(len(message["content"]) for message in row["prompt"])
        if self._chars >= ROW_GROUP_CHARS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self.schema))
        self._rows, self._chars = [], 0

    def _close(self) -> None:
        self._flush()
        self._writer.close()


class VerlParquet(Parquet):
    """The same with the columns of verl."""

    schema = VERL_SCHEMA


ROWS: Mapping[str, Callable[[Example, Context], dict[str, Any]]] = {
    "trl": trl_row,
    "slime": partial(slime_row, canary=CANARY),
    "verl": partial(verl_row, canary=CANARY),
    "longtracerl": longtracerl_row,
}
WRITERS: Mapping[str, Callable[[Path], Writer]] = {
    "parquet": Parquet,
    "jsonl": JsonLines,
    "verl": VerlParquet,
}


def _contexts(run: Path, strategy: str) -> tuple[Path, str]:
    """The contexts of a strategy and their fingerprint.

    Raises:
        RunFolderError: they have not been made, or not all, or from other documents, questions or
            attempts than those now in the run.
    """
    folder = run / "contexts" / strategy
    made = fingerprint(folder)
    check_inputs(folder, {name: run / name for name in ("corpus", "questions", "trajectories")})
    return folder / "data.jsonl", made


def require_current(folder: Path) -> None:
    """Check that a dataset was made from the contexts now beside it, where there are any.

    Raises:
        RunFolderError: it was made from others.
    """
    if (folder / "stage.json").is_file():
        strategy = str(read_identity(folder).config.get("strategy"))
        contexts = folder.parent.parent / "contexts" / strategy
        if contexts.is_dir():
            check_inputs(folder, {"contexts": contexts})


def _examples(run: Path, path: Path, limit: int | None) -> Iterator[tuple[Context, Example]]:
    """Every context in `path` and its row, at most `limit`, in order.

    Raises:
        InputError: a context belongs to a question that is not in this run.
    """
    corpus = Corpus.open(run / "corpus")
    questions = {q.id: q for q in read_records(run / "questions" / "data.jsonl", Question)}
    for number, context in enumerate(read_records(path, Context), 1):
        if limit is not None and number > limit:
            return
        if context.question_id not in questions:
            raise InputError(
                f"{path}:{number}: question {context.question_id} is not in this run; "
                f"run `{command('contexts', run, '--fresh')}`"
            )
        yield context, example(context, questions[context.question_id], corpus)


def _write(config: Config, options: Options, path: Path, total: int, folder: Path) -> Counter[str]:
    """Write every split and return its number of rows."""
    counts = Counter({"train": 0, "test": 0})
    writer = WRITERS.get(config.to, WRITERS[config.suffix])
    with ExitStack() as files, progress("export", total) as advance_to:
        out = {
            split: files.enter_context(writer(folder / f"{split}.{config.suffix}"))
            for split in counts
        }
        for context, row in _examples(options.run, path, options.limit):
            kept = held_out(context.question_id, holdout=config.holdout, seed=config.seed)
            split = "test" if kept else "train"
            out[split].add(ROWS[config.to](row, context))
            counts[split] += 1
            advance_to(counts.total())
    return counts


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _command(config: Config, options: Options) -> str:
    values = {**config.identity(), "limit": options.limit}
    return card.command("export", {k: v for k, v in values.items() if v != ""})


def run(config: Config, options: Options) -> Result:
    """Render the contexts of a run into `dataset/<format>/train` and `test`, with a card.

    Raises:
        InputError: a context belongs to a question that is not in this run.
        RunFolderError: the contexts are missing, or the folder is of another configuration.
    """
    path, made_from = _contexts(options.run, config.strategy)
    folder = options.run / "dataset" / config.to
    total = read_meta(path.parent)["count"]
    if options.dry_run:
        return Result(
            {"rows": min(total, options.limit or total)},
            [f"would render {total:,} {config.strategy} contexts for {config.to}"],
        )
    identity = {
        **config.identity(),
        "limit": options.limit,
        "prompt": render.fingerprint(),
        "canary": CANARY,
    }
    inputs = {"contexts": made_from}
    stage = Stage(folder, identity, inputs, fresh=options.fresh, rows=False)
    if not stage.complete:
        counts = _write(config, options, path, total, folder)
        names = {split: f"{split}.{config.suffix}" for split in counts}
        hashes = {name: _sha256(folder / name) for name in names.values()}
        exported = card.Exported(
            config.to, config.strategy, config.licence, dict(counts), names, hashes, options.limit
        )
        card.write(folder / "README.md", options.run, exported, _command(config, options))
        stage.finish(count=counts.total(), rejected={}, splits=dict(counts), files=hashes)
    splits = stage.meta["splits"]
    lines = [f"{n:,} rows in {folder / split}.{config.suffix}" for split, n in splits.items()]
    return Result(
        {"rows": splits, "folder": str(folder)},
        lines,
        folder,
        command("train", options.run, *_NEXT[config.to]) if config.to in _NEXT else "",
    )
