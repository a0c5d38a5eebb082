"""The trainer: what it is given, and that a continued run repeats an undisturbed one."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from longtrace.errors import InputError
from longtrace.store import write_json
from longtrace.training import policy, trl
from longtrace.training.config import Config
from longtrace.training.rows import dataset
from longtrace.training.tasks import Task, example

pytest.importorskip("trl", reason="needs the train extra")

QUICK = Config(
    steps=6,
    group_size=4,
    prompts_per_step=3,
    save_every=2,
    eta=1.0,
    credit="always",
    max_completion_tokens=60,
)


class Stopped(Exception):
    """Stands for a kill in the middle of an update."""


def trained(folder: Path, tasks: list[Task], config: Config, stop_at: int | None = None) -> None:
    """Train random weights; they name entities by chance, so some updates have a signal."""
    folder.mkdir(exist_ok=True)

    def advance(step: int) -> None:
        if step == stop_at:
            raise Stopped

    with policy.quiet(1):
        rows = dataset(example(one) for one in tasks)
        model, tokenizer = policy.build_model(0), policy.build_tokenizer()
        trl.train(model, tokenizer, rows, config, folder, advance=advance)


def files(folder: Path) -> dict[str, bytes]:
    """What must not depend on interruptions."""
    paths = [*folder.glob("*.jsonl"), *(folder / "model").iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tasks: list[Task]) -> Path:
    folder: Path = tmp_path_factory.mktemp("undisturbed")
    trained(folder, tasks, QUICK)
    return folder


def test_every_update_leaves_one_line(undisturbed: Path) -> None:
    curve = trl.metrics(undisturbed)
    assert [row.step for row in curve] == [1, 2, 3, 4, 5, 6]
    assert any(row.grad_norm for row in curve), "no update had a signal, so nothing is proved"
    assert all(row.reward is not None and 0 <= row.reward <= 1 for row in curve)


@pytest.mark.parametrize("stop_at", [1, 3, 4, 5])
def test_a_continued_training_repeats_an_undisturbed_one(
    undisturbed: Path, tasks: list[Task], tmp_path: Path, stop_at: int
) -> None:
    with pytest.raises(Stopped):
        trained(tmp_path, tasks, QUICK, stop_at=stop_at)
    trained(tmp_path, tasks, QUICK)
    assert files(tmp_path) == files(undisturbed)


def test_more_steps_go_on_as_if_they_had_been_asked_for_at_once(
    undisturbed: Path, tasks: list[Task], tmp_path: Path
) -> None:
    trained(tmp_path, tasks, QUICK.model_copy(update={"steps": 4}))
    trained(tmp_path, tasks, QUICK)
    assert files(tmp_path) == files(undisturbed)


def test_a_finished_training_is_not_trained_again(
    undisturbed: Path, tasks: list[Task], tmp_path: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "model")
    trained(tmp_path, tasks, QUICK)
    assert files(tmp_path) == files(undisturbed)


def test_what_came_after_the_last_whole_checkpoint_is_dropped(tmp_path: Path) -> None:
    for step in (2, 4):
        (tmp_path / "checkpoints" / f"checkpoint-{step}").mkdir(parents=True)
    write_json(tmp_path / "checkpoints" / "complete.json", {"step": 2})
    lines = [b'{"step":%d}\n' % step for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_bytes(b"".join(lines) + b'{"ste')
    (tmp_path / "samples.jsonl").write_bytes(b'{"step":0}\n{"step":2}\n')
    assert trl.rewind(tmp_path) == 2
    assert (tmp_path / "metrics.jsonl").read_bytes() == lines[0] + lines[1]
    assert (tmp_path / "samples.jsonl").read_bytes() == b'{"step":0}\n'
    assert [path.name for path in (tmp_path / "checkpoints").glob("checkpoint-*")] == [
        "checkpoint-2"
    ]


def test_longer_trainings_begin_with_the_rows_of_shorter_ones(tasks: list[Task]) -> None:
    rows = dataset(example(one) for one in tasks[:10])

    def order(steps: int) -> list[Any]:
        config = QUICK.model_copy(update={"steps": steps})
        return list(trl.in_order(rows, config)["group_id"])

    assert order(9)[:12] == order(4)
    assert len(order(9)) == 27
    assert set(order(4)[:10]) == set(rows["group_id"]), "a pass leaves no row out"
    assert order(9)[:10] != order(9)[10:20], "each pass has its own order"


def test_the_papers_settings_reach_the_trainer(tmp_path: Path) -> None:
    made = trl.grpo_config(Config(), tmp_path)
    assert (made.num_generations, made.per_device_train_batch_size) == (8, 128)
    assert (made.epsilon, made.epsilon_high, made.beta) == (0.2, 0.28, 0.0)
    assert (made.loss_type, made.scale_rewards, made.temperature) == ("dapo", "group", 1.0)


def test_a_users_model_has_one_group_on_the_device_at_a_time(tmp_path: Path) -> None:
    made = trl.grpo_config(Config(model="x"), tmp_path)
    assert (made.per_device_train_batch_size, made.gradient_accumulation_steps) == (8, 16)
    assert made.generation_batch_size == 128


def test_later_options_do_not_change_what_a_folder_was_made_with() -> None:
    plain = Config().identity()
    assert not {"clip_low", "vllm", "preset", "plan", "report_to", "resume"} & set(plain)
    assert Config(clip_high=0.3).identity() == plain | {"clip_high": 0.3}
    assert Config(report_to="tensorboard", nodes=1).identity() == plain


def test_clipping_and_updates_reach_the_trainer(tmp_path: Path) -> None:
    made = trl.grpo_config(Config(clip_low=0.1, clip_high=0.3, updates_per_batch=2), tmp_path)
    assert (made.epsilon, made.epsilon_high, made.num_iterations) == (0.1, 0.3, 2)


def test_the_published_correction_drops_tokens_and_not_sequences(tmp_path: Path) -> None:
    from trl import GRPOConfig

    made = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, **trl.icepop(Config()))
    assert made.vllm_importance_sampling_mode == "token_mask"
    assert made.vllm_importance_sampling_clip_min == 0.5
    assert made.vllm_importance_sampling_clip_max == 2.0


def test_vllm_is_refused_where_it_cannot_be_used() -> None:
    assert trl.vllm_options(Config()) == {}
    with pytest.raises(InputError, match="give --model"):
        trl.vllm_options(Config(vllm="colocate"))
    if importlib.util.find_spec("vllm") is None:
        with pytest.raises(InputError, match=r"trl\[vllm\]"):
            trl.vllm_options(Config(vllm="server", model="x"))
