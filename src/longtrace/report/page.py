"""The `report` verb: everything worth seeing of a run on one self-contained HTML page.

The page holds its own style, script and data, and its content security policy forbids it to load or
send anything. Documents and model outputs are untrusted: the template escapes them, and the script
shows them as text only.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import orjson
from markupsafe import Markup
from pydantic import Field

from longtrace.config import Config as BaseConfig
from longtrace.config import Options, Result
from longtrace.report import view
from longtrace.report.data import RunData, read_run

LETTERS = {
    "gold": ("G", "Gold", "on the walk, needed for the answer"),
    "near_miss": ("N", "Near miss", "cited by a wrong attempt"),
    "read": ("R", "Read", "opened, not cited"),
    "seen": ("S", "Seen", "listed, not opened"),
    "filler": ("F", "Filler", "not from a trajectory"),
    "cited": ("C", "Cited", "cited, not on the walk"),
}
"""Tier (and what a right attempt cites beside the walk) -> letter, name, what it means."""


class Config(BaseConfig):
    """One self-contained HTML page about a run."""

    questions: int = Field(default=60, ge=0)
    """Questions to show in the inspector, in the order of the run."""
    max_bytes: int = Field(default=3_000_000, ge=200_000)
    """Largest page in bytes: the inspector shows fewer questions rather than exceed it."""


def page(data: RunData) -> str:
    """The HTML page about `data`; it needs nothing but itself."""
    css, script = _resource("report.css"), _resource("report.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    tiers = [
        {"key": key, "letter": letter, "name": name, "about": about}
        for key, (letter, name, about) in LETTERS.items()
    ]
    return environment.from_string(_resource("template.html")).render(
        policy=policy(css, script),
        css=Markup(css),
        script=Markup(script),
        data=script_json(_for_script(data)),
        report=view.of(data),
        tiers=tiers,
    )


def policy(css: str, script: str) -> str:
    """A content security policy that allows this style sheet and this script and nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def script_json(value: Mapping[str, Any]) -> Markup:
    """`value` as JSON that cannot end or open a tag, a comment or a line where it is embedded."""
    text = orjson.dumps(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def within(data: RunData, max_bytes: int) -> RunData:
    """`data` with as many of its first questions as a page of `max_bytes` has room for."""
    if not data.questions:
        return data
    room = max_bytes - len(page(data.model_copy(update={"questions": data.questions[:1]})).encode())
    kept = 1 if room >= 0 else 0
    for question in data.questions[1:]:
        room -= len(script_json(question.model_dump(mode="json")).encode()) + 1
        if room < 0:
            break
        kept += 1
    return data.model_copy(update={"questions": data.questions[:kept]})


def _for_script(data: RunData) -> dict[str, Any]:
    """What the page's script reads."""
    training = data.training
    return {
        "tiers": {
            key: {"letter": letter, "name": name, "about": about}
            for key, (letter, name, about) in LETTERS.items()
        },
        "titles": data.titles,
        "questions": [question.model_dump(mode="json") for question in data.questions],
        "has_contexts": data.context_count > 0,
        "curve": {"steps": training.steps, "series": training.series} if training else None,
        "rollouts": [group.model_dump(mode="json") for group in training.groups]
        if training
        else [],
    }


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _resource(name: str) -> str:
    return resources.files("longtrace.report").joinpath(name).read_text(encoding="utf-8")


def run(config: Config, options: Options) -> Result:
    """Write `report.html` into the run folder.

    Raises:
        RunFolderError: there is no complete stage in the run folder.
    """
    limit = min(config.questions, options.limit or config.questions)
    path = options.run / "report.html"
    if options.dry_run:
        return Result(
            {"report": str(path), "questions": limit},
            [f"would write {path} with up to {limit} questions to look at"],
        )
    data = within(read_run(options.run, limit), config.max_bytes)
    html = page(data).encode()
    _write(path, html)
    missing = [stage.command for stage in data.stages if not stage.complete]
    shown, total = len(data.questions), data.questions_total
    lines = [f"{shown:,} of {total:,} questions to look at, {len(html) / 1e6:.1f} MB"]
    lines += [f"not there yet: {command}" for command in missing]
    summary = {
        "report": str(path),
        "bytes": len(html),
        "questions": shown,
        "questions_total": total,
        "missing": [stage.verb for stage in data.stages if not stage.complete],
    }
    return Result(summary, lines, path, missing[0] if missing else f"open {path} in a browser")


def _write(path: Path, html: bytes) -> None:
    """Replace `path` in one step."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(html)
    partial.replace(path)
