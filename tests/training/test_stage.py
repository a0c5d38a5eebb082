"""The `train` verb, through the real command line."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from longtrace.cli import main
from longtrace.config import Options
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as make_corpus
from longtrace.store import read_json, read_records
from longtrace.training.measure import Answered
from longtrace.training.reward import Rollout
from longtrace.training.stage import Change
from longtrace.training.trl import metrics

pytest.importorskip("trl", reason="needs the train extra")

QUICK = [
    *("--group-size", "4", "--prompts-per-step", "2", "--save-every", "2", "--credit", "always"),
    *("--eta", "0.9", "--max-completion-tokens", "60", "--learning-rate", "0.01"),
]
NOT_COMPARED = {"checkpoints"}


def train(run: Path, *flags: str) -> int:
    return main(["train", "--run", str(run), *flags])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the checkpoints, which hold times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not NOT_COMPARED & set(path.relative_to(folder).parts)
    }


def test_a_users_model_is_trained_and_measured(
    dataset_run: Path, llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(dataset_run, "--model", str(llama), "--steps", "2", *QUICK) == 0
    folder = dataset_run / "training"
    out = capsys.readouterr().out
    assert "held-out questions, n = 6" in out
    assert "{'loss'" not in out
    assert (folder / "model" / "adapter_model.safetensors").is_file()
    assert len(list(read_records(folder / "samples.jsonl", Rollout))) == 8
    assert len(list(read_records(folder / "after.jsonl", Answered))) == 12
    changes = [Change.model_validate(c) for c in read_json(folder / "evaluation.json")["changes"]]
    assert [(c.decoding, c.measure) for c in changes] == [
        ("sampled", "outcome"),
        ("sampled", "rubric"),
        ("greedy", "outcome"),
        ("greedy", "rubric"),
    ]
    assert read_json(folder / "meta.json")["steps"] == 2


def test_every_weight_is_trained_without_lora(dataset_run: Path, llama: Path) -> None:
    flags = ["--model", str(llama), "--lora-rank", "0", "--steps", "2", *QUICK]
    assert train(dataset_run, *flags) == 0
    assert any(row.grad_norm for row in metrics(dataset_run / "training"))
    model = dataset_run / "training" / "model"
    assert (model / "model.safetensors").read_bytes() != (llama / "model.safetensors").read_bytes()


def test_a_complete_training_is_shown_again_without_work(
    dataset_run: Path, llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", str(llama), "--steps", "1", *QUICK]
    assert train(dataset_run, *flags) == 0
    first = capsys.readouterr().out
    shutil.rmtree(dataset_run / "training" / "checkpoints")
    assert train(dataset_run, *flags) == 0
    assert capsys.readouterr().out == first


def test_resume_goes_on_with_more_steps(
    dataset_run: Path, llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", str(llama), *QUICK]
    shutil.copytree(dataset_run, tmp_path / "at_once")
    assert train(tmp_path / "at_once", "--steps", "4", *flags) == 0
    assert train(dataset_run, "--steps", "2", *flags) == 0
    assert train(dataset_run, "--steps", "4", *flags) == 2
    assert "steps = 2, now steps = 4" in capsys.readouterr().err
    assert train(dataset_run, "--steps", "4", "--resume", *flags) == 0
    found, wanted = (contents(run / "training") for run in (dataset_run, tmp_path / "at_once"))
    assert found == wanted
    assert train(dataset_run, "--steps", "2", "--resume", *flags) == 2
    assert "at least as many" in capsys.readouterr().err


def test_resume_without_anything_to_continue_says_so(
    dataset_run: Path, llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(dataset_run, "--resume", "--model", str(llama)) == 2
    assert "without --resume" in capsys.readouterr().err


def test_another_setting_is_refused_also_with_resume(
    dataset_run: Path, llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", str(llama), *QUICK]
    assert train(dataset_run, "--steps", "1", *flags) == 0
    assert train(dataset_run, "--steps", "2", "--resume", *flags, "--seed", "5") == 2
    assert "seed = 0, now seed = 5" in capsys.readouterr().err


def test_a_model_needs_the_exported_rows(
    tmp_path: Path, llama: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "--model", str(llama)) == 2
    assert "longtrace export --to trl" in capsys.readouterr().err


def test_a_corpus_without_facts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": str(n), "title": f"Title {n}", "text": "Nothing here."} for n in range(3)]
    source = tmp_path / "rows.jsonl"
    source.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    make_corpus(CorpusConfig(reader="jsonl", path=source), Options(run=tmp_path))
    assert train(tmp_path) == 2
    assert "--reader factbook" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    dataset_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(dataset_run, "trl", "--model", "some/model", "--dry-run", "--json") == 0
    assert orjson.loads(capsys.readouterr().out)["responses"] == 60 * 16 * 8
    assert not (dataset_run / "training").exists()


@pytest.mark.slow
def test_a_training_killed_at_random_moments_ends_with_the_same_bytes(
    dataset_run: Path, llama: Path, tmp_path: Path
) -> None:
    quiet = tmp_path / "quiet"
    shutil.copytree(dataset_run, quiet)
    program = [sys.executable, "-m", "longtrace.cli", "train", "--model", str(llama)]
    program += ["--steps", "40", *QUICK, "--run"]
    started = time.monotonic()
    subprocess.run([*program, str(quiet)], check=True, capture_output=True)
    took_s = time.monotonic() - started
    rng, killed = random.Random(3), 0
    for _ in range(4):
        process = subprocess.Popen(
            [*program, str(dataset_run)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.5, 0.95) * took_s)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 2, "too few processes were still at work to prove anything"
    subprocess.run([*program, str(dataset_run)], check=True, capture_output=True)
    found, wanted = contents(dataset_run / "training"), contents(quiet / "training")
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []


@pytest.mark.slow
def test_the_tiny_policy_learns_to_name_the_way_and_the_answer(
    factbook: Path, tmp_path: Path
) -> None:
    shutil.copytree(factbook, tmp_path / "run")
    assert train(tmp_path / "run", "--steps", "30", "--eval-questions", "200") == 0
    evaluation = read_json(tmp_path / "run" / "training" / "evaluation.json")
    for change in map(Change.model_validate, evaluation["changes"]):
        assert change.before is not None
        assert change.after is not None
        assert change.difference is not None
        assert change.difference.excludes_zero, change
        assert change.after.mean > max(0.6, change.before.mean), change


def test_options_that_cannot_work_are_refused_before_any_work(
    factbook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(factbook, tmp_path / "run")
    assert train(tmp_path / "run", "--vllm", "colocate") == 2
    assert "give --model" in capsys.readouterr().err
    assert not (tmp_path / "run" / "training").exists()
