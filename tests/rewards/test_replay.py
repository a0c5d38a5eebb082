"""The `score` verb: what it prints, what it accepts, and what it says about a bad file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from longtrace.cli import main

PARITY = Path(__file__).parents[3] / "shared/data/reward_parity.json"
GROUP = {
    "entities": ["Iran", {"name": "Burma", "aliases": ["Myanmar"]}],
    "samples": [
        {"response": "Iran and Myanmar", "outcome": 1},
        {"response": "Tirana", "outcome": 1.0, "ill_formed": False},
        {"response": "Iran", "outcome": 0},
        {"response": "Iran", "outcome": None},
        {"response": "Iran and Burma", "outcome": 1, "ill_formed": True},
    ],
}


def write(path: Path, value: object) -> str:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return str(path)


def scored(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, Any]]:
    assert main(["score", "--json", *argv]) == 0
    groups: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["groups"]
    return groups


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["score", *argv]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.count("\n") == 1
    return out.err


def test_words_is_the_default_and_unjudged_is_null(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (group,) = scored(capsys, "--groups", write(tmp_path / "g.json", {"groups": [GROUP]}))
    assert group["rubric"] == [1.0, 0.0, 0.5, 0.5, 0.0]
    assert group["rewards"] == [1.0, 0.7, 0.0, None, 0.0]


def test_upstream_finds_names_inside_words_and_ignores_aliases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "g.json", {"groups": [GROUP]})
    (group,) = scored(capsys, "--groups", path, "--match", "upstream")
    assert group["rubric"] == [0.5, 0.5, 0.5, 0.5, 0.0]


def test_jsonl_and_json_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = json.dumps(GROUP) + "\n\n" + json.dumps(GROUP) + "\n"
    jsonl = scored(capsys, "--groups", write(tmp_path / "g.jsonl", lines))
    path = write(tmp_path / "g.json", json.dumps({"groups": [GROUP, GROUP]}, indent=2))
    assert jsonl == scored(capsys, "--groups", path)
    assert len(jsonl) == 2


@pytest.mark.parametrize("form", ["lines", "object"])
def test_a_byte_order_mark_is_no_part_of_the_file(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(GROUP) if form == "lines" else json.dumps({"groups": [GROUP]}, indent=1)
    plain, marked = tmp_path / "plain", tmp_path / "marked"
    plain.write_text(text, encoding="utf-8")
    marked.write_text(text, encoding="utf-8-sig")
    found = [scored(capsys, "--groups", str(path)) for path in (plain, marked)]
    assert found[0] == found[1]


def test_limit_and_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "g.json", {"groups": [GROUP, GROUP]})
    assert len(scored(capsys, "--groups", path, "--limit", "1")) == 1
    assert main(["score", "--groups", path, "--dry-run"]) == 0
    assert "10 responses" in capsys.readouterr().out


def test_every_flag_reaches_the_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "g.json", {"groups": [GROUP]})
    argv = ["--credit", "negative-only", "--normalize", "raw", "--eta", "0.5"]
    (group,) = scored(capsys, "--groups", path, *argv)
    assert group["rewards"] == [1.0, 1.0, 0.25, None, 0.0]
    wrong_names_all = {
        "entities": ["Iran", "Mali"],
        "samples": [{"response": "Iran, Mali", "outcome": 0}, {"response": "Iran", "outcome": 1}],
    }
    path = write(tmp_path / "g.jsonl", wrong_names_all)
    assert scored(capsys, "--groups", path)[0]["rewards"] == [0.0, 0.85]
    assert scored(capsys, "--groups", path, "--best", "correct")[0]["rewards"] == [0.0, 1.0]


def test_hyphens_and_underscores_mean_the_same_also_in_toml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "g.json", {"groups": [GROUP]})
    toml = write(
        tmp_path / "c.toml", '[score]\ncredit = "negative_only"\nnormalize = "group-max"\n'
    )
    flags = scored(capsys, "--groups", path, "--credit", "negative-only")
    assert flags == scored(capsys, "--groups", path, "--config", toml)


def test_the_table_for_people_counts_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = {"entities": ["Iran"], "samples": [{"response": "[bold]", "outcome": None}]}
    path = write(tmp_path / "g.json", {"groups": [GROUP, flat]})
    assert main(["score", "--groups", path]) == 0
    out = capsys.readouterr().out
    rows = {line[:16].strip(): line[16:].strip() for line in out.splitlines()}
    assert rows["groups"] == "2 with 6 responses"
    assert rows["without signal"].startswith("50.0%")
    assert rows["mean rubric"] == "0.3333"
    assert rows["mean reward"] == "0.4250"
    assert rows["unjudged"].startswith("2 ")
    assert rows["ill-formed"].startswith("1 ")


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "g.json", 'no list under "groups"'),
        ('{"groups": []}', "g.json", "no groups"),
        ('{"groups": 3}', "g.json", 'no list under "groups"'),
        ('{"groups": [\n{"entities" 3}]}', "g.json:2", "not valid JSON"),
        ('{"entities": ["a"], "samples": [{"response"', "g.json:1", "not valid JSON"),
        (json.dumps(GROUP) + "\n{oops}\n", "g.json:2", "not valid JSON"),
        (json.dumps(GROUP) + '\n{"entities": ["a"]}\n', "g.json:2", "samples: Field required"),
        ('{"entities": ["a"], "samples": []}', "g.json:1", "samples"),
        ('{"entities": "a", "samples": []}', "g.json:1", "entities"),
        ('{"entities": [[1]], "samples": []}', "g.json:1", "entities.0"),
        (
            '{"groups": [{"entities": ["a"], "samples": [{"response": "x"}]}]}',
            "g.json: group 1",
            "samples.0.outcome: Field required",
        ),
        (
            '{"entities": ["a"], "samples": [{"response": "x", "outcome": 2}]}',
            "g.json:1",
            "samples.0.outcome",
        ),
    ],
)
def test_a_bad_file_is_named_with_its_line_or_group_and_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, where: str, what: str
) -> None:
    error = complaint(capsys, "--groups", write(tmp_path / "g.json", text))
    assert where in error
    assert what in error
    assert 'expected {"entities": [names]' in error


def test_a_number_as_entity_is_read_by_words_and_refused_by_upstream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"entities": [1984], "samples": [{"response": "It is 1984.", "outcome": 1}]}
    path = write(tmp_path / "g.jsonl", row)
    assert scored(capsys, "--groups", path) == [{"rubric": [1.0], "rewards": [1.0]}]
    assert "g.jsonl:1: entity 1984" in complaint(capsys, "--groups", path, "--match", "upstream")


def test_a_missing_file_or_a_wrong_value_is_a_one_line_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--groups FILE is needed" in complaint(capsys, "--run", str(tmp_path))
    assert "check --groups" in complaint(capsys, "--groups", str(tmp_path / "none.json"))
    assert "check --groups" in complaint(capsys, "--groups", str(tmp_path))
    path = write(tmp_path / "g.json", {"groups": [GROUP]})
    assert "--eta" in complaint(capsys, "--groups", path, "--eta", "1.5")
    assert "--credit" in complaint(capsys, "--groups", path, "--credit", "sometimes")


@pytest.mark.skipif(not PARITY.is_file(), reason="reward_parity.json is not beside the repository")
@pytest.mark.parametrize("credit", ["positive-only", "always", "negative-only"])
@pytest.mark.parametrize("normalize", ["group-max", "raw"])
def test_the_command_reproduces_the_published_results(
    capsys: pytest.CaptureFixture[str], credit: str, normalize: str
) -> None:
    expected = json.loads(PARITY.read_text(encoding="utf-8"))["groups"]
    argv = ["--match", "upstream", "--credit", credit, "--normalize", normalize, "--eta", "0.3"]
    groups = scored(capsys, "--groups", str(PARITY), *argv)
    variant = f"{credit}/{normalize}".replace("-", "_")
    for found, stored in zip(groups, expected, strict=True):
        rubrics = [sample["rubric"] for sample in stored["samples"]]
        assert found["rubric"] == pytest.approx(rubrics, abs=1e-9)
        assert found["rewards"] == pytest.approx(stored["rewards"][variant], abs=1e-9)
