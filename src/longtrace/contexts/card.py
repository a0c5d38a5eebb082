"""The dataset card: what an export holds, where it came from, and how to make it again.

Everything in it is read from the run folder, and nothing that differs between two equal runs stands
in it: the same export gives the same card. The run's own folder is written as RUN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

import longtrace
from longtrace import errors
from longtrace.config import Config as StageConfig
from longtrace.contexts import overlap, overlap_text
from longtrace.contexts.figures import figures
from longtrace.contexts.strategies import STRATEGIES
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.errors import RunFolderError
from longtrace.questions.config import Config as QuestionsConfig
from longtrace.records import Context
from longtrace.store import read_meta, read_records
from longtrace.trajectories.stage import Config as TrajectoriesConfig

CANARY = "longtrace-canary-8d0d6c1e-5a7b-4f0e-9c37-2b64e1f3a950"
"""Stands in every exported row, so that a text collection that took one in can be found out."""
SOURCES = {"factbook": ("The CIA World Factbook", "public domain")}
"""Reader -> name and licence of what it reads, where both are known."""
_HASHED = ("benchmarks", "from_musique")
"""Options whose files are known by a hash; the command names them FILE and the hash."""
_FIRST: Mapping[str, type[StageConfig]] = {
    "corpus": CorpusConfig,
    "questions": QuestionsConfig,
    "trajectories": TrajectoriesConfig,
}


class Exported(NamedTuple):
    """What an export made."""

    to: str
    strategy: str
    licence: str
    """Empty for the corpus's own."""
    splits: Mapping[str, int]
    files: Mapping[str, str]
    """Split -> file name."""
    hashes: Mapping[str, str]
    """File name -> SHA-256."""
    limit: int | None


def write(path: Path, run: Path, exported: Exported, made_by: str) -> None:
    """Write the card of an export in one step; `made_by` is the command that made it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text("\n".join(_lines(run, exported, made_by)) + "\n", encoding="utf-8")
    partial.replace(path)


def command(verb: str, values: Mapping[str, Any]) -> str:
    """A command line that gives `values` as flags; what is None or empty is left out."""
    return " ".join((f"longtrace {verb} --run RUN", *_flags(values)))


def _flags(values: Mapping[str, Any], of: str = "") -> Iterator[str]:
    for key, value in values.items():
        name = of + key.replace("_", "-")
        flag = f"--{name}" if len(name) > 1 else f"-{name}"
        if isinstance(value, bool):
            yield flag if value else f"--no-{name}"
        elif isinstance(value, Mapping) and key != "extra_body":
            yield from _flags(value, f"{name}.")
        elif value is not None and value not in ([], {}, ""):
            yield f"{flag} {_word(value)}"


def _word(value: object) -> str:
    """A value as one word of a command line."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if isinstance(value, Mapping):
        text = orjson.dumps(value).decode()
    plain = text and all(c.isalnum() or c in "-_./:,=+@%" for c in text)
    return text if plain else "'" + text.replace("'", "'\\''") + "'"


def _lines(run: Path, exported: Exported, made_by: str) -> Iterator[str]:
    corpus = read_meta(run / "corpus")
    contexts = run / "contexts" / exported.strategy
    meta, whole = read_meta(contexts), _together(run, exported.strategy)
    rows = islice(read_records(contexts / "data.jsonl", Context), exported.limit)
    found = figures(rows, asked=bool(meta["config"].get("reader")))
    yield from _front(exported)
    yield from (
        f"# Long-context questions, {exported.strategy} distractors",
        "",
        "Multi-hop questions over numbered documents. Each prompt holds the gold documents of a",
        f"chain and distractors chosen by `{exported.strategy}`; the question stands at the end.",
        f"Made with longtrace {longtrace.__version__}, row format `{exported.to}`.",
        "",
        "**Canary.** Every row holds the string below. Do not train on texts that were found by it",
        "if you evaluate on this dataset, and leave it in when you pass the rows on.",
        "",
        f"    {CANARY}",
        "",
        "## Source and licence",
        "",
        *_source(corpus, exported.licence),
        "",
        "## Counts",
        "",
        *(f"- `{exported.files[s]}`: {n:,} rows" for s, n in exported.splits.items()),
        "",
        "| stage | kept | left out |",
        "|---|---|---|",
        *_funnel(run, exported, meta),
        "",
        *_histogram("Tokens of the prompts", "tokens", found["tokens"]),
        *_histogram("Budgets", "tokens", found["rungs"]),
        *_histogram("Where gold begins", "tenth of the prompt", _tenths(found["gold_positions"])),
        *_histogram("How full the budget is", "share of the budget", found["fill"]),
        *_histogram("Distractors that hold the answer", "what was done", found["proofs"]),
        *_histogram("A model without the gold documents", "answer", found["without_gold"]),
        *_histogram("Instructions", "file", found["phrasings"]),
        *_histogram("Layouts", "name", found["layouts"]),
        *(_overlap(run) if whole else ()),
        "## Hashes",
        "",
        *(f"- `{name}`: SHA-256 `{digest}`" for name, digest in exported.hashes.items()),
        f"- contexts are made from {_hashes(meta['inputs'])}",
        "",
        "## How to make it again",
        "",
        "```",
        *_commands(run, meta, whole),
        made_by,
        "```",
    )


def _front(exported: Exported) -> Iterator[str]:
    """The header that dataset hubs read."""
    yield from ("---", "license: other", "tags: [long-context, multi-hop, longtrace]", "configs:")
    yield from ("- config_name: default", "  data_files:")
    for split, name in exported.files.items():
        yield from (f"  - split: {split}", f"    path: {name}")
    yield from ("---", "")


def _source(corpus: Mapping[str, Any], licence: str) -> Iterator[str]:
    config = corpus["config"]
    name, known = SOURCES.get(config.get("reader"), ("", ""))
    path = config.get("path")
    name = name or f"documents read by `{config.get('reader')}`"
    yield f"- {name}" + (f" from `{Path(path).name}`" if path else "")
    stated = licence or known
    yield f"- licence of the documents: {stated or 'not stated; find out before you pass it on'}"
    yield f"- hash of the documents: `{corpus.get('content', 'unknown')}`"


def _funnel(run: Path, exported: Exported, contexts: Mapping[str, Any]) -> Iterator[str]:
    for name in _FIRST:
        yield _stage(name, read_meta(run / name))
    yield _stage(f"contexts, {exported.strategy}", contexts)
    rows = {"count": sum(exported.splits.values()), "rejected": {}}
    yield _stage("rows", rows)


def _stage(name: str, meta: Mapping[str, Any]) -> str:
    rejected = meta.get("rejected", {}).items()
    left_out = ", ".join(f"{reason}: {n:,}" for reason, n in rejected)
    return f"| {name} | {meta['count']:,} | {left_out} |"


def _histogram(title: str, what: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        yield from (f"### {title}", "", f"| {what} | n |", "|---|---|")
        yield from (f"| {label} | {n:,} |" for label, n in counts.items())
        yield ""


def _tenths(counts: list[int]) -> dict[str, int]:
    return {str(number): n for number, n in enumerate(counts, 1)}


def _together(run: Path, strategy: str) -> dict[str, Any]:
    """What `contexts` says of all strategies that were made alike; empty if this is none of them.

    Raises:
        RunFolderError: their overlap table is missing.
    """
    folder = run / "contexts"
    whole = read_meta(folder) if (folder / "meta.json").is_file() else {}
    if strategy not in whole.get("strategies", {}):
        return {}
    if not (folder / "overlap.json").is_file():
        raise RunFolderError(
            f"{folder / 'overlap.json'}: no such file; run `{errors.command('contexts', run)}` "
            "with the options it was made with, which keeps the contexts"
        )
    return whole


def _overlap(run: Path) -> Iterator[str]:
    """The overlap table of the run's strategies."""
    table = overlap.read(run / "contexts") or {}
    yield from ("## Overlap", "", "Share of distractors that hold at least one gold entity.")
    yield from ("", *overlap_text.markdown(table), "")
    yield from (f"- {note}" for note in table["notes"])
    yield ""


def _hashes(inputs: Mapping[str, str]) -> str:
    return ", ".join(f"{name} `{digest}`" for name, digest in inputs.items())


def _files(digests: str | list[str] | None) -> list[str]:
    """What stands for files that a run remembers by their content alone."""
    given = [digests] if isinstance(digests, str) else digests or []
    return [f"FILE-{digest}" for digest in given]


def _commands(run: Path, contexts: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    """The commands of the stages before this one, with every option."""
    for verb, config in _FIRST.items():
        given = read_meta(run / verb)["config"]
        given = {**given, **given.get("endpoint", {})}
        asked = given.get("questions")
        if asked is not None and asked < read_meta(run / "questions")["count"]:
            given["limit"] = asked
        known = {k: v for k, v in given.items() if k in config.model_fields or k == "limit"}
        yield command(verb, {k: _files(v) if k in _HASHED else v for k, v in known.items()})
    made = {k: v for k, v in contexts["config"].items() if k != "prompt"}
    if made["ladder"]:
        del made["budget_tokens"]
    made["tokenizer"] = whole.get("tokenizer", made["tokenizer"])
    together = [name for name in STRATEGIES if name in whole.get("strategies", [made["strategy"]])]
    for strategy in ["all"] if len(together) == len(STRATEGIES) else together:
        yield command("contexts", {**made, "strategy": strategy})
