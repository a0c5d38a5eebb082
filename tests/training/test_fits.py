"""What fits, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from longtrace.cli import main
from longtrace.training import launch
from longtrace.training.fits import (
    GIB,
    GPUS,
    Architecture,
    Load,
    Setup,
    fits,
    lora_weights,
    memory,
    remedies,
    time_of_step,
)

SMALL = Architecture(layers=2, hidden=8, ffn=16, heads=2, kv_heads=1, head_dim=4, vocab=100)
LOAD = Load(prompt_tokens=60, response_tokens=40, prompts=2, group_size=3)


def test_weights_of_a_small_model_are_those_counted_by_hand() -> None:
    attention = 8 * 8 + 8 * 4 + 8 * 4 + 8 * 8  # queries, keys, values, output
    mlp = 3 * 8 * 16
    assert SMALL.weights == 2 * 100 * 8 + 2 * (attention + mlp)
    assert SMALL.active == 100 * 8 + 2 * (attention + mlp)
    assert SMALL.kv_bytes == 2 * 2 * 1 * 4 * 2


def test_experts_are_all_kept_and_some_are_used() -> None:
    mixed = SMALL.model_copy(update={"experts": 4, "experts_active": 2})
    assert mixed.weights - SMALL.weights == 2 * (3 * 3 * 8 * 16 + 8 * 4)
    assert mixed.active - SMALL.active == 2 * (1 * 3 * 8 * 16 + 8 * 4)


@pytest.mark.parametrize(
    ("name", "billions", "active"),
    [
        ("qwen3-4b-thinking-2507", 4.02, 4.02),
        ("deepseek-r1-0528-qwen3-8b", 8.19, 7.57),
        ("qwen3-30b-a3b-thinking-2507", 30.5, 3.0),
    ],
)
def test_the_presets_have_the_published_sizes(name: str, billions: float, active: float) -> None:
    model = launch.preset(name).architecture
    assert model.weights / 1e9 == pytest.approx(billions, rel=0.01)
    assert model.active / 1e9 == pytest.approx(active, rel=0.02)


def test_memory_of_one_gpu_is_what_the_formulas_give_by_hand() -> None:
    need = memory(SMALL, Setup(gpus=1, chunk_tokens=10), LOAD)
    n = SMALL.weights
    assert (need.weights, need.gradients, need.optimizer) == (2 * n, 4 * n, 12 * n)
    assert need.activations == 100 * 8 * 2 * 2 + 100 * 8 * 34
    assert need.logits == 10 * 100 * 10
    assert need.generation == 2 * n + 100 * SMALL.kv_bytes
    assert need.training == 18 * n + need.activations + need.logits


def test_every_kind_of_splitting_divides_what_it_says() -> None:
    one = memory(SMALL, Setup(gpus=1), LOAD)
    split = memory(SMALL, Setup(gpus=16, tensor=2, pipeline=2, context=4), LOAD)
    assert split.weights == one.weights / 4
    assert split.optimizer == one.optimizer / 16
    assert split.activations == one.activations / 8
    assert split.logits == one.logits / 2
    zero = memory(SMALL, Setup(gpus=8, zero3=True), LOAD)
    assert (zero.weights, zero.gradients) == (one.weights / 8, one.gradients / 8)
    assert zero.activations == one.activations


def test_adapters_alone_are_trained_with_lora() -> None:
    by_hand = 4 * 2 * ((8 + 8) * 2 + (8 + 4) * 2 + 3 * (8 + 16))
    assert lora_weights(SMALL, 4) == by_hand
    need = memory(SMALL, Setup(gpus=1, lora_rank=4), LOAD)
    assert need.weights == 2 * SMALL.weights + 4 * by_hand
    assert (need.gradients, need.optimizer) == (4 * by_hand, 12 * by_hand)


def test_training_time_is_operations_over_speed() -> None:
    gpu = GPUS["h100"]
    took = time_of_step(SMALL, Setup(gpus=2), LOAD, gpu, efficiency=0.5)
    tokens, sequences = 600, 6
    operations = 5 * (2 * SMALL.active * tokens + sequences * 2 * 2 * 2 * 4 * 100**2)
    assert took.train_s == pytest.approx(operations / (989e12 * 0.5 * 2))
    assert took.generate_s > 0


def test_what_is_advised_would_fit() -> None:
    model = launch.preset("qwen3-4b-thinking-2507").architecture
    load, how = Load(128_000, 32_000, 16, 8), Setup(gpus=1, at_once=1)
    assert not fits(model, how, load, GPUS["h100"])
    assert remedies(model, how, load, GPUS["h100"])
    assert not any("more" in words for words in remedies(model, how, load, GPUS["h100"]))
    bigger = how._replace(gpus=8, context=8)
    assert "8 GPUs with CP 8" in remedies(model, how, load, GPUS["h100"])
    assert fits(model, bigger, load, GPUS["h100"])


def test_the_published_layout_fits_as_published(capsys: pytest.CaptureFixture[str]) -> None:
    for name in launch.presets():
        for nodes in launch.NODES:
            flags = ["--preset", name, "--nodes", str(nodes)]
            assert main(["train", "slime", "--plan", "--json", *flags]) == 0
            plan = orjson.loads(capsys.readouterr().out)
            assert plan["bytes_per_gpu"]["training"] < 72 * GIB
            assert plan["tokens_per_step"] == 128 * 160_000


def test_what_cannot_fit_is_refused_with_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--plan", "--prompt-tokens", "16000", "--response-tokens", "4000"]) == 2
    said = capsys.readouterr().err
    assert "does not fit" in said
    assert "one sequence at a time" in said


def test_a_models_own_folder_gives_its_shape(
    llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--plan", "--model", str(llama), "--prompt-tokens", "100", "--json"]
    assert main(["train", *flags, "--response-tokens", "10"]) == 0
    plan = orjson.loads(capsys.readouterr().out)
    config = orjson.loads((llama / "config.json").read_bytes())
    assert plan["weights"] == 2 * config["vocab_size"] * 32 + 4 * 32 * 32 + 3 * 32 * 32
    (tmp_path / "config.json").write_text("{}")
    assert main(["train", "--plan", "--model", str(tmp_path)]) == 2
    assert "num_" in capsys.readouterr().err


def test_the_engines_hold_the_logits_of_every_position() -> None:
    setup = Setup(gpus=8, tensor=4, context=2, chunk_tokens=10)
    chunked = memory(SMALL, setup, LOAD)
    whole = memory(SMALL, setup._replace(prompt_logits=True), LOAD)
    assert chunked.logits == 10 * SMALL.vocab * 10 / 4
    assert whole.logits == LOAD.sequence / 2 * SMALL.vocab * 10 / 4
