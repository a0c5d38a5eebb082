"""`longtrace train --plan`: memory, tokens and time of a step before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from longtrace.config import Options, Result
from longtrace.errors import InputError
from longtrace.store import read_json
from longtrace.training import launch
from longtrace.training.config import Config
from longtrace.training.fits import (
    GIB,
    GPUS,
    Architecture,
    Gpu,
    Load,
    Memory,
    Setup,
    Time,
    fits,
    memory,
    remedies,
    time_of_step,
)

_PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "generation")


def architecture(config: Config) -> Architecture:
    """Shape of the model: that of `--model`'s `config.json`, else that of the preset.

    Raises:
        InputError: no such file, or it names no decoder's sizes.
    """
    if config.model is None:
        return launch.preset(config.preset).architecture
    path = Path(config.model) / "config.json"
    try:
        return Architecture.of_config(read_json(path))
    except KeyError as error:
        raise InputError(
            f"{path}: no {error.args[0]}; --plan reads the sizes of a decoder from a model's "
            "folder, or takes them from --preset"
        ) from None


def setup(config: Config) -> Setup:
    """How the model would be laid over the GPUs.

    TRL gives every GPU whole sequences, one group at a time, and its logits are those of whole
    responses; more than one GPU shares the states (ZeRO-3). slime and verl split sequences, and
    have the logits of all their positions at once.
    """
    if config.engine == "trl":
        return Setup(
            gpus=config.gpus,
            zero3=config.gpus > 1,
            lora_rank=config.lora_rank,
            chunk_tokens=0,
            at_once=config.group_size,
        )
    layout = launch.preset(config.preset).layout(config.nodes)
    return Setup(
        gpus=8 * config.nodes,
        tensor=layout.tensor,
        pipeline=layout.pipeline,
        context=layout.context,
        expert=layout.expert,
        offload_optimizer=layout.offload_optimizer,
        prompt_logits=True,
    )


def run(config: Config, options: Options) -> Result:
    """What fits, as a table.

    Raises:
        InputError: it does not fit; says what would.
    """
    model, how, gpu = architecture(config), setup(config), GPUS[config.gpu]
    load = Load(
        config.prompt_tokens, config.response_tokens, config.prompts_per_step, config.group_size
    )
    need = memory(model, how, load)
    if not fits(model, how, load, gpu):
        raise InputError(_refusal(config, model, how, load, gpu, need))
    took = time_of_step(model, how, load, gpu)
    return Result(
        json=_json(model, how, load, need, took),
        text=[
            f"{_name(config)}: {model.weights / 1e9:.2f} billion weights, "
            f"{model.active / 1e9:.2f} active; {how.text}",
            _table(need, gpu),
            f"{load.tokens / 1e6:.1f} million tokens a step at most "
            f"({load.prompts} x {load.group_size} x {load.sequence:,})",
            f"about {took.generate_s / 60:.0f} min to generate and {took.train_s / 60:.0f} min to "
            "train, if every response is as long as it may be and a GPU does 35 % of its peak",
        ],
    )


def _name(config: Config) -> str:
    return config.model or config.preset


def _table(need: Memory, gpu: Gpu) -> Table:
    table = Table(title="GiB on each GPU", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    table.add_column("GiB", justify="right")
    for part in _PARTS[:-1]:
        table.add_row(part, f"{getattr(need, part) / GIB:.1f}")
    table.add_row("training together", f"{need.training / GIB:.1f}")
    table.add_row("generation, in turn", f"{need.generation / GIB:.1f}")
    table.add_row("of", f"{gpu.memory_gib:.0f}")
    return table


def _refusal(
    config: Config, model: Architecture, how: Setup, load: Load, gpu: Gpu, need: Memory
) -> str:
    parts = {name: getattr(need, name) for name in _PARTS}
    largest = max(parts, key=lambda name: parts[name])
    would = remedies(model, how, load, gpu)
    advice = "; ".join(would[:3]) if would else "no single change would; use slime or verl"
    return (
        f"{_name(config)} at {load.prompt_tokens:,} + {load.response_tokens:,} tokens on "
        f"{how.text} does not fit: {need.peak / GIB:.0f} GiB a GPU of {gpu.memory_gib:.0f}, most "
        f"of it {largest} ({parts[largest] / GIB:.0f}); what would fit: {advice}"
    )


def _json(model: Architecture, how: Setup, load: Load, need: Memory, took: Time) -> dict[str, Any]:
    return {
        "weights": model.weights,
        "active": model.active,
        "setup": how._asdict(),
        "tokens_per_step": load.tokens,
        "bytes_per_gpu": {**need._asdict(), "training": need.training},
        "generate_s": took.generate_s,
        "train_s": took.train_s,
    }
