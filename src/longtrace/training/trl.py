"""GRPO by TRL's own trainer, with checkpoints from which a killed run continues to the same bytes.

Nothing of TRL is changed: we give it a reward function, rows, and a callback that writes one line
for each update. The rows are put in order here and read once, so that the place in the data is the
number of updates done and a continued run sees what an undisturbed one would have seen.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import orjson

from longtrace.errors import InputError
from longtrace.records import Record
from longtrace.store import read_json, read_records, write_json
from longtrace.training.config import Config
from longtrace.training.measure import end_tokens
from longtrace.training.outcomes import Outcomes, by_exact_rule
from longtrace.training.policy import has_gpu
from longtrace.training.reward import RewardSettings, Rollout, check_layout, reward_function

SAMPLE_EVERY = 10
"""Updates between the batches of which rollouts are kept."""
SAMPLED_GROUPS = 2
"""Groups kept of such a batch."""
_CHECKPOINT_ONLY = {
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "training_args.bin",
}


class StepMetrics(Record):
    """One update."""

    step: int
    """From 1."""
    reward: float | None
    reward_std: float | None
    """Deviation over all responses of the update."""
    outcome: float | None
    """Share of right answers among the judged responses."""
    rubric: float | None
    """Mean share of the gold entities named."""
    missing: float
    """Share of responses that could not be judged."""
    no_signal: float
    """Share of groups in which all rewards are equal."""
    clipped: float
    """Share of responses cut off at the token limit."""
    mean_tokens: float
    """Mean length of a response in tokens."""
    loss: float | None
    grad_norm: float | None


def train(
    model: Any,
    tokenizer: Any,
    rows: Any,
    config: Config,
    folder: Path,
    *,
    advance: Callable[[int], None],
    outcomes: Outcomes = by_exact_rule,
) -> None:
    """Train `model` for `config.steps` updates, or for those left, and write `folder/model`.

    Args:
        model: a causal language model; with `config.model` it gets LoRA adapters.
        tokenizer: its tokenizer.
        rows: `datasets.Dataset` with `prompt` and the columns the reward needs; see
            `reward_function`.
        config: of the training.
        folder: of the training; `checkpoints/`, `metrics.jsonl` and `samples.jsonl` are kept there.
        advance: told the number of updates done.
        outcomes: tells right from wrong.

    Raises:
        InputError: several processes were started, or groups would be split.
    """
    from transformers import PrinterCallback
    from trl import GRPOTrainer

    done = rewind(folder)
    advance(done)
    if done < config.steps:
        settings = RewardSettings(
            group_size=config.group_size,
            eta=config.eta,
            credit=config.credit,
            normalize=config.normalize,
            best=config.best,
            thinks=config.thinks,
            end_tokens=end_tokens(model, tokenizer),
        )
        args = grpo_config(config, folder / "checkpoints")
        _one_process()
        local = args.per_device_train_batch_size * args.steps_per_generation
        check_layout(local, config.group_size, gather=False)
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=reward_function(
                settings, lambda batch: _keep(batch, config, folder), outcomes
            ),
            args=args,
            train_dataset=in_order(rows, config),
            peft_config=lora(config),
            callbacks=[_recorder(folder, advance)],
        )
        trainer.remove_callback(PrinterCallback)
        last = folder / "checkpoints" / f"checkpoint-{done}"
        trainer.train(resume_from_checkpoint=str(last) if done else None)
    _publish(folder / "checkpoints" / f"checkpoint-{config.steps}", folder / "model")


def rewind(folder: Path) -> int:
    """Updates done at the last complete checkpoint; whatever was written after it is dropped."""
    checkpoints = folder / "checkpoints"
    marker = checkpoints / "complete.json"
    done: int = read_json(marker)["step"] if marker.is_file() else 0
    if checkpoints.is_dir():
        for path in checkpoints.glob("checkpoint-*"):
            if int(path.name.removeprefix("checkpoint-")) > done:
                shutil.rmtree(path)
    _keep_lines(folder / "metrics.jsonl", lambda row: row["step"] <= done)
    _keep_lines(folder / "samples.jsonl", lambda row: row["step"] < done)
    return done


def grpo_config(config: Config, folder: Path) -> Any:
    """The paper's settings as TRL's: token-level loss, clip 0.2 / 0.28, no KL, group deviation.

    The tiny policy stays on the CPU, where a step takes half a second and repeats exactly. With a
    user's model one group is on the device at a time and gradients are accumulated over the step's
    prompts.
    """
    from trl import GRPOConfig

    cuda = config.model is not None and has_gpu()
    at_once = 1 if config.model else config.prompts_per_step
    return GRPOConfig(
        output_dir=str(folder),
        use_cpu=not cuda,
        bf16=cuda,
        gradient_checkpointing=cuda,
        num_generations=config.group_size,
        per_device_train_batch_size=config.group_size * at_once,
        gradient_accumulation_steps=config.prompts_per_step // at_once,
        max_steps=config.steps,
        max_completion_length=config.completion_tokens,
        temperature=config.temperature,
        loss_type="dapo",
        epsilon=config.clip_low,
        epsilon_high=config.clip_high,
        num_iterations=config.updates_per_batch,
        beta=0.0,
        scale_rewards="group",
        learning_rate=config.rate,
        lr_scheduler_type="constant",
        adam_beta2=0.95,
        seed=config.seed,
        data_seed=config.seed,
        shuffle_dataset=False,
        logging_steps=1,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        report_to=config.report_to or "none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **vllm_options(config),
    )


def vllm_options(config: Config) -> dict[str, Any]:
    """TRL's options for generation by vLLM; none without it.

    The published correction (IcePop) weighs a token by the ratio of its probability in training to
    that in generation, and drops it where the ratio is outside the bounds. TRL's own default drops
    whole sequences instead, which long responses would always be.

    Raises:
        InputError: vLLM was asked for without a model of one's own, or is not installed.
    """
    if config.vllm == "off":
        return {}
    if config.model is None:
        raise InputError(f"--vllm {config.vllm}: the tiny policy runs on the CPU; give --model")
    if importlib.util.find_spec("vllm") is None:
        raise InputError(f"--vllm {config.vllm}: vllm is not installed; pip install 'trl[vllm]'")
    return {
        "use_vllm": True,
        "vllm_mode": config.vllm,
        **icepop(config),
    }


def icepop(config: Config) -> dict[str, Any]:
    """The correction for the difference between the two engines, as TRL spells it."""
    return {
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": "token_mask",
        "vllm_importance_sampling_clip_min": config.icepop_min,
        "vllm_importance_sampling_clip_max": config.icepop_max,
    }


def in_order(rows: Any, config: Config) -> Any:
    """The rows of the whole training, each pass shuffled anew; longer ones begin like shorter."""
    wanted = config.steps * config.prompts_per_step
    order: list[int] = []
    turn = 0
    while len(order) < wanted:
        once = list(range(len(rows)))
        Random(f"rows-{config.seed}-{turn}").shuffle(once)
        order += once
        turn += 1
    return rows.select(order[:wanted])


def metrics(folder: Path) -> list[StepMetrics]:
    """The whole curve, one row an update."""
    return list(read_records(folder / "metrics.jsonl", StepMetrics))


def _one_process() -> None:
    """Check that this is not one of several processes, which would write the same files.

    Raises:
        InputError: it is.
    """
    from accelerate import PartialState

    processes = PartialState().num_processes
    if processes > 1:
        raise InputError(
            f"`longtrace train` is one process, and {processes} were started; for several, give "
            "reward_function(RewardSettings(..., gather=True)) to a TRL script of your own"
        )


def lora(config: Config) -> Any:
    """Adapters on every linear layer of a user's model; None where every weight is trained."""
    if not config.model or not config.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=2 * config.lora_rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _recorder(folder: Path, advance: Callable[[int], None]) -> Any:
    """A callback that writes a line for each update and marks whole checkpoints."""
    from transformers import TrainerCallback

    def on_log(_: Any, args: Any, state: Any, control: Any, logs: Any = None, **__: Any) -> None:
        if logs and "reward" in logs:
            _append(folder / "metrics.jsonl", [_row(state.global_step, logs)])
            advance(state.global_step)

    def on_save(_: Any, args: Any, state: Any, control: Any, **__: Any) -> None:
        write_json(folder / "checkpoints" / "complete.json", {"step": state.global_step})

    return type("Recorder", (TrainerCallback,), {"on_log": on_log, "on_save": on_save})()


def _row(step: int, logs: dict[str, Any]) -> StepMetrics:
    return StepMetrics(
        step=step,
        reward=_number(logs.get("reward")),
        reward_std=_number(logs.get("reward_std")),
        outcome=_number(logs.get("longtrace/outcome")),
        rubric=_number(logs.get("longtrace/rubric")),
        missing=_number(logs.get("longtrace/missing")) or 0.0,
        no_signal=_number(logs.get("longtrace/no_signal")) or 0.0,
        clipped=_number(logs.get("completions/clipped_ratio")) or 0.0,
        mean_tokens=_number(logs.get("completions/mean_length")) or 0.0,
        loss=_number(logs.get("loss")),
        grad_norm=_number(logs.get("grad_norm")),
    )


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    return None if value is None or value != value else float(value)


def _keep(batch: Sequence[Rollout], config: Config, folder: Path) -> None:
    """Keep the first groups of every `SAMPLE_EVERY`th batch."""
    if batch[0].step % SAMPLE_EVERY == 0:
        _append(folder / "samples.jsonl", batch[: SAMPLED_GROUPS * config.group_size])


def _append(path: Path, rows: Sequence[Record]) -> None:
    with path.open("ab") as out:
        out.write(b"".join(row.model_dump_json().encode() + b"\n" for row in rows))


def _keep_lines(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Drop the lines of later updates, and a last line that was not finished."""
    whole = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    kept = [line for line in whole if line.endswith(b"\n") and wanted(orjson.loads(line))]
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(b"".join(kept))
    partial.replace(path)


def _publish(checkpoint: Path, folder: Path) -> None:
    """The weights and the tokenizer of a checkpoint as a model folder, in one step."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(checkpoint, partial, ignore=shutil.ignore_patterns(*_CHECKPOINT_ONLY))
    adapter = partial / "adapter_config.json"
    if adapter.is_file():  # peft writes a set, in another order in every process
        config = read_json(adapter)
        write_json(adapter, {**config, "target_modules": sorted(config["target_modules"])})
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
