"""Writes groups.json: what each group earns by the pure core. Run it as a script.

Every engine is held to this file: TRL on one and on two processes, slime's hooks, verl's estimator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longtrace.records import Score
from longtrace.store import write_json
from longtrace.training.engines import options, shape_group

PATH = Path(__file__).with_name("groups.json")
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "best_correct": {"best": "correct"},
    "always": {"credit": "always"},
    "negative_only": {"credit": "negative_only"},
    "raw": {"normalize": "raw"},
    "outcome": {"eta": 0.0},
    "half": {"eta": 0.5},
}
ILL = "ill_formed"
GROUPS: dict[str, list[tuple[float | None, float, str]]] = {
    "published example": [(1, 1 / 3, ""), (0, 2 / 3, ""), (1, 2 / 3, ""), (0, 0, "")],
    "all wrong": [(0, 0.5, ""), (0, 0.25, ""), (0, 0, ""), (0, 1, "")],
    "all right, nothing named": [(1, 0, "")] * 4,
    "a wrong one names most": [(1, 0.5, ""), (0, 1, ""), (1, 0.25, ""), (0, 0, "")],
    "one ill-formed": [(1, 0.75, ""), (0, 0, ILL), (1, 0.25, ""), (0, 0.5, "")],
    "one unknown": [(1, 0.5, ""), (None, 0.9, "unjudged"), (0, 0.2, ""), (1, 1, "")],
    "all unknown": [(None, 0.3, "unjudged")] * 4,
    "one known": [(None, 0, "unjudged"), (None, 0, "unjudged"), (1, 1, ""), (None, 0, "unjudged")],
}


def main() -> None:
    """Write the file."""
    rows = []
    for name, members in GROUPS.items():
        scores = [Score(outcome=o, rubric=r, problem=p) for o, r, p in members]
        expected = {
            variant: shape_group(scores, options(given))._asdict()
            for variant, given in VARIANTS.items()
        }
        plain = [{"outcome": o, "rubric": r, "problem": p} for o, r, p in members]
        rows.append({"name": name, "scores": plain, "expected": expected})
    write_json(PATH, {"variants": VARIANTS, "groups": rows})


if __name__ == "__main__":
    main()
