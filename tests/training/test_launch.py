"""The launches of slime and verl: complete, and every flag and key known to its engine."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import orjson
import pytest
import yaml

from longtrace.cli import main
from longtrace.errors import InputError
from longtrace.llm import Endpoint
from longtrace.store import write_json
from longtrace.training import launch
from longtrace.training.config import Config

CHECKOUT = Path(__file__).parents[2] / ".slime"
PUBLISHED = {
    "--rollout-batch-size": "16",
    "--n-samples-per-prompt": "8",
    "--eps-clip": "0.2",
    "--eps-clip-high": "0.28",
    "--tis-clip-low": "0.5",
    "--tis-clip": "2.0",
    "--lr": "2e-06",
    "--rollout-max-context-len": "160000",
    "--rollout-max-response-len": "32000",
    "--max-tokens-per-gpu": "8192",
}


def arguments(command: str) -> dict[str, str]:
    """Flags of the last command of a script, each with its value."""
    last = command.replace("\\\n", " ").splitlines()[-1]
    words = shlex.split(last)
    found: dict[str, str] = {}
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            found[word] = "" if after.startswith("--") else after
    return found


@pytest.mark.parametrize("name", launch.presets())
def test_the_published_settings_are_in_the_slime_launch(name: str, tmp_path: Path) -> None:
    made = launch.slime(launch.preset(name), Config(engine="slime"), tmp_path / "x", tmp_path)
    found = arguments(made.command)
    assert {key: found[key] for key in PUBLISHED} == PUBLISHED
    parallel = [found[f"--{part}-parallel-size"] for part in ("tensor-model", "context")]
    assert (parallel, found["--pipeline-model-parallel-size"]) == (["4", "4"], "2")
    assert "--use-kl-loss" not in found
    assert yaml.safe_load(made.files["reward.yaml"]) == {"longtrace_eta": 0.3}


@pytest.mark.parametrize("name", launch.presets())
@pytest.mark.parametrize("nodes", launch.NODES)
@pytest.mark.parametrize("engine", ["slime", "verl"])
def test_every_launch_is_a_script_that_bash_can_read(
    name: str, nodes: int, engine: str, tmp_path: Path
) -> None:
    config = Config.model_validate({"engine": engine, "nodes": nodes, "preset": name})
    made = getattr(launch, engine)(launch.preset(name), config, tmp_path / "a b", tmp_path)
    subprocess.run(["bash", "-n"], input=made.command, text=True, check=True)
    assert "a b" in made.command


@pytest.mark.parametrize("name", launch.presets())
@pytest.mark.parametrize("nodes", launch.NODES)
def test_every_flag_is_known_to_slime(name: str, nodes: int, tmp_path: Path) -> None:
    """slime adds flags to Megatron's and sglang's; the latter are read where slime uses them."""
    if not (CHECKOUT / "slime").is_dir():
        pytest.skip("no checkout of slime in .slime; see `make test-slime`")
    files = [file for kind in ("py", "sh", "md") for file in CHECKOUT.rglob(f"*.{kind}")]
    known = set(re.findall(r"--[a-z0-9][a-z0-9-]+", " ".join(f.read_text() for f in files)))
    config = Config(engine="slime", nodes=nodes)
    made = launch.slime(launch.preset(name), config, tmp_path / "x", tmp_path)
    found = set(arguments(made.command)) - {"--", "--address", "--runtime-env-json"}
    assert {flag.split("=")[0] for flag in found} - known - _JUST_READ == set()


_JUST_READ = {"--sglang-json-model-override-args"}
"""sglang's `--json-model-override-args` under the prefix that slime puts before all its options."""


def test_slime_still_gives_sglangs_options_its_prefix() -> None:
    if not (CHECKOUT / "slime").is_dir():
        pytest.skip("no checkout of slime in .slime; see `make test-slime`")
    source = (CHECKOUT / "slime/backends/sglang_utils/arguments.py").read_text()
    assert 'f"--sglang-{original_flag_stem}"' in source
    assert "ServerArgs.add_cli_args(parser)" in source
    assert "json_model_override_args" not in source  # it is none of those slime leaves out


@pytest.mark.skipif(importlib.util.find_spec("verl") is None, reason="run `make test-verl`")
@pytest.mark.parametrize("name", launch.presets())
@pytest.mark.parametrize("nodes", launch.NODES)
def test_every_key_is_known_to_verl(name: str, nodes: int, tmp_path: Path) -> None:
    from hydra import compose, initialize_config_module  # type: ignore[import-not-found]

    config = Config(engine="verl", nodes=nodes)
    values = launch.verl_overrides(launch.preset(name), config, tmp_path)
    overrides = [f"{key}={launch._plain(value)}" for key, value in values.items()]
    with initialize_config_module("verl.trainer.config", version_base=None):
        made = compose("ppo_megatron_trainer", overrides=overrides)
    assert made.algorithm.adv_estimator == "longtrace_grpo"
    assert made.algorithm.rollout_correction.rollout_is_threshold == "0.5_2.0"
    assert made.actor_rollout_ref.rollout.n == 8
    assert list(made.actor_rollout_ref.actor.optim.betas) == [0.9, 0.98]


def test_reward_options_reach_both_engines(tmp_path: Path) -> None:
    given = launch.preset("qwen3-4b-thinking-2507")
    config = Config(best="correct")
    yaml_text = launch.slime(given, config, tmp_path, tmp_path).files["reward.yaml"]
    assert yaml.safe_load(yaml_text) == {"longtrace_best": "correct", "longtrace_eta": 0.3}
    assert launch.estimator(config) == "longtrace_grpo_best_correct"
    assert launch.estimator(Config(eta=0.0)) == "longtrace_grpo_outcome"
    with pytest.raises(InputError, match="register one"):
        launch.estimator(Config(eta=0.7))


def test_a_judge_reaches_both_engines(tmp_path: Path) -> None:
    given = launch.preset("qwen3-4b-thinking-2507")
    judge = Endpoint(base_url="http://judge:8000/v1", model="qwen3-30b")
    config = Config(outcome="judge", judge=judge)
    text = launch.slime(given, config, tmp_path, tmp_path).files["reward.yaml"]
    wanted = {
        "longtrace_outcome": "judge",
        "longtrace_judge_url": judge.base_url,
        "longtrace_judge_model": judge.model,
    }
    assert yaml.safe_load(text) == {"longtrace_eta": 0.3, **wanted}
    overrides = launch.verl_overrides(given, config, tmp_path)
    prefix = "+reward.custom_reward_function.reward_kwargs."
    kwargs = {key.removeprefix(prefix): v for key, v in overrides.items() if key.startswith(prefix)}
    assert kwargs == wanted
    assert launch.estimator(config) == "longtrace_grpo"


def test_a_dry_run_prints_the_command_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "slime", "--dry-run", "--run", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "--custom-rm-path longtrace.training.slime.custom_rm" in out
    assert "longtrace_eta: 0.3" in out
    assert list(tmp_path.iterdir()) == []


def test_a_launch_is_written_beside_the_exported_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "verl", "--run", str(tmp_path)]) == 2
    assert "longtrace export --to verl" in capsys.readouterr().err
    rows = tmp_path / "dataset" / "verl"
    rows.mkdir(parents=True)
    for part in ("train", "test"):
        (rows / f"{part}.parquet").touch()
    write_json(rows / "meta.json", {})
    assert main(["train", "verl", "--run", str(tmp_path), "--json"]) == 0
    folder = Path(orjson.loads(capsys.readouterr().out)["folder"])
    assert "longtrace_grpo" in (folder / "launch.sh").read_text()


def test_an_unknown_preset_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "slime", "--dry-run", "--preset", "qwen3-4b"]) == 2
    assert "did you mean 'qwen3-4b-thinking-2507'" in capsys.readouterr().err
    assert main(["train", "slime", "--dry-run", "--nodes", "2"]) == 2
    assert "1 and 4 nodes" in capsys.readouterr().err
