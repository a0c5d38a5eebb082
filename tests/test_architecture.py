"""The rules of the house that a linter does not know: who imports whom, how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "longtrace"
STAGES = [
    "corpus",
    "questions",
    "trajectories",
    "contexts",
    "rewards",
    "training",
    "evaluation",
    "report",
]
TOP_FLOOR = {"cli", "demo", "doctor", "verbs", "__init__"}
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "inspect_ai"}
MAY_BE_HEAVY = {"training", "evaluation"}
MAX_LINES = 400
FILES = sorted(SRC.rglob("*.py"))


def place(path: Path) -> str:
    """The stage folder of a source file, or the module's own name on the ground and top floors."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return parts[0]


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative import: name the module in full"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_flow_up_only(path: Path) -> None:
    here = place(path)
    if here in TOP_FLOOR:
        return
    allowed = STAGES[: STAGES.index(here) + 1] if here in STAGES else []
    for name in imports(parsed(path)):
        parts = name.split(".")
        if parts[0] != "longtrace" or len(parts) < 2:
            continue
        assert parts[1] not in STAGES or parts[1] in allowed, (
            f"{here} imports the later stage {name}"
        )
        assert parts[1] not in TOP_FLOOR, f"{here} imports {name} from the top floor"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_heavy_packages_are_imported_late_and_only_where_they_are_needed(path: Path) -> None:
    tree = parsed(path)
    used = {name.split(".")[0] for name in imports(tree)} & HEAVY
    assert not used or place(path) in MAY_BE_HEAVY, f"{sorted(used)} outside training/"
    at_import = {
        name.split(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imports(node)
    }
    assert not at_import & HEAVY, f"{sorted(at_import & HEAVY)} is imported with the module"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_every_module_says_what_it_is_and_stays_short(path: Path) -> None:
    assert ast.get_docstring(parsed(path)), "no module docstring"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{lines} lines; split it"


def test_every_stage_has_a_docs_page() -> None:
    done = {place(path) for path in FILES} & set(STAGES)
    missing = [s for s in sorted(done) if not (ROOT / "docs" / f"{s}.md").is_file()]
    assert not missing


def test_the_core_imports_without_a_deep_learning_framework() -> None:
    code = (
        "import sys, longtrace, longtrace.cli;"
        "longtrace.combine, longtrace.pack, longtrace.rubric_score, longtrace.tiers;"
        f"print(sorted(set(sys.modules) & {HEAVY!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_repository_names_no_machine_path_and_no_package_host() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    private = re.compile(r"/root/|/opt/pypi|/work/|file:///|pythonhosted\.org|\.pypi\.org")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "ignore")
        found = private.search(text)
        assert not found, f"{name}: {found and found.group()}"
