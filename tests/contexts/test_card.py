import hashlib
import shlex
import shutil
from pathlib import Path

import pytest

from longtrace.config import Options, parse
from longtrace.contexts import card, export, stage
from longtrace.llm import Endpoint
from longtrace.questions.config import Config as Questions
from longtrace.store import read_json, write_json
from longtrace.trajectories.config import Config as Trajectories
from longtrace.verbs import VERBS

from .conftest import BUDGET


@pytest.fixture(scope="module")
def exported(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(packed, folder)
    for name in ("questions", "trajectories"):
        made = read_json(folder / name / "meta.json")
        assert made["config"] == {}
    export.run(export.Config(holdout=0.5, licence="CC0-1.0"), Options(run=folder))
    return folder


def text(run: Path) -> str:
    return (run / "dataset" / "trl" / "README.md").read_text(encoding="utf-8")


def test_the_card_states_source_licence_counts_hashes_and_canary(exported: Path) -> None:
    shown, folder = text(exported), exported / "dataset" / "trl"
    assert card.CANARY in shown
    assert "licence of the documents: CC0-1.0" in shown
    assert "`source.jsonl`" in shown
    meta = read_json(folder / "meta.json")
    for split, rows in meta["splits"].items():
        digest = hashlib.sha256((folder / f"{split}.parquet").read_bytes()).hexdigest()
        assert f"- `{split}.parquet`: {rows:,} rows" in shown
        assert f"- `{split}.parquet`: SHA-256 `{digest}`" in shown
        assert meta["files"][f"{split}.parquet"] == digest
    assert "| contexts, tiered | 5 | never attempted: 1, never solved: 1 |" in shown
    assert "| rows | 5 |  |" in shown


def test_the_card_holds_the_overlap_table_and_histograms_that_add_up(exported: Path) -> None:
    shown = text(exported)
    table = read_json(exported / "contexts" / "overlap.json")
    assert f"| tiered | all | {100 * table['overlap']['tiered']['all']:.1f} (n < 8) |" in shown
    for title, total in (("Tokens of the prompts", 5), ("Where gold begins", 15), ("Layouts", 5)):
        rows = shown.split(f"### {title}\n")[1].strip().split("\n\n")[0].splitlines()[2:]
        assert sum(int(row.split("|")[2].replace(",", "")) for row in rows) == total


def test_its_commands_parse_to_the_configurations_that_were_used(exported: Path) -> None:
    commands = text(exported).split("```")[1].strip().splitlines()
    assert [line.split()[1] for line in commands] == [
        *("corpus", "questions", "trajectories", "contexts", "export")
    ]
    packing, options = parse("contexts", stage.Config, shlex.split(commands[3])[2:], verbs=VERBS)
    assert packing == stage.Config(budget_tokens=BUDGET)
    assert options.run == Path("RUN")
    made, _ = parse("export", export.Config, shlex.split(commands[4])[2:], verbs=VERBS)
    assert made == export.Config(holdout=0.5, licence="CC0-1.0")


def test_a_ladder_stands_in_the_command_instead_of_the_budget(fresh_run: Path) -> None:
    config = stage.Config(ladder=(1_500, 3_000), strategy="tiered", unit="passage")
    stage.run(config, Options(run=fresh_run, workers=1))
    export.run(export.Config(to="longtracerl"), Options(run=fresh_run))
    shown = (fresh_run / "dataset" / "longtracerl" / "README.md").read_text(encoding="utf-8")
    line = next(line for line in shown.splitlines() if line.startswith("longtrace contexts"))
    again, _ = parse("contexts", stage.Config, shlex.split(line)[2:], verbs=VERBS)
    assert again == config
    assert "licence of the documents: not stated" in shown


def test_commands_of_a_run_with_models_give_the_same_configurations(exported: Path) -> None:
    told = {"base_url": "http://h:1/v1", "model": "m 1", "extra_body": {"a": {"b": [1]}}}
    asked = Questions(writer="llm", checks=("gold-only", "necessity"), jump=0.2, lint=True, **told)
    tried = Trajectories(
        agent="llm", k=7, judge=Endpoint(base_url="http://j/v1", model="j", rung="json"), **told
    )
    packed = stage.Config(
        reader=Endpoint(**told), min_pass_rate=0.25, ladder=(1_000, 2_000), prompts="fixed"
    )
    given = {"questions": asked.identity(), "trajectories": {**tried.identity(), "questions": 3}}
    for name, config in given.items():
        meta = read_json(exported / name / "meta.json")
        write_json(exported / name / "meta.json", {**meta, "config": config})
    identity = stage._identity(packed, Options(), None)
    lines = list(card._commands(exported, {"config": {**identity, "strategy": "tiered"}}, {}))
    one = packed.model_copy(update={"strategy": "tiered"})
    for line, wanted in zip(lines[1:], (asked, tried, one), strict=True):
        verb, *argv = shlex.split(line)[1:]
        again, options = parse(verb, type(wanted), argv, verbs=VERBS)
        assert again == wanted
        assert options.limit == (3 if verb == "trajectories" else None)


def test_files_known_by_their_content_are_named_by_it() -> None:
    assert card._files("ab12") == ["FILE-ab12"]
    assert card._files(["ab12", "cd34"]) == ["FILE-ab12", "FILE-cd34"]
    assert card._files(None) == []


def test_values_with_spaces_and_quotes_are_quoted() -> None:
    values = {"as": "it's so", "be": True, "see": False, "due": None, "k": 3}
    words = shlex.split(card.command("x", values))
    assert words[4:] == ["--as", "it's so", "--be", "--no-see", "-k", "3"]
