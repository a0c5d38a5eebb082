"""Re-score stored responses under any variant of the reward, without a policy and without a GPU.

A trainer's log says what every response was; this says what each would have earned with another
matcher, credit rule, eta or judge, and who moves. The outcome is taken from the file unless it is
judged again, and one that nobody could tell (null) stays unjudged.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple

from pydantic import Field
from rich.console import RenderableType
from rich.table import Table

import longtrace.config
from longtrace.config import Options, Result
from longtrace.errors import InputError
from longtrace.llm import LLM, Endpoint, Spent
from longtrace.llm_limits import in_order
from longtrace.parallel import progress
from longtrace.records import Verdict
from longtrace.rewards import lab_page
from longtrace.rewards.attacks import ATTACKS, DEFENCES, Payoff, suite
from longtrace.rewards.combine import Best, CreditOption, NormalizeOption, has_signal
from longtrace.rewards.groups import Group, read_groups, read_rollouts
from longtrace.rewards.judge import Judge
from longtrace.rewards.lab import Move, Scored, Variant, moves, places, score_group
from longtrace.rewards.outcome import Asks, KindOption, outcome
from longtrace.rewards.rubric import Match


class Config(longtrace.config.Config):
    """Re-score stored responses under any variant of the reward."""

    groups: Path | None = None
    """File of groups: one JSON object {"groups": [...]}, or JSONL with one group a line; without
    it the rollouts that a training kept in --run."""
    match: Match = "words"
    """words: whole words and aliases, any script; upstream: the published matcher, bit for bit."""
    credit: CreditOption = "positive_only"
    """Whose rubric counts: positive-only (right answers'), always, or negative-only."""
    normalize: NormalizeOption = "group_max"
    """group-max divides the rubric by the group's best; raw leaves it as it is."""
    best: Best = "all"
    """The group's best is over all judged members, or over correct ones."""
    eta: float = Field(default=0.3, ge=0, le=1)
    """Weight of the rubric, from 0 to 1."""
    outcome: Literal["stored"] | KindOption = "stored"
    """stored as in the file, or judged again: exact, two-way-substring, judge, exact-then-judge."""
    judge: Endpoint = Endpoint()
    """The judge's endpoint."""
    judge_max_tokens: int = Field(default=1024, ge=16)
    """Longest reply of the judge; one that thinks needs more."""
    verdicts: Path | None = None
    """SQLite file of the judge's replies, so that no question is paid twice; RUN/cache/judge.sqlite
    if not given."""
    compare: bool = False
    """Also show how rewards and advantages move when one choice is changed."""
    html: Path | None = None
    """Write a page with the comparison and every group to this file."""
    attacks: bool = False
    """Instead of scoring responses, run the attack suite against the reward."""

    @property
    def variant(self) -> Variant:
        """The variant of the formula."""
        return Variant(self.match, self.credit, self.normalize, self.best, self.eta)


class Rejudged(NamedTuple):
    """Groups with new outcomes, and what that took."""

    groups: list[Group]
    deciders: Counter[str]
    """Responses by who decided: a rule, the judge, nobody."""
    changed: int
    """Responses whose outcome is another than the stored one."""
    spent: Spent


async def rejudge(groups: Sequence[Group], config: Config, cache: Path) -> Rejudged:
    """The groups with outcomes by `config.outcome`; ill-formed responses stay wrong.

    Raises:
        InputError: the outcome needs a judge and none is configured.
        BudgetError: the judge's budget is used up; what was judged is in the cache.
    """
    if config.outcome == "stored":
        raise InputError("--outcome stored: the stored outcomes are not judged again")
    kind = config.outcome
    async with AsyncExitStack() as stack:
        judge, llm = None, None
        if kind in ("judge", "exact_then_judge"):
            llm = await stack.enter_async_context(LLM(_endpoint(config), cache))
            judge = Judge(llm, max_tokens=config.judge_max_tokens)

        async def one(task: tuple[int, int]) -> Verdict:
            group, sample = groups[task[0]], groups[task[0]].samples[task[1]]
            if sample.ill_formed:
                return Verdict(correct=False, judge="rule:ill_formed")
            return await outcome(
                sample.response,
                question=group.question,
                answer=group.answer or "",
                aliases=group.answer_aliases,
                kind=kind,
                judge=judge,
            )

        tasks = [(g, s) for g, group in enumerate(groups) for s in range(len(group.samples))]
        verdicts = []
        with progress("judge", len(tasks)) as advance:
            async for verdict in in_order(one, tasks, ahead=2 * config.judge.concurrency):
                verdicts.append(verdict)
                advance(len(verdicts))
        return _rejudged(groups, verdicts, llm.spent if llm else Spent())


def _endpoint(config: Config) -> Endpoint:
    if not config.judge.base_url or not config.judge.model:
        raise InputError(
            "--judge.base-url and --judge.model are needed: who judges what the rules leave open; "
            "or choose --outcome exact"
        )
    return config.judge


def _rejudged(groups: Sequence[Group], verdicts: list[Verdict], spent: Spent) -> Rejudged:
    left = iter(verdicts)
    changed = 0
    out = []
    for group in groups:
        samples = []
        for sample in group.samples:
            verdict = next(left)
            right = None if verdict.correct is None else float(verdict.correct)
            changed += right != sample.outcome and not sample.ill_formed
            samples.append(sample.model_copy(update={"outcome": right}))
        out.append(group.model_copy(update={"samples": tuple(samples)}))
    deciders = Counter("nobody" if v.correct is None else v.judge for v in verdicts)
    return Rejudged(out, deciders, changed, spent)


def _table(scored: list[Scored], config: Config) -> Table:
    scores = [score for group in scored for score in group.scores_G]
    rewards = [reward for group in scored for reward in group.rewards_G if reward is not None]
    flat = sum(not has_signal(group.rewards_G) for group in scored)
    ill_formed = sum(score.problem == "ill_formed" for score in scores)
    table = Table(show_header=False, box=None, pad_edge=False)
    variant = f"{config.match}, {config.credit}, {config.normalize}, best {config.best}"
    table.add_row("variant", f"{variant}, eta {config.eta:g}")
    table.add_row("groups", f"{len(scored)} with {len(scores)} responses")
    table.add_row("without signal", f"{flat / len(scored):.1%} of groups (all rewards equal)")
    table.add_row("mean rubric", f"{fmean(score.rubric for score in scores):.4f}")
    table.add_row("mean reward", f"{fmean(rewards):.4f}" if rewards else "none judged")
    table.add_row("unjudged", f"{len(scores) - len(rewards)} responses, left out")
    table.add_row("ill-formed", f"{ill_formed} responses, counted as 0")
    return table


def _judging(table: Table, found: Rejudged) -> None:
    deciders = ", ".join(f"{name} {count}" for name, count in found.deciders.most_common())
    table.add_row("decided by", deciders)
    table.add_row("changed", f"{found.changed} outcomes are not the stored ones")
    table.add_row("judge", found.spent.text)


def moves_table(rows: Sequence[Move]) -> Table:
    """The comparison as a table."""
    columns = ("changed choice", "no signal", "mean reward", "reward moves", "advantage moves")
    table = Table(*columns, "sign flips", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.no_signal:.1%}",
            "-" if row.reward is None else f"{row.reward:.4f}",
            f"{row.reward_change:.4f}",
            f"{row.advantage_change:.4f}",
            f"{row.flipped:.1%}",
        )
    return table


def attacks_table(payoffs: Sequence[Payoff]) -> Table:
    """The attack suite as a table; what pays is marked."""
    table = Table("attack, and what stops it", box=None, pad_edge=False, header_style="bold")
    for defence in DEFENCES:
        table.add_column(defence.name, justify="right", no_wrap=True)
    found = {(payoff.attack, payoff.defence): payoff for payoff in payoffs}
    for attack in ATTACKS:
        cells = []
        for defence in DEFENCES:
            payoff = found[attack.name, defence.name]
            earned = "none" if payoff.reward is None else f"{payoff.reward:.2f}"
            cells.append(f"[bold red]{earned}*[/]" if payoff.pays else f"{earned} ")
        table.add_row(f"{attack.name}\n  [dim]{attack.stopped_by}[/]", *cells)
    return table


async def _attack(config: Config, cache: Path) -> tuple[list[Payoff], Spent]:
    if not config.judge.base_url:
        return await suite(), Spent()
    async with LLM(_endpoint(config), cache) as llm:
        judge: Asks = Judge(llm, max_tokens=config.judge_max_tokens)
        return await suite(judge), llm.spent


def _run_attacks(config: Config, cache: Path) -> Result:
    payoffs, spent = asyncio.run(_attack(config, cache))
    stopped = sum(not p.pays for p in payoffs if p.defence == "default")
    rows = [{**payoff._asdict(), "pays": payoff.pays} for payoff in payoffs]
    judge = config.judge.model or "simulated"
    return Result(
        json={"attacks": rows, "judge": judge, "usage": spent.model_dump(mode="json")},
        text=[
            attacks_table(payoffs),
            "* pays: as much as an honest correct response, or more than an honest wrong one",
            f"{stopped} of {len(ATTACKS)} attacks are stopped by the default (judge: {judge})",
        ],
    )


def _read(config: Config, options: Options) -> list[tuple[str, Group]]:
    judged = config.outcome == "stored"
    if config.groups is None:
        return list(islice(read_rollouts(options.run), options.limit))
    return list(islice(read_groups(config.groups, judged=judged), options.limit))


def run(config: Config, options: Options) -> Result:
    """Score the groups of a file or the rollouts of a run; writes only what it is asked to."""
    cache = config.verdicts or options.run / "cache" / "judge.sqlite"
    if config.attacks:
        return _run_attacks(config, cache)
    placed = _read(config, options)
    groups = [group for _, group in placed]
    if options.dry_run:
        responses = sum(len(group.samples) for group in groups)
        return Result(json={"responses": responses}, text=[f"would score {responses} responses"])
    found = None
    if config.outcome != "stored":
        found = asyncio.run(rejudge(groups, config, cache))
        groups = found.groups
    scored: list[Scored] = []
    for (place, _), group in zip(placed, groups, strict=True):
        try:
            scored.append(score_group(group, config.variant))
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
    rows = [{"rubric": [s.rubric for s in g.scores_G], "rewards": g.rewards_G} for g in scored]
    json: dict[str, Any] = {"groups": rows}
    table = _table(scored, config)
    text: list[RenderableType] = [table]
    if found is not None:
        _judging(table, found)
        for row, group in zip(rows, groups, strict=True):
            row["outcomes"] = [sample.outcome for sample in group.samples]
        json["judging"] = {
            "decided_by": dict(found.deciders),
            "changed": found.changed,
            "usage": found.spent.model_dump(mode="json"),
        }
    compared = moves(groups, config.variant) if config.compare or config.html else []
    if config.compare:
        json["compare"] = [{**m._asdict(), "variant": m.variant._asdict()} for m in compared]
        text += ["", moves_table(compared)]
    if config.html is not None:
        named = [places(group, done) for group, done in zip(groups, scored, strict=True)]
        config.html.write_text(
            lab_page.page(config.variant, groups, scored, named, compared), encoding="utf-8"
        )
    return Result(json=json, text=text, wrote=config.html)
