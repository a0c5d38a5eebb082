"""The overlap table for people: on a terminal, and in Markdown for the dataset card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table

from longtrace.contexts.overlap import CONTROL, OTHERS, PAIRS
from longtrace.contexts.strategies import STRATEGIES
from longtrace.statistics import Interval

ROWS = {"near_miss": "NEAR", "read": "READ", "seen": "SEEN", OTHERS: "others"}
"""Rows below a strategy's own: key of the table -> what is shown."""


def text(table: Mapping[str, Any]) -> list[RenderableType]:
    """The table of `measure` for people, in percent."""
    title = (
        f"share of distractors that hold a gold entity: {table['questions']:,} questions, "
        f"{table['budget_tokens']:,} tokens"
    )
    columns = Table(title=title, title_justify="left", box=SIMPLE)
    for heading in ("strategy", "tier"):
        columns.add_column(heading, no_wrap=True)
    for heading in ("% [95 % CI]", "n", "mean chars", "paper"):
        columns.add_column(heading, justify="right", no_wrap=True)
    for name in (name for name in (*STRATEGIES, CONTROL) if name in table["detail"]):
        detail = table["detail"][name]
        paper = f"{100 * table['paper'][name]:.2f}" if name in table["paper"] else ""
        chars = f"{detail['mean_chars']:,}" if detail["mean_chars"] else "-"
        columns.add_row(
            name, "all", _percent(detail["all"]), f"{detail['distractors']:,}", chars, paper
        )
        for key, label in ROWS.items():
            if detail.get(key):
                columns.add_row("", label, _percent(detail[key]), f"{detail['n'][key]:,}")
    lines: list[RenderableType] = [columns]
    pairs = [pair for pair in (f"{a} - {b}" for a, b in PAIRS) if pair in table["paired"]]
    lines += [_difference(pair, table["paired"][pair], table) for pair in pairs]
    if others := table.get(f"paired_{OTHERS}"):
        lines.append("without other passages of gold articles:")
        lines += [f"  {_difference(pair, others[pair], table)}" for pair in pairs]
    if found := table["pool"]:
        lines.append(
            f"READ and SEEN before packing: {found['tokens']:,} tokens a question, room for "
            f"{found['room_tokens']:,}"
        )
        lines.append(
            f"gold entities before packing: READ {_percent(found['read'])} %, SEEN "
            f"{_percent(found['seen'])} %"
        )
        if found["same"]:
            same = f"{100 * found['same']['mean']:.0f} %"
            lines.append(f"{same} of the tiered set is in trajectory-random too")
    return [*lines, *(f"note: {note}" for note in table["notes"])]


def _percent(found: Mapping[str, Any] | None) -> str:
    return Interval(**found).text(scale=100, digits=1) if found else "-"


def _difference(pair: str, found: Mapping[str, Any] | None, table: Mapping[str, Any]) -> str:
    if pair == "tiered - trajectory-random" and table["pool"]["same_set"]:
        return f"{pair}: not comparable, they are the same set"
    if found is None:
        return f"{pair}: -"
    interval = Interval(**found)
    verdict = f", {interval.verdict}" if interval.verdict else ""
    return f"{pair}: {interval.text(scale=100, digits=1, sign=True)} points, paired{verdict}"


def markdown(table: Mapping[str, Any]) -> list[str]:
    """The lines of the table in Markdown, in percent."""
    out = ["| strategy | tier | % [95 % CI] | n | paper |", "|---|---|---|---|---|"]
    for name in (name for name in (*STRATEGIES, CONTROL) if name in table["detail"]):
        detail = table["detail"][name]
        paper = f"{100 * table['paper'][name]:.2f}" if name in table["paper"] else ""
        shown = _percent(detail["all"])
        out.append(f"| {name} | all | {shown} | {detail['distractors']:,} | {paper} |")
        out += [
            f"| | {label} | {_percent(detail[key])} | {detail['n'][key]:,} | |"
            for key, label in ROWS.items()
            if detail.get(key)
        ]
    return out
