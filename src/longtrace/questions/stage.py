"""The `questions` verb: walks over the corpus, each written as a question or dropped with a reason.

A unit of work is a walk number. Walks are tried in order until `count` questions are accepted or
`max_walks` is reached, and each depends on (seed, number) alone, so the rows are the same for any
number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from pydantic import Field
from rich.text import Text

from longtrace.config import Config as BaseConfig
from longtrace.config import Options, Result
from longtrace.corpus.corpus import Corpus
from longtrace.errors import LongtraceError
from longtrace.parallel import ordered_map, progress
from longtrace.questions.clues import MAX_HOPS, Weights, page_cache
from longtrace.questions.walk import CorpusWalkable, record, walk
from longtrace.questions.write import Writer
from longtrace.records import Question, Walk
from longtrace.store import Stage, fingerprint, read_records

DEAD_WALK = "dead walk"
DUPLICATE = "same documents as an earlier question"


class Config(BaseConfig):
    """Random walks into multi-hop questions."""

    count: int = Field(default=100, ge=1)
    """Questions wanted."""
    hops: int = Field(default=4, ge=1, le=MAX_HOPS)
    """Links on a walk; the question then rests on one document more. The paper uses 8."""
    seed: int = 0
    """Another seed gives other walks."""
    max_mention_share: float = Field(default=0.01, gt=0, le=1)
    """Largest share of documents that may mention a document on a walk; small corpora need more."""
    max_walks: int | None = Field(default=None, ge=1)
    """Walks tried before giving up; 12 a question if not given."""


class Made(NamedTuple):
    """What became of one walk number."""

    question: Question | None
    reason: str = ""
    docs: tuple[str, ...] = ()
    """Keys of the walk's documents; empty for a dead walk."""


class Maker:
    """Makes walk number `index` of a run into a question."""

    def __init__(self, corpus: Corpus, config: Config) -> None:
        pages = page_cache()
        self._corpus, self._config = corpus, config
        self._graph = CorpusWalkable(corpus, pages, config.max_mention_share)
        self._writer = Writer(corpus, pages, Weights(corpus.document_frequency, len(corpus)))

    def walk(self, index: int) -> Walk | None:
        """Walk number `index` as a record; None if it is dead."""
        config = self._config
        steps = walk(self._graph, hops=config.hops, rng=_rng(config.seed, index))
        if steps is None:
            return None
        return record(self._corpus, steps, seed=config.seed, index=index)

    def make(self, index: int) -> Made:
        """The question of walk number `index`, or why there is none."""
        rng = _rng(self._config.seed, index)
        steps = walk(self._graph, hops=self._config.hops, rng=rng)
        if steps is None:
            return Made(None, DEAD_WALK)
        written = self._writer.write(steps, rng)
        docs = tuple(self._corpus.key(step.node) for step in steps)
        return Made(None, written, docs) if isinstance(written, str) else Made(written, "", docs)


def _rng(seed: int, index: int) -> Random:
    return Random(f"{seed}-{index}")


_worker: list[Maker] = []


def _setup(folder: Path, config: Config) -> None:
    _worker[:] = [Maker(Corpus.open(folder), config)]


def _make(index: int) -> Made:
    return _worker[0].make(index)


def run(config: Config, options: Options) -> Result:
    """Write `questions/` of the run folder.

    Raises:
        RunFolderError: no complete corpus, or questions made with another configuration.
        LongtraceError: not one question could be made.
    """
    folder, source = options.run / "questions", options.run / "corpus"
    inputs = {"corpus": fingerprint(source)}
    count = min(config.count, options.limit or config.count)
    walks = config.max_walks or 12 * count
    if options.dry_run:
        return Result(
            json={"questions": count, "max_walks": walks, "hops": config.hops},
            text=[f"would try up to {walks:,} walks of {config.hops} hops for {count:,} questions"],
        )
    identity = {**config.identity(), "count": count, "max_walks": walks}
    with Stage(folder, identity, inputs, fresh=options.fresh) as stage:
        if not stage.complete:
            _work(stage, config, source, count, walks, options.workers)
            if not stage.accepted:
                raise LongtraceError(_nothing(stage, config))
            stage.finish(walks=stage.done, wanted=count)
    return _result(folder, stage, options.run)


def _work(stage: Stage, config: Config, source: Path, count: int, walks: int, workers: int) -> None:
    rows = read_records(stage.folder / "data.jsonl", Question)
    known = {tuple(hop.doc for hop in row.hops) for row in rows}
    if stage.accepted >= count or stage.done >= walks:
        return
    made: Iterator[Made] = ordered_map(
        _make, range(stage.done, walks), workers=workers, setup=_setup, setup_args=(source, config)
    )
    with progress("questions", count) as advance_to:
        for question, reason, docs in made:
            if question is None:
                stage.reject(stage.done, reason, docs=docs)
            elif docs in known:
                stage.reject(stage.done, DUPLICATE, docs=docs)
            else:
                known.add(docs)
                stage.accept(question)
            advance_to(stage.accepted)
            if stage.accepted >= count:
                break


def _nothing(stage: Stage, config: Config) -> str:
    reasons = ", ".join(f"{reason} {n}" for reason, n in stage.rejected.most_common())
    return (
        f"{stage.folder}: no question could be made from {stage.done} walks ({reasons}); try fewer "
        f"--hops than {config.hops} or a larger --max-mention-share than "
        f"{config.max_mention_share}, with --fresh"
    )


def _result(folder: Path, stage: Stage, run_folder: Path) -> Result:
    meta = stage.meta
    count, walks, wanted = meta["count"], meta["walks"], meta["wanted"]
    example = next(read_records(folder / "data.jsonl", Question))
    lines: list[Text] = [
        Text(f"{count:,} questions from {walks:,} walks ({count / walks:.0%})"),
        *(Text(f"  dropped {n:6,}  {reason}") for reason, n in stage.rejected.most_common()),
    ]
    if count < wanted:
        lines.append(
            Text(
                f"{wanted:,} were wanted: raise --max-walks or --max-mention-share for more",
                "yellow",
            )
        )
    chain = " > ".join(hop.entity for hop in example.hops)
    lines += [
        Text("for example ", "bold").append(example.text, "default"),
        Text(f"  answer {example.answer!r}, walk {chain}"),
    ]
    return Result(
        json={"count": count, "walks": walks, "wanted": wanted, "rejected": meta["rejected"]},
        text=lines,
        wrote=folder / "data.jsonl",
        next=f"longtrace trajectories --run {run_folder}",
    )
