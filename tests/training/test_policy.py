"""The tiny policy's tokenizer and weights, and the loading of other models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longtrace.errors import InputError
from longtrace.training import policy
from longtrace.training.tasks import Task, example

torch = pytest.importorskip("torch", reason="needs the train extra")


def test_every_word_of_a_row_is_one_known_token(tasks: list[Task]) -> None:
    tokenizer = policy.build_tokenizer()
    text = example(tasks[0]).messages[0].content
    tokens = tokenizer(text)["input_ids"]
    assert len(tokens) == len(text.split(" "))
    assert tokenizer.unk_token_id not in tokens
    assert tokenizer.decode(tokens) == text


def test_a_response_survives_decoding_without_special_tokens() -> None:
    tokenizer = policy.build_tokenizer()
    text = "@e1 exports-to @e2 capital @e3 \n answer: @e3"
    tokens = tokenizer(f"{text} {policy.END}")["input_ids"]
    assert tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokens, skip_special_tokens=True).strip() == text


def test_the_tokenizer_is_the_same_after_saving(tmp_path: Path) -> None:
    made = policy.build_tokenizer()
    policy.save(policy.build_model(0), made, tmp_path)
    _, loaded = policy.load(str(tmp_path))
    text = "@e1 exports-to @e2 . \n question: @e1 exports-to ?"
    messages = [{"role": "user", "content": text}]
    for options in ({"add_generation_prompt": True}, {"add_generation_prompt": False}):
        said = [t.apply_chat_template(messages, tokenize=False, **options) for t in (made, loaded)]
        assert said[0] == said[1]
    assert loaded(text)["input_ids"] == made(text)["input_ids"]
    assert loaded.padding_side == "left"


def weights(model: Any) -> list[Any]:
    return [parameter.detach() for parameter in model.parameters()]


def test_the_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    first = policy.build_model(3)
    torch.manual_seed(2)
    again, other = policy.build_model(3), policy.build_model(4)
    same = zip(weights(first), weights(again), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert not torch.equal(weights(first)[0], weights(other)[0])


def test_building_a_model_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    policy.build_model(0)
    assert torch.equal(torch.rand(3), wanted)


def test_the_policy_has_the_size_the_pages_say() -> None:
    assert round(sum(p.numel() for p in policy.build_model(0).parameters()), -3) == 178_000


def test_a_folder_without_a_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--model {tmp_path}") as caught:
        policy.load(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_model_without_a_chat_template_is_refused(llama: Path, tmp_path: Path) -> None:
    for file in llama.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="chat template"):
        policy.load(str(tmp_path))


def test_quiet_sets_the_threads_and_puts_them_back() -> None:
    before = torch.get_num_threads()
    with policy.quiet(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
