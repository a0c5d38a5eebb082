"""The `demo` verb: every stage in order on the CIA World Factbook, as `demo.toml` sets it.

What a stage prints goes to stderr as it happens; the last lines, on stdout, say what was made and
what to type next. Killed and started again, it continues in the stage where it stopped.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from longtrace.cli import show
from longtrace.config import Config as StageConfig
from longtrace.config import Options, Result, parse
from longtrace.errors import RunFolderError
from longtrace.statistics import Interval
from longtrace.verbs import VERBS, load

SETTINGS = Path(__file__).with_name("demo.toml")
STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("corpus", ()),
    ("questions", ()),
    ("trajectories", ()),
    ("contexts", ()),
    ("export", ("--to", "trl")),
    ("export", ("--to", "longtracerl")),
    ("train", ()),
    ("report", ()),
)


class Config(StageConfig):
    """The whole pipeline: corpus, questions, trajectories, contexts, export, train, report.

    Settings of the stages come from --config FILE.toml, by default the demo's own.
    """


def run(config: Config, options: Options) -> Result:
    """Run every stage of the demo that is not complete yet."""
    del config
    settings = options.config or SETTINGS
    stages = options.model_copy(update={"json_output": False, "config": settings})
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    started_s = time.monotonic()
    made: dict[str, Any] = {}
    for number, (verb, flags) in enumerate(STEPS, 1):
        console.rule(f"[bold]{number}/{len(STEPS)} {verb}[/] {' '.join(flags)}", align="left")
        module = load(verb)
        stage_config, _ = parse(
            verb, module.Config, ["--config", str(settings), *flags], verbs=VERBS
        )
        try:
            result: Result = module.run(stage_config, stages)
        except RunFolderError as missing:
            if not options.dry_run:
                raise
            result = Result({}, [f"not to be told yet: {missing}"])
        show(Result(result.json, result.text), console)
        made[verb] = result.json
    if options.dry_run:
        return Result({"stages": made}, ["dry run: nothing was done"])
    took_s = time.monotonic() - started_s
    page = options.run / "report.html"
    return Result(
        {"overlap": made["contexts"].get("overlap"), "stages": made, "seconds": round(took_s, 1)},
        _summary(made, took_s),
        page,
        f"open {shlex.quote(str(page))}; then, on your own documents: "
        "longtrace corpus --reader jsonl --path FILE --run runs/mine",
    )


def _summary(made: dict[str, Any], took_s: float) -> list[RenderableType]:
    """The main numbers, one line a stage."""
    corpus, questions = made["corpus"], made["questions"]
    attempts = made["trajectories"]["attempts"]
    shares = {name: share["all"] for name, share in made["contexts"]["overlap"].items()}
    overlap = ", ".join(f"{n} {100 * s:.1f} %" for n, s in shares.items() if s is not None)
    changes = (c for c in made["train"]["changes"] if c["decoding"] == "sampled")
    return [
        "",
        Text(f"done in {took_s / 60:.1f} min", style="bold"),
        f"corpus        {corpus['count']:,} documents, {corpus['links']:,} links",
        f"questions     {questions['count']:,} multi-hop questions without a model",
        f"trajectories  {100 * attempts[0]['right']:.0f} % of first attempts right",
        f"overlap       distractors that hold a gold entity: {overlap}",
        *(f"{c['measure']:13} {_change(c)}" for c in changes),
    ]


def _change(change: dict[str, Any]) -> str:
    """`before -> after` of one measure on held-out questions, in per cent with 95 % intervals."""
    shown = [
        "not judged" if part is None else f"{Interval(**part).text(scale=100, digits=0)} %"
        for part in (change["before"], change["after"])
    ]
    return f"{shown[0]} before, {shown[1]} after GRPO, on questions held out"
