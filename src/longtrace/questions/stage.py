"""The `questions` verb: walks over the corpus, each written as a question or dropped with a reason.

A unit of work is a walk number. Walks are tried in order until `count` questions are accepted or
`max_walks` is reached, and each depends on (seed, number) alone, so the rows are the same for any
number of workers.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import orjson
from rich.text import Text

from longtrace.config import Options, Result
from longtrace.corpus.corpus import Corpus
from longtrace.errors import LongtraceError, command
from longtrace.llm import LLM
from longtrace.llm_limits import in_order
from longtrace.parallel import ordered_map, progress
from longtrace.questions import musique
from longtrace.questions.config import Config
from longtrace.questions.make import Made, Maker, ModelMaker
from longtrace.questions.model_check import CLOSED_BOOK, GOLD_ONLY, NEEDLESS
from longtrace.questions.similar import Near
from longtrace.questions.walk import TRIES
from longtrace.records import Checked, Question
from longtrace.store import Stage, fingerprint, read_records

__all__ = ["Config", "run"]
DUPLICATE = "same documents as an earlier question"
NEAR_DUPLICATE = "much like an earlier question"
_SHOWN_CHARS = 300
_CLUE_NUMBER = re.compile(r"^clue \d+ ")


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
        return _dry_run(config, count, walks)
    identity = {**config.identity(), "count": count, "max_walks": walks}
    with Stage(folder, identity, inputs, fresh=options.fresh) as stage:
        if not stage.complete:
            given = None
            if config.from_musique is not None:
                given = list(musique.read(config.from_musique, Corpus.open(source)))
                walks = len(given)
            if stage.accepted < count and stage.done < walks:
                job = _Job(stage, config, source, count, walks, given)
                if config.asks:
                    asyncio.run(_work_with_model(job, options.run / "cache" / "questions.sqlite"))
                else:
                    _work(job, options.workers)
            if not stage.accepted:
                raise LongtraceError(_nothing(stage, config))
            by: dict[str, Any] = {}
            if config.asks:
                by["written"] = _written(folder / "data.jsonl")
                by["refused"] = _refused(folder)
            if config.checks:
                by["unknown"] = _unknown(folder / "data.jsonl", config)
            stage.finish(walks=stage.done, wanted=count, **by)
    return _result(folder, stage, options.run)


class _Job(NamedTuple):
    """What is left to do."""

    stage: Stage
    config: Config
    source: Path
    wanted: int
    walks: int
    """Units of work: walks that may be tried, or rows that were imported."""
    given: list[Made] | None
    """Imported questions; None for walks."""


def _dry_run(config: Config, count: int, walks: int) -> Result:
    facts: dict[str, Any] = {"questions": count, "max_walks": walks, "hops": config.hops}
    text = [f"would try up to {walks:,} walks of {config.hops} hops for {count:,} questions"]
    if config.asks:
        least, most = requests_per_walk(config)
        facts |= {"requests_least": least * count, "requests_most": most * walks}
        text.append(
            f"{least * count:,} requests at least, {most * walks:,} if every walk needs them all; "
            "--limit 5 in a run folder of its own shows tokens and cost"
        )
    return Result(json=facts, text=text)


def requests_per_walk(config: Config) -> tuple[int, int]:
    """Fewest and most requests to a model for one question."""
    checks = sum(config.hops + 1 if c == "necessity" else 1 for c in config.checks)
    select = config.hops if config.select == "llm" else 0
    write = config.writer == "llm"
    return select + write + checks, select * TRIES + 2 * write + checks


def _work(job: _Job, workers: int) -> None:
    stage, config = job.stage, job.config
    known = Known(stage, config.near_duplicates)
    made: Iterator[Made]
    if job.given is not None:
        made = map(Maker(Corpus.open(job.source), config).screen, job.given[stage.done :])
    else:
        todo = range(stage.done, job.walks)
        made = ordered_map(
            _make, todo, workers=workers, setup=_setup, setup_args=(job.source, config)
        )
    with progress("questions", job.wanted) as advance_to:
        for one in made:
            _take(stage, one, known)
            advance_to(stage.accepted)
            if stage.accepted >= job.wanted:
                break


async def _work_with_model(job: _Job, cache: Path) -> None:
    """The same with a model: units under way at once on one event loop, taken in order."""
    stage, config, given = job.stage, job.config, job.given
    known = Known(stage, config.near_duplicates)
    corpus = Corpus.open(job.source)
    async with LLM(config, cache) as llm:
        maker = ModelMaker(corpus, config, llm)

        async def make(unit: int) -> Made:
            return await maker.finish(given[unit] if given else await maker.drafted(unit))

        ahead = min(config.concurrency, job.wanted - stage.accepted)
        made = in_order(make, range(stage.done, job.walks), ahead=ahead)
        with progress("questions", job.wanted) as advance_to:
            async with aclosing(made):
                async for one in made:
                    _take(stage, one, known)
                    advance_to(stage.accepted)
                    if stage.accepted >= job.wanted:
                        break


class Known:
    """What has been accepted so far, against repeating it."""

    def __init__(self, stage: Stage, near_duplicates: float | None) -> None:
        self._docs: set[tuple[str, ...]] = set()
        self._near = Near(near_duplicates) if near_duplicates else None
        for row in read_records(stage.folder / "data.jsonl", Question):
            self.add(row)

    def add(self, question: Question) -> None:
        """Remember an accepted question."""
        self._docs.add(tuple(hop.doc for hop in question.hops))
        if self._near is not None:
            self._near.add(question)

    def repeats(self, question: Question) -> tuple[str, str] | None:
        """Why a question repeats an earlier one, and which; None if it does not."""
        if tuple(hop.doc for hop in question.hops) in self._docs:
            return DUPLICATE, ""
        like = self._near.like(question) if self._near is not None else None
        return (NEAR_DUPLICATE, like) if like else None


def _take(stage: Stage, made: Made, known: Known) -> None:
    question, reason, found = made.question, made.reason, made.detail
    if question is not None:
        repeated = known.repeats(question)
        if repeated is None:
            known.add(question)
            stage.accept(question)
            return
        reason, found = repeated
    detail: dict[str, Any] = {"docs": made.docs}
    if found:
        detail["detail"] = found
    if made.checked is not None:
        detail["checked"] = made.checked.model_dump(mode="json")
    stage.reject(stage.done, reason, **detail)


def _written(path: Path) -> dict[str, int]:
    """How many questions the model wrote at once, on the second try, and rules in its place."""
    counts = Counter[str]()
    for row in read_records(path, Question):
        refused = len(row.checked.refused) if row.checked else 0
        if row.writer.startswith("llm:"):
            counts["model, retried" if refused else "model"] += 1
        else:
            counts["offline, in its place" if refused else "offline"] += 1
    return dict(sorted(counts.items()))


def _refused(folder: Path) -> dict[str, int]:
    """Why drafts of the model were refused, over questions and dropped walks."""
    refused = [
        row.checked.refused for row in read_records(folder / "data.jsonl", Question) if row.checked
    ]
    dropped = map(orjson.loads, (folder / "rejected.jsonl").read_bytes().splitlines())
    refused += [row["checked"]["refused"] for row in dropped if "checked" in row]
    reasons = (reason for drafts in refused for draft in drafts for reason in draft.split("; "))
    return dict(Counter(_CLUE_NUMBER.sub("a clue ", reason) for reason in reasons).most_common())


def _unknown(path: Path, config: Config) -> dict[str, int]:
    """How many questions each check could not judge, because the endpoint failed."""
    rows = [row.checked or Checked() for row in read_records(path, Question)]
    counts = {
        "closed-book": sum(row.closed_book is None for row in rows),
        "gold-only": sum(row.gold_only is None for row in rows),
        "necessity": sum(None in row.without for row in rows),
    }
    return {check: counts[check] for check in config.checks}


def _nothing(stage: Stage, config: Config) -> str:
    reasons = ", ".join(f"{reason} {n}" for reason, n in stage.rejected.most_common())
    remedy = (
        f"try fewer --hops than {config.hops} or a larger --max-mention-share than "
        f"{config.max_mention_share}"
    )
    if config.from_musique is not None:
        remedy = "use a corpus that holds the file's paragraphs, or fewer rules"
    elif stage.rejected.keys() & {CLOSED_BOOK, GOLD_ONLY, NEEDLESS}:
        remedy = "use another model or fewer --checks"
    return (
        f"{stage.folder}: no question could be made from {stage.done} walks ({reasons}); "
        f"{remedy}, with --fresh"
    )


def _result(folder: Path, stage: Stage, run_folder: Path) -> Result:
    meta = stage.meta
    count, walks, wanted = meta["count"], meta["walks"], meta["wanted"]
    example = next(read_records(folder / "data.jsonl", Question))
    lines: list[Text] = [
        Text(f"{count:,} questions from {walks:,} walks ({count / walks:.0%})"),
        *(Text(f"  written {n:6,}  {by}") for by, n in meta.get("written", {}).items()),
        *(Text(f"  refused {n:6,}  {reason}") for reason, n in meta.get("refused", {}).items()),
        *(Text(f"  dropped {n:6,}  {reason}") for reason, n in stage.rejected.most_common()),
        *(
            Text(f"  unknown {n:6,}  {check}: the model failed or could not be read", "yellow")
            for check, n in meta.get("unknown", {}).items()
            if n
        ),
    ]
    if count < wanted and not meta["config"].get("from_musique"):
        lines.append(
            Text(
                f"{wanted:,} were wanted: raise --max-walks or --max-mention-share for more",
                "yellow",
            )
        )
    chain = " > ".join(hop.entity for hop in example.hops)
    lines += [
        Text("for example ", "bold").append(shorten(example.text, _SHOWN_CHARS), "default"),
        Text(f"  answer {example.answer!r}, walk {chain}"),
    ]
    return Result(
        json={"count": count, "walks": walks, "wanted": wanted, "rejected": meta["rejected"]},
        text=lines,
        wrote=folder / "data.jsonl",
        next=command("trajectories", run_folder),
    )
