"""The overlap tables of docs/results.md: up to three corpora, whole documents and passages.

    python experiments/overlap.py --foldoc foldoc.index --wikispeedia wikispeedia.jsonl.xz

Runs the stages in folders below --out and prints Markdown from what they wrote. A corpus whose
source is not given is left out, but for the Factbook, which is a package. Killed, the same command
goes on where it stopped. `--made RUN PASSAGES` prints the tables of two finished run folders, one
packed with whole documents and one with passages.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

from longtrace.contexts.overlap import CONTROL, OTHERS, PAPER
from longtrace.contexts.strategies import STRATEGIES
from longtrace.errors import command
from longtrace.statistics import Interval
from longtrace.store import read_json, read_meta

WIDTH = 120
INPUTS = ("corpus", "questions", "trajectories")
PAIRS = (
    "search - random",
    "trajectory-random - search",
    "tiered - trajectory-random",
    "near-miss - tiered",
)
Table = Mapping[str, Any]


class Setting(NamedTuple):
    """What is told to the stages for one corpus."""

    title: str
    corpus: tuple[str, ...]
    questions: tuple[str, ...]
    contexts: tuple[str, ...]
    passages: tuple[str, ...] = ()


def settings(given: argparse.Namespace) -> dict[str, Setting]:
    """Every corpus whose source is at hand; 200 questions are left when some were never solved."""
    large = ("--budget-tokens", "128000")
    found = {
        "factbook": Setting(
            "CIA World Factbook, 4 hops, 128,000 tokens",
            ("--reader", "factbook"),
            ("--count", "240", "--hops", "4", "--max-mention-share", "0.08"),
            large,
        )
    }
    if given.foldoc:
        found["foldoc"] = Setting(
            "FOLDOC, 4 hops, 8,000 tokens",
            ("--reader", "foldoc", "--path", str(given.foldoc)),
            ("--count", "240", "--hops", "4"),
            ("--budget-tokens", "8000"),
            ("--passage-chars", "500"),
        )
    if given.wikispeedia:
        found["wiki"] = Setting(
            "4,598 Wikipedia articles, 8 hops, 128,000 tokens",
            ("--reader", "jsonl", "--path", str(given.wikispeedia)),
            ("--count", "215", "--hops", "8"),
            large,
        )
    return found


def main() -> None:
    """Make what is missing and print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--foldoc", type=Path)
    parser.add_argument("--wikispeedia", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/overlap"))
    parser.add_argument("--workers", default="2")
    parser.add_argument("--made", nargs=2, type=Path, metavar=("RUN", "PASSAGES"))
    given = parser.parse_args()
    if given.made:
        sys.stdout.write("\n".join(tables(given.made[0].name, *given.made)) + "\n")
        return
    for name, setting in settings(given).items():
        lines = one_corpus(setting, given.out / name, ("--workers", given.workers))
        sys.stdout.write("\n".join(lines) + "\n\n")
        sys.stdout.flush()


def one_corpus(setting: Setting, run: Path, workers: Sequence[str]) -> Iterator[str]:
    """Run all stages of one corpus; the lines of its tables."""
    stage("corpus", run, *setting.corpus, *workers)
    stage("questions", run, *setting.questions, *workers)
    stage("trajectories", run, *workers)
    stage("contexts", run, *setting.contexts, *workers)
    passages = run.with_name(f"{run.name}-passages")
    passages.mkdir(exist_ok=True)
    for part in INPUTS:
        if not (passages / part).exists():
            (passages / part).symlink_to((run / part).resolve())
    unit = ("--unit", "passage", *setting.passages)
    stage("contexts", passages, *setting.contexts, *unit, *workers)
    yield from tables(setting.title, run, passages)


def stage(verb: str, run: Path, *flags: str) -> None:
    """One stage, through the command line; what it says goes to stderr."""
    sys.stderr.write(f"\n$ {command(verb, run, *flags)}\n")
    sys.stderr.flush()
    argv = [sys.executable, "-m", "longtrace.cli", verb, "--run", str(run), *flags]
    subprocess.run(argv, check=True, stdout=sys.stderr)


def tables(title: str, run: Path, passages: Path) -> Iterator[str]:
    """Shares and paired differences of both units."""
    tried, asked = read_meta(run / "trajectories"), read_meta(run / "questions")["count"]
    whole, cut = (read_json(folder / "contexts" / "overlap.json") for folder in (run, passages))
    yield f"## {title}"
    yield ""
    yield fill(
        f"{asked} questions, {100 * tried['attempts'][0]['right']:.0f} % of first attempts right, "
        f"{asked - tried['never_solved']} solved; packed: {whole['questions']} with whole "
        f"documents, {cut['questions']} with passages. {room(whole)}; with passages {room(cut)}.",
        WIDTH,
        break_on_hyphens=False,
    )
    yield ""
    yield from markdown(("", *STRATEGIES, "random, lengths of tiered"), rows(whole, cut))
    yield ""
    yield from markdown(("paired difference, points", *PAIRS), differences(whole, cut))


def room(table: Table) -> str:
    """How much choice there was."""
    pool = table["pool"]
    return (
        f"READ and SEEN hold {pool['tokens']:,} tokens a question for {pool['room_tokens']:,} of "
        f"room, and {100 * pool['same']['mean']:.0f} % of the tiered set is in trajectory-random "
        "too"
    )


def rows(whole: Table, cut: Table) -> Iterator[tuple[str, ...]]:
    """Shares of every strategy, in per cent with their intervals."""
    names = (*STRATEGIES, CONTROL)
    for label, table, key in units(whole, cut):
        yield label, *(percent(table["detail"][name][key]) for name in names)
        if key == "all":
            tiers = (table["detail"][name] for name in names)
            yield "READ / SEEN of it", *(read_seen(detail) for detail in tiers)
            counts = (table["detail"][name] for name in names)
            yield (
                "distractors, mean characters",
                *(f"{detail['distractors']:,}, {detail['mean_chars']:,}" for detail in counts),
            )
    yield "the paper", *(f"{100 * PAPER[name]:.2f}" if name in PAPER else "" for name in names)


def differences(whole: Table, cut: Table) -> Iterator[tuple[str, ...]]:
    """Strategies compared on the same questions."""
    for label, table, key in units(whole, cut):
        paired = table["paired" if key == "all" else f"paired_{key}"]
        yield label, *(percent(paired[pair], sign=True) for pair in PAIRS)


def units(whole: Table, cut: Table) -> tuple[tuple[str, Table, str], ...]:
    """The rows a table has: what they are called, and where they stand."""
    return (
        ("whole documents", whole, "all"),
        ("passages", cut, "all"),
        ("passages, without others of gold articles", cut, OTHERS),
    )


def percent(found: Mapping[str, Any] | None, *, sign: bool = False) -> str:
    """An interval in per cent, with the verdict on a difference that is not significant."""
    if found is None:
        return ""
    interval = Interval(**found)
    verdict = f", {interval.verdict}" if sign and interval.verdict else ""
    return interval.text(scale=100, digits=1, sign=sign) + verdict


def read_seen(detail: Mapping[str, Any]) -> str:
    """Shares among what was opened, and among what was listed only, where enough questions tell."""
    if not detail["n"]["read"] + detail["n"]["seen"]:
        return ""
    tiers = (detail["read"], detail["seen"])
    known = (tier and tier["low"] is not None for tier in tiers)
    shown = (f"{100 * t['mean']:.1f}" if k else "-" for t, k in zip(tiers, known, strict=True))
    return " / ".join(shown)


def markdown(heading: Sequence[str], body: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """A table."""
    yield "| " + " | ".join(heading) + " |"
    yield "|---" * len(heading) + "|"
    for cells in body:
        yield "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
