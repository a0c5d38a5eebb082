"""The command line: options from flags and TOML, errors in one line, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from longtrace.cli import main, show
from longtrace.config import Options, Result, parse
from longtrace.errors import command
from longtrace.questions.stage import Config as QuestionsConfig
from longtrace.verbs import VERBS, load


def options_of(*argv: str) -> tuple[QuestionsConfig, Options]:
    return parse("questions", QuestionsConfig, argv, verbs=VERBS)


def test_flags_win_over_toml_and_toml_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        'run = "runs/mine"\n[questions]\ncount = 7\nhops = 3\n[corpus]\nreader = "jsonl"\n'
    )
    config, options = options_of("--config", str(file), "--hops", "2")
    assert (config.count, config.hops, config.seed) == (7, 2, 0)
    assert options.run == Path("runs/mine")


def test_environment_variables_are_not_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEED", "COUNT", "RUN", "seed"):
        monkeypatch.setenv(name, "3")
    config, options = options_of()
    assert (config.seed, options.run) == (0, Path("runs/demo"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["qestions"], "did you mean 'questions'?"),
        (["trajectories", "--k", "5"], "did you mean '-k'?"),
        (
            ["questions", "--huops", "3"],
            "--huops: no such option of `longtrace questions`; did you",
        ),
        (["questions", "--hops", "many"], "--hops: Input should be a valid integer"),
        (["questions", "--count", "0"], "--count: Input should be greater than or equal to 1"),
        (["questions", "extra"], "unrecognized arguments: extra"),
        (["corpus", "--reader", "kindle"], "--reader: Input should be 'factbook', 'jsonl'"),
        (["corpus", "--reader", "jsonl", "--path", "none.jsonl"], "none.jsonl: no such file"),
        (["questions", "--config", "none.toml"], "none.toml: cannot be read"),
    ],
)
def test_what_the_caller_got_wrong_is_one_line_and_exit_2(
    argv: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_an_unknown_key_in_a_file_is_named_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.toml"
    for text, message in (
        ("[questions]\ncuont = 3\n", "[questions] unknown key 'cuont'; did you mean 'count'?"),
        ("[qestions]\ncount = 3\n", "unknown key 'qestions'; did you mean 'questions'?"),
        ("[questions\n", "not valid TOML"),
        ("questions = 3\n", "questions is a table; write [questions]"),
        ("[run]\nx = 1\n", "unknown key 'run'"),
        ('config = "other.toml"\n', "unknown key 'config'"),
    ):
        file.write_text(text)
        assert main(["questions", "--config", str(file), "--run", str(tmp_path)]) == 2
        assert message in capsys.readouterr().err


def test_a_stage_before_its_input_says_which_command_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path)
    for verb, first in (
        ("questions", "corpus"),
        ("trajectories", ""),
        ("contexts", ""),
        ("export", ""),
        ("report", ""),
    ):
        assert main([verb, "--run", run]) == 2
        assert f"longtrace {first}" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: longtrace {verb}")
    for name, field in load(verb).Config.model_fields.items():
        assert field.description, f"{verb}.{name} has no help text"


def test_help_is_instant_and_loads_no_stage() -> None:
    code = (
        "import sys; from longtrace.cli import main; main([]);"
        "heavy = {'numpy', 'tantivy', 'torch', 'pyarrow', 'transformers'} & set(sys.modules);"
        "print(sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "longtrace demo" in done.stdout
    assert done.stderr.strip() == "[]"


def test_json_is_one_object_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "c.jsonl"
    source.write_text('{"id": "a", "title": "Aland", "text": "Aland borders Bland."}\n')
    argv = [
        "corpus",
        "--reader",
        "jsonl",
        "--path",
        str(source),
        "--run",
        str(tmp_path / "r"),
        "--json",
    ]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 1


def test_doctor_names_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["packages"]["core"]["tantivy"]


def test_a_path_that_cannot_be_used_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert main(["corpus", "--reader", "factbook", "--run", str(file)]) == 1
    shown = capsys.readouterr().err
    assert str(file) in shown
    assert shown.count("\n") == 1


def test_a_reader_without_its_path_binds_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["--run", str(tmp_path / "r")]
    assert main(["corpus", "--reader", "jsonl", *run]) == 2
    assert "--reader jsonl needs --path" in capsys.readouterr().err
    source = tmp_path / "c.jsonl"
    source.write_text('{"id": "a", "title": "Aland", "text": "Aland borders Bland."}\n')
    assert main(["corpus", "--reader", "jsonl", "--path", str(source), *run]) == 0


def test_damage_in_a_complete_corpus_is_one_line_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "c.jsonl"
    source.write_text('{"id": "a", "title": "Aland", "text": "Aland borders Bland."}\n' * 1)
    run = ["--run", str(tmp_path / "a run")]
    assert main(["corpus", "--reader", "jsonl", "--path", str(source), *run]) == 0
    store = tmp_path / "a run" / "corpus" / "documents.sqlite"
    store.write_bytes(store.read_bytes()[:5000])
    for workers in ("1", "2"):
        assert main(["questions", *run, "--workers", workers]) in (1, 2)
        shown = capsys.readouterr().err
        assert "damaged" in shown
        assert "--fresh" in shown
        assert shown.count("\n") == 1


def test_what_documents_hold_never_steers_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = "\x1b[31mred\x07 [bold]not bold[/] \u202eback"
    table = Table("a")
    table.add_row(Text(hostile))
    out = Console(file=sys.stdout, soft_wrap=True, highlight=False)
    show(Result({}, [hostile, Text(hostile), table], Path("mk[red]x[/b]"), "next [/y]"), out)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert shown.count("[bold]not bold[/]") == 3
    assert "mk[red]x[/b]" in shown


def test_commands_to_type_next_are_quoted_for_a_shell() -> None:
    assert command("report", Path("a run/x")) == "longtrace report --run 'a run/x'"


def test_a_dry_run_of_the_demo_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--dry-run", "--run", str(tmp_path / "r")]) == 0
    assert not (tmp_path / "r" / "corpus").exists()
    assert "nothing was done" in capsys.readouterr().out
