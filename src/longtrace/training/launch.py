"""The exact commands that start slime or verl with our functions, from the presets.

A preset is a TOML file for a published model; `common.toml` holds what all share. Nothing is
started here: the command belongs on the head node of a cluster, inside the engine's own image.
`train slime --dry-run` prints it, without `--dry-run` it is written into the run folder.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field

from longtrace.config import Options, Result, nearest
from longtrace.errors import InputError
from longtrace.training.config import Config
from longtrace.training.engines import OUTCOME, RewardOptions
from longtrace.training.fits import Architecture
from longtrace.training.rows import require_files
from longtrace.training.verl import ESTIMATORS

NODES = (1, 4)
"""Numbers of 8-GPU nodes that every preset has a layout for."""
_PLUGIN = "longtrace.training.verl_plugin"


class Layout(BaseModel):
    """How a model is laid over the GPUs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1
    offload_optimizer: bool = False


class Model(BaseModel):
    """Which model a preset is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    slime_arguments: str
    """File of model arguments in slime's `scripts/models`."""
    rotary_base: int


class Preset(BaseModel):
    """A published model with a layout for each number of nodes, and flags of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    model: Model
    architecture: Architecture
    slime: dict[str, Any] = {}
    verl: dict[str, Any] = {}
    one: Layout = Field(alias="nodes-1")
    four: Layout = Field(alias="nodes-4")

    def layout(self, nodes: int) -> Layout:
        """The layout for 1 or 4 nodes of 8 GPUs.

        Raises:
            InputError: another number of nodes.
        """
        if nodes not in NODES:
            raise InputError(f"--nodes {nodes}: presets have layouts for 1 and 4 nodes of 8 GPUs")
        return {1: self.one, 4: self.four}[nodes]


class Launch(NamedTuple):
    """What starts an engine."""

    files: dict[str, str]
    """Name -> content of what has to lie beside the command."""
    command: str
    """A shell script."""


def presets() -> list[str]:
    """Names of the presets."""
    names = (Path(entry.name) for entry in _folder().iterdir() if entry.name.endswith(".toml"))
    return sorted(name.stem for name in names if name.stem != "common")


def preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        InputError: there is none; names the nearest.
    """
    if name not in presets():
        raise InputError(f"--preset {name}: unknown; {nearest(name, presets())}")
    return Preset.model_validate(_toml(name))


def reward_options(config: Config) -> RewardOptions:
    """The reward of a training as the engines' functions read it."""
    return RewardOptions(
        eta=config.eta,
        credit=config.credit,
        normalize=config.normalize,
        best=config.best,
        thinks=True,
        outcome=config.outcome,
        judge_url=config.judge.base_url,
        judge_model=config.judge.model,
    )


def slime(given: Preset, config: Config, rows: Path, folder: Path) -> Launch:
    """The launch of slime: its own file of model arguments, our flags, the reward in a YAML file.

    Args:
        given: the preset.
        config: the reward, and `nodes`.
        rows: JSONL file of `longtrace export --to slime`.
        folder: where the files will lie.
    """
    layout = given.layout(config.nodes)
    flags: dict[str, Any] = {
        "actor-num-nodes": config.nodes,
        "actor-num-gpus-per-node": 8,
        "hf-checkpoint": "$MODEL",
        "ref-load": "${MODEL}_torch_dist",
        "load": "$CHECKPOINTS",
        "save": "$CHECKPOINTS",
        "prompt-data": str(rows),
        "custom-config-path": str(folder / "reward.yaml"),
        "tensor-model-parallel-size": layout.tensor,
        "pipeline-model-parallel-size": layout.pipeline,
        "context-parallel-size": layout.context,
        **_common("slime"),
        **given.slime,
    }
    if layout.expert > 1:
        flags |= {"expert-model-parallel-size": layout.expert, "expert-tensor-parallel-size": 1}
    if layout.offload_optimizer:
        names = ("optimizer-cpu-offload", "overlap-cpu-optimizer-d2h-h2d")
        flags |= dict.fromkeys((*names, "use-precision-aware-optimizer"), True)
    model = given.model
    lines = [
        "# Run on the head node, inside the engine's image, with its sources in $SLIME and",
        "# Megatron's in $MEGATRON; longtrace must be installed on every node.",
        f"# One conversion before the first run: tools/convert_hf_to_torch_dist.py of {model.name}",
        "set -euo pipefail",
        f': "${{SLIME:?}}" "${{MEGATRON:?}}" "${{MODEL:?folder of {model.name}}}" '
        '"${CHECKPOINTS:?}"',
        f"export MODEL_ARGS_ROTARY_BASE={model.rotary_base}",
        f'source "$SLIME/scripts/models/{model.slime_arguments}"',
        'RUNTIME_ENV="{\\"env_vars\\": {\\"PYTHONPATH\\": \\"$MEGATRON\\", '
        '\\"CUDA_DEVICE_MAX_CONNECTIONS\\": \\"1\\"}}"',
        'ray job submit --address=http://127.0.0.1:8265 --runtime-env-json="$RUNTIME_ENV" -- \\',
        '  python3 "$SLIME/train.py" "${MODEL_ARGS[@]}" \\',
        *_continued(f"  --{name}{_value(value)}" for name, value in flags.items()),
    ]
    reward = {"eta": config.eta, **_given(config)}
    settings = {f"longtrace_{name}": value for name, value in reward.items()}
    return Launch({"reward.yaml": yaml.safe_dump(settings)}, "\n".join(lines) + "\n")


def verl(given: Preset, config: Config, rows: Path, folder: Path) -> Launch:
    """The launch of verl, with Megatron as its training engine.

    Args:
        given: the preset.
        config: the reward, and `nodes`.
        rows: folder of `longtrace export --to verl`.
        folder: where the files will lie.

    Raises:
        InputError: no registered estimator has these reward options.
    """
    overrides = verl_overrides(given, config, rows)
    quoted = (f"  {shlex.quote(f'{k}={_plain(v)}')}" for k, v in overrides.items())
    lines = [
        f"# Run on the head node; $MODEL is the folder of {given.model.name}. longtrace must be",
        "# installed on every node.",
        "set -euo pipefail",
        ': "${MODEL:?}" "${CHECKPOINTS:?}"',
        f"export VERL_USE_EXTERNAL_MODULES={_PLUGIN}",
        "python3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer.yaml \\",
        '  "actor_rollout_ref.model.path=$MODEL" "trainer.default_local_dir=$CHECKPOINTS" \\',
        *_continued(quoted),
    ]
    return Launch({}, "\n".join(lines) + "\n")


def verl_overrides(given: Preset, config: Config, rows: Path) -> dict[str, Any]:
    """Every value that differs from verl's own configuration, paths of the model left out."""
    layout = given.layout(config.nodes)
    parallel = layout.tensor * layout.context * layout.pipeline
    tokens = -(-160_000 // layout.context)
    megatron = "actor_rollout_ref.actor.megatron"
    environment = "+ray_kwargs.ray_init.runtime_env.env_vars.VERL_USE_EXTERNAL_MODULES"
    return {
        **_common("verl"),
        "algorithm.adv_estimator": estimator(config),
        "data.train_files": str(rows / "train.parquet"),
        "data.val_files": str(rows / "test.parquet"),
        "trainer.nnodes": config.nodes,
        f"{megatron}.tensor_model_parallel_size": layout.tensor,
        f"{megatron}.pipeline_model_parallel_size": layout.pipeline,
        f"{megatron}.context_parallel_size": layout.context,
        f"{megatron}.expert_model_parallel_size": layout.expert,
        f"{megatron}.optimizer_offload": layout.offload_optimizer,
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu": tokens,
        "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu": tokens,
        "actor_rollout_ref.rollout.tensor_model_parallel_size": min(8, parallel),
        environment: _PLUGIN,
        **{
            f"+reward.custom_reward_function.reward_kwargs.longtrace_{name}": value
            for name, value in _given(config).items()
            if name in OUTCOME
        },
        **given.verl,
    }


def estimator(config: Config) -> str:
    """The registered estimator that has the reward options of `config`.

    Raises:
        InputError: there is none.
    """
    wanted = {name: value for name, value in _given(config).items() if name not in OUTCOME}
    for name, options in ESTIMATORS.items():
        if dict(options) == wanted:
            return name
    raise InputError(
        f"verl has no estimator of ours for {wanted}; register one in a module of your own with "
        "longtrace.training.verl.register, and name the module in VERL_USE_EXTERNAL_MODULES"
    )


def _given(config: Config) -> dict[str, Any]:
    """The reward options that differ from their defaults."""
    return reward_options(config).model_dump(mode="json", exclude_defaults=True)


def _folder() -> Any:
    return files("longtrace.training") / "presets"


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((_folder() / f"{name}.toml").read_text(encoding="utf-8"))


def _common(engine: str) -> Mapping[str, Any]:
    table: Mapping[str, Any] = _toml("common")[engine]
    return table


def _continued(parts: Any) -> list[str]:
    """Arguments on lines of their own, each but the last with a backslash."""
    lines = list(parts)
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _value(value: Any) -> str:
    if value is True:
        return ""
    text = str(value)
    return f' "{text}"' if "$" in text else f" {shlex.quote(text)}"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def run(config: Config, options: Options) -> Result:
    """Print the launch, or write it into `launch/<engine>-<preset>-<nodes>/` of the run.

    Raises:
        InputError: an unknown preset, or reward options that verl has no estimator for.
        RunFolderError: the rows have not been exported.
    """
    given = preset(config.preset)
    name = f"{config.engine}-{config.preset}-{config.nodes}x8"
    folder = (options.run / "launch" / name).absolute()
    rows = (options.run / "dataset" / config.engine).absolute()
    if config.engine == "slime":
        launch = slime(given, config, rows / "train.jsonl", folder)
    else:
        launch = verl(given, config, rows, folder)
    text = [f"# {name}", *launch.command.splitlines()]
    for file, content in launch.files.items():
        text += ["", f"# {folder / file}", *content.splitlines()]
    shown = {"command": launch.command, "files": launch.files}
    if options.dry_run:
        return Result(json=shown, text=text)
    suffix = "jsonl" if config.engine == "slime" else "parquet"
    require_files(rows, suffix)
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in {**launch.files, "launch.sh": launch.command}.items():
        (folder / file).write_text(content, encoding="utf-8")
    return Result(
        json={**shown, "folder": str(folder)},
        text=["nothing was started: run launch.sh on the head node of the cluster"],
        wrote=folder,
    )
